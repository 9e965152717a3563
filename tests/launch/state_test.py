"""Tests of sweep.json, of its lock, and of the table that is made of it."""

import json
import os
import pathlib
import socket
import subprocess
import time

from absl.testing import absltest, parameterized

from launch import state, status
from launch.errors import SweepError
from launch.run import Resources, Run

_ABOUT = {'sweep': 's', 'scale': 'laptop', 'engine': 'local',
          'experiments': ['A'], 'figures': ['1']}


class StateTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.base_dir = self.create_tempdir().full_path

  def read(self):
    return json.loads((pathlib.Path(self.base_dir) / 'sweep.json').read_text())

  def test_holds_what_the_report_reads(self):
    record = state.State(self.base_dir, _ABOUT)
    run = Run('g/a', seeds=(0, 1), cost=3.0, after=('b',),
              resources=Resources(2, 0.5))
    record.plan(run, ['python', 'x'], finished=False)
    record.attempt('g/a')
    record.set('g/a', state.RUNNING)
    record.set('g/a', state.FAILED, 'why')
    record.end('failed')
    found = self.read()
    times = {key: found.pop(key) for key in ('started', 'updated', 'ended')}
    self.assertLessEqual(times['started'], times['ended'])
    self.assertEqual(found.pop('pid'), os.getpid())
    del found['host']
    one = found['runs']['g/a']
    self.assertLessEqual(one.pop('started'), one.pop('ended'))
    self.assertEqual(found, {
        'format': 1, **_ABOUT, 'state': 'failed', 'runs': {'g/a': {
            'state': 'failed', 'reason': 'why', 'attempts': 1,
            'log': 'logs/g/a.txt', 'command': ['python', 'x'], 'minutes': 3.0,
            'scale': 'laptop', 'seeds': [0, 1], 'after': ['b'],
            'cpus': 2, 'gpus': 0.5, 'tpus': 0,
        }},
    })

  def test_keeps_what_an_earlier_sweep_left(self):
    first = state.State(self.base_dir, _ABOUT)
    first.plan(Run('a'), [], finished=False)
    first.attempt('a')
    first.set('a', state.RUNNING)
    first.set('a', state.DONE)
    first.end('finished')
    second = state.State(self.base_dir, {
        **_ABOUT, 'sweep': 't', 'experiments': ['B', 'A'], 'figures': ['2'],
    })
    second.plan(Run('b'), [], finished=False)
    second.plan(Run('a'), [], finished=True)
    second.write()
    found = self.read()
    self.assertEqual(found['experiments'], ['A', 'B'])
    self.assertEqual(found['figures'], ['1', '2'])
    self.assertEqual(found['runs']['a']['attempts'], 1)
    self.assertIsNotNone(found['runs']['a']['ended'])
    self.assertEqual(found['runs']['b']['state'], 'waiting')

  def test_stopped_runs_wait_for_the_next_time(self):
    record = state.State(self.base_dir, _ABOUT)
    for name in 'ab':
      record.plan(Run(name), [], finished=name == 'b')
    record.set('a', state.RUNNING)
    record.end('stopped')
    runs = self.read()['runs']
    self.assertEqual(runs['a']['state'], 'waiting')
    self.assertEqual(runs['b']['state'], 'done')

  def test_a_cut_file_is_none(self):
    (pathlib.Path(self.base_dir) / 'sweep.json').write_text('{"runs": {"a')
    self.assertEqual(state.read(self.base_dir), {})
    state.State(self.base_dir, _ABOUT).write()
    self.assertEqual(self.read()['runs'], {})


