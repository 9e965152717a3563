"""Figures A.17 to A.19: online Rainbow with n = 4, and the penalty."""

from launch.experiment import Sweep, at_scales
from launch.grid import NONE
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, online Rainbow, the penalty',
    ('ATARI-RAINBOWPEN',),
    (
        'a17', 'a18', 'aggregate_online', 'minatar_a17', 'minatar_a18',
        'minatar_aggregate',
    ),
    at_scales(
        atari.online(
            'rainbow_online', atari.SIXTEEN_GAMES, (4,), (NONE, atari.PENALTY)
        ),
        minatar.online('rainbow_online', (4,), minatar.PAPER_ALPHA),
    ),
)
