"""Section 5, in passing: online DQN and the penalty.

The text does not say at which n: every one is run; on MinAtar n = 1.
"""

from launch.experiment import Sweep, at_scales
from launch.grid import NONE
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, online DQN, the penalty',
    ('ATARI-ONPEN',),
    (
        'onpen', 'onpen_bars', 'aggregate_online', 'minatar_onpen',
        'minatar_onpen_bars', 'minatar_aggregate',
    ),
    at_scales(
        atari.online(
            'dqn_online', atari.FIVE_GAMES, atari.RATIOS, (NONE, atari.PENALTY)
        ),
        minatar.online('dqn_online', (1,), minatar.ALPHAS),
    ),
)
