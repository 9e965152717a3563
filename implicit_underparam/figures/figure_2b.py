"""Figure 2, middle, A.1 and A.2: offline DQN on Atari."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='2b',
    title='Atari, offline DQN',
    lines=(layout.Line('dqn_offline', 'DQN', drawing.BLUE),),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
    also=('a1', 'a2'),
)
