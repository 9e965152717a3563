"""Figure 6a: T = 200 offline with and without the penalty of Eq. 6."""

from launch.grid import NONE
from launch.settings import gridworld

SWEEP = gridworld.sweep(
    'Gridworld, the penalty', ('GRID-PEN',), ('6a',), ('offline_fqi',),
    (NONE, gridworld.PENALTY),
)
