"""Tests of the Slurm engine, on commands that stand for Slurm's own."""

import json
import os
import pathlib
import signal
import sys
import time
from unittest import mock

import fake_slurm
from absl.testing import absltest, parameterized
from submitit import LocalExecutor
from submitit.core import utils as submitit_files

from launch.engines import slurm_cluster, slurm_options, slurm_outcome
from launch.engines.engine import Job
from launch.engines.slurm_engine import SlurmEngine
from launch.engines.slurm_job import Command
from launch.engines.slurm_options import Options
from launch.errors import SweepError
from launch.run import Resources

_NODES = (
    'low*|up|1:00:00|2|16000|(null)\n'
    'gpu|up|2-00:00:00|8|64000|gpu:a100:4(S:0-1),shard:8\n'
    'old|down|infinite|4|1000|(null)'
)
# Whether it may be killed by submitit's signal, and what it was given.
_SHOW = (
    'import os, signal; '
    'print(signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []), '
    '*(os.environ.get(x, "-") for x in ("OMP_NUM_THREADS", "JAX_PLATFORMS", '
    '"XLA_PYTHON_CLIENT_MEM_FRACTION")))'
)
_TWICE = (
    'import os, sys, time; '
    'first = not os.path.exists(sys.argv[1]); '
    'open(sys.argv[1], "w").close(); '
    'print(os.getppid() if first else "second", flush=True); '
    'time.sleep(60 if first else 0)'
)


class _SlurmTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    self.slurm = self.root / 'slurm'
    self.slurm.mkdir()
    fake_slurm.install(self.slurm)
    (self.slurm / 'sinfo').write_text(_NODES)
    kept = {k: v for k, v in os.environ.items() if not k.startswith('SLURM')}
    self.enter_context(mock.patch.dict(os.environ, {
        **kept,
        'PATH': f'{self.slurm / "bin"}:{os.environ["PATH"]}',
        'PYTHONPATH': str(pathlib.Path(__file__).parents[2]),
    }, clear=True))

  def engine(self, options=None, patience=0.0):
    engine = SlurmEngine(
        self.root / 'sweep' / '.slurm', self.root / 'cache',
        options or Options(), interval=0.0, patience=patience,
    )
    engine.check([Resources()])
    return engine

  def job(self, name, code='pass', minutes=1.0, **resources):
    return Job(
        name, (sys.executable, '-c', code), self.root / 'logs' / name,
        Resources(**resources), minutes, 1,
    )

  def called(self, command):
    lines = (self.slurm / 'calls').read_text().splitlines()
    return [x for x in lines if x.split()[0] == command]

  def set(self, id_, state, reason='None'):
    path = self.slurm / 'jobs' / id_
    path.write_text(f'{state}|{reason}|{path.read_text().split("|")[2]}')

  def script(self, number):
    return (self.slurm / 'scripts' / str(number)).read_text()

  def leave_result(self, id_, *result):
    submitit_files.cloudpickle_dump(
        ('success', result),
        self.root / 'sweep' / '.slurm' / f'{id_}_0_result.pkl',
    )


