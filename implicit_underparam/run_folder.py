"""The folder of a run: who may write in it, what it runs, how it stands."""

import contextlib
import datetime
import errno
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import implicit_underparam
from implicit_underparam import run_config
from implicit_underparam.errors import UserError

_VERSIONED = (
    'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'orbax-checkpoint',
    'gin-config', 'gymnasium',
)
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

# A forked worker (of a vector environment, say) inherits the open lock file
# and would hold the lock for as long as it outlives a killed parent.
_held_locks: set[int] = set()


def _drop_locks_in_child() -> None:
  for descriptor in _held_locks:
    os.close(descriptor)
  _held_locks.clear()


os.register_at_fork(after_in_child=_drop_locks_in_child)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Turns an OSError of the block into a UserError that says how to go on.

  Args:
    path: the file, or the folder, that the block writes.

  Raises:
    UserError: one line with the path, the system's reason and the remedy.
  """
  try:
    yield
  except OSError as error:
    remedy = 'free space' if error.errno in _NO_ROOM else 'put this right'
    raise UserError(
        f'{path} could not be written: {error.strerror or error}; {remedy} and '
        'start the same command again: it goes on from the last checkpoint'
    ) from error


def write_atomically(path: pathlib.Path, text: str) -> None:
  """Replaces a file as a whole: a reader sees the old text or the new one.

  Args:
    path: the file; its folder exists.
    text: what it is to hold, written as UTF-8.

  Raises:
    UserError: the file could not be written; the old one is untouched.
  """
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with writing(path):
      temporary.write_text(text, encoding='utf-8')
      os.replace(temporary, path)
  finally:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)


def _versions() -> dict[str, str | None]:
  versions: dict[str, str | None] = {
      'implicit_underparam': implicit_underparam.__version__,
      'python': platform.python_version(),
  }
  for package in _VERSIONED:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions[package] = None
  return versions


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')


def _make_folder(path: pathlib.Path, flag: str) -> None:
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
        f'{flag} {path} cannot be made: {error.strerror}; name another one'
    ) from error


def _lock_error(
    path: pathlib.Path, flag: str, error: OSError, signed: str
) -> UserError:
  words = signed.split()
  if not isinstance(error, BlockingIOError):
    return UserError(
        f'{flag} {path} cannot be locked: {error.strerror}; name a folder '
        'that can be written, on a file system with locks'
    )
  holder = 'process {} on {}'.format(*words) if words else 'another process'
  return UserError(
      f'{flag} {path} is in use by {holder}: wait, or name another folder'
  )


def _take_lock(path: pathlib.Path, flag: str) -> int:
  """Locks DIR/.lock and signs it; the kernel frees it when the process ends."""
  try:
    descriptor = os.open(path / '.lock', os.O_RDWR | os.O_CREAT, 0o644)
  except OSError as error:
    raise _lock_error(path, flag, error, '') from error
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    signed = os.pread(descriptor, 400, 0).decode(errors='replace')
    os.close(descriptor)
    raise _lock_error(path, flag, error, signed) from error
  _held_locks.add(descriptor)
  # On a full disk the lock still holds; only its signature is missing.
  with contextlib.suppress(OSError):
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f'{os.getpid()} {socket.gethostname()}'.encode(), 0)
  return descriptor


class RunFolder:
  """Holds the folder of one run, as a context manager, against all others.

  `path`/.lock is locked while the context lasts; others may read config.gin
  and run.json at any time.
  """

  def __init__(
      self, base_dir: str | os.PathLike[str], flag: str = '--base_dir'
  ):
    """Names the folder; it is made, and locked, on entering the context.

    Args:
      base_dir: a path; UserError if it is empty or a URL.
      flag: what the user calls it, for messages.
    """
    if not os.fspath(base_dir) or '://' in os.fspath(base_dir):
      raise UserError(f'{flag} {base_dir!r} names no folder: name one')
    self.path = pathlib.Path(base_dir)
    self._flag = flag
    self._lock: int | None = None
    self._record: dict[str, Any] | None = None

  def __enter__(self) -> Self:
    _make_folder(self.path, self._flag)
    self._lock = _take_lock(self.path, self._flag)
    return self

  def __exit__(self, *exception: object) -> None:
    if self._lock in _held_locks:
      _held_locks.remove(self._lock)
      os.close(self._lock)
    self._lock = None

  @staticmethod
  def read_status(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Reads DIR/run.json, of a run that goes on or has ended.

    Args:
      path: the folder of the run.

    Returns:
      What run.json holds; None where there is no run.json. The status of a
      run that was killed is still 'running'.

    Raises:
      UserError: the file is damaged.
    """
    file = pathlib.Path(path) / 'run.json'
    try:
      record = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
      return None
    except (OSError, ValueError) as error:
      raise UserError(f'{file} cannot be read ({error}): remove it') from error
    if not isinstance(record, dict) or 'status' not in record:
      raise UserError(f'{file} does not describe a run: remove it')
    return record

  def check_config(
      self,
      operative_config: str,
      may_differ: Sequence[str] = run_config.MAY_DIFFER,
  ) -> None:
    """Keeps a run from going on under another configuration.

    The first call in a folder writes config.gin; a later one compares with it,
    binding by binding, and rewrites it where only `may_differ` changed.

    Args:
      operative_config: the text of `gin.operative_config_str()`.
      may_differ: the bindings that may change between two starts.

    Raises:
      UserError: a binding differs; names it, both values and what to do.
    """
    file = self.path / run_config.FILE
    try:
      before = file.read_text(encoding='utf-8')
    except FileNotFoundError:
      write_atomically(file, operative_config)
      return
    except (OSError, ValueError) as error:
      raise UserError(f'{file} cannot be read: {error}') from error
    run_config.check_same(self.path, before, operative_config, may_differ)
    if before != operative_config:
      write_atomically(file, operative_config)

  def start(self, seeds: Sequence[int], device: str) -> None:
    """Writes run.json: the run goes on, for the first time or once more.

    Args:
      seeds: the seeds of the run.
      device: what it runs on, for people to read.

    Raises:
      UserError: run.json cannot be written, or the one there is damaged.
    """
    before = self.read_status(self.path) or {}
    now = _now()
    self._record = {
        'status': 'running',
        'reason': None,
        'stopped_seeds': before.get('stopped_seeds') or {},
        'seeds': [int(seed) for seed in seeds],
        'device': device,
        'versions': _versions(),
        'started': before.get('started', now),
        'last_started': now,
        'ended': None,
        'times_resumed': before.get('times_resumed', -1) + 1,
    }
    self._write_record()

  def finish(
      self,
      status: str,
      reason: str | None = None,
      stopped_seeds: Mapping[int, str] | None = None,
  ) -> None:
    """Writes in run.json how the run ended.

    Args:
      status: 'finished' or 'failed'.
      reason: why it failed, in one line; with 'failed' only.
      stopped_seeds: {seed: why it stopped before the others}.

    Raises:
      UserError: run.json cannot be written.
    """
    if self._record is None or (status == 'failed') != bool(reason):
      raise ValueError(f'{status!r} because of {reason!r}, before start()?')
    stopped = {str(seed): why for seed, why in (stopped_seeds or {}).items()}
    self._record.update(
        status=status, reason=reason, stopped_seeds=stopped, ended=_now()
    )
    self._write_record()

  def _write_record(self) -> None:
    text = json.dumps(self._record, indent=2) + '\n'
    write_atomically(self.path / 'run.json', text)
