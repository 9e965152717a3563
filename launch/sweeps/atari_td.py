"""Figures 4b and A.12: the TD error of the runs of Figure 3."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, TD error and rank',
    ('ATARI-TD',),
    ('4b', 'minatar_4b'),
    at_scales(
        atari.online('dqn_online', atari.FIVE_GAMES, atari.RATIOS),
        minatar.online('dqn_online', minatar.RATIOS),
    ),
)
