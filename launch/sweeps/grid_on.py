"""Figure 3, left: fitted Q-iteration with a replay buffer on the gridworld."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, online, n = 10 and 200', ('GRID-ON',), ('3a',),
    ('online_fqi', 'online_fqi_n10', 'supervised', 'supervised_t10'),
)
