"""Figure 4a: how well the features of Figure 3 fit Q*."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, error of fitting Q*', ('GRID-FIT',), ('4a',),
    ('online_fqi', 'online_fqi_n10'),
)
