"""Small gridworld runs for the tests: seconds, and the real program."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

BINDINGS = (
    'Runner.seeds = (0, 1)',
    'Runner.num_iterations = 24',
    'Runner.checkpoint_every = 5',
    'FittedIteration.gradient_steps = 5',
    'TabularReplay.initial_transitions = 500',
    'TabularReplay.capacity = 1000',
)
GIN_FILE = 'gin_configs/gridworld/offline_fqi.gin'


def command(
    base_dir: pathlib.Path | str,
    bindings: Sequence[str] = (),
    gin_files: Sequence[str] = (GIN_FILE,),
) -> list[str]:
  """The command line of a small run."""
  return [
      sys.executable, '-m', 'implicit_underparam.train',
      f'--base_dir={base_dir}',
      *(f'--gin_files={x}' for x in gin_files),
      *(f'--gin_bindings={x}' for x in (*BINDINGS, *bindings)),
  ]  # fmt: skip


def environment() -> dict[str, str]:
  """That of the tests, whose processes share what they compile."""
  return {**os.environ, 'JAX_PLATFORMS': 'cpu'}


def run(
    arguments: Sequence[str], **kwargs
) -> subprocess.CompletedProcess[str]:
  """Runs a command to its end."""
  kwargs = {'env': environment()} | kwargs
  return subprocess.run(
      arguments, capture_output=True, text=True, timeout=300, check=False,
      **kwargs,
  )  # fmt: skip
