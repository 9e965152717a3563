"""What the paper leaves open on the gridworld, tried both ways.

The learning rate (0.005, as in every published script of Fu et al., in the
place of 0.001) and what "offline" means (random-policy data that grows).
"""

from launch.sweeps import gridworld

_SETTINGS = {
    'supervised_t10': 1.0,
    'offline_fqi': 3.0,
    'offline_fqi_t10': 1.0,
    'offline_growing': 3.0,
    'offline_growing_t10': 1.0,
    'online_fqi': 3.0,
    'online_fqi_n10': 1.0,
    'supervised': 3.0,
    'reinitialized': 3.0,
    'oracle': 3.5,
    'uniform_coverage': 3.0,
    'exact': 5.0,
    'exact_t10': 1.0,
    'one_hot': 3.0,
    'one_hot_n10': 1.0,
    'one_hot_supervised': 3.0,
}
_PENALIZED = {'offline_fqi': 3.0, 'online_fqi': 3.0}
_SUFFIX = '_lr5e-3'
_BINDINGS = ('adam.learning_rate = 0.005',)

RUNS = [
    *gridworld.runs(
        {
            'offline_growing': 3.0,
            'offline_growing_t10': 1.0,
            'random_observations': 3.0,
            'sparse_reward': 3.0,
        },
        penalty=False,
    ),
    *gridworld.runs(_SETTINGS, _SUFFIX, _BINDINGS, penalty=False),
    *(
        run
        for run in gridworld.runs(_PENALIZED, _SUFFIX, _BINDINGS)
        if '_penalty' in run.name
    ),
]
