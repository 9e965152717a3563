"""Figure A.3: offline CQL on 5% of the data; on MinAtar, 20% beside DQN."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, offline CQL',
    ('ATARI-CQL',),
    ('a3', 'minatar_a3'),
    at_scales(
        atari.offline('cql_offline', atari.FIVE_GAMES, (5,)),
        minatar.offline('cql_offline', (20,)),
        minatar.offline('dqn_offline', (20,)),
    ),
)
