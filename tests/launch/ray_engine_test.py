"""Tests of what the Ray engine does without a cluster."""

import os
import pathlib
import socket
import subprocess
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from launch import processes
from launch.engines import cores, ray_cluster, ray_engine, ray_worker
from launch.engines.engine import Job
from launch.errors import SweepError
from launch.run import Resources


def job(folder, code='pass', **resources):
  return Job(
      'a', ('/driver/python', '-c', code), pathlib.Path(folder) / 'log',
      Resources(**resources), 1.0, 1,
  )  # fmt: skip


def setup(folder, cores=0.0):
  return ray_worker.Setup('/driver/python', folder, '/cache', {'n': cores})


class WorkerTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = self.create_tempdir().full_path
    home = os.getcwd()
    self.addCleanup(os.chdir, home)

  def run_job(self, code):
    told = []
    ended = ray_worker.run(
        job(self.folder, code), setup(self.folder), told.append, 'n')
    self.assertEqual(told, ['a'])
    return ended

  def test_the_command_runs_there_with_the_python_of_the_worker(self):
    self.assertEqual(
        self.run_job('import os, sys; print(os.getcwd(), sys.executable)'),
        (0, ''))
    log = (pathlib.Path(self.folder) / 'log').read_text().split()
    self.assertEqual(log, [os.path.realpath(self.folder), sys.executable])

  def test_says_why_a_command_failed(self):
    self.assertEqual(
        self.run_job('import sys; sys.exit("error: no file")'),
        (1, 'error: no file'))

  @parameterized.parameters(
      ({}, 'cpu', None),
      ({'gpus': 0.25}, None, '0.225'),
      ({'gpus': 2.0}, None, '0.900'),
      ({'tpus': 4}, None, None),
  )
  def test_a_job_takes_no_more_of_a_device_than_it_was_given(
      self, resources, platform, memory):
    found = ray_worker.environment(
        job(self.folder, cpus=3, **resources), setup(''))
    self.assertEqual(found.get('JAX_PLATFORMS'), platform)
    self.assertEqual(found.get('XLA_PYTHON_CLIENT_MEM_FRACTION'), memory)
    self.assertEqual(found['OMP_NUM_THREADS'], '3')

  @parameterized.parameters(
      ('small: {resources: {CPU: 4}}', [{'CPU': 4}]),
      ('a: {resources: {CPU: 4}, max_workers: 0}, b: {resources: {TPU: 4}}',
       [{'TPU': 4}]),
      # A cloud that is asked only later what the machine has.
      ('small: {node_config: {}}', None),
  )
  def test_finds_what_an_autoscaler_could_add(self, kinds, expected):
    path = pathlib.Path(self.folder) / 'cluster.yaml'
    path.write_text(f'available_node_types: {{{kinds}}}')
    with mock.patch.object(ray_worker, '_command_lines', lambda: [
        ['python', 'other.py'],
        ['python', 'monitor.py', f'--autoscaling-config={path}'],
    ]):
      self.assertEqual(ray_worker.kinds(), expected)

  def test_a_cluster_without_an_autoscaler_stays_as_it_is(self):
    with mock.patch.object(ray_worker, '_command_lines', lambda: [['x']]):
      self.assertEqual(ray_worker.kinds(), [])

  def test_an_attempt_waits_until_the_one_before_has_ended(self):
    # As the run of a driver that was killed, which Ray has yet to notice.
    log = pathlib.Path(self.folder) / 'log'
    say = 'import time; print(1, flush=True); time.sleep(0.3); print(2)'
    words = [sys.executable, '-S', '-c', say]
    first = processes.start(words, log, {})
    second = processes.start(words, log, {}, patience=60.0)
    first.wait()
    second.wait()
    self.assertEqual(log.read_text().split(), ['1', '2', '1', '2'])


class CoresTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    folder = self.create_tempdir().full_path
    self.enter_context(
        mock.patch.object(cores.tempfile, 'gettempdir', lambda: folder))
    self.enter_context(
        mock.patch.object(cores, '_available', lambda: [3, 4, 5]))

  def test_no_two_holders_share_a_core(self):
    with cores.taken(2, 3.0) as first, cores.taken(1, 3.0) as second:
      self.assertEqual((first, second), ((3, 4), (5,)))
      with cores.taken(1, 3.0) as third:
        self.assertEqual(third, ())
    with cores.taken(3, 3.0) as every:
      self.assertEqual(every, (3, 4, 5))

  def test_none_where_the_scheduler_counts_otherwise(self):
    with cores.taken(1, 2.0) as chosen:
      self.assertEqual(chosen, ())