class LockTest(absltest.TestCase):

  def test_the_second_is_refused_in_one_line_with_the_first_s_name(self):
    base_dir = self.create_tempdir().full_path
    with state.locked(base_dir):
      with self.assertRaisesRegex(SweepError, f'process {os.getpid()}') as no:
        with state.locked(base_dir):
          self.fail('both hold it')
      self.assertNotIn('\n', str(no.exception))
    with state.locked(base_dir):
      pass

  def test_a_folder_that_cannot_be_made_is_one_line(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'file'
    path.touch()
    with self.assertRaisesRegex(SweepError, 'Not a directory'):
      with state.locked(str(path / 'below')):
        self.fail('it was made')

  def test_behind_a_url_a_word_a_moment_ago_holds_it(self):
    base_dir = f'file://{self.create_tempdir().full_path}'
    with state.locked(base_dir):
      record = state.State(base_dir, _ABOUT)
      record.write()
      with self.assertRaisesRegex(SweepError, 'in use'):
        with state.locked(base_dir):
          self.fail('both hold it')
      record.end('stopped')
      with state.locked(base_dir):
        pass


class StatusTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.base_dir = pathlib.Path(self.create_tempdir().full_path)
    self.now = time.time()

  def run_entry(self, state_, started=None, ended=None, reason=''):
    return {'state': state_, 'reason': reason, 'started': started,
            'ended': ended, 'minutes': 10.0}

  def record(self, **runs):
    return {'sweep': 's', 'scale': 'smoke', 'engine': 'ray',
            'state': 'running', 'updated': self.now, 'runs': runs}

  def test_rows_states_progress_and_time_left(self):
    folder = self.base_dir / 'going'
    folder.mkdir()
    (folder / 'config.gin').write_text('Runner.num_iterations = 8\n')
    (folder / 'metrics.csv').write_text(
        'seed,iteration,loss\n0,0,1\n1,0,1\n0,1,1\n1,1,1\n0,2,1\n1,')
    lines = status.lines(str(self.base_dir), self.record(
        # Twice as long as expected: so is all that is left.
        past=self.run_entry('done', self.now - 1200, self.now),
        going=self.run_entry('running', self.now - 600),
        broken=self.run_entry('failed', self.now - 60, self.now, 'why'),
        later=self.run_entry('waiting'),
    ))
    found = {x.name: x for x in lines}
    self.assertEqual(
        [x.name for x in lines], ['going', 'broken', 'later', 'past'])
    self.assertEqual(found['going'].progress, '2/8')
    self.assertAlmostEqual(found['going'].left, 20 * 6 / 8, places=3)
    self.assertAlmostEqual(found['later'].left, 20, places=3)
    self.assertAlmostEqual(found['past'].minutes, 20, places=3)
    self.assertEqual(found['broken'].reason, 'why')
    self.assertEqual(found['broken'].left, 0)

  def test_the_table_says_all_of_it_and_fits(self):
    runs = {f'run_{i}': self.run_entry('waiting') for i in range(30)}
    record = self.record(bad=self.run_entry('failed', 1.0, 2.0, 'x' * 300),
                         **runs)
    text = status.table(str(self.base_dir), record, height=12, width=60)
    lines = text.split('\n')
    self.assertLessEqual(len(lines), 12)
    self.assertLessEqual(max(map(len, lines)), 60)
    self.assertIn('1 failed, 30 waiting', text)
    self.assertIn('bad', text)
    self.assertIn('... and 24 more', text)

  @parameterized.parameters(
      ('running', 0.0, True), ('running', 1000.0, False),
      ('finished', 0.0, False),
  )
  def test_a_driver_that_says_nothing_is_dead(self, state_, age, alive):
    record = {**self.record(), 'state': state_, 'updated': self.now - age}
    self.assertEqual(status.is_alive(record), alive)

  def test_a_driver_that_this_machine_has_no_more_is_dead(self):
    gone = subprocess.Popen(['true'])
    gone.wait()
    for pid, host, alive in (
        (os.getpid(), socket.gethostname(), True),
        (gone.pid, socket.gethostname(), False),
        (gone.pid, 'another', True),
    ):
      record = {**self.record(), 'pid': pid, 'host': host}
      self.assertEqual(status.is_alive(record), alive)

  @parameterized.parameters(
      (None, 'holds no sweep.json'), ('{"sweep": "s", "ru', 'is damaged'),
      ('{"runs": {"a": {}}}', 'is damaged'),
      ('{"runs": {"a": {"state": "odd"}}}', 'is damaged'))
  def test_what_cannot_be_shown_is_one_line(self, text, expected):
    if text is not None:
      (self.base_dir / state.FILE).write_text(text)
    with self.assertRaisesRegex(SweepError, expected) as caught:
      status.watch(str(self.base_dir))
    self.assertNotIn('\n', str(caught.exception))


if __name__ == '__main__':
  absltest.main()
