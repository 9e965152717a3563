"""Eq. 2 and Lemma C.0.1: Q_k in closed form."""

from launch.settings import theory

_CONFIGURATIONS = (
    'kernel_psd', 'kernel_random', 'kernel_gridworld',
)

SWEEP = theory.sweep(
    'Theory, Q_k in closed form',
    ('TH-QRECUR',),
    ('th_kernel',),
    _CONFIGURATIONS,
)
