"""Tests of the driver, on an engine that does what a test says."""

import dataclasses
import json
import pathlib

from absl.testing import absltest

from launch import state
from launch.driver import Driver
from launch.engines.engine import Outcome
from launch.run import Resources, Task


@dataclasses.dataclass(frozen=True)
class Note(Task):
  """A task that is finished once its file is there."""

  def command(self, base_dir, folder=''):
    return ['note', self.name]

  def is_finished(self, base_dir):
    return (pathlib.Path(base_dir) / f'{self.name}.done').exists()


class ScriptedEngine:
  """Ends every job at the next poll.

  Args:
    base_dir: of the tasks.
    outcomes: name -> (code, preempted) of its attempts, success after them.
    room: jobs at once.
  """

  def __init__(self, base_dir, outcomes=None, room=1):
    self.base_dir = pathlib.Path(base_dir)
    self.outcomes = {k: list(v) for k, v in (outcomes or {}).items()}
    self.room = room
    self.running = []
    self.started = []
    self.most = 0

  def has_room(self, resources):
    return len(self.running) < self.room

  def start(self, job):
    self.running.append(job.name)
    self.started.append((job.name, job.attempt))
    self.most = max(self.most, len(self.running))

  def queued(self):
    return set()

  def poll(self):
    ended, self.running = self.running, []
    return [self.end(name) for name in ended]

  def end(self, name):
    if self.outcomes.get(name):
      code, preempted = self.outcomes[name].pop(0)
      return Outcome(name, code, f'ended with {code}', preempted)
    (self.base_dir / f'{name}.done').touch()
    return Outcome(name, 0)


class DriverTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.base_dir = self.create_tempdir().full_path
    self.events = []

  def drive(self, tasks, outcomes=None, room=1, retries=0, done=None):
    self.engine = ScriptedEngine(self.base_dir, outcomes, room)
    record = state.State(self.base_dir, {'experiments': [], 'figures': []})
    for task in tasks:
      record.plan(task, ['note'], task.is_finished(self.base_dir))
    return Driver(
        tasks, self.base_dir, self.base_dir, self.engine, record, retries,
        lambda task: task.command(self.base_dir), self.events.append,
        done if done is not None else
        [x.name for x in tasks if x.is_finished(self.base_dir)],
    ).run()

  def record(self):
    path = pathlib.Path(self.base_dir) / 'sweep.json'
    return json.loads(path.read_text())['runs']

  def names(self):
    return [name for name, _ in self.engine.started]

  def test_the_longest_first_and_what_is_finished_not_at_all(self):
    (pathlib.Path(self.base_dir) / 'd.done').touch()
    tasks = [Note(x, cost=c) for x, c in zip('abcd', (1, 3, 2, 9), strict=True)]
    self.assertEqual(self.drive(tasks), [])
    self.assertEqual(self.names(), ['b', 'c', 'a'])
    self.assertEqual({x['state'] for x in self.record().values()}, {'done'})

  def test_what_may_be_another_is_started_and_not_relied_on(self):
    for name in 'abc':
      (pathlib.Path(self.base_dir) / f'{name}.done').touch()
    tasks = [Note('a'), Note('b'), Note('c', after=('a',)),
             Note('d', after=('b',))]
    self.assertEqual(
        self.drive(tasks, {'a': [(1, False)]}, done=['c']), ['a'])
    self.assertEqual(self.names(), ['a', 'b', 'd'])
    self.assertEqual(self.record()['a']['state'], 'failed')

  def test_what_waits_for_another_run_of_its_name_is_blocked(self):
    (pathlib.Path(self.base_dir) / 'a.done').touch()
    tasks = [Note('a'), Note('b', after=('a',))]
    self.assertEqual(
        self.drive(tasks, {'a': [(1, False)]}, done=[]), ['a', 'b'])
    self.assertEqual(self.names(), ['a'])

  def test_never_more_at_once_than_there_is_room_for(self):
    self.drive([Note(x) for x in 'abcdef'], room=2)
    self.assertEqual(self.engine.most, 2)

  def test_a_failure_is_tried_again_a_set_number_of_times(self):
    tasks = [Note('a'), Note('b')]
    failed = self.drive(
        tasks, {'a': [(1, False)] * 2, 'b': [(1, False)] * 3}, retries=2
    )
    self.assertEqual(failed, ['b'])
    self.assertEqual(self.names().count('a'), 3)
    self.assertEqual(self.names().count('b'), 3)
    self.assertEqual(self.record()['b']['reason'], 'ended with 1')
    self.assertEqual(self.record()['b']['attempts'], 3)
    self.assertEqual(self.record()['a']['state'], 'done')

  def test_a_machine_that_goes_away_is_no_failure_of_the_run(self):
    failed = self.drive([Note('a')], {'a': [(1, True)] * 9}, retries=0)
    self.assertEqual(failed, [])
    self.assertLen(self.engine.started, 10)

  def test_an_end_without_a_finished_folder_is_a_failure(self):
    class Idle(ScriptedEngine):
      def end(self, name):
        return Outcome(name, 0)

    self.engine = Idle(self.base_dir)
    record = state.State(self.base_dir, {'experiments': [], 'figures': []})
    task = Note('a')
    record.plan(task, [], False)
    failed = Driver(
        [task], self.base_dir, self.base_dir, self.engine, record, 1,
        lambda _: ['x'], self.events.append, (),
    ).run()
    self.assertEqual(failed, ['a'])
    self.assertIn('not finished', self.record()['a']['reason'])

  def test_waits_for_what_comes_before_whatever_the_cost(self):
    tasks = [Note('a', cost=1), Note('b', cost=9, after=('a',)),
             Note('c', cost=5)]
    self.assertEqual(self.drive(tasks, room=2), [])
    self.assertLess(self.names().index('a'), self.names().index('b'))

  def test_what_waits_for_a_failure_is_blocked_and_stops_no_other(self):
    tasks = [Note('a'), Note('b', cost=9, after=('a',)),
             Note('c', cost=9, after=('b',)), Note('d', cost=5)]
    failed = self.drive(tasks, {'a': [(1, False)]})
    self.assertCountEqual(failed, ['a', 'b', 'c'])
    self.assertCountEqual(self.names(), ['a', 'd'])
    found = self.record()
    self.assertEqual(found['b']['state'], 'blocked')
    self.assertEqual(found['c']['reason'], 'not started: b not finished')
    self.assertEqual(found['d']['state'], 'done')

  def test_looks_for_what_an_earlier_sweep_has_left(self):
    folder = pathlib.Path(self.base_dir)
    for name, file, text in (
        ('run', 'run.json', '{"status": "finished"}'),
        ('set', 'meta.json', '{}'),
        ('cut', 'run.json', '{"status": "fini'),
    ):
      (folder / name).mkdir()
      (folder / name / file).write_text(text)
    tasks = [Note(f'after_{x}', after=(x,)) for x in ('run', 'set', 'cut')]
    self.assertEqual(self.drive(tasks), ['after_cut'])

  def test_tells_what_happened(self):
    self.drive([Note('a'), Note('b')], {'a': [(1, False)]}, retries=1)
    told = {(x.name, x.state, x.text) for x in self.events}
    self.assertEqual(told, {
        ('a', 'waiting', 'ended with 1; tried again'),
        ('a', 'done', 'finished'),
        ('b', 'done', 'finished'),
    })

  def test_the_job_is_what_the_task_says(self):
    jobs = []

    class Keeping(ScriptedEngine):
      def start(self, job):
        jobs.append(job)
        super().start(job)

    self.engine = Keeping(self.base_dir)
    wanted = Resources(cpus=3, gpus=0.5)
    task = Note('x/y', cost=7.0, resources=wanted)
    (pathlib.Path(self.base_dir) / 'x').mkdir()
    record = state.State(self.base_dir, {'experiments': [], 'figures': []})
    record.plan(task, [], False)
    Driver(
        [task], self.base_dir, '/logs_here', self.engine, record, 1,
        lambda _: ['words'], self.events.append, (),
    ).run()
    [job] = jobs
    self.assertEqual(job.resources, wanted)
    self.assertEqual(job.minutes, 7.0)
    self.assertEqual(job.command, ('words',))
    self.assertEqual(str(job.log), '/logs_here/logs/x/y.txt')


if __name__ == '__main__':
  absltest.main()
