"""Every gridworld run of the paper and its controls, at the paper's scale.

500 fitting iterations and 5 seeds each, with and without the penalty.
"""

from launch.experiment import together
from launch.grid import NONE
from launch.settings import gridworld
from launch.sweeps import (
  grid_fit,
  grid_off,
  grid_on,
  grid_onehot,
  grid_oracle,
  grid_pen,
  grid_reinit,
)

_CONFIGURATIONS = (
    'offline_fqi', 'offline_fqi_t10', 'online_fqi', 'online_fqi_n10',
    'supervised', 'supervised_t10', 'reinitialized', 'oracle',
    'fitted_q_evaluation', 'monte_carlo', 'uniform_coverage',
    'uniform_coverage_t10', 'exact', 'exact_t10', 'one_hot', 'one_hot_n10',
    'one_hot_supervised',
)  # fmt: skip
_ALL = gridworld.sweep(
    'all', (), (), _CONFIGURATIONS, (NONE, gridworld.PENALTY)
)

SWEEP = together(
    'Gridworld, every run of the paper and its controls',
    (
        grid_off.SWEEP, grid_on.SWEEP, grid_fit.SWEEP, grid_reinit.SWEEP,
        grid_pen.SWEEP, grid_oracle.SWEEP, grid_onehot.SWEEP, _ALL,
    ),
)
