"""Figure 3, middle, and A.6: online DQN with n gradient steps a step."""

from implicit_underparam.figures import layout, reuse, suites

FIGURE = layout.PaperFigure(
    id='3b',
    title='Atari, online DQN, n gradient steps an environment step',
    lines=reuse.lines('dqn_online'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI_ONLINE,
    also=('a6',),
)
