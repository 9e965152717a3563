"""Figure A.21: two effective ranks of a deep linear network."""

from launch.settings import theory

_CONFIGURATIONS = (
    'grid_eig_offline', 'grid_eig_online', 'grid_eig_lazy',
)

SWEEP = theory.sweep(
    'Gridworld, two effective ranks',
    ('GRID-EIG',),
    ('a21',),
    _CONFIGURATIONS,
)