class CheckTest(parameterized.TestCase):

  @parameterized.parameters(
      (Resources(cpus=4), [{'CPU': 4.0}], []),
      (Resources(gpus=0.5), [{'CPU': 2.0}, {'CPU': 4.0, 'GPU': 1.0}], []),
      (Resources(tpus=4), [{'CPU': 2.0}], [{'CPU': 8.0, 'TPU': 4}]),
      (Resources(cpus=999), [{'CPU': 2.0}], None),
  )
  def test_some_machine_has_or_could_have_it(self, resources, there, kinds):
    ray_cluster.check([resources], there, kinds, 'x')

  @parameterized.parameters(
      (Resources(cpus=5), '5 CPU'),
      # Each has one of the two.
      (Resources(cpus=4, gpus=1), '4 CPU, 1 GPU'),
      (Resources(tpus=8), '1 CPU, 8 TPU'),
  )
  def test_what_no_machine_has_is_one_line(self, resources, part):
    with self.assertRaises(SweepError) as caught:
      ray_cluster.check(
          [Resources(), resources], [{'CPU': 4.0}, {'CPU': 1.0, 'GPU': 1.0}],
          [{'CPU': 2, 'TPU': 4}], 'the cluster')
    text = str(caught.exception)
    self.assertIn(f'a run asks for {part} and no machine of the clus', text)
    self.assertIn('(there are: 1 CPU, 1 GPU; 2 CPU, 4 TPU; 4 CPU)', text)
    self.assertNotIn('\n', text)

  @parameterized.parameters({'gpus': 1.5}, {'tpus': 3})
  def test_what_ray_cannot_give_is_one_line(self, **resources):
    engine = ray_engine.RayEngine(pathlib.Path('cache'))
    # Before anything is started.
    self.enter_context(mock.patch.object(engine, '_connect', None))
    with self.assertRaisesRegex(SweepError, '^a run asks for [^\n]*$'):
      engine.check([Resources(**resources)])

  @parameterized.parameters('127.0.0.1:{}', 'ray://127.0.0.1:{}', 'here', 'a:b')
  def test_an_address_where_nobody_answers_is_one_line(self, address):
    with socket.socket() as server:
      server.bind(('127.0.0.1', 0))
      address = address.format(server.getsockname()[1])
      engine = ray_engine.RayEngine(pathlib.Path('cache'), address)
      with self.assertRaisesRegex(SweepError, '^--ray_address=[^\n]*$') as x:
        engine.check([Resources()])
    self.assertIn(f'={address}: no Ray cluster answers', str(x.exception))

  def test_what_answers_and_is_no_ray_is_one_line(self):
    with socket.create_server(('127.0.0.1', 0)) as server:
      engine = ray_engine.RayEngine(
          pathlib.Path('cache'), f'127.0.0.1:{server.getsockname()[1]}')
      with (
          mock.patch.object(ray_cluster, '_TIME_TO_JOIN', 0.1),
          self.assertRaisesRegex(SweepError, 'is no Ray cluster'),
      ):
        engine.check([Resources()])

  def test_no_cluster_on_this_machine_is_one_line(self):
    folder = self.create_tempdir().full_path
    with (
        mock.patch.dict(os.environ, {'RAY_TMPDIR': folder}),
        self.assertRaisesRegex(
            SweepError, '^--ray_address=auto: no Ray cluster answers[^\n]*$'),
    ):
      ray_engine.RayEngine(pathlib.Path('c'), 'auto').check([Resources()])

  def test_a_head_that_does_not_come_back_is_one_line(self):
    engine = ray_engine.RayEngine(pathlib.Path('cache'))
    now = self.enter_context(
        mock.patch.object(ray_engine.time, 'monotonic', return_value=10.0))
    with socket.create_server(('127.0.0.1', 0)) as head:
      engine._head = f'127.0.0.1:{head.getsockname()[1]}'
      engine._look()
    for now.return_value in (12.0, 16.0, 35.0):
      engine._look()
    now.return_value = 50.0
    with self.assertRaisesRegex(SweepError, r'^the head .* is gone \([^\n]*$'):
      engine._look()
    # Nothing is left to be stopped, and Ray would wait for the head.
    with mock.patch.object(engine, '_ray', None):
      engine.stop()

  def test_a_cluster_that_wants_a_token_is_told(self):
    text = 'junk\nConnectionError: x\nray.exceptions.AuthenticationError: y\n'
    self.assertIn('RAY_AUTH_MODE=token', ray_cluster._refusal(text))

  def test_what_is_no_cluster_is_said_in_words(self):
    self.assertStartsWith(
        ray_cluster._refusal(
            'ConnectionError: Could not find any running Ray instance. Please'),
        'no Ray cluster answers there: give ')
    text = '[2026-01-01] gcs_client.cc:210: RpcError: RPC Error message: x'
    self.assertStartsWith(
        ray_cluster._refusal(text), 'no Ray cluster answers there: give ')

  def test_without_ray_there_is_one_line(self):
    code = (
        'import sys\n'
        'sys.modules["ray"] = None\n'
        'from launch.engines import ray_engine\n'
        'try:\n'
        '  ray_engine.RayEngine("cache")\n'
        'except Exception as error:\n'
        '  print(type(error).__name__, error)\n'
    )
    shown = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
        check=True,
    )
    self.assertRegex(
        shown.stdout, r"^SweepError --engine=ray needs Ray .*\[launch\]'\n$")


if __name__ == '__main__':
  absltest.main()
