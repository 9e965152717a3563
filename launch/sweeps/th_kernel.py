"""Theorem 4.1 and Corollary C.1.1: the rank of M_k in kernel regression."""

from launch.settings import theory

_CONFIGURATIONS = (
    'kernel_psd', 'kernel_symmetric', 'kernel_normal', 'kernel_normal_lazy',
    'kernel_random', 'kernel_random_psd', 'kernel_gridworld',
    'kernel_gridworld_ntk', 'kernel_gridworld_off_policy', 'kernel_flattening',
)

SWEEP = theory.sweep(
    'Theory, the rank of M_k',
    ('TH-KERNEL',),
    ('th_kernel', 'th_kernel_gridworld'),
    _CONFIGURATIONS,
)
