"""Every gridworld run of the paper and its controls, at the paper's scale.

500 fitting iterations and 5 seeds each, with and without the penalty.
"""

from launch.run import Run

# Configuration -> expected time, in multiples of a plain T = 10 run.
_CONFIGURATIONS = {
    'offline_fqi': 3.0,
    'offline_fqi_t10': 1.0,
    'online_fqi': 3.0,
    'online_fqi_n10': 1.0,
    'supervised': 3.0,
    'supervised_t10': 1.0,
    'reinitialized': 3.0,
    'oracle': 3.5,
    'fitted_q_evaluation': 3.0,
    'monte_carlo': 3.0,
    'uniform_coverage': 3.0,
    'uniform_coverage_t10': 1.0,
    'exact': 5.0,
    'exact_t10': 1.0,
    'one_hot': 3.0,
    'one_hot_n10': 1.0,
    'one_hot_supervised': 3.0,
}
_PENALTY = 'gin_configs/gridworld/penalty.gin'
_PENALTY_COST = 2.5


def runs(
    configurations: dict[str, float] = _CONFIGURATIONS,
    suffix: str = '',
    gin_bindings: tuple[str, ...] = (),
    penalty: bool = True,
) -> list[Run]:
  """Runs of some configurations, each with and without the penalty.

  Args:
    configurations: name -> cost.
    suffix: added to every run's name.
    gin_bindings: for every run.
    penalty: whether to add the runs with the penalty.

  Returns:
    The runs.
  """
  found = []
  for name, cost in configurations.items():
    file = f'gin_configs/gridworld/{name}.gin'
    found.append(Run(name + suffix, (file,), gin_bindings, cost))
    if penalty:
      found.append(
          Run(
              f'{name}_penalty{suffix}',
              (file, _PENALTY),
              gin_bindings,
              cost * _PENALTY_COST,
          )
      )
  return found


RUNS = runs()
