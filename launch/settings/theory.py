"""The theory's configurations; its laptop scale is the paper's."""

from collections.abc import Sequence

from launch.experiment import SCALES, Sweep
from launch.grid import NONE, Grid, Setting, runs
from launch.run import Run

# Minutes of a core, of all the instances that a file names.
MINUTES = {
    'deep_linear': 0.7,
    'deep_linear_n4': 0.7,
    'deep_linear_n5': 0.9,
    'grid_eig_lazy': 2.4,
    'grid_eig_offline': 2.4,
    'grid_eig_online': 2.4,
    'kernel_departure': 0.2,
    'kernel_diverging': 0.2,
    'kernel_flattening': 0.2,
    'kernel_gridworld': 0.8,
    'kernel_gridworld_ntk': 1.0,
    'kernel_gridworld_off_policy': 0.9,
    'kernel_nearly_normal': 0.5,
    'kernel_normal': 0.5,
    'kernel_normal_lazy': 0.5,
    'kernel_positive': 0.6,
    'kernel_psd': 0.6,
    'kernel_random': 0.5,
    'kernel_random_psd': 0.5,
    'kernel_symmetric': 0.5,
    'near_fixed_point': 0.8,
    'self_training': 1.0,
    'td_far': 1.6,
    'td_fixed_point': 1.6,
}
# Their instance is given, and not drawn: they have one seed.
_GIVEN = ('kernel_departure', 'kernel_diverging', 'kernel_flattening')
_SMOKE = Setting('', gin_bindings=('Runner.num_iterations = 3',), cost=0.2)


def sweep(
    title: str,
    experiments: Sequence[str],
    figures: Sequence[str],
    configurations: Sequence[str],
) -> Sweep:
  """A sweep of some configurations at every scale.

  Args:
    title: one line.
    experiments: ids.
    figures: ids.
    configurations: names of files.
  """
  found: dict[str, tuple[Run, ...]] = {
      scale: runs([_grid(scale, name) for name in configurations])
      for scale in SCALES
  }
  return Sweep(title, tuple(experiments), tuple(figures), found)


def _grid(scale: str, name: str) -> Grid:
  smoke = scale == 'smoke'
  return Grid(
      f'{name}{{size}}',
      (f'gin_configs/theory/{name}.gin',),
      axes={'size': (_SMOKE if smoke else NONE,)},
      # As many as the files name, where they are to be all.
      seeds=(0, 1) if smoke and name not in _GIVEN else (),
      cost=MINUTES[name],
  )
