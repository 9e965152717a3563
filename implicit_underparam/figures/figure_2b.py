"""Figure 2, middle, and A.1: offline DQN on Atari."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='2b',
    title='Atari, offline DQN',
    lines=(layout.Line('dqn_offline', 'DQN', drawing.BLUE),),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
