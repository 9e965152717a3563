"""Figure 4d, A.9 and A.10: evaluation with and without bootstrapping."""

from implicit_underparam.figures import drawing, layout, suites

_FQE, _MONTE_CARLO = 'fitted_q_evaluation', 'monte_carlo'

FIGURE = layout.PaperFigure(
    id='4d',
    title='Atari, offline policy evaluation',
    lines=(
        layout.Line(_FQE, 'fitted Q evaluation', drawing.BLUE, share='5'),
        layout.Line(
            _MONTE_CARLO, 'Monte-Carlo returns', drawing.BLACK, share='5'
        ),
        layout.Line(_FQE, 'fitted Q evaluation', drawing.ORANGE, share='20'),
        layout.Line(
            _MONTE_CARLO, 'Monte-Carlo returns', drawing.PURPLE, share='20'
        ),
    ),
    columns=('srank',),
    suite=suites.ATARI,
    also=('a9', 'a10'),
)
