"""Tests of the benchmark of online training: that it runs, not how fast."""

import contextlib
import csv
import io
import pathlib
import subprocess
import sys

import numpy as np
from absl.testing import absltest

from benchmarks import online_report, package_online, timing
from implicit_underparam.data import ring

ROOT = pathlib.Path(__file__).parent.parent.parent


def contestant(name: str, steps: int, *seconds: float) -> timing.Contestant:
  timings = [timing.Timing(steps, x, x / 2) for x in seconds]
  return timing.Contestant(name, lambda: steps, timings)


class CommandTest(absltest.TestCase):

  def test_the_quick_run_times_every_part(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'timings.csv'
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'benchmarks.online_atari', '--quick'),
            *('--nopeer', '--platform=cpu', '--core=-1', f'--output={path}'),
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    self.assertEqual(done.returncode, 0, done.stderr)
    with path.open() as file:
      rows = list(csv.DictReader(file))
    names = {row['contestant'] for row in rows}
    self.assertEqual(
        names,
        {
            'environment: package, K = 1',
            'environment: package, K = 8',
            'replay: add: package',
            'replay: add: package, priorities',
            'replay: sample 32: package',
            'replay: sample 32: package, priorities',
            'loop: package, n = 0.25',
            'loop: package, n = 0.25, K = 8',
        },
    )
    for row in rows:
      self.assertGreater(int(row['steps']), 0)
      self.assertGreater(float(row['cpu']), 0)
    self.assertIn('bytes a transition', done.stdout)


class ReportTest(absltest.TestCase):

  def answers(self, device: str) -> str:
    loop = [
        contestant('Dopamine', 10, 1.0, 2.0, 4.0),
        contestant('package, n = 0.25', 10, 0.5, 2.0, 3.0),
        contestant('package, n = 1', 10, 1.0, 1.0, 1.0),
        contestant('package, n = 1, 5 seeds', 10, 1.5, 1.6, 1.7),
        contestant('package, n = 4', 600, 1.0, 1.0, 1.0),
    ]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      online_report.print_answers(
          {'loop': loop}, {'loop': 'wall'}, device, {'package, n = 4': 4.0}
      )
    return out.getvalue()

  def test_ratios_are_of_the_same_round(self):
    # 2, 1, 4 / 3.
    self.assertRegex(self.answers('cpu'), r'n = 0.25 / D\w+ +1.33 \(1.00 to 2')
    self.assertRegex(self.answers('cpu'), r'2.00\)   \(at least 1.2: holds\)')

  def test_what_is_asked_for_depends_on_the_device(self):
    answers = self.answers('gpu')
    self.assertNotIn('at least 1.2', answers)
    self.assertIn('1.60 (1.50 to 1.70)   (at most 1.5: does not', answers)
    self.assertRegex(answers, r'n = 4 +2400   \(at least 2000: holds\)')


class StreamTest(absltest.TestCase):

  def test_it_is_one_environment_step_by_step(self):
    stream = package_online.record('Pong', 30)
    self.assertEqual(stream.frames.shape, (30, 84, 84))
    self.assertGreater(len(np.unique(stream.actions)), 3)
    self.assertTrue(np.any(stream.frames[1:] != stream.frames[:-1]))

  def test_bytes_are_those_of_the_arrays(self):
    loop = package_online.make_loop('Pong', 1, 100, 500)
    kept = loop.empty_replay(True).ring
    self.assertIsInstance(kept, ring.Ring)
    total = sum(np.asarray(x).nbytes for x in kept)
    self.assertEqual(package_online.replay_bytes(loop), total / 500)


if __name__ == '__main__':
  absltest.main()
