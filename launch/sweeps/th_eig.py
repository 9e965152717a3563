"""Section A.7: the effective rank of eigenvalues, where S is not normal."""

from launch.settings import theory

_CONFIGURATIONS = (
    'kernel_positive', 'kernel_nearly_normal', 'kernel_random',
    'kernel_random_psd', 'kernel_departure', 'kernel_diverging',
)

SWEEP = theory.sweep(
    'Theory, the rank of eigenvalues',
    ('TH-EIG',),
    ('th_kernel',),
    _CONFIGURATIONS,
)
