"""At which scale runs were made: smoke, laptop, or as the paper printed it."""

import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from implicit_underparam.errors import UserError
from implicit_underparam.figures import runs, suites

SMOKE, LAPTOP, PAPER = SCALES = ('smoke', 'laptop', 'paper')
SWEEP = 'sweep.json'
PAPER_SEEDS = 5
_DEPTH = 4  # Folders between a run's and its sweep's, at most.


class Size(NamedTuple):
  """How long a run is at which scale.

  Attributes:
    offline: gradient steps of the paper's offline runs.
    online: environment steps of the paper's online runs.
    smoke: of either; less than that is a test.
  """

  offline: float
  online: float
  smoke: float


_ITERATION = 62_500  # Gradient steps.
_ONLINE_ITERATION = 250_000  # Environment steps.
# A test is what is shorter than a thousandth of the paper's shortest run.
_ATARI = Size(500 * _ITERATION, 200 * _ONLINE_ITERATION, 6_000)
_SIZES: Mapping[suites.Suite, Size] = {
    suites.ATARI: _ATARI,
    suites.ATARI_ONLINE: _ATARI,
    # The paper has no MinAtar.
    suites.MINATAR: Size(math.inf, math.inf, 1_000),
    suites.MUJOCO: Size(1e6, 1e6, 1_000),
}
# The bar plots are of iteration 100.
_OWN_SIZES: Mapping[str, Size] = {
    'ATARI-OFF4X': _ATARI._replace(offline=1_000 * _ITERATION),
    'ATARI-CQL': _ATARI._replace(offline=1_000 * _ITERATION),
    'ATARI-PEN': _ATARI._replace(offline=100 * _ITERATION),
    'ATARI-CQLPEN': _ATARI._replace(offline=100 * _ITERATION),
    'ATARI-RAINBOW': _ATARI._replace(online=100 * _ONLINE_ITERATION),
    'ATARI-RAINBOWPEN': _ATARI._replace(online=100 * _ONLINE_ITERATION),
}
_BY_ITERATIONS: Mapping[suites.Suite, Size] = {
    suites.GRIDWORLD: Size(500, 500, 50),
    # There is one size; the shortest of its runs has 7.
    suites.THEORY: Size(7, 7, 7),
}


def of(
    found: Sequence[runs.Run], suite: suites.Suite, experiment: str
) -> str:
  """The scale of runs that are compared: the smallest of theirs.

  A run's length and seeds tell it, not the name of what made it: the gridworld
  of a laptop is that of the paper, and a run in the middle is shorter yet. Only
  a test is taken at its word.

  Args:
    found: the runs, at least one.
    suite: that they are of.
    experiment: id, by which the paper's length is told.

  Raises:
    UserError: a sweep's file beside them cannot be read.
  """
  each = (
      SMOKE if stated(run) == SMOKE else _by_size(run, suite, experiment)
      for run in found
  )
  return min(each, key=SCALES.index)


def stated(run: runs.Run) -> str:
  """What the sweep that made a run says; '' where there is none.

  Args:
    run: in the folder of the sweep, at most some folders below, or a copy
      whose run.json says it.

  Raises:
    UserError: the sweep's file cannot be read.
  """
  if run.scale in SCALES:
    return run.scale
  path = run.path.absolute()
  # That of a run whose seeds lie in parts is its folder.
  folder = path if path.is_dir() else path.parent
  for parent in list(folder.parents)[:_DEPTH]:
    file = parent / SWEEP
    if file.is_file():
      name = folder.relative_to(parent).as_posix()
      return _in_sweep(file, name)
  return ''


def _in_sweep(path: pathlib.Path, name: str) -> str:
  try:
    sweep = json.loads(path.read_bytes())
    # The seeds of a run may lie in parts, as NAME/seeds_0_1.
    found = [
        of_run.get('scale', sweep['scale'])
        for x, of_run in sweep['runs'].items()
        if x == name or x.startswith(f'{name}/')
    ]
  except (
      OSError, ValueError, KeyError, TypeError, AttributeError
  ) as error:
    raise UserError(
        f'{path} is not the file of a sweep ({error}): restore it, or take it '
        'away'
    ) from error
  known = [x for x in found if x in SCALES]
  return min(known, key=SCALES.index, default='')


def _by_size(run: runs.Run, suite: suites.Suite, experiment: str) -> str:
  if suite in _BY_ITERATIONS:
    size = _BY_ITERATIONS[suite]
    length, paper = run.num_iterations, size.offline
  else:
    size = _OWN_SIZES.get(experiment, _SIZES[suite])
    length, paper = (
        (run.environment_steps, size.online) if run.environment_steps
        else (run.gradient_steps, size.offline)
    )
  if length >= paper and _has_seeds(run, suite):
    return PAPER
  return LAPTOP if length >= size.smoke else SMOKE


def _has_seeds(run: runs.Run, suite: suites.Suite) -> bool:
  # Instances of a theorem are no repetitions.
  return suite is suites.THEORY or len(run.seeds) >= PAPER_SEEDS


def numbers(found: Sequence[runs.Run], suite: suites.Suite) -> str:
  """Iterations, steps and seeds of runs, each as often as it differs.

  Args:
    found: the runs.
    suite: that they are of; it tells which steps say something.
  """
  counts = {'iterations': 'num_iterations'}
  if suite not in (suites.GRIDWORLD, suites.THEORY):
    counts['environment steps'] = 'environment_steps'
    counts['gradient updates'] = 'gradient_steps'
  parts = []
  for unit, attribute in counts.items():
    values = dict.fromkeys(getattr(run, attribute) for run in found)
    if any(values):
      parts.append(f'{" and ".join(f"{x:,}" for x in values)} {unit}')
  return ', '.join(parts)
