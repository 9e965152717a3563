"""Figure A.18: what the penalty changes for online Rainbow, game by game."""

from implicit_underparam.figures import bars, suites

FIGURE = bars.figure(
    'a18',
    'Atari, online Rainbow, n = 4',
    (
        bars.Pair('Rainbow', 'rainbow_online_n4', 'rainbow_online_n4_penalty'),
    ),
    suites.ATARI_ONLINE,
)
