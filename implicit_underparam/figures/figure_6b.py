"""Figure 6b and A.13: offline DQN on Atari with and without the penalty."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='6b',
    title='Atari, offline DQN, penalty of Eq. 6',
    lines=(
        layout.Line('dqn_offline', 'without penalty', drawing.BLUE),
        layout.Line('dqn_offline_penalty', 'with penalty', drawing.GREEN),
    ),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
    also=('a13',),
)
