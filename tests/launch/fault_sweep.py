"""`launch.sweep` with one more sweep, 'faults', of runs that take no JAX.

The environment says which: FAULT_RUNS names them, FAULT_PAUSE is the seconds
of a row.
"""

import dataclasses
import os
import pathlib
import sys
from unittest import mock

from absl import app

from launch import sweep
from launch.experiment import Sweep
from launch.run import Run

COMMAND = pathlib.Path(__file__).with_name('fault_command.py')


@dataclasses.dataclass(frozen=True)
class FaultRun(Run):
  """A run of `fault_command`."""

  def command(self, base_dir, folder=''):
    return [
        sys.executable, '-S', str(COMMAND), f'{base_dir}/{self.name}',
        os.environ['FAULT_PAUSE'],
    ]


def faults(name):
  """The sweep."""
  del name
  runs = [FaultRun(x) for x in os.environ['FAULT_RUNS'].split()]
  return Sweep('Faults', (), (), {'smoke': tuple(runs)})


if __name__ == '__main__':
  sweep.define_flags()
  with (
      mock.patch.object(sweep.catalog, 'load', faults),
      mock.patch.object(sweep.preflight, 'check', lambda *_: []),
  ):
    app.run(sweep.main)
