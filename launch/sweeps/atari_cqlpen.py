"""Figures 7, A.15b and A.16: offline CQL and the penalty."""

from launch.experiment import Sweep, at_scales
from launch.grid import NONE
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, offline CQL, the penalty',
    ('ATARI-CQLPEN',),
    (
        '7', 'a15b', 'a16', 'aggregate', 'aggregate_20', 'minatar_7',
        'minatar_a16', 'minatar_aggregate',
    ),
    at_scales(
        atari.offline(
            'cql_offline', atari.SIXTEEN_GAMES, (5, 20), (NONE, atari.PENALTY)
        ),
        minatar.offline('cql_offline', (20,), minatar.ALPHAS),
    ),
)
