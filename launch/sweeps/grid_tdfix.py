"""Figure 5: rank, and distance to the TD fixed point."""

from launch.settings import theory

_CONFIGURATIONS = (
    'td_fixed_point', 'td_far',
)

SWEEP = theory.sweep(
    'Gridworld, near the TD fixed point',
    ('GRID-TDFIX',),
    ('5',),
    _CONFIGURATIONS,
)
