"""Reads the metrics.csv of a run folder."""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from implicit_underparam.errors import UserError
from implicit_underparam.figures import run_files, run_parts, series

COLUMNS = ('seed', 'iteration', 'gradient_steps', 'environment_steps')
FILES = ('metrics.csv', 'metrics.csv.gz')
CUT_SHORT = 'cut short'


@dataclasses.dataclass(frozen=True)
class Curves:
  """One column of a run.

  Attributes:
    seeds: [S].
    iterations: [K], rising.
    values: [S, K]; NaN where a seed has no row.
    x: [K], what they are drawn against.
  """

  seeds: np.ndarray
  iterations: np.ndarray
  values: np.ndarray
  x: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
  """The rows of one run.

  Attributes:
    path: the file they are from.
    columns: names, in the file's order.
    rows: [rows, columns] float64.
    status: of run.json; '' where there is none; 'cut short, ...' where one of
      these says or leaves open that it ended, and the last rows are missing.
    scale: of run.json, where a copy's says it; else ''.
  """

  path: pathlib.Path
  columns: tuple[str, ...]
  rows: np.ndarray
  status: str = ''
  scale: str = ''

  @functools.cached_property
  def seeds(self) -> np.ndarray:
    """[S] the seeds that have a row."""
    return np.unique(self.rows[:, 0]).astype(int)

  @functools.cached_property
  def iterations(self) -> np.ndarray:
    """[K] the iterations that any seed has a row of."""
    return np.unique(self.rows[:, 1]).astype(int)

  @property
  def spacing(self) -> int:
    """Iterations from one row of a seed to its next; 1 unless thinned."""
    return series.spacing(self.iterations)

  @property
  def num_iterations(self) -> int:
    """How many iterations were done, thinned ones included."""
    return int(self.iterations[-1]) + 1

  def has_row(self, seed: int) -> np.ndarray:
    """[K] of which iterations a seed has a row."""
    own = self.rows[self.rows[:, 0] == seed, 1]
    return np.isin(self.iterations, own)

  def stopped(self) -> dict[int, int]:
    """Seed -> last iteration, for those that end before the others.

    One row behind is not stopped: the file may be one that grows.
    """
    ends = {
        int(seed): int(self.iterations[self.has_row(seed)][-1])
        for seed in self.seeds
    }
    latest = self.iterations[-1] - self.spacing
    return {seed: end for seed, end in ends.items() if end < latest}

  def notes(self) -> list[str]:
    """What weakens what the run says, a few words each."""
    notes = [self.status] * (self.status not in ('', 'finished'))
    if self.spacing > 1:
      # What is taken of a running mean differs with the rows that are left.
      notes.append(f'one row in {self.spacing} iterations')
    return notes + [
        f'seed {seed} stopped at iteration {iteration}'
        for seed, iteration in self.stopped().items()
    ]

  def curves(self, column: str, x: str = 'iteration') -> Curves:
    """One column, by seed and iteration.

    Args:
      column: its name in the header.
      x: of `COLUMNS`, what it is drawn against; where the seeds differ in it,
        their mean.

    Raises:
      UserError: the run lacks the column.
    """
    along = np.nanmean(self._by_seed(x), axis=0)
    return Curves(self.seeds, self.iterations, self._by_seed(column), along)

  @property
  def gradient_steps(self) -> int:
    """The most that a seed took."""
    return int(self.rows[:, COLUMNS.index('gradient_steps')].max())

  @property
  def environment_steps(self) -> int:
    """The most that a seed took."""
    return int(self.rows[:, COLUMNS.index('environment_steps')].max())

  def _by_seed(self, column: str) -> np.ndarray:
    if column not in self.columns:
      raise UserError(
          f'{self.path} has no column {column!r}: measure it in the run, or '
          f'choose one of {", ".join(self.columns[len(COLUMNS):])}'
      )
    values = np.full((len(self.seeds), len(self.iterations)), np.nan)
    seed = np.searchsorted(self.seeds, self.rows[:, 0])
    iteration = np.searchsorted(self.iterations, self.rows[:, 1])
    values[seed, iteration] = self.rows[:, self.columns.index(column)]
    return values


