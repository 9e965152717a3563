"""Figure 2, middle, and A.1: offline DQN on Atari, and on 4 times the data."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='2b',
    title='Atari, offline DQN',
    lines=(
        layout.Line('dqn_offline', 'DQN', drawing.BLUE, share='5'),
        layout.Line('dqn_offline', 'DQN', drawing.ORANGE, share='20'),
    ),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
    also=('a1',),
)
