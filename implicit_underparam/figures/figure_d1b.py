"""Figure D.1 with online DQN; the paper does not say which its runs were."""

from implicit_underparam.figures import layout, singular_values, suites

FIGURE = layout.PaperFigure(
    id='d1b',
    title='Atari, online DQN, n = 4, singular values',
    lines=singular_values.lines('dqn_online_n4'),
    columns=('singular_values',),
    suite=suites.ATARI_ONLINE,
)
