"""Tests of what a sweep's data become: tasks, parts, command lines."""

import os
import pathlib
import sys

from absl.testing import absltest, parameterized

from launch import catalog, planning, preflight, run
from launch.errors import SweepError
from launch.experiment import Sweep, merged, together
from launch.grid import NONE, Grid, Setting, runs
from launch.run import Preparation, Resources, Run

_ROOT = pathlib.Path(__file__).parent.parent.parent
_NOTHING = planning.Override()


def sweep(*tasks):
  return Sweep('title', ('A',), ('1',), {'laptop': tasks})


class GridTest(absltest.TestCase):

  def test_is_every_combination(self):
    penalty = Setting(
        '_penalty', ('penalty_{game}.gin',), ('p.n = {n}',), cost=2.0
    )
    found = Grid(
        '{game}/dqn_n{n}{penalty}',
        ('dqn.gin',),
        ("game = '{game}'", "path = '{{base_dir}}/{game}_{{seed}}'"),
        {'game': ('Pong', 'Qbert'), 'n': (1, 0.25), 'penalty': (NONE, penalty)},
        last_files=('last.gin',),
        seeds=(3, 4),
        cost=5.0,
        after=('{game}/log',),
    ).runs()
    self.assertEqual([x.name for x in found], [
        'Pong/dqn_n1', 'Pong/dqn_n1_penalty', 'Pong/dqn_n0.25',
        'Pong/dqn_n0.25_penalty', 'Qbert/dqn_n1', 'Qbert/dqn_n1_penalty',
        'Qbert/dqn_n0.25', 'Qbert/dqn_n0.25_penalty',
    ])
    self.assertEqual(found[3], Run(
        'Pong/dqn_n0.25_penalty',
        gin_files=('dqn.gin', 'penalty_Pong.gin', 'last.gin'),
        gin_bindings=(
            "game = 'Pong'", "path = '{base_dir}/Pong_{seed}'", 'p.n = 0.25'),
        seeds=(3, 4), cost=10.0, after=('Pong/log',),
    ))

  def test_several_share_what_they_share(self):
    one, two = Grid('a', ('x.gin',)), Grid('b', ('x.gin',))
    self.assertLen(runs([one, two, one]), 2)

  def test_two_runs_of_one_name_are_a_mistake(self):
    grid = Grid('x', ('x.gin',), ('p.a = {a}',), axes={'a': (1, 2)})
    with self.assertRaisesRegex(ValueError, 'two runs are called x, and'):
      runs([grid])

  def test_a_name_is_of_a_folder_below(self):
    for name in ('../x', '/x', '', 'x/', 'x//y', 'x/../y', '.'):
      with self.assertRaisesRegex(ValueError, 'write a name, or folder/name'):
        Run(name)

  def test_two_tasks_of_one_name_are_a_mistake(self):
    with self.assertRaisesRegex(ValueError, 'two tasks are called a'):
      merged([[Run('a')], [Run('a', seeds=(1,))]])
    found = together('t', [sweep(Run('a')), sweep(Run('a'), Run('b'))])
    self.assertEqual([x.name for x in found.scales['laptop']], ['a', 'b'])


class TasksTest(parameterized.TestCase):

  def test_seeds_are_packed_as_they_fit_and_waited_for_together(self):
    there = sweep(
        Run('a', seeds=(0, 1, 2, 3, 4), cost=10.0,
            resources=Resources(seeds_per_run=2)),
        Run('b', seeds=(0, 1), after=('a',)),
    )
    found = planning.tasks(there, 's', 'laptop', _NOTHING)
    self.assertEqual(
        [(x.name, x.seeds, x.cost) for x in found[:3]],
        [('a/seeds_0_1', (0, 1), 4.0), ('a/seeds_2_3', (2, 3), 4.0),
         ('a/seeds_4', (4,), 2.0)])
    self.assertEqual(
        found[3].after, ('a/seeds_0_1', 'a/seeds_2_3', 'a/seeds_4'))
    self.assertEqual(found[2].bindings, ('Runner.seeds = (4,)',))

  @parameterized.parameters(
      (0, ['a']), (5, ['a']), (1, [f'a/seeds_{i}' for i in range(5)]))
  def test_a_flag_says_how_many_fit(self, size, names):
    there = sweep(Run('a', seeds=(0, 1, 2, 3, 4)))
    override = planning.Override(seeds_per_run=size)
    found = planning.tasks(there, 's', 'laptop', override)
    self.assertEqual([x.name for x in found], names)

  def test_flags_take_the_place_of_resources(self):
    there = sweep(Run('a', resources=Resources(4, 1.0, 0)))
    override = planning.Override(cpus=1, gpus=0.0)
    [found] = planning.tasks(there, 's', 'laptop', override)
    self.assertEqual(found.resources, Resources(1, 0.0, 0))

  def test_a_scale_that_there_is_not_is_one_line(self):
    with self.assertRaisesRegex(SweepError, 'choose one of laptop'):
      planning.tasks(sweep(Run('a')), 's', 'paper', _NOTHING)

  def test_counts_and_times(self):
    there = sweep(Run('a', cost=90.0), Run('b', cost=60.0))
    self.assertEqual(planning.extent(there, 'laptop'), '2 runs, 2.5 h')
    self.assertEqual(planning.extent(there, 'paper'), '')


