"""Runs whose seeds were split over several devices, each part in a folder.

The parts of a run lie in its folder, which has no rows of its own, and are
named after their seeds: NAME/seeds_0_1, NAME/seeds_2_3.
"""

import dataclasses
import pathlib
import re
import typing
from collections.abc import Sequence

import numpy as np

from implicit_underparam.errors import UserError

if typing.TYPE_CHECKING:
  from implicit_underparam.figures.runs import Run

_NAME = re.compile(r'seeds_\d+(_\d+)*')
# From the best to the worst; any other, such as 'running', lies between.
_BEST, _WORST = ('finished', ''), 'failed'


def is_part(name: str) -> bool:
  """Whether a folder of this name may hold some seeds of a run."""
  return _NAME.fullmatch(name) is not None


def find(folder: pathlib.Path) -> list[pathlib.Path]:
  """The folders of a run's parts, sorted by their names."""
  if not folder.is_dir():
    return []
  return sorted(x for x in folder.iterdir() if is_part(x.name) and x.is_dir())


def join(
    folder: pathlib.Path, parts: Sequence['Run'], status: str
) -> 'Run | None':
  """One run of its parts, its rows in the order of one metrics.csv.

  Args:
    folder: of the whole run.
    parts: those that have a row.
    status: of the whole.

  Returns:
    The run; None if no part has a row.

  Raises:
    UserError: the columns of the parts differ, or two have the same seed.
  """
  if not parts:
    return None
  _check(folder, parts)
  rows = np.concatenate([part.rows for part in parts])
  order = np.lexsort((rows[:, 0], rows[:, 1]))
  return dataclasses.replace(
      parts[0], path=folder, rows=rows[order], status=status,
      scale=next((x.scale for x in parts if x.scale), ''),
  )


def worst(statuses: Sequence[str]) -> str:
  """The status of a run whose parts have these; '' is of no run.json."""
  return max(statuses, key=_badness, default='')


def _badness(status: str) -> int:
  if status in _BEST:
    return _BEST.index(status)
  return 3 if status == _WORST else 2


def _check(folder: pathlib.Path, parts: Sequence['Run']) -> None:
  owners: dict[int, Run] = {}
  for part in parts:
    if part.columns != parts[0].columns:
      raise UserError(
          f'{parts[0].path} and {part.path} differ in their columns: they are '
          'no parts of one run; take one away'
      )
    for seed in part.seeds.tolist():
      if seed in owners:
        raise UserError(
            f'seed {seed} of {folder} is in {owners[seed].path} and in '
            f'{part.path}: take one away'
        )
      owners[seed] = part