class SlurmEngineTest(_SlurmTest):

  def test_jobs_run_and_their_ends_are_told(self):
    (self.slurm / 'run').touch()
    engine, found = self.engine(patience=30.0), {}
    for job in (
        self.job('good', _SHOW),
        self.job('bad', 'import sys; sys.exit("error: no such file")'),
    ):
      engine.start(job)
    self.assertEqual(engine.queued(), {'good', 'bad'})
    while len(found) < 2:
      found |= {x.name: x for x in engine.poll()}
      time.sleep(0.05)
    self.assertEqual(found['good'][1:], (0, '', False))
    self.assertEqual(found['bad'][1:], (1, 'error: no such file', False))
    self.assertEqual(
        (self.root / 'logs' / 'good').read_text(), 'True 1 cpu -\n'
    )
    self.assertLen(self.called('sbatch'), 1)
    self.assertIn('--array=0-1%2', self.script(100))
    self.assertEqual(engine.queued(), set())

  def test_jobs_that_take_the_same_are_one_array(self):
    engine = self.engine()
    for i in range(5):
      engine.start(self.job(f'same{i}', minutes=1.0 + i))
    engine.start(self.job('wide', cpus=2))
    engine.start(self.job('long', minutes=600.0))
    self.assertEmpty(engine.poll())
    # An array has three jobs at most here, a partition an hour.
    scripts = [self.script(100 + i) for i in range(4)]
    self.assertIn('--array=0-2%3', scripts[0])
    self.assertIn('--array=0-1%2', scripts[1])
    self.assertIn('--time=30', scripts[1])
    self.assertIn('--cpus-per-task=2', scripts[2])
    self.assertIn('--time=60', scripts[3])

  def test_jobs_of_a_killed_driver_are_taken_over(self):
    first = self.engine()
    jobs = [self.job('a'), self.job('b')]
    for job in jobs:
      first.start(job)
    first.poll()
    self.set('100_0', 'RUNNING')
    del first
    second = self.engine()
    for job in jobs:
      second.start(job)
    self.assertEmpty(second.poll())
    self.assertEqual(second.queued(), {'b'})
    self.assertLen(self.called('sbatch'), 1)
    self.leave_result('100_0', 0, '', False)
    self.assertEqual([x[:2] for x in second.poll()], [('a', 0)])
    # What a third one finds is what the second has not seen end.
    record = self.root / 'sweep' / '.slurm' / 'jobs.json'
    self.assertEqual(list(json.loads(record.read_text())), ['b'])

  def test_a_driver_killed_before_it_knew_the_ids(self):
    until_then = _without_ids(SlurmEngine._note)
    with mock.patch.object(SlurmEngine, '_note', until_then):
      first = self.engine()
      first.start(self.job('a'))
      with self.assertRaises(KeyboardInterrupt):
        first.poll()
    second = self.engine()
    self.assertEqual(self.called('scancel'), ['scancel --quiet 100'])
    second.start(self.job('a'))
    second.poll()
    self.assertLen(self.called('sbatch'), 1)
    self.set('100', 'CANCELLED')
    second.poll()
    second.poll()
    self.assertLen(self.called('sbatch'), 2)

  def test_a_job_with_another_command_gives_way(self):
    first = self.engine()
    first.start(self.job('a', 'x = 1'))
    first.poll()
    second = self.engine()
    second.start(self.job('a', 'x = 2'))
    second.poll()
    self.assertEqual(self.called('scancel'), ['scancel --quiet 100'])
    self.assertLen(self.called('sbatch'), 1)
    self.set('100', 'CANCELLED')
    second.poll()
    second.poll()
    self.assertLen(self.called('sbatch'), 2)

  def test_a_requeued_job_is_waited_for(self):
    engine = self.engine()
    engine.start(self.job('a'))
    engine.poll()
    self.set('100', 'RUNNING')
    # What the process left when Slurm asked it to stop.
    self.leave_result('100', 143, 'Slurm asked it to stop', True)
    for state in ('COMPLETING', 'PENDING', 'RUNNING'):
      self.set('100', state)
      self.assertEmpty(engine.poll())
    self.leave_result('100', 0, '', False)
    self.assertEqual([x[:2] for x in engine.poll()], [('a', 0)])

  def test_a_job_that_no_node_can_start_is_handed_in_again(self):
    engine = self.engine()
    engine.start(self.job('a'))
    engine.poll()
    self.set('100', 'PENDING', 'launch_failed_requeued_held')
    outcome, = engine.poll()
    self.assertTrue(outcome.preempted)
    engine.start(self.job('a'))
    engine.poll()
    self.assertLen(self.called('sbatch'), 1)
    self.set('100', 'CANCELLED')
    engine.poll()
    engine.poll()
    self.assertLen(self.called('sbatch'), 2)

  def test_the_first_refusal_is_one_line_and_a_later_one_waits(self):
    engine = self.engine()
    refuse = self.slurm / 'refuse'
    refuse.write_text('sbatch: error: Batch job submission failed: Invalid qos')
    engine.start(self.job('a'))
    with self.assertRaisesRegex(
        SweepError, '^Slurm takes no job: Batch job submission failed: Invalid'
    ):
      engine.poll()
    refuse.unlink()
    engine = self.engine()
    engine.start(self.job('a'))
    engine.poll()
    refuse.write_text('sbatch: error: too many jobs')
    engine.start(self.job('b'))
    self.assertEmpty(engine.poll())
    self.assertEqual(engine.queued(), {'a', 'b'})

  def test_stop_cancels_and_waits(self):
    engine = self.engine()
    engine.start(self.job('a'))
    engine.poll()
    engine.start(self.job('b'))
    ended = iter((None, None, 'CANCELLED'))

    def jobs(jobs=slurm_cluster.jobs):
      if state := next(ended):
        self.set('100', state)
      return jobs()

    with mock.patch.object(slurm_cluster, 'jobs', jobs):
      engine.stop()
    self.assertIsNone(next(ended, None))
    self.assertEqual(self.called('scancel'), ['scancel --quiet 100'])
    record = self.root / 'sweep' / '.slurm' / 'jobs.json'
    self.assertEqual(json.loads(record.read_text()), {})

  def test_a_silent_controller_is_waited_for_and_not_for_ever(self):
    engine = self.engine()
    engine.start(self.job('a'))
    engine.poll()
    (self.slurm / 'silent').touch()
    self.assertEmpty(engine.poll())
    engine._answered -= 3600
    with self.assertRaisesRegex(SweepError, 'squeue: slurm_load_jobs error'):
      engine.poll()

  def test_what_is_missing_is_one_line(self):
    with (
        mock.patch.dict(os.environ, {'PATH': '/nonexistent'}),
        self.assertRaisesRegex(SweepError, 'no sbatch on this machine'),
    ):
      self.engine()
    with (
        mock.patch.dict(sys.modules, {'submitit': None}),
        self.assertRaisesRegex(SweepError, r"pip install '.\[slurm\]'"),
    ):
      self.engine()

  def test_a_job_that_runs_the_driver_does_not_reach_its_jobs(self):
    inner = {'SLURM_JOB_ID': '7', 'SLURM_CPUS_PER_TASK': '1', 'SLURM_CONF': 'x'}
    with mock.patch.dict(os.environ, inner):
      with slurm_cluster.outside():
        self.assertEqual(
            [k for k in os.environ if k.startswith('SLURM_')], ['SLURM_CONF']
        )
      self.assertEqual(os.environ['SLURM_CPUS_PER_TASK'], '1')


