"""Figures 4d and A.9: fitted Q evaluation of the policy of the data.

On MinAtar on all of the log, with DQN on all of it for comparison.
"""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, fitted Q evaluation',
    ('ATARI-FQE',),
    ('4d', 'minatar_4d'),
    at_scales(
        atari.offline('fitted_q_evaluation', atari.FIVE_GAMES, (5, 20)),
        minatar.offline('fqe_offline', (100,)),
        minatar.offline('dqn_offline', (100,)),
    ),
)
