"""How a job ended: what it left, and what Slurm says of it."""

import dataclasses
import time
from typing import Any, NamedTuple

from launch.engines import slurm_cluster
from launch.engines.engine import Job, Outcome

_SIGKILL = -9
_MEMORY = 'if it ran out of memory, give it more with --slurm_mem'


class Result(NamedTuple):
  """What a job left.

  Fields:
    code: of its command.
    reason: why that is not 0.
    preempted: whether Slurm asked it to stop.
  """

  code: int
  reason: str
  preempted: bool


@dataclasses.dataclass
class Running:
  """A job that Slurm has.

  Attributes:
    job: which.
    slurm: submitit's view of it.
    state: that Slurm last gave; '' if it knows of none.
    missing: when it was first found ended without a result; 0.0 if it was
      not.
  """

  job: Job
  slurm: Any
  state: str = 'PENDING'
  missing: float = 0.0

  @property
  def id(self) -> str:
    """Of the Slurm job."""
    return self.slurm.job_id

  @property
  def is_queued(self) -> bool:
    """Whether it waits for a node."""
    return self.state in slurm_cluster.PENDING


def read(slurm: Any) -> Result:
  """What a job left.

  Args:
    slurm: submitit's view of it; its result is there.
  """
  error = slurm.exception()
  if error is None:
    return Result(*slurm.result())
  lines = str(error).splitlines()
  # The last line of a traceback, and what submitit says of its logs.
  said = [x for x in lines if 'Error: ' in x] or lines
  return Result(1, said[-1].strip(), False)


def judge(
    running: Running, result: Result | None, patience: float
) -> Outcome | None:
  """How a job ended; None if it has not, or if that cannot be told yet.

  Args:
    running: the job, with the state that Slurm has just given.
    result: what it left, if it left anything.
    patience: seconds that a result may take to appear on a file system of
      many machines.
  """
  name = running.job.name
  if result is not None and not result.preempted:
    note = f'; {_MEMORY}' * (result.code == _SIGKILL)
    return Outcome(name, result.code, result.reason + note)
  if running.state and running.state not in slurm_cluster.ENDED:
    running.missing = 0.0
    return None
  if running.state in slurm_cluster.TAKEN:
    return preempted(running, f'Slurm ended it as {running.state}')
  if running.state == 'CANCELLED':
    return Outcome(name, 1, f'job {running.id} was cancelled')
  if running.state == 'OUT_OF_MEMORY':
    return Outcome(name, 1, f'out of memory; {_MEMORY}')
  if result is not None:
    return preempted(running, result.reason)
  return _without_result(running, patience)


def _without_result(running: Running, patience: float) -> Outcome | None:
  now = time.monotonic()
  running.missing = running.missing or now
  if now - running.missing < patience:
    return None
  if not running.state:
    return preempted(running, 'Slurm no longer knows of it')
  return Outcome(running.job.name, 1, (
      f'job {running.id} ended as {running.state} and left no result; see '
      f'{running.slurm.paths.stdout}, or if that is not there, take a '
      '--base_dir that every node sees'
  ))


def preempted(running: Running, reason: str) -> Outcome:
  """An end that is no failure of the command."""
  return Outcome(running.job.name, 1, reason, preempted=True)
