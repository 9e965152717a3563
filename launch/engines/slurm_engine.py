"""Runs jobs on a cluster through Slurm.

Jobs that take the same are one array. Slurm runs them on while no driver does:
which they are is written down before they are handed in, and the next driver
takes them over.
"""

import contextlib
import importlib
import os
import pathlib
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launch import storage
from launch.engines import slurm_cluster, slurm_options, slurm_outcome
from launch.engines.engine import Job, Outcome
from launch.engines.slurm_cluster import Listed, NoAnswer
from launch.engines.slurm_job import Command
from launch.engines.slurm_options import Options
from launch.engines.slurm_outcome import Running
from launch.engines.slurm_record import Entry, Record
from launch.errors import SweepError
from launch.run import Resources

_COMMANDS = ('sbatch', 'squeue', 'scancel', 'scontrol', 'sinfo', 'srun')
_MOST = 2000  # Jobs at once; Slurm holds 10000 of all users by default.
_MAX_TIMEOUTS = 100
# Seconds.
_INTERVAL = 5.0
_PATIENCE = 60.0
_TIME_TO_ANSWER = 900.0
_TIME_TO_RETRY = 60.0
_TIME_TO_END = 90.0


class SlurmEngine:
  """See `Engine`.

  Args:
    folder: for what submitit writes; on a file system that every node has.
    cache: folder for compiled programs, likewise.
    options: of the jobs.
    interval: seconds between questions to Slurm, which others ask too.
    patience: seconds that a result may take to appear.

  Raises:
    SweepError: submitit is not installed.
  """

  def __init__(
      self,
      folder: pathlib.Path,
      cache: pathlib.Path,
      options: Options,
      interval: float = _INTERVAL,
      patience: float = _PATIENCE,
  ):
    self._submitit = _load()
    self._folder = folder
    self._cache = cache
    self._options = options
    self._interval = interval
    self._patience = patience
    self._record = Record(folder / 'jobs.json')
    self._new: list[Job] = []
    self._running: dict[str, Running] = {}
    # Of tasks that cannot be handed in before these Slurm jobs are gone, or
    # before it is known whether there are Slurm jobs of these tokens.
    self._leaving: dict[str, set[str]] = {}
    self._unsure: dict[str, str] = {}
    self._longest: int | None = None
    self._max_array = 0
    self._took_any = False
    self._next_submission = 0.0
    self._next_question = 0.0
    self._answered = time.monotonic()

  def check(self, needed: Sequence[Resources]) -> None:
    """See `Engine`; finds the jobs that an earlier driver left."""
    for name in _COMMANDS:
      if shutil.which(name) is None:
        raise SweepError(
            f'--engine=slurm: there is no {name} on this machine: start it '
            'where Slurm is, or take another --engine'
        )
    chosen = slurm_options.choose(self._options, slurm_cluster.nodes())
    slurm_options.check(self._options, chosen, needed)
    self._longest = slurm_options.longest(chosen)
    self._max_array = slurm_cluster.max_array()
    self._find_left()

  def has_room(self, resources: Resources) -> bool:
    """See `Engine`."""
    return len(self._running) + len(self._new) < _MOST

  def start(self, job: Job) -> None:
    """See `Engine`; jobs are handed in at the next `poll`."""
    left = self._record.get(job.name)
    if left is not None and left.id and job.name not in self._leaving:
      if left.command == job.command:
        slurm = self._submitit.SlurmJob(self._folder, left.id)
        self._running[job.name] = Running(job, slurm)
        self._took_any = True
        return
      self._cancel(job.name, {left.id})
    self._new.append(job)

  def queued(self) -> set[str]:
    """See `Engine`."""
    waiting = (k for k, x in self._running.items() if x.is_queued)
    return {*(job.name for job in self._new), *waiting}

  def poll(self) -> list[Outcome]:
    """See `Engine`."""
    if time.monotonic() >= self._next_submission:
      self._submit()
    if time.monotonic() < self._next_question:
      return []
    self._next_question = time.monotonic() + self._interval
    try:
      listed = slurm_cluster.jobs()
    except NoAnswer:
      if time.monotonic() - self._answered > _TIME_TO_ANSWER:
        raise
      return []
    self._answered = time.monotonic()
    self._clear(listed)
    return self._ended(listed)

  def stop(self) -> None:
    """See `Engine`."""
    self._new.clear()
    self._next_submission = 0.0
    ids = {x.id for x in self._running.values()}
    for name, running in self._running.items():
      self._leaving.setdefault(name, set()).add(running.id)
    self._running.clear()
    slurm_cluster.cancel(sorted(ids))
    limit = time.monotonic() + _TIME_TO_END
    while (self._leaving or self._unsure) and time.monotonic() < limit:
      self._clear(slurm_cluster.jobs())
      time.sleep(min(1.0, self._interval))

  def _submit(self) -> None:
    groups: dict[tuple[Resources, int], list[Job]] = {}
    for job in self._new:
      if job.name not in self._leaving and job.name not in self._unsure:
        minutes = self._options.time_for(job.minutes, self._longest)
        groups.setdefault((job.resources, minutes), []).append(job)
    size = self._max_array - 1
    for (resources, minutes), jobs in groups.items():
      for i in range(0, len(jobs), size):
        if not self._submit_array(resources, minutes, jobs[i:i + size]):
          return

  def _submit_array(
      self, resources: Resources, minutes: int, jobs: Sequence[Job]
  ) -> bool:
    """Hands in jobs that take the same; says whether Slurm took them."""
    token = uuid.uuid4().hex[:8]
    self._unsure |= {job.name: token for job in jobs}
    self._note(token, jobs, [''] * len(jobs))
    executor = self._submitit.SlurmExecutor(self._folder, _MAX_TIMEOUTS)
    executor.update_parameters(**self._options.parameters(
        resources, minutes, f'{self._name()}-{token}', len(jobs)
    ))
    try:
      with _outside_of_slurm():
        handed = executor.submit_array([self._command(job) for job in jobs])
    except (OSError, RuntimeError) as error:
      self._refused(error)
      return False
    self._note(token, jobs, [x.job_id for x in handed])
    for job, slurm in zip(jobs, handed, strict=True):
      del self._unsure[job.name]
      self._new.remove(job)
      self._running[job.name] = Running(job, slurm)
    self._took_any = True
    return True

  def _note(
      self, token: str, jobs: Sequence[Job], ids: Sequence[str]
  ) -> None:
    self._record.note({
        job.name: Entry(token, id_, job.command)
        for job, id_ in zip(jobs, ids, strict=True)
    })

  def _command(self, job: Job) -> Command:
    return Command(
        job.command, str(job.log), str(self._cache), job.resources
    )

  def _name(self) -> str:
    return re.sub(r'[^\w.-]', '_', self._folder.parent.name) or 'sweep'

  def _refused(self, error: Exception) -> None:
    """Waits for room, unless Slurm has never taken a job.

    Raises:
      SweepError: it never has.
    """
    lines = str(error).strip().splitlines() or ['no reason given']
    said = next((x for x in lines if 'error: ' in x), lines[-1])
    if not self._took_any:
      raise SweepError(
          f'Slurm takes no job: {said.removeprefix("sbatch: ")}'
      ) from error
    # It may have taken these, and been too slow to say so.
    self._next_submission = time.monotonic() + _TIME_TO_RETRY

  def _ended(self, listed: Mapping[str, Listed]) -> list[Outcome]:
    forgotten = {x.id for x in self._running.values()} - set(listed)
    known = slurm_cluster.recorded(forgotten) if forgotten else {}
    known |= {id_: x.state for id_, x in listed.items()}
    there = set(storage.list_names(self._folder))
    found = []
    for name, running in list(self._running.items()):
      running.state = known.get(running.id, '')
      outcome = self._outcome(running, there, listed)
      if outcome is not None:
        found.append(outcome)
        del self._running[name]
    self._record.forget({x.name for x in found} - set(self._leaving))
    return found

  def _outcome(
      self, running: Running, there: set[str], listed: Mapping[str, Listed]
  ) -> Outcome | None:
    if running.id in listed and listed[running.id].is_stuck:
      self._cancel(running.job.name, {running.id})
      return slurm_outcome.preempted(running, 'no node could start it')
    result = None
    if running.slurm.paths.result_pickle.name in there:
      result = slurm_outcome.read(running.slurm)
    return slurm_outcome.judge(running, result, self._patience)

  def _find_left(self) -> None:
    """Reads which jobs an earlier driver left, and looks which still run."""
    listed = slurm_cluster.jobs()
    alive = {id_ for id_, x in listed.items() if x.is_alive}
    written = self._record.read()
    self._record.note({k: x for k, x in written.items() if x.id in alive})
    self._unsure = {k: x.token for k, x in written.items() if not x.id}
    self._clear(listed)

  def _clear(self, listed: Mapping[str, Listed]) -> None:
    """Looks which jobs that were cancelled, or never known, are gone."""
    alive = {id_: x for id_, x in listed.items() if x.is_alive}
    if time.monotonic() >= self._next_submission:
      unsure, self._unsure = self._unsure, {}
      for name, token in unsure.items():
        ids = {i for i, x in alive.items() if x.name.endswith(f'-{token}')}
        if ids:
          self._cancel(name, ids)
    gone = {k for k, ids in self._leaving.items() if ids.isdisjoint(alive)}
    for name in gone:
      del self._leaving[name]
    self._record.forget(gone)

  def _cancel(self, name: str, ids: set[str]) -> None:
    slurm_cluster.cancel(sorted(ids))
    self._leaving.setdefault(name, set()).update(ids)


def _load() -> Any:
  try:
    return importlib.import_module('submitit')
  except ImportError as error:
    raise SweepError(
        '--engine=slurm needs submitit: pip install \'.[slurm]\''
    ) from error


@contextlib.contextmanager
def _outside_of_slurm() -> Iterator[None]:
  """Hides the job that this process itself may run in from sbatch."""
  hidden = {}
  if 'SLURM_JOB_ID' in os.environ:
    for key in list(os.environ):
      if key.startswith(('SLURM_', 'SUBMITIT_')) and key != 'SLURM_CONF':
        hidden[key] = os.environ.pop(key)
  try:
    yield
  finally:
    os.environ.update(hidden)
