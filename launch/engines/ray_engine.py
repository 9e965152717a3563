"""Runs jobs on a Ray cluster, or on a Ray of this machine.

A task of Ray's a job. All of them are handed to Ray at once, so that a cluster
that grows by itself sees what is wanted. A worker or a machine that dies takes
its job's process along, and the driver, which counts attempts, hands the job
in again; Ray's own retries are off, which tell nobody and have no end where
memory is short.

Every machine has this package installed, for the same version of Python, and
sees the sweep's folder: on a file system that all share, or behind a URL. A
file that a configuration names by a relative path has to be in the folder that
the driver was started in, on a machine that has this folder, or in the one
that --ray_working_dir sends to the workers.
"""

import os
import pathlib
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from launch.engines import ray_cluster, ray_worker
from launch.engines.engine import Job, Outcome
from launch.errors import SweepError
from launch.run import Resources

_MOST = 2000  # Jobs that Ray is given at once.
_TIME_TO_STOP = 20.0  # Seconds.
_TIME_TO_IMPORT = 120.0
_LOOK = 5.0
_TIME_TO_COME_BACK = 30.0
_HEAD = {'node:__internal_head__': 0.001}


class RayEngine:
  """See `Engine`.

  Args:
    cache: folder for compiled programs, one for all machines or one each.
    address: of a cluster: 'auto', host:port, ray://host:port; '' to start Ray
      on this machine.
    working_dir: folder sent to the workers; '' for none.

  Raises:
    SweepError: Ray is not installed.
  """

  def __init__(
      self, cache: pathlib.Path, address: str = '', working_dir: str = ''
  ):
    self._ray = ray_cluster.load()
    self._cache = cache
    self._address = address
    self._working_dir = working_dir
    self._jobs: dict[Any, str] = {}
    self._queued: set[str] = set()
    self._board: Any = None
    self._news: Any = None
    self._setup: ray_worker.Setup | None = None
    # Of a client Ray itself says that the head is gone.
    self._head = ''
    self._seen = 0.0
    self._is_gone = False
    self._scratch: tempfile.TemporaryDirectory | None = None

  def check(self, needed: Sequence[Resources]) -> None:
    """See `Engine`."""
    for resources in dict.fromkeys(needed):
      self._task(resources)
    self._connect()
    nodes = [x for x in self._ray.nodes() if x['Alive']]
    self._setup = ray_worker.Setup(
        sys.executable,
        '' if self._working_dir else os.getcwd(),
        str(self._cache),
        {x['NodeID']: x['Resources'].get('CPU', 0.0) for x in nodes},
    )
    machines = [x['Resources'] for x in nodes]
    kinds = self._open_board()
    if self._address:
      where = f'the cluster at {self._address}'
      ray_cluster.check(needed, machines, kinds, where)
    else:
      ray_cluster.check(needed, machines, (), 'Ray on this machine')

  def has_room(self, resources: Resources) -> bool:
    """See `Engine`."""
    return len(self._jobs) < _MOST

  def start(self, job: Job) -> None:
    """See `Engine`."""
    task = self._task(job.resources)
    reference = task.remote(job, self._setup, self._board)
    self._jobs[reference] = job.name
    self._queued.add(job.name)

  def queued(self) -> set[str]:
    """See `Engine`."""
    return set(self._queued)

  def poll(self) -> list[Outcome]:
    """See `Engine`."""
    if not self._jobs:
      return []
    self._look()
    try:
      self._read_board()
      return [self._outcome(x) for x in self._ended(list(self._jobs), 0.0)]
    except ConnectionError as error:
      raise self._gone(error) from error

  def stop(self) -> None:
    """See `Engine`."""
    if self._is_gone:
      return
    # Those that wait, the last first: else one starts in the place of another
    # that was stopped.
    waiting_first = sorted(
        reversed(self._jobs), key=lambda x: self._jobs[x] not in self._queued
    )
    for reference in waiting_first:
      self._ray.cancel(reference)
    self._ended(list(self._jobs), _TIME_TO_STOP)
    self._jobs.clear()
    self._ray.shutdown()
    if self._scratch is not None:
      self._scratch.cleanup()

  def _connect(self) -> None:
    if self._address:
      ray_cluster.join(self._ray, self._address, self._working_dir)
      if not self._address.startswith('ray://'):
        self._head = self._ray.get_runtime_context().gcs_address
        self._seen = time.monotonic()
      return
    # Sockets have names of 107 bytes at most, and TMPDIR may be long.
    self._scratch = tempfile.TemporaryDirectory(
        prefix='ray_', dir='/tmp', ignore_cleanup_errors=True
    )
    ray_cluster.start(self._ray, self._scratch.name)

  def _look(self) -> None:
    """Looks for the head from time to time: Ray ends a driver without one.

    Raises:
      SweepError: it has not been there for a while.
    """
    if not self._head or time.monotonic() < self._seen + _LOOK:
      return
    host, _, port = self._head.rpartition(':')
    try:
      socket.create_connection((host, int(port)), 1.0).close()
      self._seen = time.monotonic()
    except OSError as error:
      if time.monotonic() > self._seen + _TIME_TO_COME_BACK:
        raise self._gone(error) from error

  def _gone(self, error: OSError) -> SweepError:
    self._is_gone = True
    return SweepError(
        f'the head of the Ray cluster is gone ({error.strerror or error}): '
        'when it is back, start the same command again: it goes on'
    )

  def _open_board(self) -> list[dict[str, float]] | None:
    """Puts up the board, which also shows whether workers have this package.

    Returns:
      See `ray_worker.kinds`.
    """
    actor = self._ray.remote(
        num_cpus=0, resources=_HEAD, max_restarts=-1, max_task_retries=-1
    )(ray_worker.Board)
    self._board = actor.remote()
    try:
      return self._ray.get(
          self._board.kinds.remote(), timeout=_TIME_TO_IMPORT
      )
    except self._ray.exceptions.RayError as error:
      where = self._address or 'this machine'
      raise SweepError(
          f'Ray at {where} starts no worker: {_cause(error)}; install this '
          'package there, or send it with --ray_working_dir=DIR'
      ) from error

  def _task(self, resources: Resources) -> Any:
    demand = ray_cluster.demand(resources)
    try:
      ray_cluster.check_share(resources)
      return self._ray.remote(
          num_cpus=demand.pop('CPU', 0.0),
          num_gpus=demand.pop('GPU', 0.0),
          resources=demand,
          max_retries=0,
      )(_run)
    except ValueError as error:
      raise SweepError(
          f'a run asks for {resources.gpus:g} GPUs and {resources.tpus} TPU '
          f'chips: {ray_cluster.first_line(error)}'
      ) from error

  def _ended(self, references: list[Any], patience: float) -> list[Any]:
    if not references:
      return []
    return self._ray.wait(
        references, num_returns=len(references), timeout=patience
    )[0]

  def _outcome(self, reference: Any) -> Outcome:
    name = self._jobs.pop(reference)
    self._queued.discard(name)
    errors = self._ray.exceptions
    try:
      code, reason = self._ray.get(reference)
    except errors.OutOfMemoryError:
      reason = 'its machine ran out of memory, and Ray stopped it'
      return Outcome(name, 1, reason)
    except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
      return Outcome(name, 1, _cause(error))
    except errors.TaskUnschedulableError as error:
      return Outcome(name, 1, ray_cluster.first_line(error))
    except errors.RayError as error:
      reason = f'its worker died ({type(error).__name__})'
      return Outcome(name, 1, reason, preempted=True)
    return Outcome(name, code, reason)

  def _read_board(self) -> None:
    """Takes note of what has started, without waiting for an answer."""
    if self._news is None:
      self._news = self._board.take.remote()
    if not self._ended([self._news], 0.0):
      return
    news, self._news = self._news, None
    try:
      self._queued.difference_update(self._ray.get(news))
    except self._ray.exceptions.RayError:
      # The board's machine died; it is put up again on another.
      return


def _run(
    job: Job, setup: ray_worker.Setup, board: Any
) -> tuple[int, str]:
  """What Ray runs on a worker."""
  ray = ray_cluster.load()
  # Ray cancels by it, in vain where the driver's parent, a script's
  # background job say, had it ignored.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  node = ray.get_runtime_context().get_node_id()
  return ray_worker.run(job, setup, board.started.remote, node)


def _cause(error: BaseException) -> str:
  """What went wrong on a worker, without its traceback."""
  cause = getattr(error, 'cause', None)
  if cause is not None:
    return f'{type(cause).__name__}: {ray_cluster.first_line(cause)}'
  # Of an actor Ray keeps the traceback as text.
  lines = [x for x in str(error).splitlines() if 'Error: ' in x]
  return ray_cluster.first_line(lines[-1] if lines else error)
