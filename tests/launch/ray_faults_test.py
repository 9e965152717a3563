"""Faults that a sweep on a Ray cluster stands."""

import contextlib
import os
import socket
import sys
import tempfile

import fault_cases
from absl.testing import absltest

from launch.engines import ray_engine
from launch.engines.engine import Job
from launch.errors import SweepError
from launch.run import Resources

# A token would be kept in the home folder.
_ENVIRONMENT = {
    'RAY_AUTH_MODE': 'disabled',
    'RAY_USAGE_STATS_ENABLED': '0',
    # Else workers wait for whatever else the machine does.
    'RAY_worker_niceness': '0',
}
# Ray waits for those that it chooses itself, and not for long.
_PORTS = (
    'metrics_agent_port', 'runtime_env_agent_port',
    'dashboard_agent_listen_port', 'metrics_export_port',
)
_MEMORY = 80 * 2**20
_cluster = None
_stack = None


def _free_ports():
  with contextlib.ExitStack() as stack:
    servers = [
        stack.enter_context(socket.create_server(('', 0))) for _ in _PORTS
    ]
    return {
        name: server.getsockname()[1]
        for name, server in zip(_PORTS, servers, strict=True)
    }


def setUpModule():
  global _cluster, _stack
  # Sockets have names of 107 bytes at most.
  _stack = tempfile.TemporaryDirectory(
      dir='/tmp', prefix='r', ignore_cleanup_errors=True)
  os.environ.update(_ENVIRONMENT, RAY_TMPDIR=_stack.name)
  from ray.cluster_utils import Cluster

  _cluster = Cluster(initialize_head=True, head_node_args={
      'num_cpus': 2, 'include_dashboard': False,
      'object_store_memory': _MEMORY, **_free_ports(),
  })


def tearDownModule():
  _cluster.shutdown()
  _stack.cleanup()


class RayFaultTest(fault_cases.FaultCases, absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.engine = ['--engine=ray', f'--ray_address={_cluster.address}']

  def test_runs_whose_workers_are_killed_go_on(self):
    runs = ['a', 'b', 'c', 'd']
    with self.driver(runs, retries=50) as process:
      self.kill_at_random(seed=2, number=6, sweep=process)
      printed, _ = process.communicate(timeout=100)
    self.assertEqual(process.returncode, 0, printed)
    self.assert_undisturbed(runs)
    self.assertIn('its worker died', printed)

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
    self.until(lambda: engine.poll() or engine.queued() == {'waits'})
    self.until((self.folder / 'running').exists)
    engine.stop()
    self.assertEqual(engine.poll(), [])
    self.assertFalse((self.folder / 'waits').exists())
    self.until(lambda: not self.commands())


if __name__ == '__main__':
  absltest.main()
