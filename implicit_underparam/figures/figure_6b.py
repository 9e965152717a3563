"""Figure 6b and A.13: offline DQN on Atari with and without the penalty."""

from implicit_underparam.figures import layout, penalty_lines, suites

FIGURE = layout.PaperFigure(
    id='6b',
    title='Atari, offline DQN, penalty of Eq. 6',
    lines=penalty_lines.lines('dqn_offline', '5'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
    also=('a13',),
)
