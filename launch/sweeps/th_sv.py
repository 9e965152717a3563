"""Proposition 4.1, Lemmas D.0.1 and D.0.2: how singular values grow."""

from launch.settings import theory

_CONFIGURATIONS = (
    'deep_linear', 'deep_linear_n4', 'deep_linear_n5',
)

SWEEP = theory.sweep(
    'Theory, growth of singular values',
    ('TH-SV',),
    ('th_sv',),
    _CONFIGURATIONS,
)
