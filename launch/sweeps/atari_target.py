"""Figure D.2: the rank of what the features are fit to.

The two largest n stand for its "two pairs of runs".
"""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, rank of the target',
    ('ATARI-TARGET',),
    ('d2', 'minatar_d2'),
    at_scales(
        atari.online('dqn_online', ('Seaquest',), (4, 8), (atari.TARGET,)),
        minatar.online('dqn_online', (8,)),
    ),
)
