"""Takes the tasks of a sweep through an engine."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from launch import state as states
from launch import storage
from launch.engines.engine import Engine, Job, Outcome
from launch.run import Task, log_file

_POLL = 0.2  # Seconds.
_MAX_PREEMPTIONS = 1000


class Event(NamedTuple):
  """Something that is to be told.

  Fields:
    name: of the task.
    state: a constant of `launch.state`, that it has now.
    text: what happened.
    seconds: since it was started.
  """

  name: str
  state: str
  text: str
  seconds: float = 0.0


class Driver:
  """Runs what is not finished, the longest first.

  A task that was stopped goes on from its checkpoint. One that fails is tried
  again, and stops no others but those that come after it.

  Args:
    tasks: the sweep's, split; what they wait for may be of an earlier sweep.
    base_dir: the sweep's folder.
    logs: folder that logs are written to; base_dir unless that is remote.
    engine: what runs them.
    state: of the sweep; every task is entered.
    retries: failures that a task may have and be tried again.
    command: the words that do a task.
    report: called with what happens.
    done: names of the tasks that are not started.
  """

  def __init__(
      self,
      tasks: Sequence[Task],
      base_dir: str,
      logs: str,
      engine: Engine,
      state: states.State,
      retries: int,
      command: Callable[[Task], Sequence[str]],
      report: Callable[[Event], None],
      done: Collection[str],
  ):
    self._base_dir = base_dir
    self._logs = logs
    self._engine = engine
    self._state = state
    self._retries = retries
    self._command = command
    self._report = report
    self._tasks = {task.name: task for task in tasks}
    self._waiting = sorted(
        (x for x in tasks if x.name not in done),
        key=lambda task: -task.cost,
    )
    self._running: dict[str, float] = {}
    self._failures = dict.fromkeys(self._tasks, 0)
    self._preemptions = dict.fromkeys(self._tasks, 0)
    self.failed: list[str] = []

  def run(self) -> list[str]:
    """Runs all; returns the names of the tasks that failed or are blocked."""
    while self._waiting or self._running:
      self._start_ready()
      for outcome in self._engine.poll():
        self._end(outcome)
      self._mark_queued()
      self._state.beat()
      if self._running:
        time.sleep(_POLL)
    return self.failed

  def _start_ready(self) -> None:
    pending = {*(x.name for x in self._waiting), *self._running}
    for task in list(self._waiting):
      if not pending.isdisjoint(task.after):
        continue
      if lacking := self._unfinished(task):
        self._block(task, lacking)
        pending.discard(task.name)
      elif self._engine.has_room(task.resources):
        self._start(task)

  def _unfinished(self, task: Task) -> list[str]:
    return [
        name for name in task.after
        if name in self.failed or not self._is_finished(name)
    ]

  def _is_finished(self, name: str) -> bool:
    if name in self._tasks:
      return self._tasks[name].is_finished(self._base_dir)
    # Of an earlier sweep in this folder.
    path = storage.join(self._base_dir, name, 'run.json')
    if storage.read_json(path).get('status') == 'finished':
      return True
    meta = storage.join(self._base_dir, name, 'meta.json')
    return storage.read_text(meta) is not None

  def _block(self, task: Task, lacking: Sequence[str]) -> None:
    self._waiting.remove(task)
    self.failed.append(task.name)
    reason = f'not started: {", ".join(lacking)} not finished'
    self._state.set(task.name, states.BLOCKED, reason)
    self._report(Event(task.name, states.BLOCKED, reason))

  def _start(self, task: Task) -> None:
    self._waiting.remove(task)
    job = Job(
        task.name,
        tuple(self._command(task)),
        log_file(self._logs, task.name),
        task.resources,
        task.cost,
        self._state.attempt(task.name),
    )
    self._engine.start(job)
    self._running[task.name] = time.monotonic()
    self._state.set(task.name, states.RUNNING)

  def _mark_queued(self) -> None:
    queued = self._engine.queued()
    for name in self._running:
      state = states.RUNNING
      if name in queued:
        state = states.QUEUED
        self._running[name] = time.monotonic()
      self._state.set(name, state)

  def _end(self, outcome: Outcome) -> None:
    name = outcome.name
    seconds = time.monotonic() - self._running.pop(name)
    task = self._tasks[name]
    reason = outcome.reason
    if not outcome.code:
      if task.is_finished(self._base_dir):
        self._state.set(name, states.DONE)
        self._report(Event(name, states.DONE, 'finished', seconds))
        return
      reason = 'it ended without an error, and its folder is not finished'
    if self._again(outcome):
      self._waiting.insert(0, task)
      text = f'{reason}; tried again'
      self._state.set(name, states.WAITING, reason)
      self._report(Event(name, states.WAITING, text, seconds))
    else:
      self.failed.append(name)
      self._state.set(name, states.FAILED, reason)
      self._report(Event(name, states.FAILED, f'FAILED: {reason}', seconds))

  def _again(self, outcome: Outcome) -> bool:
    """Counts a failure, and says whether the task may have another."""
    if outcome.preempted:
      self._preemptions[outcome.name] += 1
      return self._preemptions[outcome.name] <= _MAX_PREEMPTIONS
    self._failures[outcome.name] += 1
    return self._failures[outcome.name] <= self._retries