def _without_ids(note):
  """As if the driver died after sbatch, before it wrote down what it said."""

  def until_then(engine, token, jobs, ids):
    if any(ids):
      raise KeyboardInterrupt
    note(engine, token, jobs, ids)

  return until_then


class CommandTest(_SlurmTest):

  def test_a_job_that_gives_way_is_queued_again_and_goes_on(self):
    log = self.root / 'log'
    command = Command(
        (sys.executable, '-c', _TWICE, str(self.root / 'mark')), str(log),
        str(self.root), Resources(gpus=0.5),
    )
    executor = LocalExecutor(self.root / 'local')
    executor.update_parameters(timeout_min=60, signal_delay_s=1)
    job = executor.submit(command)
    while not log.exists() or not log.read_text().endswith('\n'):
      time.sleep(0.02)
    first = log.read_text()
    os.kill(int(first), signal.SIGUSR2)
    self.assertEqual(job.result(), (0, '', False))
    self.assertEqual(log.read_text(), f'{first}second\n')

  def test_a_command_that_slurm_stops_has_not_failed(self):
    stop = 'import os, signal, sys; os.kill(os.getppid(), signal.SIGTERM); '
    handler = signal.getsignal(signal.SIGTERM)
    self.addCleanup(signal.signal, signal.SIGTERM, handler)
    command = Command(
        (sys.executable, '-c', stop + 'sys.exit(143)'), str(self.root / 'log'),
        str(self.root), Resources(),
    )
    self.assertEqual(command(), (143, 'Slurm asked it to stop', True))