class CommandTest(absltest.TestCase):

  def test_of_a_run(self):
    task = Run('g/a', gin_files=('f.gin',), seeds=(0,),
               gin_bindings=("x = '{base_dir}/b/{seed}'",))
    self.assertEqual(planning.command(task, '/D'), [
        sys.executable, '-m', 'implicit_underparam.train',
        '--base_dir=/D/g/a', '--gin_files=f.gin',
        "--gin_bindings=x = '/D/b/{seed}'",
        '--gin_bindings=Runner.seeds = (0,)',
    ])

  def test_of_a_preparation(self):
    task = Preparation('prepared/a', source='{base_dir}/log',
                       options=('--fraction=0.2',))
    self.assertEqual(planning.command(task, '/D')[2:], [
        'implicit_underparam.data.prepare', '--source=/D/log',
        '--out=/D/prepared/a', '--fraction=0.2',
    ])

  def test_a_remote_folder_is_worked_on_as_a_copy(self):
    words = planning.command(Run('g/a'), 'gs://b/d')
    self.assertEqual(words[2:4], ['launch.mirror', '--remote=gs://b/d/g/a'])
    copy = words[4].removeprefix('--local=')
    self.assertTrue(os.path.isabs(copy))
    self.assertEndsWith(copy, '/g/a')
    self.assertIn(f'--base_dir={copy}', words)
    self.assertNotEqual(
        planning.local_copy('gs://b/d', 'x'), planning.local_copy('gs://c', 'x')
    )


class PreflightTest(absltest.TestCase):

  def test_names_the_run_and_its_wrong_binding(self):
    file = 'gin_configs/gridworld/offline_fqi.gin'
    runs_ = [
        Run('good', gin_files=(file,), seeds=(0,)),
        Run('grid', gin_files=(file,),
            gin_bindings=('Learner.penalty_coeficient = 0.1',)),
        Run('file', gin_files=('gin_configs/gridworld/none.gin',)),
        Run('value', gin_files=(file,),
            gin_bindings=('Runner.num_iterations = -1',)),
        Run('inner', gin_files=(file,),
            gin_bindings=("FittedIteration.gradient_steps = 2.5",)),
        Preparation('set'),
    ]
    wrong = preflight.check(runs_, '/D')
    self.assertEqual(
        [x.name for x in wrong], ['grid', 'file', 'value', 'inner'])
    self.assertIn("did you mean 'penalty_coefficient'", wrong[0].error)
    self.assertIn('none.gin', wrong[1].error)
    self.assertIn('num_iterations', wrong[2].error)
    self.assertIn('gradient_steps is 2.5', wrong[3].error)
    text = preflight.describe(wrong, 5)
    self.assertIn('(4 of 5 runs are wrong); nothing was started', text)

  def test_what_is_there_and_goes_on_has_the_same_bindings(self):
    base_dir = pathlib.Path(self.create_tempdir().full_path)
    (base_dir / 'a').mkdir()
    config = base_dir / 'a' / 'config.gin'
    file = 'gin_configs/gridworld/offline_fqi.gin'
    same = (
        'FittedIteration.gradient_steps = 200\nRunner.seeds = (0, 1)\n'
        'Runner.num_iterations = 3\nunused.here = 4\n')
    for text, expected in (
        (same, ''), (same.replace('200', '10'), 'gradient_steps was 10 '),
        (same.replace('(0, 1)', '(0,)'), r'was \(0,\) .* is \(0, 1\) now'),
    ):
      config.write_text(text)
      wrong = preflight.check(
          [Run('a', gin_files=(file,), seeds=(0, 1)),
           Run('new', gin_files=(file,))], str(base_dir))
      self.assertLen(wrong, bool(expected))
      if wrong:
        self.assertRegex(wrong[0].error, expected)
        self.assertIn(f'the run in {base_dir}/a was', wrong[0].error)

  def test_nothing_to_check_takes_no_process(self):
    self.assertEqual(preflight.check([Preparation('a')], '/D'), [])


class FileTest(parameterized.TestCase):

  def test_a_sweep_may_be_a_file_of_one_s_own(self):
    path = self.create_tempfile('mine.py', (
        'from launch.experiment import Sweep\n'
        'from launch.run import Run\n'
        "SWEEP = Sweep('t', (), (), {'laptop': (Run('a'),)})\n"
    ))
    found = catalog.load(path.full_path)
    self.assertEqual(found.scales['laptop'], (Run('a'),))

  @parameterized.parameters(
      ('SWEEP = 1', 'it has no SWEEP'),
      ('import none_such', 'ModuleNotFoundError: No module'),
      ('a = [', 'SyntaxError'),
  )
  def test_a_wrong_file_is_one_line(self, text, part):
    path = self.create_tempfile('mine.py', text).full_path
    with self.assertRaisesRegex(SweepError, part) as caught:
      catalog.load(path)
    self.assertNotIn('\n', str(caught.exception))

  def test_the_document_s_example_is_what_it_says(self):
    text = (_ROOT / 'docs' / 'sweeps.md').read_text()
    code = text.split('```python\n')[1].split('```')[0]
    path = self.create_tempfile('mine.py', code).full_path
    found = planning.tasks(catalog.load(path), 's', 'laptop', _NOTHING)
    self.assertLen(found, 12)
    self.assertIn('Asterix/cql_offline_20_alpha0.01', [x.name for x in found])
    self.assertEqual(preflight.check(found, '/D'), [])

  def test_so_is_a_missing_one(self):
    with self.assertRaisesRegex(SweepError, 'there is no such file'):
      catalog.load('none/such.py')


class SplitTest(absltest.TestCase):

  def test_what_is_not_in_the_sweep_is_waited_for_by_its_name(self):
    [found] = run.split([Run('a', after=('elsewhere',))])
    self.assertEqual(found.after, ('elsewhere',))


if __name__ == '__main__':
  absltest.main()
