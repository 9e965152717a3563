"""Figure A.11a: targets are the exact Q^pi of the current policy."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, exact targets', ('GRID-ORACLE',), ('a11a',),
    ('oracle', 'offline_fqi'),
)
