"""Figures A.17 and A.19: online Rainbow with and without the penalty.

The bars of A.18 are of many games, and this is one.
"""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='a17',
    title='Atari, online Rainbow, n = 4, penalty of Eq. 6',
    lines=(
        layout.Line('rainbow_online_n4', 'without penalty', drawing.BLUE),
        layout.Line('rainbow_online_n4_penalty', 'with penalty', drawing.GREEN),
    ),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI_ONLINE,
    also=('a19',),
)
