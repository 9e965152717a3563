"""Figures 2 middle and A.1: offline DQN on 5% of the data."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, offline DQN, 5%',
    ('ATARI-OFF',),
    ('2b', 'minatar_2b'),
    at_scales(
        atari.offline('dqn_offline', atari.FIVE_GAMES, (5,)),
        minatar.offline('dqn_offline', (5,)),
    ),
)