def read(path: str | os.PathLike[str]) -> Run | None:
  """Reads a run folder's metrics.csv, or metrics.csv.gz, or those of its parts.

  A last line without its line end is being written and is left out.

  Args:
    path: the run's folder.

  Returns:
    The run; None while it has no row yet.

  Raises:
    UserError: there is no such file, or it is not a run's.
  """
  folder = pathlib.Path(path)
  file = metrics_file(folder)
  if file is None:
    return _read_parts(folder)
  lines = run_files.read_text(file).split('\n')[:-1]
  if len(lines) < 2:
    return None
  columns = tuple(lines[0].split(','))
  if columns[:len(COLUMNS)] != COLUMNS:
    raise UserError(
        f'{file} does not begin with the columns {",".join(COLUMNS)}: it is of '
        'no run; take it away'
    )
  rows = _parse(file, lines[1:], len(columns))
  _check_keys(file, rows)
  description = run_files.description(folder)
  run = Run(
      file, columns, rows, str(description.get('status', '')),
      str(description.get('scale', '')),
  )
  planned = run_files.planned(folder)
  # Of a file that was thinned, the last iterations have no row.
  ended = run.status in ('', 'finished')
  if ended and run.num_iterations + run.spacing <= planned:
    done = f'{CUT_SHORT}, {run.num_iterations} of {planned} iterations'
    return dataclasses.replace(run, status=done)
  return run


def _read_parts(folder: pathlib.Path) -> Run | None:
  parts = run_parts.find(folder)
  started = [part for part in parts if metrics_file(part) is not None]
  if not started:
    raise UserError(f'{folder} holds no metrics.csv: name the folder of a run')
  found = {part: run for part in started if (run := read(part)) is not None}
  status = run_parts.worst([
      found[part].status if part in found else run_files.status(part)
      for part in parts
  ])
  return run_parts.join(folder, list(found.values()), status)


def read_environment(folder: pathlib.Path) -> str:
  """'minatar', 'mujoco' or 'theory' by a run's configuration; else ''.

  Columns and names of MinAtar runs are those of Atari's.

  Args:
    folder: of the run.
  """
  return run_files.environment((folder, *run_parts.find(folder)))


def cut_to_common(there: Sequence[Run], column: str) -> list[Run]:
  """The runs, every seed up to where all of them come.

  Args:
    there: runs; a seed that one of them lacks is left out.
    column: of `COLUMNS`, what is to be common to them.
  """
  # Once more, for where the rows of one run lie wider than those of another.
  return _cut(_cut(there, column), column)


def _cut(there: Sequence[Run], column: str) -> list[Run]:
  key = COLUMNS.index(column)
  limits = {
      seed: min(x.rows[x.rows[:, 0] == seed, key].max() for x in there)
      for seed in set.intersection(*(set(x.seeds.tolist()) for x in there))
  }
  return [
      dataclasses.replace(x, rows=x.rows[[
          row[key] <= limits.get(int(row[0]), -math.inf) for row in x.rows
      ]])
      for x in there
  ]


def metrics_file(folder: pathlib.Path) -> pathlib.Path | None:
  """The file with a run's rows, None where the folder has none."""
  paths = (folder / name for name in FILES)
  return next((path for path in paths if path.is_file()), None)


def _parse(
    path: pathlib.Path, lines: Sequence[str], width: int
) -> np.ndarray:
  cells = [line.split(',') for line in lines]
  try:
    if all(len(row) == width for row in cells):
      return np.array(cells, dtype=float)
  except ValueError:
    pass
  number = _first_bad(cells, width)
  raise UserError(
      f'line {number} of {path} is not {width} numbers, as the header says: '
      'mend the line or take it out'
  )


def _first_bad(cells: Iterable[Sequence[str]], width: int) -> int:
  for number, row in enumerate(cells, 2):
    try:
      if len([float(cell) for cell in row]) != width:
        return number
    except ValueError:
      return number
  raise AssertionError('called for rows that are all good')


def _check_keys(path: pathlib.Path, rows: np.ndarray) -> None:
  keys, counts = np.unique(rows[:, :2], axis=0, return_counts=True)
  if not np.isfinite(keys).all():
    raise UserError(f'{path} has a row without seed or iteration: take it out')
  if counts.max() > 1:
    seed, iteration = keys[counts.argmax()].astype(int)
    raise UserError(
        f'{path} has two rows of seed {seed}, iteration {iteration}: take one '
        'out'
    )
