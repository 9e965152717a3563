"""Figures 3 middle, A.6 and A.22: online DQN, n gradient steps a step."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, online DQN, n',
    ('ATARI-ON',),
    ('3b', 'a22', 'minatar_3b', 'minatar_a22'),
    at_scales(
        atari.online('dqn_online', atari.FIVE_GAMES, atari.RATIOS),
        minatar.online('dqn_online', minatar.RATIOS),
    ),
)
