"""What a sweep knows of itself, in its sweep.json, and who may write it."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launch import storage
from launch.errors import SweepError
from launch.run import Task

FILE = 'sweep.json'
FORMAT = 1
WAITING = 'waiting'
QUEUED = 'queued'
RUNNING = 'running'
DONE = 'done'
FAILED = 'failed'
BLOCKED = 'blocked'
HEARTBEAT = 5.0  # Seconds from one sweep.json to the next, at most.
STALE = 12 * HEARTBEAT


class State:
  """The state of every task of a sweep; written whole at each change.

  What an earlier sweep in the same folder left is kept, so that experiments
  made one after another are one report.

  Args:
    base_dir: the sweep's folder.
    about: what sweep.json says of the sweep as a whole.
  """

  def __init__(self, base_dir: str, about: Mapping[str, Any]):
    self._path = storage.join(base_dir, FILE)
    before = read(base_dir)
    self._record: dict[str, Any] = {
        'format': FORMAT,
        **about,
        **{
            key: list(dict.fromkeys((*before.get(key, ()), *about[key])))
            for key in ('experiments', 'figures')
        },
        'state': RUNNING,
        'host': socket.gethostname(),
        'pid': os.getpid(),
        'started': time.time(),
        'ended': None,
        'runs': before.get('runs', {}),
    }
    self._written = 0.0

  def plan(self, task: Task, command: Sequence[str], finished: bool) -> None:
    """Enters a task, with what is known of it from before.

    Args:
      task: which.
      command: that does it.
      finished: whether its folder says that it is.
    """
    known = self._record['runs'].get(task.name, {})
    scale = self._record.get('scale', '')
    self._record['runs'][task.name] = {
        'started': None,
        'ended': None,
        'attempts': 0,
        **known,
        'scale': finished and known.get('scale') or scale,
        'state': DONE if finished else WAITING,
        'reason': '',
        'log': f'logs/{task.name}.txt',
        'command': list(command),
        'minutes': task.cost,
        'seeds': list(getattr(task, 'seeds', ())),
        'after': list(task.after),
        'cpus': task.resources.cpus,
        'gpus': task.resources.gpus,
        'tpus': task.resources.tpus,
    }

  def set(self, name: str, state: str, reason: str = '') -> None:
    """Changes the state of a task."""
    run = self._record['runs'][name]
    if run['state'] == state and run['reason'] == reason:
      return
    run.update(state=state, reason=reason)
    if state == RUNNING:
      run.update(started=time.time(), ended=None)
    elif state in (DONE, FAILED):
      run['ended'] = time.time()
    self.write()

  def of(self, name: str) -> str:
    """The state that a task has now."""
    return self._record['runs'][name]['state']

  def attempt(self, name: str) -> int:
    """Counts one more attempt at a task."""
    run = self._record['runs'][name]
    run['attempts'] += 1
    return run['attempts']

  def beat(self) -> None:
    """Shows that the sweep is alive, if it is time to."""
    if time.time() - self._written > HEARTBEAT:
      self.write()

  def end(self, state: str) -> None:
    """Says how the sweep ended: 'finished', 'failed' or 'stopped'."""
    if state == 'stopped':
      for run in self._record['runs'].values():
        if run['state'] in (RUNNING, QUEUED):
          run.update(state=WAITING, reason='the sweep was stopped')
    self._record.update(state=state, ended=time.time())
    self.write()

  def write(self) -> None:
    """Writes sweep.json.

    Raises:
      SweepError: it could not be.
    """
    self._record['updated'] = self._written = time.time()
    text = json.dumps(self._record, indent=1)
    try:
      storage.write_text(self._path, text)
    except OSError as error:
      raise SweepError(
          f'{self._path} could not be written: {error.strerror or error}; put '
          'this right and start the same command again: it goes on'
      ) from error


def read(base_dir: str) -> dict[str, Any]:
  """What sweep.json holds; {} where there is none that can be read.

  Args:
    base_dir: the sweep's folder.
  """
  return storage.read_json(storage.join(base_dir, FILE))


@contextlib.contextmanager
def locked(base_dir: str) -> Iterator[None]:
  """Holds a sweep's folder against other drivers.

  Args:
    base_dir: the folder; made if it is local.

  Yields:
    Nothing.

  Raises:
    SweepError: it is held, or cannot be written.
  """
  if storage.is_remote(base_dir):
    _refuse_if_alive(base_dir)
    yield
    return
  path = pathlib.Path(base_dir) / '.sweep.lock'
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, 'a+', encoding='utf-8')
  except OSError as error:
    raise SweepError(f'--base_dir={base_dir}: {error.strerror}') from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise SweepError(_why_not_locked(base_dir, path, error)) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    yield


def _why_not_locked(
    base_dir: str, path: pathlib.Path, error: OSError
) -> str:
  if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
    return f'--base_dir={base_dir} cannot be locked: {error.strerror}'
  holder = path.read_text(encoding='utf-8') or 'another process'
  return (
      f'--base_dir={base_dir} is in use by a sweep, {holder}: wait for it, '
      'stop it, or name another folder (--status shows how it stands)'
  )


def _refuse_if_alive(base_dir: str) -> None:
  """A bucket has no locks: a sweep that wrote a moment ago holds it."""
  record = read(base_dir)
  age = time.time() - record.get('updated', 0.0)
  if record.get('state') == RUNNING and age < STALE:
    raise SweepError(
        f'--base_dir={base_dir} is in use by a sweep, process '
        f'{record.get("pid")} on {record.get("host")}, that wrote sweep.json '
        f'{age:.0f} s ago: wait for it, stop it, or name another folder; after '
        f'{STALE:.0f} s without a word it counts as dead'
    )
