"""Proposition 4.2 and Theorem 4.2: rank from one fit to the next."""

from launch.settings import theory

_CONFIGURATIONS = (
    'deep_linear', 'self_training', 'near_fixed_point',
)

SWEEP = theory.sweep(
    'Theory, rank from fit to fit',
    ('TH-COMPOUND',),
    ('th_compound',),
    _CONFIGURATIONS,
)
