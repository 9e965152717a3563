"""Online DQN with and without the penalty: section 5 tells, and draws not."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='onpen',
    title='Atari, online DQN, n = 4, penalty of Eq. 6',
    lines=(
        layout.Line('dqn_online_n4', 'without penalty', drawing.BLUE),
        layout.Line('dqn_online_n4_penalty', 'with penalty', drawing.GREEN),
    ),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI_ONLINE,
)
