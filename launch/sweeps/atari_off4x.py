"""Figure A.2: offline DQN on 20% of the data."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, offline DQN, 20%',
    ('ATARI-OFF4X',),
    ('2b', 'a2', 'minatar_2b'),
    at_scales(
        atari.offline('dqn_offline', atari.FIVE_GAMES, (20,)),
        minatar.offline('dqn_offline', (20,)),
    ),
)
