"""What the driver asks of an engine."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from launch.run import Resources


@dataclasses.dataclass(frozen=True)
class Job:
  """A task that is to be started.

  Attributes:
    name: of the task.
    command: words.
    log: file that its output is appended to.
    resources: what it takes.
    minutes: that it is expected to take.
    attempt: 1 for the first.
  """

  name: str
  command: tuple[str, ...]
  log: pathlib.Path
  resources: Resources
  minutes: float
  attempt: int


class Outcome(NamedTuple):
  """How a job ended.

  Fields:
    name: of the task.
    code: 0 if its command did what it should.
    reason: why not, in one line.
    preempted: whether a machine, and not the command, failed: such ends are
      not counted among the failures that a task may have.
  """

  name: str
  code: int
  reason: str = ''
  preempted: bool = False


class Engine(Protocol):
  """Runs jobs; every method returns at once but for `stop`."""

  def check(self, needed: Sequence[Resources]) -> None:
    """Looks whether everything could run.

    Args:
      needed: by the tasks that are left.

    Raises:
      SweepError: what runs it cannot be reached, or never has as much; one
        line, before anything is started.
    """

  def has_room(self, resources: Resources) -> bool:
    """Whether a job would be started, or queued, now."""

  def start(self, job: Job) -> None:
    """Starts a job, or queues it."""

  def queued(self) -> set[str]:
    """Names of jobs that wait for a machine."""

  def poll(self) -> list[Outcome]:
    """The jobs that ended since the last call."""

  def stop(self) -> None:
    """Stops all jobs; they go on next time."""
