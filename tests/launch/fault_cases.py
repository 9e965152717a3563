"""What a sweep stands, whatever its engine; run by the tests of each."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import fault_command

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SWEEP = pathlib.Path(__file__).with_name('fault_sweep.py')
_PATIENCE = 300.0  # Seconds; a test that waits for longer has failed.


class FaultCases:
  """Mixed into a TestCase, which says the engine."""

  engine = ['--engine=local']

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.base_dir = self.folder / 'sweep'

  @contextlib.contextmanager
  def driver(self, runs, retries=0, pause=0.02, engine=None):
    """A driver of its own; one that is left running is killed."""
    process = subprocess.Popen(
        [
            sys.executable, str(SWEEP), '--sweep=faults', '--scale=smoke',
            f'--base_dir={self.base_dir}', '--noreport',
            f'--retries={retries}', *(engine or self.engine),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env={
            **os.environ, 'PYTHONPATH': str(ROOT), 'FAULT_PAUSE': str(pause),
            'FAULT_RUNS': ' '.join(runs),
        },
    )  # fmt: skip
    try:
      yield process
    finally:
      process.kill()
      process.communicate()

  def finish(self, runs, **options):
    """Drives to the end; returns the exit code and what was printed."""
    with self.driver(runs, **options) as process:
      printed, _ = process.communicate(timeout=_PATIENCE)
    return process.returncode, printed

  def until(self, condition):
    end = time.monotonic() + _PATIENCE
    while not condition():
      self.assertLess(time.monotonic(), end)
      time.sleep(0.01)

  def record(self):
    return json.loads((self.base_dir / 'sweep.json').read_text())

  def has(self, name, *words):
    """Whether a file below the folder is there, and holds the words."""
    path = self.base_dir / name
    return path.exists() and all(x in path.read_text() for x in words)

  def is_far_from_its_end(self, name):
    """Whether a run has a checkpoint, and most of its rows before it."""
    path = self.base_dir / name / 'checkpoint.json'
    if not path.exists():
      return False
    return json.loads(path.read_text())['row'] <= fault_command.ROWS // 4

  def starts(self, name):
    """The rows that a run was started from."""
    text = (self.base_dir / name / 'starts.txt').read_text()
    return [int(x) for x in text.split()]

  def commands(self):
    """Processes of the sweep's runs -> their parents."""
    found = {}
    for path in pathlib.Path('/proc').glob('[0-9]*'):
      with contextlib.suppress(OSError):
        words = (path / 'cmdline').read_text().split('\0')
        if any(f'{self.base_dir}/' in x for x in words):
          state, parent = (path / 'stat').read_text().split(')')[1].split()[:2]
          if state != 'Z':
            found[int(path.name)] = int(parent)
    return found

  def assert_undisturbed(self, runs):
    for name in runs:
      alone = self.folder / 'alone' / name
      fault_command.run(alone, 0.0)
      self.assertEqual(
          (self.base_dir / name / 'metrics.csv').read_bytes(),
          (alone / 'metrics.csv').read_bytes(), name)
    self.assertEqual(list(self.base_dir.rglob('met_another.txt')), [])

  def test_a_driver_that_is_killed_is_started_again(self):
    # The first run that ends is finished, the others are in the middle; one
    # fails; and a second driver is refused while the first is at work.
    runs = ['a', 'bad', 'c', 'd', 'e']
    good = [x for x in runs if x != 'bad']
    with self.driver(runs, pause=0.05) as first:
      self.until(lambda: any(
          self.has(f'{x}/run.json', 'finished') for x in good))
      code, printed = self.finish(runs, pause=0.05)
      self.assertEqual(code, 1)
      self.assertEqual(printed.count('\n'), 1)
      self.assertIn(f'in use by a sweep, process {first.pid} on ', printed)
      self.assertIsNone(first.poll())
      self.until(lambda: any(self.is_far_from_its_end(x) for x in good))
      first.kill()
      first.wait()
    done = [x for x in good if self.has(f'{x}/run.json', 'finished')]
    code, printed = self.finish(runs, pause=0.05)
    self.assertEqual(code, 1, printed)
    self.assert_undisturbed(good)
    for name in done:
      self.assertEqual(self.starts(name), [0])
    self.assertTrue(any(self.starts(x)[-1] > 0 for x in good if x not in done))
    self.check_that_one_failed(runs, printed)

  def check_that_one_failed(self, runs, printed):
    self.assertIn('4 of 5 runs are finished', printed)
    record = self.record()
    self.assertEqual(record['state'], 'failed')
    for name in runs:
      state = 'failed' if name == 'bad' else 'done'
      self.assertEqual(record['runs'][name]['state'], state)
    self.assertEqual(record['runs']['bad']['reason'], 'error: no such binding')

  def kill_at_random(self, seed, number, sweep):
    """Kills runs, and what has started them, while they run."""
    chance = random.Random(seed)
    for _ in range(number):
      time.sleep(chance.uniform(0.0, 0.6))
      self.until(lambda: sweep.poll() is not None or self.commands())
      victims = self.commands()
      if not victims:
        return
      child = chance.choice(sorted(victims))
      victim = chance.choice((child, victims[child]))
      if victim not in (sweep.pid, os.getpid(), 1):
        with contextlib.suppress(ProcessLookupError):
          os.kill(victim, signal.SIGKILL)
