"""What the Ray engine does on a worker; imports no Ray."""

import contextlib
import dataclasses
import glob
import hashlib
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from launch import processes
from launch.engines import cores
from launch.engines.engine import Job

# JAX keeps this share for what it does not allocate itself.
_USABLE_MEMORY = 0.9
# Seconds. A run whose driver was killed may live until Ray knows of it.
_PATIENCE = 60.0
_TIME_TO_STOP = 10.0
_POLL = 0.1
_CONFIGURATION = '--autoscaling-config='


@dataclasses.dataclass(frozen=True)
class Setup:
  """What all jobs of a driver share.

  Attributes:
    python: of the driver; stands for the worker's own in commands.
    folder: that relative paths are of, where a worker has it; '' for the
      one that Ray starts it in.
    cache: folder for compiled programs.
    cores: node id -> cores that Ray counts there.
  """

  python: str
  folder: str
  cache: str
  cores: dict[str, float]


class Board:
  """Stands on the head of the cluster; workers write there what they start."""

  def __init__(self) -> None:
    self._started: list[str] = []

  def started(self, name: str) -> None:
    """Notes that a job is no longer queued."""
    self._started.append(name)

  def take(self) -> list[str]:
    """Names of the jobs that started since the last call."""
    taken, self._started = self._started, []
    return taken

  def kinds(self) -> list[dict[str, float]] | None:
    """See `kinds`."""
    return kinds()


def kinds() -> list[dict[str, float]] | None:
  """What each machine that the cluster could add would have.

  Ray has no call for this: the configuration of its autoscaler is looked for
  on the head. On Kubernetes that is with the operator.

  Returns:
    None where it is not known; empty if the cluster stays as it is.
  """
  if 'KUBERAY_GEN_RAY_START_CMD' in os.environ:
    return None
  for words in _command_lines():
    for word in words:
      if word.startswith(_CONFIGURATION):
        return _kinds(pathlib.Path(word.removeprefix(_CONFIGURATION)))
  return []


def _command_lines() -> Iterator[list[str]]:
  for path in glob.glob('/proc/[0-9]*/cmdline'):
    with contextlib.suppress(OSError):
      text = pathlib.Path(path).read_bytes().decode(errors='replace')
      yield text.split('\0')


def _kinds(path: pathlib.Path) -> list[dict[str, float]] | None:
  import yaml  # Ray brings it.

  try:
    types = yaml.safe_load(path.read_text())['available_node_types']
    return [
        dict(kind['resources'])
        for kind in types.values()
        if kind.get('max_workers', 1)
    ]
  except (OSError, KeyError, TypeError, yaml.YAMLError):
    return None


def run(
    job: Job, setup: Setup, tell: Callable[[str], Any], node: str
) -> tuple[int, str]:
  """Runs a job's command to its end.

  Args:
    job: which.
    setup: of all jobs.
    tell: called with the job's name once it starts.
    node: id of this one.

  Returns:
    Its exit code, and why in one line if that is not 0.
  """
  tell(job.name)
  if setup.folder and os.path.isdir(setup.folder):
    os.chdir(setup.folder)
  known = setup.cores.get(node, 0.0)
  with cores.taken(job.resources.cpus, known) as chosen:
    process = processes.start(
        command(job, setup), job.log, environment(job, setup), chosen,
        _PATIENCE,
    )
    code = _wait(process)
  return code, processes.describe(code, job.log) if code else ''


def command(job: Job, setup: Setup) -> list[str]:
  """The job's words with this machine's python."""
  own = {setup.python: sys.executable}
  return [own.get(word, word) for word in job.command]


def environment(job: Job, setup: Setup) -> dict[str, str]:
  """What a job's process is told of what it was given.

  Ray itself names the GPUs and TPU chips.

  Args:
    job: which.
    setup: of all jobs.
  """
  cache = pathlib.Path(setup.cache) / _processor()
  found = {
      'OMP_NUM_THREADS': str(job.resources.cpus),
      'JAX_COMPILATION_CACHE_DIR': os.environ.get(
          'JAX_COMPILATION_CACHE_DIR', str(cache)
      ),
  }
  if job.resources.gpus:
    share = min(job.resources.gpus, 1.0) * _USABLE_MEMORY
    found['XLA_PYTHON_CLIENT_MEM_FRACTION'] = f'{share:.3f}'
  elif not job.resources.tpus:
    # Without this it would take the memory of a device it was not given.
    found['JAX_PLATFORMS'] = 'cpu'
  return found


def _processor() -> str:
  """Names what programs are compiled for: a cluster's machines may differ."""
  flags = ''
  if sys.platform == 'linux':
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    flags = next((x for x in lines if x.startswith(('flags', 'Features'))), '')
  digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
  return f'{platform.machine()}_{digest}'


def _wait(process: subprocess.Popen) -> int:
  try:
    # A wait without an end is not interrupted when Ray cancels the task.
    while (code := process.poll()) is None:
      time.sleep(_POLL)
    return code
  except KeyboardInterrupt:
    processes.stop(process, _TIME_TO_STOP)
    raise
  except BaseException:
    # The driver is gone, and another may be about to take over.
    process.kill()
    process.wait()
    raise
