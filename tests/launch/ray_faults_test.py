"""Faults that a sweep on a Ray cluster stands."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

import fault_cases
import small_runs
from absl.testing import absltest

from launch.engines import ray_engine
from launch.engines.engine import Job
from launch.errors import SweepError
from launch.run import Resources

# A token would be kept in the home folder.
_SETTINGS = {
    'RAY_AUTH_MODE': 'disabled',
    'RAY_USAGE_STATS_ENABLED': '0',
    # Else workers wait for whatever else the machine does.
    'RAY_worker_niceness': '0',
    'RAY_raylet_start_wait_time_s': '40',
    # Else it stops runs when other tests have the machine's memory.
    'RAY_memory_monitor_refresh_ms': '0',
}
_MEMORY = 80 * 2**20
_BINDINGS = (
    *small_runs.BINDINGS,
    'Runner.num_iterations = 300',
    'Runner.checkpoint_every = 10',
)
_TRAINING = f"""
from launch.experiment import Sweep
from launch.run import Run

SWEEP = Sweep('Training', (), (), {{'smoke': (
    Run('run', gin_files={(small_runs.GIN_FILE,)}, gin_bindings={_BINDINGS}),
)}})
"""
_cluster = None
_environment = None
_scratch = None


def _start(tries=3):
  """Starts a head; a part of it has 15 s to, whatever else the machine does."""
  from ray.cluster_utils import Cluster

  # As where what the dashboard needs is not installed: it is not used.
  lacking = mock.patch(
      'ray._private.utils.get_dashboard_dependency_error',
      lambda: ImportError('dashboard'))
  try:
    with lacking:
      return Cluster(initialize_head=True, head_node_args={
          'num_cpus': 2, 'include_dashboard': False,
          'object_store_memory': _MEMORY,
      })
  except Exception:
    if tries == 1:
      raise
    return _start(tries - 1)


def _slowed(function):
  """As of a driver that has to wait for a core after each call."""
  def slow(*arguments):
    function(*arguments)
    time.sleep(1.0)

  return slow


def setUpModule():
  global _cluster, _environment, _scratch
  # Sockets have names of 107 bytes at most.
  _scratch = tempfile.TemporaryDirectory(
      dir='/tmp', prefix='r', ignore_cleanup_errors=True)
  _environment = mock.patch.dict(
      os.environ, _SETTINGS | {'RAY_TMPDIR': _scratch.name})
  _environment.start()
  _cluster = _start()


def tearDownModule():
  _cluster.shutdown()
  _environment.stop()
  _scratch.cleanup()


class RayFaultTest(fault_cases.FaultCases, absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.engine = ['--engine=ray', f'--ray_address={_cluster.address}']

  def test_runs_whose_workers_are_killed_go_on(self):
    runs = ['a', 'b', 'c', 'd']
    with self.driver(runs, retries=50) as process:
      self.kill_at_random(seed=2, number=6, sweep=process)
      printed, _ = process.communicate(timeout=300)
    self.assertEqual(process.returncode, 0, printed)
    self.assert_undisturbed(runs)
    self.assertIn('its worker died', printed)

  def test_training_whose_workers_are_killed_ends_the_same(self):
    sweep = self.folder / 'training.py'
    sweep.write_text(_TRAINING)
    command = [
        sys.executable, '-m', 'launch.sweep', f'--sweep={sweep}',
        '--scale=smoke', f'--base_dir={self.base_dir}', '--noreport',
        *self.engine,
    ]
    environment = small_runs.environment() | {
        'PYTHONPATH': str(fault_cases.ROOT)}
    chance = random.Random(0)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=fault_cases.ROOT, env=environment,
    ) as process:  # fmt: skip
      self.addCleanup(process.kill)
      for row in (chance.randrange(20, 60), chance.randrange(90, 150)):
        self.until(
            lambda row=row: self.rows() > row or process.poll() is not None)
        for child in sorted(self.commands().items())[-1]:
          os.kill(child, signal.SIGKILL)
      printed, _ = process.communicate(timeout=300)
    self.assertEqual(process.returncode, 0, printed)
    self.assertEqual(printed.count('run: its worker died'), 2, printed)
    description = json.loads((self.base_dir / 'run/run.json').read_text())
    self.assertEqual(description['times_resumed'], 2)
    alone = self.folder / 'alone'
    result = small_runs.run(
        small_runs.command(alone, _BINDINGS), cwd=fault_cases.ROOT)
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(
        (self.base_dir / 'run' / 'metrics.csv').read_bytes(),
        (alone / 'metrics.csv').read_bytes())

  def rows(self):
    """Rows that the training run has written."""
    path = self.base_dir / 'run' / 'metrics.csv'
    return path.read_text().count('\n') if path.exists() else 0

  def test_resources_that_nobody_has_then_jobs_that_are_stopped(self):
    engine = ray_engine.RayEngine(self.folder / 'cache', 'auto')
    self.addCleanup(engine.stop)
    with self.assertRaisesRegex(SweepError, '^a run asks for 99 CPU [^\n]*$'):
      engine.check([Resources(), Resources(cpus=99)])
    for name, cpus in (('running', 2), ('waits', 1)):
      words = (
          sys.executable, '-S', '-c', 'import time; time.sleep(99)', name,
          f'{self.base_dir}/{name}',
      )
      engine.start(Job(
          name, words, self.folder / name, Resources(cpus=cpus), 1.0, 1))
    ended = []
    self.until(
        lambda: ended.extend(engine.poll()) or ended
        or engine.queued() == {'waits'})
    self.assertEmpty(ended)
    self.until((self.folder / 'running').exists)
    ray = engine._ray
    with mock.patch.object(ray, 'cancel', _slowed(ray.cancel)):
      engine.stop()
    self.assertEqual(engine.poll(), [])
    self.assertFalse((self.folder / 'waits').exists())
    self.until(lambda: not self.commands())


if __name__ == '__main__':
  absltest.main()
