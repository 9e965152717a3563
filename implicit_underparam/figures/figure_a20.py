"""Figure A.20: two effective ranks, of singular values and of eigenvalues."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='a20',
    title='Atari, offline DQN, two effective ranks',
    lines=(
        layout.Line(
            'dqn_offline', '$\\sigma$, 2048 transitions', drawing.BLUE, 'srank',
            share='5',
        ),
        layout.Line(
            'dqn_offline', '$|\\lambda|$, 512 transitions', drawing.ORANGE,
            'srank_lambda', share='5',
        ),
    ),
    columns=('ranks',),
    suite=suites.ATARI,
)
