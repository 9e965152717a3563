"""Reads what a sweep's sweep.json says."""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

FILE = 'sweep.json'
_FORMAT = 1
_LATEST = 2e11  # Seconds: what a date can hold; NaN is no number either.
_STALE = 60.0  # Seconds; a live driver writes every few.


@dataclasses.dataclass(frozen=True)
class Task:
  """One run, or preparation of data, as the sweep knows it.

  Attributes:
    state: such as 'waiting' or 'failed'.
    reason: why it is in this state; ''.
    attempts: how often it was started.
    started: Unix seconds; None if it was not.
    ended: Unix seconds; None if it has not.
    log: file with what it printed, from the sweep's folder; ''.
    command: line that does it; ''.
    seeds: of the run.
    after: names of tasks that it waits for.
  """

  state: str
  reason: str
  attempts: int
  started: float | None
  ended: float | None
  log: str
  command: str
  seeds: tuple[int, ...]
  after: tuple[str, ...]

  @property
  def prepares(self) -> bool:
    """Whether it makes a set of data, and no rows."""
    return '.data.prepare ' in f'{self.command} '


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep as a whole.

  Attributes:
    name: of the sweep; '' where there is no sweep.json.
    scale: smoke, laptop or paper.
    engine: what ran it.
    experiments: ids.
    figures: ids that it is for.
    command: line that goes on with it.
    state: running, finished, failed or stopped.
    host: where the driver ran.
    started: Unix seconds.
    updated: Unix seconds, of the file.
    ended: Unix seconds.
    tasks: name -> what is known of it.
    problem: what is wrong with the file; ''.
  """

  name: str = ''
  scale: str = ''
  engine: str = ''
  experiments: tuple[str, ...] = ()
  figures: tuple[str, ...] = ()
  command: str = ''
  state: str = ''
  host: str = ''
  started: float | None = None
  updated: float | None = None
  ended: float | None = None
  tasks: Mapping[str, Task] = dataclasses.field(default_factory=dict)
  problem: str = ''

  def is_stale(self, now: float) -> bool:
    """Whether it says that it runs, and has not been heard of lately.

    Args:
      now: Unix seconds.
    """
    return self.state == 'running' and now - (self.updated or 0) > _STALE


def read(runs_dir: pathlib.Path) -> Sweep:
  """What sweep.json says, as far as it can be read.

  Args:
    runs_dir: the sweep's folder.

  Returns:
    A sweep; without a name where there is no file, and with a problem where
    the file is damaged.
  """
  path = runs_dir / FILE
  if not path.is_file():
    return Sweep()
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    return Sweep(problem=f'{FILE} cannot be read ({error}): what it says of '
                 'states, failures and commands is left out')
  if not isinstance(found, Mapping) or not _is_sweep(found):
    return Sweep(problem=f'{FILE} does not describe a sweep of format '
                 f'{_FORMAT}: it is left out')
  return _sweep(found)


def _is_sweep(found: Mapping[str, Any]) -> bool:
  runs = found.get('runs')
  return (
      found.get('format') == _FORMAT
      and isinstance(runs, Mapping)
      and all(isinstance(x, Mapping) for x in runs.values())
  )


def _sweep(found: Mapping[str, Any]) -> Sweep:
  return Sweep(
      name=_text(found.get('sweep')),
      scale=_text(found.get('scale')),
      engine=_text(found.get('engine')),
      experiments=_texts(found.get('experiments')),
      figures=_texts(found.get('figures')),
      command=_text(found.get('command')),
      state=_text(found.get('state')),
      host=_text(found.get('host')),
      started=_number(found.get('started')),
      updated=_number(found.get('updated')),
      ended=_number(found.get('ended')),
      tasks={name: _task(task) for name, task in found['runs'].items()},
  )


def _task(found: Mapping[str, Any]) -> Task:
  seeds = found.get('seeds')
  return Task(
      state=_text(found.get('state')) or 'waiting',
      reason=_text(found.get('reason')),
      attempts=int(_number(found.get('attempts')) or 0),
      started=_number(found.get('started')),
      ended=_number(found.get('ended')),
      log=_text(found.get('log')),
      command=shlex.join(_texts(found.get('command'))),
      seeds=tuple(
          x for x in (seeds if isinstance(seeds, list) else ())
          if isinstance(x, int)
      ),
      after=_texts(found.get('after')),
  )


def _text(value: object) -> str:
  return value if isinstance(value, str) else ''


def _texts(value: object) -> tuple[str, ...]:
  there = value if isinstance(value, list) else []
  return tuple(x for x in there if isinstance(x, str))


def _number(value: object) -> float | None:
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    return None
  return float(value) if abs(value) < _LATEST else None
