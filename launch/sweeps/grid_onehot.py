"""Figure A.11b: one-hot observations."""

from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, one-hot observations', ('GRID-ONEHOT',), ('a11b',),
    ('one_hot', 'one_hot_n10', 'one_hot_supervised'),
)
