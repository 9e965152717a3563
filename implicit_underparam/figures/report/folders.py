"""The run folders of a report, with what can be read of each."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from implicit_underparam.errors import UserError
from implicit_underparam.figures import run_parts, runs
from implicit_underparam.figures.report import bindings, record, times

_STATUS = {'finished': 'done', 'failed': 'failed', 'running': 'running'}
# Of a run in parts, the first of these that any part is in.
STATES = (
    'failed', 'blocked', 'unreadable', 'interrupted', 'running', 'queued',
    'waiting', 'without rows', 'recorded', 'done',
)


@dataclasses.dataclass(frozen=True)
class Part:
  """One folder: a run, or some seeds of one.

  Attributes:
    name: of the folder, from the folder of all.
    folder: where it is, or would be.
    task: as the sweep knows it; None where it does not.
    description: of run.json.
    config: text of config.gin; ''.
    rows: of metrics.csv; None where there is none yet.
    problem: why a file cannot be read; ''.
  """

  name: str
  folder: pathlib.Path
  task: record.Task | None
  description: Mapping[str, Any]
  config: str
  rows: runs.Run | None
  problem: str

  @property
  def run_name(self) -> str:
    """Of the run that it is a part of."""
    whole, _, last = self.name.rpartition('/')
    return whole if whole and run_parts.is_part(last) else self.name

  @property
  def state(self) -> str:
    """One of `STATES`."""
    if self.task is not None:
      return self.task.state
    status = _STATUS.get(str(self.description.get('status')))
    if status is None and self.problem:
      return 'unreadable'
    return status or ('recorded' if self.rows else 'without rows')

  @property
  def reason(self) -> str:
    """Why it is in this state, in a line; ''."""
    own = self.description.get('reason')
    told = self.task.reason if self.task else ''
    rows = self.rows.status if self.rows else ''
    cut = rows if rows.startswith(runs.CUT_SHORT) else ''
    return told or (own if isinstance(own, str) else '') or cut

  @property
  def stopped(self) -> Mapping[str, str]:
    """Seed -> why it stopped before the others."""
    found = self.description.get('stopped_seeds')
    return found if isinstance(found, dict) else {}

  @property
  def versions(self) -> Mapping[str, str | None]:
    """Package -> its version; {} where they are not known."""
    found = self.description.get('versions')
    return found if isinstance(found, dict) else {}

  @property
  def device(self) -> str:
    """What it ran on; ''."""
    return str(self.description.get('device') or '')

  def seconds(self, now: float) -> float | None:
    """How long it took, or has taken; None where nothing says so.

    Args:
      now: Unix seconds.
    """
    start = times.unix(self.description.get('started'))
    end = times.unix(self.description.get('ended'))
    if self.task is not None and self.task.started is not None:
      start, end = self.task.started, self.task.ended
    if start is None or (end is None and self.state != 'running'):
      return None
    return max(0.0, (now if end is None else end) - start)


@dataclasses.dataclass(frozen=True)
class ReportedRun:
  """A run: its parts as one.

  Attributes:
    name: of its folder, from the folder of all.
    parts: at least one.
    rows: of all parts that have any; None while there is none.
  """

  name: str
  parts: tuple[Part, ...]
  rows: runs.Run | None

  @property
  def figure_name(self) -> str:
    """The name that figures know it by, whatever folder it lies in."""
    return self.name.rsplit('/', 1)[-1]

  @property
  def state(self) -> str:
    """Of the part that is worst off."""
    order = {state: i for i, state in enumerate(STATES)}
    return min((x.state for x in self.parts), key=lambda x: order.get(x, -1))

  @functools.cached_property
  def config(self) -> dict[str, str]:
    """The bindings of the first part that has any."""
    texts = (x.config for x in self.parts if x.config)
    return bindings.parse(next(texts, ''))

  @property
  def seeds(self) -> list[int]:
    """Those that it has, or is to have."""
    planned = {s for x in self.parts if x.task for s in x.task.seeds}
    own = set() if self.rows is None else set(self.rows.seeds.tolist())
    return sorted(planned | own)

  @property
  def planned(self) -> int | None:
    """Iterations that it is to have; None where nothing says so."""
    return bindings.num_iterations(self.config)

  @property
  def done(self) -> int:
    """Iterations that every seed has, or has missed by stopping."""
    if self.rows is None or len(self.rows.seeds) < len(self.seeds):
      return 0
    run, planned = self.rows, self.planned
    going = set(run.seeds.tolist()) - set(run.stopped())
    last = min(
        int(run.iterations[run.has_row(seed)][-1]) for seed in sorted(going)
    )
    # Of a file that was thinned, the last iterations have no row.
    if planned is not None and last + run.spacing >= planned:
      return planned
    return last + 1

  def seconds(self, now: float) -> float | None:
    """Of all its parts together; see `Part.seconds`."""
    found = [s for x in self.parts if (s := x.seconds(now)) is not None]
    return sum(found) if found else None


def read(
    runs_dir: pathlib.Path, sweep: record.Sweep, now: float
) -> tuple[list[ReportedRun], list[Part]]:
  """Everything there is in a folder, and what its sweep says there will be.

  Args:
    runs_dir: the folder.
    sweep: what its sweep.json says.
    now: Unix seconds.

  Returns:
    The runs, and the preparations of data.
  """
  names = dict.fromkeys((*sweep.tasks, *_found(runs_dir)))
  parts = [_part(runs_dir, name, sweep, now) for name in sorted(names)]
  preparations = []
  grouped: dict[str, list[Part]] = {}
  for part in parts:
    if part.task and part.task.prepares:
      preparations.append(part)
    else:
      grouped.setdefault(part.run_name, []).append(part)
  return [_join(name, there) for name, there in grouped.items()], preparations


def _join(name: str, parts: Sequence[Part]) -> ReportedRun:
  there = [x.rows for x in parts if x.rows is not None]
  if len(parts) == 1:
    return ReportedRun(name, tuple(parts), there[0] if there else None)
  try:
    rows = run_parts.join(parts[0].folder.parent, there, '')
  except UserError as error:
    first = dataclasses.replace(parts[0], problem=str(error))
    return ReportedRun(name, (first, *parts[1:]), None)
  return ReportedRun(name, tuple(parts), rows)


def _found(runs_dir: pathlib.Path) -> Iterator[str]:
  for path, folders, files in os.walk(runs_dir):
    folder = pathlib.Path(path)
    if {*runs.FILES, 'run.json'} & set(files):
      relative = folder.relative_to(runs_dir)
      yield relative.as_posix() if relative.parts else runs_dir.resolve().name
      folders.clear()


def _part(
    runs_dir: pathlib.Path, name: str, sweep: record.Sweep, now: float
) -> Part:
  task = sweep.tasks.get(name)
  if task and task.state in ('running', 'queued') and sweep.is_stale(now):
    task = dataclasses.replace(task, state='interrupted')
  folder = runs_dir / name
  if not folder.is_dir() and runs_dir.resolve().name == name:
    folder = runs_dir
  config, no_config = _text(folder / 'config.gin')
  description, no_description = _description(folder / 'run.json')
  rows, no_rows = _rows(folder)
  problem = no_rows or no_description or no_config
  return Part(name, folder, task, description, config, rows, problem)


def _rows(folder: pathlib.Path) -> tuple[runs.Run | None, str]:
  if runs.metrics_file(folder) is None:
    return None, ''
  try:
    return runs.read(folder), ''
  except UserError as error:
    return None, str(error)


def _description(path: pathlib.Path) -> tuple[Mapping[str, Any], str]:
  text, problem = _text(path)
  if not text:
    return {}, problem
  try:
    found = json.loads(text)
  except ValueError as error:
    return {}, f'{path} is not JSON ({error})'
  return found if isinstance(found, dict) else {}, ''


def _text(path: pathlib.Path) -> tuple[str, str]:
  """A file's text, and why it cannot be read; '' where there is none."""
  if not path.is_file():
    return '', ''
  try:
    return path.read_text(encoding='utf-8'), ''
  except (OSError, ValueError) as error:
    return '', f'{path} cannot be read ({error})'
