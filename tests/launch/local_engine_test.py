"""Tests of the engine of this machine, on processes that take no time."""

import os
import pathlib
import subprocess
import sys
import time
from unittest import mock

from absl.testing import absltest, parameterized

from launch import processes
from launch.engines.engine import Job
from launch.engines.local import LocalEngine
from launch.errors import SweepError
from launch.run import Resources

# What the environment of the tests may have set.
_SET_HERE = (
    'CUDA_VISIBLE_DEVICES', 'JAX_PLATFORMS', 'XLA_PYTHON_CLIENT_MEM_FRACTION',
    'OMP_NUM_THREADS',
)
_SHOW = (
    'import os; print(sorted(os.sched_getaffinity(0)), '
    '*(os.environ.get(x, "-") for x in ("CUDA_VISIBLE_DEVICES", '
    '"XLA_PYTHON_CLIENT_MEM_FRACTION", "JAX_PLATFORMS", "OMP_NUM_THREADS")))'
)


class LocalEngineTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    kept = {k: v for k, v in os.environ.items() if k not in _SET_HERE}
    self.enter_context(mock.patch.dict(os.environ, kept, clear=True))

  def engine(self, **options):
    return LocalEngine(self.folder / 'cache', **{
        'cores': sorted(os.sched_getaffinity(0)), 'gpus': (), 'num_tpus': 0,
        **options,
    })

  def job(self, name, code='pass', **resources):
    return Job(
        name, (sys.executable, '-c', code), self.folder / 'logs' / name,
        Resources(**resources), 1.0, 1,
    )

  def finish(self, engine, number):
    found = []
    while len(found) < number:
      found += engine.poll()
      time.sleep(0.01)
    return {x.name: x for x in found}

  def log(self, name):
    return (self.folder / 'logs' / name).read_text().split('\n')

  def test_success_failure_and_signal_are_told_apart(self):
    engine, found = self.engine(), {}
    for job in (
        self.job('good'),
        self.job('bad', 'import sys; sys.exit("error: no such file")'),
        self.job('shot', 'import os; os.kill(os.getpid(), 9)'),
    ):
      engine.start(job)
      found |= self.finish(engine, 1)
    self.assertEqual(found['good'].code, 0)
    self.assertEqual(found['bad'][1:3], (1, 'error: no such file'))
    self.assertEqual(found['shot'][1:3], (-9, 'killed by SIGKILL'))

  def test_no_core_is_shared(self):
    core = sorted(os.sched_getaffinity(0))[0]
    engine = self.engine(cores=[core])
    one = Resources(cpus=1)
    self.assertTrue(engine.has_room(one))
    engine.start(self.job('a', _SHOW))
    self.assertFalse(engine.has_room(one))
    self.finish(engine, 1)
    self.assertTrue(engine.has_room(one))
    self.assertEqual(self.log('a')[0], f'[{core}] - - - 1')

  def test_no_gpu_has_more_than_its_memory(self):
    engine = self.engine(cores=range(8), gpus=('3', '5'))
    cores = {'cpus': 1}
    for i, share in enumerate((0.5, 0.4, 1.0)):
      resources = Resources(gpus=share, **cores)
      self.assertTrue(engine.has_room(resources))
      engine._take(engine._place(resources))
      self.assertLessEqual(
          max(0.0, -min(engine._gpus.values())), 1e-9, str(i))
    # The two shares lie on one GPU, so that the other was left whole.
    self.assertAlmostEqual(engine._gpus['3'], 0.1)
    self.assertAlmostEqual(engine._gpus['5'], 0.0)
    self.assertFalse(engine.has_room(Resources(gpus=0.25, **cores)))
    self.assertTrue(engine.has_room(Resources(gpus=0.1, **cores)))
    self.assertTrue(engine.has_room(Resources(gpus=0.0, **cores)))

  @parameterized.parameters(
      ({'gpus': 0.25}, '5 0.225 - 1'),
      ({'gpus': 1}, '5 0.900 - 1'),
      ({}, '- - cpu 1'),
  )
  def test_a_job_sees_the_gpu_that_it_was_given(self, resources, shown):
    engine = self.engine(gpus=('5',))
    engine.start(self.job('a', _SHOW, **resources))
    self.finish(engine, 1)
    self.assertEndsWith(self.log('a')[0], shown)

  @parameterized.parameters(
      ({'cpus': 99}, '99 cores'), ({'gpus': 2.0}, '2 GPUs'),
      ({'tpus': 4}, '4 TPU chips'),
  )
  def test_what_the_machine_never_has_is_one_line(self, resources, part):
    engine = self.engine(cores=[0, 1], gpus=('0',))
    with self.assertRaisesRegex(SweepError, part) as caught:
      engine.check([Resources(), Resources(**resources)])
    self.assertNotIn('\n', str(caught.exception))

  def test_no_more_processes_than_said(self):
    engine = self.engine(cores=[0, 1], processes=1)
    engine.start(self.job('a', 'import time; time.sleep(30)'))
    self.assertFalse(engine.has_room(Resources()))
    engine.stop()
    self.assertEqual(engine.poll(), [])

  def test_a_process_dies_with_the_one_that_started_it(self):
    # As a worker that is killed at once, without a chance to clean up.
    code = (
        'import pathlib, sys, time\n'
        'from launch import processes\n'
        'child = processes.start([sys.executable, "-c", "import time; '
        f'time.sleep(60)"], pathlib.Path({str(self.folder / "log")!r}), {{}})\n'
        'print(child.pid, flush=True)\n'
        'time.sleep(60)\n'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True,
        cwd=pathlib.Path(__file__).parent.parent.parent,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(500):
      if not _is_running(child):
        break
      time.sleep(0.01)
    self.assertFalse(_is_running(child))
    parent.stdout.close()

  def test_the_reason_is_the_line_that_says_error(self):
    log = self.folder / 'log'
    log.write_text('noise\nerror: this\nmore noise\n\n')
    self.assertEqual(processes.last_line(log), 'error: this')
    log.write_text('noise\nlast\n')
    self.assertEqual(processes.last_line(log), 'last')
    self.assertEqual(processes.last_line(self.folder / 'none'), '')


def _is_running(pid):
  try:
    text = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return False
  # Without anyone to wait for it, it may stay as a zombie.
  return text.rpartition(')')[2].split()[0] != 'Z'


if __name__ == '__main__':
  absltest.main()
