"""Figure 2, left: offline fitted Q-iteration on the gridworld."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, offline, T = 10 and 200', ('GRID-OFF',), ('2a',),
    ('offline_fqi', 'offline_fqi_t10', 'supervised', 'supervised_t10'),
)
