"""Asks Slurm: what nodes it has, how jobs stand."""

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from launch.errors import SweepError

# Of a job that runs no more, and will not run again by itself.
ENDED = frozenset((
    'BOOT_FAIL', 'CANCELLED', 'COMPLETED', 'DEADLINE', 'FAILED', 'NODE_FAIL',
    'OUT_OF_MEMORY', 'PREEMPTED', 'REVOKED', 'TIMEOUT',
))
# What Slurm has done, and the job has not.
TAKEN = frozenset((
    'BOOT_FAIL', 'DEADLINE', 'NODE_FAIL', 'PREEMPTED', 'REVOKED', 'TIMEOUT',
))
PENDING = frozenset((
    'CONFIGURING', 'PENDING', 'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD',
    'RESV_DEL_HOLD', 'SPECIAL_EXIT',
))
# A node could not start it; Slurm leaves it to an administrator.
_STUCK = 'launch failed requeued held'

_TIME_TO_ANSWER = 60.0  # Seconds.
_MAX_ARRAY = 1001  # Slurm's own default.
_MAX_WORDS = 500
_GPUS = re.compile(r'gpu(?::[^:,()]+)?:(\d+)')


class NoAnswer(SweepError):
  """A command of Slurm's failed."""


class Listed(NamedTuple):
  """A job as squeue lists it.

  Fields:
    state: such as RUNNING.
    reason: why it does not run.
    name: of the job.
  """

  state: str
  reason: str
  name: str

  @property
  def is_alive(self) -> bool:
    """Whether it runs, or will."""
    return self.state not in ENDED

  @property
  def is_stuck(self) -> bool:
    """Whether it waits for an administrator."""
    return self.reason.replace('_', ' ') == _STUCK


class Nodes(NamedTuple):
  """Nodes of one kind in a partition.

  Fields:
    partition: its name.
    is_default: whether jobs that name no partition go there.
    is_up: whether it takes jobs that run.
    minutes: that a job may take; None for no limit.
    cpus: of a node.
    memory: of a node, in MB.
    gpus: of a node.
  """

  partition: str
  is_default: bool
  is_up: bool
  minutes: int | None
  cpus: int
  memory: int
  gpus: int


def nodes() -> list[Nodes]:
  """All that there are.

  Raises:
    NoAnswer: sinfo fails.
  """
  text = _ask(['sinfo', '-h', '-e', '-o', '%P|%a|%l|%c|%m|%G'])
  return [_nodes(line) for line in text.splitlines()]


def _nodes(line: str) -> Nodes:
  name, up, limit, cpus, memory, gres = line.strip().split('|')
  return Nodes(
      name.rstrip('*'), name.endswith('*'), up == 'up', minutes(limit),
      int(cpus), int(memory), sum(map(int, _GPUS.findall(gres))),
  )


def minutes(text: str) -> int | None:
  """Reads Slurm's times: 'infinite', '30:00', '1:00:00', '2-00:00:00'."""
  days, _, clock = text.rpartition('-')
  parts = clock.split(':')
  if not all(x.isdigit() for x in parts):
    return None
  hours, mins = ['0', '0', *parts][-3:-1]
  return (int(days or 0) * 24 + int(hours)) * 60 + int(mins)


def max_array() -> int:
  """Jobs that an array may have."""
  try:
    found = re.search(r'MaxArraySize\s*=\s*(\d+)', _ask([
        'scontrol', 'show', 'config'
    ]))
  except NoAnswer:
    found = None
  return int(found[1]) if found else _MAX_ARRAY


def jobs() -> dict[str, Listed]:
  """This user's jobs by id, with those that ended a moment ago.

  Raises:
    NoAnswer: squeue fails.
  """
  text = _ask([
      'squeue', '-h', '-r', '-t', 'all', '-u', str(os.getuid()),
      '-o', '%i|%T|%r|%j',
  ])
  rows = (line.strip().split('|', 3) for line in text.splitlines())
  return {row[0]: Listed(*row[1:]) for row in rows if len(row) == 4}


def recorded(ids: Iterable[str]) -> dict[str, str]:
  """States of jobs that squeue has forgotten, as far as accounting knows.

  Args:
    ids: of the jobs.
  """
  try:
    text = _ask([
        'sacct', '-n', '-P', '-X', '-o', 'JobID,State', '-j', ','.join(ids)
    ])
  except NoAnswer:
    # Not every cluster keeps accounts.
    return {}
  rows = (line.strip().split('|') for line in text.splitlines())
  # As in 'CANCELLED by 1000'.
  return {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and row[1]}


def cancel(ids: Sequence[str]) -> None:
  """Cancels jobs; those that ended already are no error."""
  for i in range(0, len(ids), _MAX_WORDS):
    _run(['scancel', '--quiet', *ids[i:i + _MAX_WORDS]])


def _ask(words: Sequence[str]) -> str:
  done = _run(words)
  if done.returncode:
    lines = (done.stderr or done.stdout).strip().splitlines()
    reason = lines[-1] if lines else f'exit code {done.returncode}'
    raise NoAnswer(f'Slurm does not answer: {words[0]}: {reason}')
  return done.stdout


def _run(words: Sequence[str]) -> subprocess.CompletedProcess:
  try:
    return subprocess.run(
        list(words), capture_output=True, text=True, check=False,
        timeout=_TIME_TO_ANSWER,
    )
  except (OSError, subprocess.TimeoutExpired) as error:
    raise NoAnswer(f'Slurm does not answer: {words[0]}: {error}') from error
