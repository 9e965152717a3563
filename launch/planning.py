"""From a sweep as data to the tasks and the command lines of this time."""

import dataclasses
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch import state as states
from launch import storage
from launch.errors import SweepError
from launch.experiment import Sweep
from launch.run import Preparation, Resources, Run, Task, split


class Override(NamedTuple):
  """What flags put in the place of a sweep's own resources; None: nothing.

  Fields:
    cpus: cores of a run.
    gpus: of a run.
    tpus: chips of a run.
    seeds_per_run: that fit one device; 0 for all.
  """

  cpus: int | None = None
  gpus: float | None = None
  tpus: int | None = None
  seeds_per_run: int | None = None

  def of(self, resources: Resources) -> Resources:
    """The resources with what is given."""
    given = {k: v for k, v in self._asdict().items() if v is not None}
    return dataclasses.replace(resources, **given)


def tasks(
    sweep: Sweep, name: str, scale: str, override: Override, base_dir: str = ''
) -> list[Task]:
  """The tasks of a sweep at a scale, split into what fits a device.

  Args:
    sweep: which.
    name: of it.
    scale: one of `launch.experiment.SCALES`.
    override: resources.
    base_dir: the sweep's folder; a run that is finished there as a whole stays
      one. '' to look at none.

  Raises:
    SweepError: it has no such scale.
  """
  if scale not in sweep.scales:
    there = ', '.join(sweep.scales)
    raise SweepError(
        f'--scale={scale}: {name} has none; choose one of {there}'
    )
  return split([
      dataclasses.replace(task, resources=_resources(task, override, base_dir))
      for task in sweep.scales[scale]
  ])


def _resources(task: Task, override: Override, base_dir: str) -> Resources:
  resources = override.of(task.resources)
  if resources.seeds_per_run and base_dir and task.is_finished(base_dir):
    return dataclasses.replace(resources, seeds_per_run=0)
  return resources


def check_same(
    chosen: Sequence[Task], base_dir: str, record: Mapping[str, Any]
) -> None:
  """Looks whether what is finished is what is asked for.

  Args:
    chosen: the tasks.
    base_dir: the sweep's folder.
    record: of its sweep.json; {} if there is none.

  Raises:
    SweepError: a run of the same name was made with other files or bindings,
      as at another scale.
  """
  made = record.get('runs', {})
  for task in chosen:
    words = made.get(task.name, {}).get('command')
    if words and _differs(task, words) and task.is_finished(base_dir):
      raise SweepError(
          f'--base_dir={base_dir}: {task.name} is there, made with other files '
          'or bindings (at another --scale?): give another folder, or move '
          'it away'
      )


def known_finished(
    chosen: Sequence[Task], base_dir: str, record: Mapping[str, Any]
) -> set[str]:
  """Names of the tasks that need not be started.

  A run that is finished, but not by a sweep that this folder remembers, may be
  another; `train` looks at its configuration, and has nothing to do if it is
  the same. Sets of transitions may come from elsewhere.

  Args:
    chosen: the tasks, after `check_same`.
    base_dir: the sweep's folder.
    record: of its sweep.json; {} if there is none.
  """
  made = record.get('runs', {})
  return {
      task.name for task in chosen
      if task.is_finished(base_dir)
      and (_is_known(made.get(task.name, {})) or not isinstance(task, Run))
  }


def _is_known(run: Mapping[str, Any]) -> bool:
  if run.get('state') == states.DONE:
    return True
  # One that was refused may have been: what is there is another's.
  return run.get('attempts', 0) > 0 and run.get('state') != states.FAILED


def _differs(task: Task, words: Sequence[str]) -> bool:
  """Whether words do something else, but for the folders' names."""
  if '--' in words:
    words = words[words.index('--') + 1:]
  wanted = task.command('{base_dir}')
  return len(words) != len(wanted) or any(
      one != other
      for one, other in zip(wanted[1:], words[1:], strict=True)
      if '{base_dir}' not in one
  )


def extent(sweep: Sweep, scale: str) -> str:
  """Such as '12 runs, 3.5 h'; '' where it has no such scale."""
  every = sweep.scales.get(scale)
  if not every:
    return ''
  count = sum(isinstance(task, Run) for task in every)
  hours = sum(task.cost for task in every) / 60
  if hours >= 100:
    time = f'{hours / 24:.0f} days'
  elif hours >= 1:
    time = f'{hours:.1f} h'
  else:
    time = f'{max(60 * hours, 1):.0f} min'
  return f'{count} run{"s" * (count != 1)}, {time}'


def command(task: Task, base_dir: str) -> list[str]:
  """The words that do a task; with a remote folder, on a copy kept there.

  Args:
    task: which.
    base_dir: the sweep's folder.
  """
  if not storage.is_remote(base_dir):
    return task.command(base_dir)
  copy = local_copy(base_dir, task.name)
  needs = task.after if task.reads_sweep() else ()
  # A set of transitions is of use when it is whole, and large.
  every = ('--every=0',) * isinstance(task, Preparation)
  return [
      sys.executable, '-m', 'launch.mirror',
      f'--remote={storage.join(base_dir, task.name)}', f'--local={copy}',
      *every,
      *(
          f'--needs={storage.join(base_dir, x)}={local_copy(base_dir, x)}'
          for x in needs
      ),
      '--', *task.command(local_copy(base_dir, ''), copy),
  ]


def local_copy(base_dir: str, name: str) -> str:
  """Where the copy of a remote run lies, the same on every machine."""
  digest = hashlib.sha256(base_dir.encode()).hexdigest()[:12]
  scratch = os.environ.get('TMPDIR', tempfile.gettempdir())
  path = os.path.join(scratch, f'implicit_underparam_{digest}', name)
  return path.rstrip('/')


def logs(base_dir: str) -> str:
  """The folder whose logs/ holds what tasks print."""
  if not storage.is_remote(base_dir):
    return base_dir
  return local_copy(base_dir, '')
