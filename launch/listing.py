"""The table of sweeps that --list shows."""

from collections.abc import Mapping

from launch import planning
from launch.experiment import SCALES, Sweep, together

_KINDS = {
    'grid': 'Gridworld',
    'atari': 'Atari; MinAtar at the scales smoke and laptop',
    'gym': 'MuJoCo',
    'th': 'Theory',
}
_SEVERAL = 'Several of them'
_NOTE = """\
A time is of one run after another: at the scales smoke and laptop on one core,
at paper on the device that a run asks for. Those of Atari and MuJoCo at paper
are estimates; launch/settings says of what. A run is of all its seeds."""


def table(sweeps: Mapping[str, Sweep]) -> str:
  """Sweeps by kind, with their runs and time at each scale.

  Args:
    sweeps: by name.

  Returns:
    Lines; the last row is of all runs, each once.
  """
  groups: dict[str, list[str]] = {kind: [] for kind in _KINDS.values()}
  groups[_SEVERAL] = []
  for name, sweep in sweeps.items():
    groups[_kind(name, sweep)].append(name)
  size = max(map(len, sweeps))
  lines = [_row(size, '', SCALES, '')]
  for kind, names in groups.items():
    if names:
      lines += ['', kind]
      lines += [_sweep_row(size, name, sweeps[name]) for name in names]
  total = together('all of them, each run once', list(sweeps.values()))
  return '\n'.join([*lines, '', _sweep_row(size, 'total', total), '', _NOTE])


def _kind(name: str, sweep: Sweep) -> str:
  if len(sweep.experiments) > 1:
    return _SEVERAL
  return _KINDS.get(name.partition('_')[0], _SEVERAL)


def _sweep_row(size: int, name: str, sweep: Sweep) -> str:
  extents = tuple(planning.extent(sweep, scale) for scale in SCALES)
  return _row(size, name, extents, sweep.title)


def _row(size: int, name: str, cells: tuple[str, ...], title: str) -> str:
  shown = ''.join(f'{cell:>21}' for cell in cells)
  return f'  {name:{size}}{shown}  {title}'.rstrip()
