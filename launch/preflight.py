"""Checks the configurations of a sweep before anything is started."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from launch import storage
from launch.errors import SweepError
from launch.run import Run, Task


class Wrong(NamedTuple):
  """A run whose configuration `train` would refuse.

  Fields:
    name: of the run.
    error: one line.
  """

  name: str
  error: str


def check(tasks: Sequence[Task], base_dir: str) -> list[Wrong]:
  """The runs that name a file, a binding or a value that there is not.

  Also those whose folder has a run with another configuration.

  Args:
    tasks: those that are to be started.
    base_dir: the sweep's folder, for bindings that name it.

  Raises:
    SweepError: the check itself failed.
  """
  runs = [task for task in tasks if isinstance(task, Run)]
  plan = [
      {
          'name': run.name,
          'gin_files': run.gin_files,
          'gin_bindings': [
              x.replace('{base_dir}', base_dir) for x in run.bindings
          ],
          **_there(run, base_dir),
      }
      for run in runs
  ]
  if not plan:
    return []
  checked = subprocess.run(
      [sys.executable, '-m', 'implicit_underparam.check'],
      input=json.dumps(plan),
      capture_output=True,
      text=True,
      check=False,
      env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
  )
  if checked.returncode:
    last = (checked.stderr.strip().splitlines() or ['no reason given'])[-1]
    raise SweepError(f'the configurations could not be checked: {last}')
  return [Wrong(**x) for x in json.loads(checked.stdout)]


def _there(run: Run, base_dir: str) -> dict[str, str]:
  """Where a run may be already; behind a URL `train` alone looks."""
  if storage.is_remote(base_dir):
    return {}
  return {'base_dir': storage.join(base_dir, run.name)}


def describe(wrong: Sequence[Wrong], total: int) -> str:
  """The first error, and how many runs have one.

  Args:
    wrong: at least one.
    total: runs that were checked.
  """
  first = wrong[0]
  more = f' ({len(wrong)} of {total} runs are wrong)' * (len(wrong) > 1)
  return f'{first.name}: {first.error}{more}; nothing was started'
