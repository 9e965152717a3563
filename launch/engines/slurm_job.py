"""What the Slurm engine does on a node, called by submitit."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import time
from typing import Any

from launch import processes
from launch.engines import processor
from launch.run import Resources

_POLL = 0.2  # Seconds.
# From Slurm's first signal to a process of the job to its last.
_SIGNALS = 1.0
_PATIENCE = 30.0
# JAX keeps this share for what it does not allocate itself.
_USABLE_MEMORY = 0.9
_ASKED_TO_STOP = 'Slurm asked it to stop'


@dataclasses.dataclass
class Command:
  """A command that submitit runs, and runs again after Slurm took its node.

  Attributes:
    command: words.
    log: file that its output is appended to.
    cache: folder for compiled programs.
    resources: what Slurm gives it.
  """

  command: tuple[str, ...]
  log: str
  cache: str
  resources: Resources
  _process_id: int = dataclasses.field(default=0, init=False)

  def __call__(self) -> tuple[int, str, bool]:
    """Runs it to its end.

    Returns:
      As `Outcome` has it: exit code, reason, whether it was preempted.
    """
    _remove_partial()
    asked: list[int] = []
    # Slurm sends this to the command as well; the node is about to go, or the
    # job was cancelled, and Slurm knows which.
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    process = self._start()
    self._process_id = process.pid
    while (code := process.poll()) is None:
      time.sleep(_POLL)
    if not code:
      return 0, '', False
    time.sleep(_SIGNALS)
    if asked:
      return code, _ASKED_TO_STOP, True
    return code, processes.describe(code, pathlib.Path(self.log)), False

  def checkpoint(self) -> Any:
    """Stops it; submitit calls this when its time is up, and requeues it.

    Returns:
      What submitit is to run then: the same, which goes on.
    """
    # Imported here, for the engine may be looked at without it.
    from submitit.helpers import DelayedSubmission

    _end(self._process_id)
    return DelayedSubmission(dataclasses.replace(self))

  def _start(self) -> subprocess.Popen:
    # submitit's signal also goes to the command, which would die of it before
    # it is asked to stop.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [_usual_signal()])
    try:
      return processes.start(
          self.command, pathlib.Path(self.log), self._environment()
      )
    finally:
      signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

  def _environment(self) -> dict[str, str]:
    """Slurm itself names the GPUs."""
    found = {
        'OMP_NUM_THREADS': str(self.resources.cpus),
        'JAX_COMPILATION_CACHE_DIR': os.environ.get(
            'JAX_COMPILATION_CACHE_DIR',
            os.path.join(self.cache, processor.kind()),
        ),
    }
    if self.resources.gpus:
      # Slurm gives whole ones.
      found['XLA_PYTHON_CLIENT_MEM_FRACTION'] = f'{_USABLE_MEMORY:.3f}'
    else:
      # Not every cluster hides what was not asked for.
      found['JAX_PLATFORMS'] = 'cpu'
    return found


def _usual_signal() -> signal.Signals:
  name = os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')
  return signal.Signals[f'SIG{name}']


def _remove_partial() -> None:
  """What an end in the middle of a write left, which submitit trips over."""
  folder = os.environ.get('SUBMITIT_FOLDER')
  if folder is None:
    return
  from submitit import JobEnvironment

  paths = JobEnvironment().paths
  for path in (paths.submitted_pickle, paths.result_pickle):
    path.with_suffix('.pkl.save_tmp').unlink(missing_ok=True)


def _end(process_id: int) -> None:
  """Stops a child from within a signal's handler.

  Popen's own methods wait for a lock that the interrupted code may hold.
  """
  if not process_id or _has_ended(process_id):
    return
  os.kill(process_id, signal.SIGTERM)
  limit = time.monotonic() + _PATIENCE
  while not _has_ended(process_id):
    if time.monotonic() > limit:
      os.kill(process_id, signal.SIGKILL)
    time.sleep(_POLL)


def _has_ended(process_id: int) -> bool:
  try:
    # Left for Popen to collect.
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process_id, options) is not None
  except ChildProcessError:
    return True
