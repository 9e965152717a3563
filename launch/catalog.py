"""The sweeps that there are, and those of one's own."""

import difflib
import importlib
import pathlib
import pkgutil
import runpy

from launch import sweeps
from launch.errors import SweepError
from launch.experiment import Sweep


def names() -> list[str]:
  """The sweeps that there are."""
  return sorted(x.name for x in pkgutil.iter_modules(sweeps.__path__))


def load(name: str) -> Sweep:
  """A sweep.

  Args:
    name: of a module of `launch.sweeps`, or a Python file with a SWEEP.

  Raises:
    SweepError: there is no such sweep; names the nearest.
  """
  if name.endswith('.py'):
    return _load_file(pathlib.Path(name))
  if name not in names():
    near = difflib.get_close_matches(name.lower().replace('-', '_'), names(), 1)
    hint = f'; did you mean {near[0]}?' if near else ''
    raise SweepError(
        f'--sweep={name}: there is no such sweep{hint} '
        f'(there are: {", ".join(names())})'
    )
  return importlib.import_module(f'launch.sweeps.{name}').SWEEP


def _load_file(path: pathlib.Path) -> Sweep:
  if not path.is_file():
    raise SweepError(f'--sweep={path}: there is no such file')
  try:
    found = runpy.run_path(str(path)).get('SWEEP')
  except Exception as error:
    # Whatever a user's own file does wrong.
    reason = str(error).split('\n')[0]
    raise SweepError(
        f'--sweep={path}: {type(error).__name__}: {reason}'
    ) from error
  if not isinstance(found, Sweep):
    raise SweepError(
        f'--sweep={path}: it has no SWEEP, a launch.experiment.Sweep'
    )
  return found
