"""Section 4.2 and Figure D.1: singular values over training.

The paper does not say whether its runs on Seaquest are offline or online.
"""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, singular values',
    ('ATARI-SV',),
    ('d1', 'd1b', 'minatar_d1', 'minatar_d1b'),
    at_scales(
        atari.offline('dqn_offline', ('Seaquest',), (5,)),
        atari.online('dqn_online', ('Seaquest',), (4,)),
        minatar.offline('dqn_offline', (20,)),
        minatar.online('dqn_online', (8,)),
    ),
)
