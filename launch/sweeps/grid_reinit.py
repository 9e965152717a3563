"""Figure 4c: a fresh network every fitting iteration."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, re-initialised', ('GRID-REINIT',), ('4c',),
    ('reinitialized', 'offline_fqi'),
)
