"""Figure A.2: offline DQN on 4 times the data."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='a2',
    title='Atari, offline DQN',
    lines=(layout.Line('dqn_offline', 'DQN', drawing.ORANGE, share='20'),),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
