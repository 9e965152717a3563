"""Starts a command as a process that does not outlive the one that started it.
"""

import ctypes
import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1
_LAST_BYTES = 4096
_POLL = 0.05  # Seconds.
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


def start(
    command: Sequence[str],
    log: pathlib.Path,
    environment: Mapping[str, str],
    cores: Sequence[int] = (),
    patience: float = 0.0,
) -> subprocess.Popen:
  """Starts a command whose output goes to a file.

  The process, and all that it starts, hold a lock on the file.

  Args:
    command: words.
    log: appended to; its folder is made.
    environment: besides, and over, this process's own.
    cores: that it is kept to; () for no restriction.
    patience: seconds that another which holds the file has to end.
  """
  log.parent.mkdir(parents=True, exist_ok=True)
  with open(log, 'a', encoding='utf-8') as file:
    _lock(file, patience)
    return subprocess.Popen(
        list(command),
        stdout=file,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        preexec_fn=dying_with_parent(cores),
    )


def _lock(file: IO[str], patience: float) -> None:
  """Waits for an earlier attempt that has not ended yet, elsewhere perhaps.

  That it has ended is not checked: where files have no locks, or patience
  ends, the command's own lock of its folder decides.
  """
  end = time.monotonic() + patience
  while True:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      if error.errno not in _HELD or time.monotonic() >= end:
        return
      time.sleep(_POLL)
    else:
      return


def dying_with_parent(cores: Sequence[int] = ()) -> Callable[[], None]:
  """What a child does before it becomes its command: `preexec_fn`.

  A worker that is killed by SIGKILL cannot stop its run; a run that went on
  would hold its folder against the one that is to take over.

  Args:
    cores: that the child is kept to; () for no restriction.
  """
  parent = os.getpid()
  library = ctypes.CDLL(None) if sys.platform == 'linux' else None

  def prepare() -> None:
    if cores and sys.platform == 'linux':
      os.sched_setaffinity(0, set(cores))
    if library is not None:
      library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
      if os.getppid() != parent:
        os._exit(1)

  return prepare


def stop(process: subprocess.Popen, patience: float = 30.0) -> None:
  """Asks a process to end, and ends it if it does not.

  Args:
    process: which.
    patience: seconds.
  """
  process.terminate()
  try:
    process.wait(patience)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()


def last_line(log: pathlib.Path) -> str:
  """What a log ends with, the line that says why if there is one.

  Args:
    log: need not exist.
  """
  try:
    with open(log, 'rb') as file:
      file.seek(0, os.SEEK_END)
      file.seek(max(0, file.tell() - _LAST_BYTES))
      text = file.read().decode(errors='replace')
  except OSError:
    return ''
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  said = [line for line in lines if line.startswith('error: ')]
  return (said or lines or [''])[-1]


def describe(code: int, log: pathlib.Path) -> str:
  """Why a process failed, in one line.

  Args:
    code: its exit code; negative for a signal.
    log: with its output.
  """
  if code < 0:
    return f'killed by {signal.Signals(-code).name}'
  return last_line(log) or f'exit code {code}'
