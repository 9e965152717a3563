"""What the paper leaves open on the gridworld, tried both ways.

The learning rate (0.005, as in every published script of Fu et al., in the
place of 0.001) and what "offline" means (random-policy data that grows).
"""

from launch.experiment import SCALES, Sweep
from launch.grid import NONE, Setting, runs
from launch.settings.gridworld import PENALTY, grids

_DATA = (
    'offline_growing', 'offline_growing_t10', 'random_observations',
    'sparse_reward',
)
_SETTINGS = (
    'supervised_t10', 'offline_fqi', 'offline_fqi_t10', 'offline_growing',
    'offline_growing_t10', 'online_fqi', 'online_fqi_n10', 'supervised',
    'reinitialized', 'oracle', 'uniform_coverage', 'exact', 'exact_t10',
    'one_hot', 'one_hot_n10', 'one_hot_supervised',
)  # fmt: skip
_RATE = Setting('_lr5e-3', gin_bindings=('adam.learning_rate = 0.005',))

SWEEP = Sweep(
    'Gridworld, what the paper leaves open',
    ('GRID-OFF', 'GRID-ON', 'GRID-PEN'),
    ('2a', '3a', '6a'),
    {
        scale: runs([
            *grids(scale, _DATA),
            *grids(scale, _SETTINGS, (NONE,), _RATE),
            *grids(scale, ('offline_fqi', 'online_fqi'), (PENALTY,), _RATE),
        ])
        for scale in SCALES
    },
)