class OutcomeTest(parameterized.TestCase):

  def judge(self, state, result=None, known='RUNNING', patience=0.0):
    slurm = mock.Mock(job_id='7_1')
    job = Job('a', (), pathlib.Path('log'), Resources(), 1.0, 1)
    running = slurm_outcome.Running(job, slurm, state, known)
    if result is not None:
      result = slurm_outcome.Result(*result)
    return slurm_outcome.judge(running, result, patience)

  @parameterized.parameters(
      ('NODE_FAIL', None, True, 'NODE_FAIL'),
      ('PREEMPTED', None, True, 'PREEMPTED'),
      ('TIMEOUT', (143, 'x', True), True, 'TIMEOUT'),
      ('COMPLETED', (143, 'Slurm asked', True), True, 'Slurm asked'),
      ('', None, True, 'no longer knows'),
      ('CANCELLED', (143, 'x', True), False, 'job 7_1 was cancelled'),
      ('OUT_OF_MEMORY', None, False, '--slurm_mem'),
      ('COMPLETED', (-9, 'killed by SIGKILL', False), False, '--slurm_mem'),
      ('RUNNING', (2, 'error: this', False), False, '^error: this$'),
      ('FAILED', None, False, 'FAILED and left no result'),
  )
  def test_a_machine_that_failed_is_told_from_a_command(
      self, state, result, preempted, reason
  ):
    outcome = self.judge(state, result)
    self.assertNotEqual(outcome.code, 0)
    self.assertEqual(outcome.preempted, preempted)
    self.assertRegex(outcome.reason, reason)

  def test_a_pending_job_that_vanishes_was_cancelled(self):
    outcome = self.judge('', known='PENDING')
    self.assertFalse(outcome.preempted)
    self.assertIn('cancelled', outcome.reason)

  @parameterized.parameters('PENDING', 'RUNNING', 'COMPLETING', 'REQUEUED')
  def test_a_job_that_slurm_has_is_not_over(self, state):
    self.assertIsNone(self.judge(state))
    self.assertIsNone(self.judge(state, (143, 'x', True)))

  def test_a_result_may_be_late(self):
    self.assertIsNone(self.judge('COMPLETED', patience=60.0))


class OptionsTest(parameterized.TestCase):

  def check(self, options, *needed):
    with mock.patch.object(slurm_cluster, '_ask', return_value=_NODES):
      chosen = slurm_options.choose(options, slurm_cluster.nodes())
    slurm_options.check(options, chosen, needed)

  @parameterized.parameters(
      ({'partition': 'lo'}, {}, r'there is no lo \(there are: gpu, low, old'),
      ({'partition': 'low,x'}, {}, 'there is no x'),
      ({'partition': 'old'}, {}, 'partition old is down'),
      ({}, {'cpus': 3}, '3 cores and no node of low has more than 2:.*--cpus'),
      ({}, {'gpus': 0.25}, 'no node of low has more than 0:.*--gpus=0'),
      ({'partition': 'gpu'}, {'gpus': 5}, '5 GPUs .* more than 4'),
      ({}, {'tpus': 4}, '--tpus=0'),
      ({'memory': 16.0}, {}, '16 GB and no node of low has more than 15'),
      ({'time': 61}, {}, '--slurm_time=61: low gives no job more than 60'),
      ({'more': ('time=9',)}, {}, '--slurm_option=time=9: .* --slurm_time'),
  )
  def test_what_no_node_has_is_one_line(self, options, resources, line):
    with self.assertRaisesRegex(SweepError, line) as caught:
      self.check(Options(**options), Resources(), Resources(**resources))
    self.assertNotIn('\n', str(caught.exception))

  def test_a_share_of_a_gpu_becomes_a_whole_one_and_this_is_said(self):
    share = Resources(cpus=2, gpus=0.25)
    options = Options(partition='gpu', memory=1.5, more=('qos=long', 'x'))
    with mock.patch.object(sys, 'stderr') as screen:
      self.check(options, share)
    self.assertIn('whole GPUs', screen.write.call_args_list[0].args[0])
    found = options.parameters(share, 30, 'name', 3)
    self.assertEqual(found['gpus_per_node'], 1)
    self.assertEqual(found['mem'], '1536M')
    self.assertEqual(found['partition'], 'gpu')
    self.assertEqual(
        found['additional_parameters'],
        {'requeue': True, 'qos': 'long', 'x': True},
    )

  @parameterized.parameters(
      (0.1, None, 30), (10.0, None, 30), (11.0, None, 60), (200.0, None, 960),
      (200.0, 600, 600),
  )
  def test_time_is_generous_up_to_what_there_is(self, minutes, limit, time_):
    self.assertEqual(Options().time_for(minutes, limit), time_)
    self.assertEqual(Options(time=5).time_for(minutes, limit), 5)

  @parameterized.parameters(
      ('infinite', None), ('30:00', 30), ('1:30:00', 90),
      ('2-01:00:00', 2940), ('n/a', None),
  )
  def test_slurm_times(self, text, minutes):
    self.assertEqual(slurm_cluster.minutes(text), minutes)


if __name__ == '__main__':
  absltest.main()
