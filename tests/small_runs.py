"""Small gridworld runs for the tests: seconds, and the real program."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import gin
from absl.testing import absltest

from implicit_underparam import errors, train

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


def check_refused(
    test: absltest.TestCase,
    base_dir: pathlib.Path | str,
    gin_files: Sequence[str],
    bindings: Sequence[str],
    *words: str,
) -> None:
  """What the command refuses, in this process: in one line, with the words."""
  gin.clear_config()
  with test.assertRaises(errors.UserError) as caught:
    train.run(str(base_dir), gin_files, bindings)
  test.assertNotIn('\n', str(caught.exception))
  for word in words:
    test.assertIn(word, str(caught.exception))
