"""Figure A.22: online DQN against gradient updates.

On a log axis: the updates of n = 0.25 are 3% of those of n = 8.
"""

from implicit_underparam.figures import layout, reuse, suites

FIGURE = layout.PaperFigure(
    id='a22',
    title='Atari, online DQN, against gradient updates',
    lines=reuse.lines('dqn_online'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI_ONLINE,
    x='gradient_steps',
)
