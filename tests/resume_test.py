"""A run that is killed at any moment leaves what an undisturbed one leaves."""

import pathlib
import signal
import subprocess
import tempfile
import time

import small_runs
from absl.testing import absltest

from implicit_underparam import run_folder

# Rows in metrics.csv at which the process is killed, one after another.
_KILL_AT = (1, 12, 45)
# Rows are flushed just before a checkpoint is saved: with one every second
# iteration, a kill at a new row falls into saving more often than not.
_BINDINGS = (
    'FittedIteration.gradient_steps = 20',
    'Runner.checkpoint_every = 2',
)


def num_rows(base_dir: pathlib.Path) -> int:
  path = base_dir / 'metrics.csv'
  return max(path.read_text().count('\n') - 1, 0) if path.exists() else 0


class ResumeTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
        cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.undisturbed = cls.folder / 'undisturbed'
    result = small_runs.run(small_runs.command(cls.undisturbed, _BINDINGS))
    assert result.returncode == 0, result.stderr

  def assert_as_undisturbed(self, folder: pathlib.Path) -> None:
    expected = (self.undisturbed / 'metrics.csv').read_bytes()
    self.assertEqual((folder / 'metrics.csv').read_bytes(), expected)
    self.assertEqual(expected.count(b'\n'), 1 + 2 * 24)

  def test_metrics_are_identical_after_sigkill_at_several_points(self):
    killed = self.folder / 'killed'
    kills = [self.kill_at(killed, rows) for rows in _KILL_AT]
    self.assertGreaterEqual(sum(kills), 2, 'too few processes were killed')
    result = small_runs.run(small_runs.command(killed, _BINDINGS))
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assert_as_undisturbed(killed)
    status = run_folder.RunFolder.read_status(killed)
    self.assertEqual(status['status'], 'finished')
    self.assertEqual(status['times_resumed'], len(_KILL_AT))

  def test_a_longer_run_goes_on_and_is_as_if_it_had_been_long(self):
    twice = self.folder / 'twice'
    first = small_runs.run(
        small_runs.command(twice, [*_BINDINGS, 'Runner.num_iterations = 10'])
    )
    self.assertEqual(first.returncode, 0, first.stderr)
    self.assertEqual(num_rows(twice), 20)
    again = small_runs.run(small_runs.command(twice, _BINDINGS))
    self.assertIn('finished 24 iterations', again.stdout)
    self.assert_as_undisturbed(twice)
    third = small_runs.run(small_runs.command(twice, _BINDINGS))
    self.assertIn('nothing to do', third.stdout)

  def kill_at(self, base_dir: pathlib.Path, rows: int) -> bool:
    """Starts the run and kills it; whether it had not ended by itself."""
    process = subprocess.Popen(
        small_runs.command(base_dir, _BINDINGS),
        env=small_runs.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Rows of an earlier process may be more: wait for the restart as well.
    resumed = self.times_resumed(base_dir)
    while process.poll() is None:
      started = self.times_resumed(base_dir) != resumed
      if started and num_rows(base_dir) >= rows:
        break
      time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL

  def times_resumed(self, base_dir: pathlib.Path) -> int | None:
    status = run_folder.RunFolder.read_status(base_dir)
    return status['times_resumed'] if status else None


if __name__ == '__main__':
  absltest.main()
