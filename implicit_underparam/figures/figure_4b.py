"""Figure 4b and A.12: the TD error of online DQN while its rank falls."""

from implicit_underparam.figures import layout, reuse, suites

FIGURE = layout.PaperFigure(
    id='4b',
    title='Atari, online DQN, TD error and rank',
    lines=reuse.lines('dqn_online'),
    columns=('td_error_huber', 'srank'),
    suite=suites.ATARI_ONLINE,
    also=('a12',),
)
