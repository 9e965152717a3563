"""Every check of the theory, at its only scale: an instance for each seed."""

from launch.run import Run

# Configuration -> expected minutes of a core.
_CONFIGURATIONS = {
    'deep_linear': 1.0,
    'deep_linear_n4': 1.0,
    'deep_linear_n5': 1.0,
    'grid_eig_lazy': 2.5,
    'grid_eig_offline': 2.5,
    'grid_eig_online': 2.5,
    'kernel_departure': 0.5,
    'kernel_diverging': 0.5,
    'kernel_flattening': 0.5,
    'kernel_gridworld': 0.5,
    'kernel_gridworld_ntk': 0.5,
    'kernel_gridworld_off_policy': 0.5,
    'kernel_nearly_normal': 0.5,
    'kernel_normal': 0.5,
    'kernel_normal_lazy': 0.5,
    'kernel_positive': 0.5,
    'kernel_psd': 0.5,
    'kernel_random': 0.5,
    'kernel_random_psd': 0.5,
    'kernel_symmetric': 0.5,
    'near_fixed_point': 1.0,
    'self_training': 1.0,
    'td_far': 1.5,
    'td_fixed_point': 1.5,
}

RUNS = [
    Run(name, (f'gin_configs/theory/{name}.gin',), (), cost)
    for name, cost in _CONFIGURATIONS.items()
]
