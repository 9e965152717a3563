"""Figures 4d and A.10: Monte-Carlo returns beside fitted Q evaluation.

On MinAtar all of the log: of transitions that are drawn one by one hardly a
return is known.
"""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, Monte-Carlo regression',
    ('ATARI-MC',),
    ('4d', 'minatar_4d'),
    at_scales(
        atari.offline('monte_carlo', atari.FIVE_GAMES, (5, 20)),
        atari.offline('fitted_q_evaluation', atari.FIVE_GAMES, (5, 20)),
        minatar.offline('mc_offline', (100,)),
        minatar.offline('fqe_offline', (100,)),
        minatar.offline('dqn_offline', (100,)),
    ),
)
