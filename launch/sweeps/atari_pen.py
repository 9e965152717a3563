"""Figures 6b, 7, A.13, A.14 and A.15a: offline DQN and the penalty."""

from launch.experiment import Sweep, at_scales
from launch.grid import NONE
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, offline DQN, the penalty',
    ('ATARI-PEN',),
    (
        '6b', '7', 'a14', 'a15a', 'aggregate', 'aggregate_20', 'minatar_6b',
        'minatar_7', 'minatar_aggregate',
    ),
    at_scales(
        atari.offline(
            'dqn_offline', atari.SIXTEEN_GAMES, (5, 20), (NONE, atari.PENALTY)
        ),
        minatar.offline('dqn_offline', (20,), minatar.ALPHAS),
    ),
)
