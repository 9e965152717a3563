"""How a sweep stands, as a table."""

import csv
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from launch import state as states
from launch import storage
from launch.errors import SweepError

_ORDER = (
    states.RUNNING, states.QUEUED, states.FAILED, states.BLOCKED,
    states.WAITING, states.DONE,
)
_ITERATIONS = re.compile(r'^Runner\.num_iterations *= *(\d+)', re.M)
_REFRESH = 2.0  # Seconds.


class Line(NamedTuple):
  """One run of the table.

  Fields:
    name: of the run.
    state: a constant of `launch.state`.
    progress: such as '120/500'; '' where it is not known.
    minutes: that it took, or has taken.
    left: minutes that it is expected to take yet; 0 when it has ended.
    reason: why it is in this state, if there is anything to say.
  """

  name: str
  state: str
  progress: str
  minutes: float
  left: float
  reason: str


def lines(base_dir: str, record: Mapping[str, Any]) -> list[Line]:
  """Every run of a sweep, those that run or failed first.

  Args:
    base_dir: the sweep's folder.
    record: of its sweep.json.
  """
  runs = record.get('runs', {})
  pace = _pace(runs)
  found = [_line(base_dir, name, run, pace) for name, run in runs.items()]
  return sorted(found, key=lambda x: (_ORDER.index(x.state), x.name))


def table(
    base_dir: str, record: Mapping[str, Any], height: int = 0, width: int = 100
) -> str:
  """The table as text.

  Args:
    base_dir: the sweep's folder.
    record: of its sweep.json.
    height: lines that there is room for; 0 for all that there are.
    width: columns that there is room for.
  """
  every = lines(base_dir, record)
  shown = every[:max(1, height - 5)] if height else every
  size = max((len(x.name) for x in shown), default=4)
  text = [_heading(record), _counts(every, record), '']
  for x in shown:
    time_ = f'{_minutes(x.minutes):>7}' if x.minutes else ' ' * 7
    left = f'{_minutes(x.left):>7} left' if x.left else ' ' * 12
    line = f'{x.name:<{size}}  {x.state:<8} {x.progress:>11} {time_} {left}'
    text.append(f'{line}  {x.reason}'.rstrip()[:width])
  if len(shown) < len(every):
    text.append(f'... and {len(every) - len(shown)} more')
  return '\n'.join(text)


def watch(base_dir: str) -> None:
  """Prints the table; on a terminal, again and again until the sweep ends.

  Args:
    base_dir: the sweep's folder.

  Raises:
    SweepError: there is no sweep.json, or it is damaged.
  """
  while True:
    record = states.read(base_dir)
    if not record:
      raise SweepError(_why_there_is_none(base_dir))
    if not sys.stdout.isatty():
      print(_shown(base_dir, record, 0, 1000))
      return
    width, height = shutil.get_terminal_size()
    text = _shown(base_dir, record, height, width)
    print(f'\033[H\033[J{text}', flush=True)
    if not is_alive(record):
      return
    time.sleep(_REFRESH)


def _shown(
    base_dir: str, record: Mapping[str, Any], height: int, width: int
) -> str:
  try:
    return table(base_dir, record, height, width)
  except (KeyError, ValueError, TypeError, AttributeError) as error:
    raise SweepError(_why_there_is_none(base_dir)) from error


def is_alive(record: Mapping[str, Any]) -> bool:
  """Whether a driver wrote the record not long ago, and none saw it end."""
  age = time.time() - record.get('updated', 0.0)
  said = record.get('state') == states.RUNNING and age < states.STALE
  return said and not _is_gone(record)


def _is_gone(record: Mapping[str, Any]) -> bool:
  """Whether the driver's process was on this machine and is there no more."""
  if record.get('host') != socket.gethostname():
    return False
  try:
    os.kill(int(record.get('pid') or 0), 0)
  except ProcessLookupError:
    return True
  except PermissionError:
    pass  # Another user's.
  return False


def _heading(record: Mapping[str, Any]) -> str:
  state = record.get('state', '')
  if state == states.RUNNING and not is_alive(record):
    state = 'not running any more (the same command goes on)'
  scale, engine = record.get('scale', ''), record.get('engine', '')
  return f'{record.get("sweep", "")}, scale {scale}, engine {engine}: {state}'


def _counts(every: Sequence[Line], record: Mapping[str, Any]) -> str:
  counts = [
      f'{number} {state}'
      for state in _ORDER
      if (number := sum(x.state == state for x in every))
  ]
  text = ', '.join(counts)
  left = sum(x.left for x in every)
  if not left or not is_alive(record):
    return text
  together = max(1, sum(x.state == states.RUNNING for x in every))
  return f'{text}; about {_minutes(left / together)} left'


def _line(
    base_dir: str, name: str, run: Mapping[str, Any], pace: float
) -> Line:
  state = run['state']
  if state == states.RUNNING:
    minutes = (time.time() - run['started']) / 60
    done, planned = _progress(base_dir, name)
    share = done / planned if planned else 0.0
    expected = run['minutes'] * pace
    # Its own rate, once it has one: a resumed run had a start.
    left = max(0.0, expected * (1 - share) if share else expected - minutes)
    progress = f'{done}/{planned}' if planned else ''
    return Line(name, state, progress, minutes, left, run['reason'])
  took = 0.0
  if run['ended'] and run['started']:
    took = (run['ended'] - run['started']) / 60
  waits = state in (states.WAITING, states.QUEUED)
  left = run['minutes'] * pace if waits else 0.0
  return Line(name, state, '', took, left, run['reason'])


def _why_there_is_none(base_dir: str) -> str:
  path = storage.join(base_dir, states.FILE)
  if storage.exists(path):
    return f'{path} is damaged: the command that made it writes it anew'
  return f'--base_dir={base_dir} holds no {states.FILE}: start a sweep there'


def _pace(runs: Mapping[str, Any]) -> float:
  """Minutes that runs took, over those that were expected."""
  done = [
      run for run in runs.values()
      if run['state'] == states.DONE and run['started'] and run['ended']
  ]
  expected = sum(run['minutes'] for run in done)
  took = sum((run['ended'] - run['started']) / 60 for run in done)
  return took / expected if expected and took else 1.0


def _progress(base_dir: str, name: str) -> tuple[int, int]:
  """Iterations that every seed has done, and that are to be done."""
  folder = storage.join(base_dir, name)
  config = storage.read_text(storage.join(folder, 'config.gin')) or ''
  rows = storage.read_text(storage.join(folder, 'metrics.csv')) or ''
  match = _ITERATIONS.search(config)
  if match is None:
    return 0, 0
  last: dict[str, int] = {}
  for seed, iteration in _rows(rows):
    last[seed] = iteration + 1
  return min(last.values(), default=0), int(match[1])


def _rows(text: str) -> Iterator[tuple[str, int]]:
  for row in csv.DictReader(text.splitlines()):
    # The last line may be one that is being written.
    if (row.get('iteration') or '').isdigit():
      yield row['seed'], int(row['iteration'])


def _minutes(value: float) -> str:
  if value < 1:
    return f'{60 * value:.0f} s'
  if value < 120:
    return f'{value:.0f} min'
  return f'{value / 60:.1f} h'
