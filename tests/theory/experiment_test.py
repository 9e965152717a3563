"""Runs of the theory through train: folder, verdicts, resuming after kill."""

import dataclasses
import pathlib
import signal
import subprocess
import tempfile
import time

import gin
import numpy as np
import small_runs
from absl.testing import absltest

from implicit_underparam import errors, runner
from implicit_underparam.theory import experiment

GIN_FILE = 'gin_configs/theory/grid_eig_online.gin'
BINDINGS = (
    'Runner.seeds = (0, 3)',
    'Runner.num_iterations = 12',
    'Runner.checkpoint_every = 3',
    'GradientFlow.steps = 40',
)


def _command(folder, *bindings):
  # The bindings of a small gridworld run are of no use here.
  command = small_runs.command(folder, (), (GIN_FILE,))
  command = [x for x in command if not x.startswith('--gin_bindings')]
  return command + [f'--gin_bindings={x}' for x in (*BINDINGS, *bindings)]


@dataclasses.dataclass(frozen=True)
class Walk:
  """Adds up what a seed draws: enough to see what the frame does."""

  gradient_steps: int = 7

  def init(self, rng):
    return {'step': rng.normal(), 'sum': np.float64(0)}

  def iterate(self, state, iteration):
    total = np.float64(state['sum'] + state['step'] / 3**iteration)
    return {**state, 'sum': total}, {'sum': total, 'odd': float('nan')}


class FrameTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    gin.clear_config()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _run(self, num_iterations, name='run'):
    runner.Runner(
        str(self.folder / name), experiment.TheoryLoop(Walk()), seeds=(4, 9),
        num_iterations=num_iterations, checkpoint_every=2,
    ).run()
    return (self.folder / name / 'metrics.csv').read_text().splitlines()

  def test_a_row_holds_float64_and_counts(self):
    rows = [x.split(',') for x in self._run(3)]
    self.assertEqual(rows[0][4:], ['odd', 'sum'])
    self.assertEqual(rows[-1][:5], ['9', '2', '21', '0', 'nan'])
    step = np.random.default_rng(9).normal()
    self.assertEqual(float(rows[-1][5]), step + step / 3 + step / 9)

  def test_a_run_that_is_made_longer_goes_on_with_all_digits(self):
    self._run(3)
    self.assertEqual(self._run(7), self._run(7, 'at_once'))

  def test_something_else_is_no_experiment(self):
    with self.assertRaisesRegex(errors.UserError, 'TheoryLoop.experiment is 3'):
      experiment.TheoryLoop(3)


class CommandTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def test_a_killed_run_ends_as_an_undisturbed_one_and_tells_verdicts(self):
    done = small_runs.run(_command(self.folder / 'whole'))
    self.assertEqual(done.returncode, 0, done.stderr)
    lines = done.stdout.splitlines()
    self.assertLen(lines, 4)
    for line in lines[:3]:
      self.assertRegex(line, r'^Figure A\.21: .*: holds on \d of 2 instances')
    self.assertStartsWith(lines[3], 'finished 12 iterations; figure: ')
    self._kill(self.folder / 'killed')
    again = small_runs.run(_command(self.folder / 'killed'))
    self.assertEqual(again.returncode, 0, again.stderr)
    self.assertEqual(again.stdout.splitlines()[:3], lines[:3])
    whole, killed = (
        (self.folder / x / 'metrics.csv').read_bytes()
        for x in ('whole', 'killed')
    )
    self.assertEqual(whole, killed)
    self.assertTrue((self.folder / 'killed' / 'summary.png').is_file())

  def _kill(self, folder):
    process = subprocess.Popen(
        _command(folder), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=small_runs.environment(),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / 'checkpoints' / '3').exists():
      self.assertLess(time.monotonic(), deadline)
      self.assertIsNone(process.poll())
      time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    self.assertFalse((folder / 'checkpoints' / '12').exists())

  def test_a_step_that_is_too_large_is_one_line(self):
    done = small_runs.run(_command(
        self.folder / 'run', 'GradientFlow.step_size = 50.0'
    ))
    self.assertEqual(done.returncode, 1)
    self.assertRegex(
        done.stderr, r'^error: GradientFlow.step_size = 50 is too large .*\n$'
    )


if __name__ == '__main__':
  absltest.main()
