"""The gridworld's configurations; its laptop scale is the paper's."""

from collections.abc import Mapping, Sequence

from launch.experiment import Sweep
from launch.grid import NONE, Grid, Setting, runs
from launch.run import Run

PENALTY = Setting(
    '_penalty', ('gin_configs/gridworld/penalty.gin',), cost=2.5
)
# Minutes of a core, of 500 fitting iterations of 5 seeds.
MINUTES = {
    'offline_fqi': 1.5,
    'offline_fqi_t10': 0.5,
    'offline_growing': 1.5,
    'offline_growing_t10': 0.5,
    'online_fqi': 1.5,
    'online_fqi_n10': 0.5,
    'supervised': 1.5,
    'supervised_t10': 0.5,
    'reinitialized': 1.5,
    'oracle': 1.8,
    'fitted_q_evaluation': 1.5,
    'monte_carlo': 1.5,
    'uniform_coverage': 1.5,
    'uniform_coverage_t10': 0.5,
    'exact': 2.5,
    'exact_t10': 0.5,
    'one_hot': 1.5,
    'one_hot_n10': 0.5,
    'one_hot_supervised': 1.5,
    'random_observations': 1.5,
    'sparse_reward': 1.5,
}
_SMOKE = Setting(
    '',
    gin_bindings=(
        'Runner.num_iterations = 3',
        'FittedIteration.gradient_steps = 5',
    ),
    cost=0.1,
)
_SCALES: Mapping[str, tuple[Setting, tuple[int, ...]]] = {
    'smoke': (_SMOKE, (0, 1)),
    'laptop': (NONE, (0, 1, 2, 3, 4)),
    'paper': (NONE, (0, 1, 2, 3, 4)),
}


def grids(
    scale: str,
    configurations: Sequence[str],
    penalties: Sequence[Setting] = (NONE,),
    ending: Setting = NONE,
) -> list[Grid]:
  """A grid for each configuration.

  Args:
    scale: 'smoke', 'laptop' or 'paper'.
    configurations: names of files.
    penalties: without it, with it, or both.
    ending: of the names, with what it stands for.
  """
  size, seeds = _SCALES[scale]
  return [
      Grid(
          f'{name}{{penalty}}{{ending}}{{size}}',
          (f'gin_configs/gridworld/{name}.gin',),
          axes={'penalty': penalties, 'ending': (ending,), 'size': (size,)},
          seeds=seeds,
          cost=MINUTES[name],
      )
      for name in configurations
  ]


def sweep(
    title: str,
    experiments: Sequence[str],
    figures: Sequence[str],
    configurations: Sequence[str],
    penalties: Sequence[Setting] = (NONE,),
) -> Sweep:
  """A sweep of some configurations at every scale.

  Args:
    title: one line.
    experiments: ids.
    figures: ids.
    configurations: names of files.
    penalties: without it, with it, or both.
  """
  found: dict[str, tuple[Run, ...]] = {
      scale: runs(grids(scale, configurations, penalties))
      for scale in _SCALES
  }
  return Sweep(title, tuple(experiments), tuple(figures), found)
