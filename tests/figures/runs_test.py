import gzip
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection, runs, suites

_HEADER = 'seed,iteration,gradient_steps,environment_steps,srank\n'


class ReadTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _write(self, text):
    (self.folder / 'metrics.csv').write_text(text)

  def test_rows_by_seed_and_iteration(self):
    self._write(
        _HEADER + '3,0,1,0,5\n1,0,1,0,7.5\n3,1,2,0,6\n1,1,2,0,nan\n')
    run = runs.read(self.folder)
    np.testing.assert_array_equal(run.seeds, [1, 3])
    curves = run.curves('srank')
    np.testing.assert_array_equal(curves.iterations, [0, 1])
    np.testing.assert_array_equal(curves.values, [[7.5, np.nan], [5, 6]])
    self.assertEqual((run.num_iterations, run.status), (2, ''))

  def test_half_line_is_left_out(self):
    self._write(_HEADER + '0,0,10,0,5\n0,1,20,0,4')
    np.testing.assert_array_equal(
        runs.read(self.folder).curves('srank').values, [[5]])

  def test_no_row_yet(self):
    for text in ('', _HEADER[:9], _HEADER, _HEADER + '0,0,1'):
      self._write(text)
      self.assertIsNone(runs.read(self.folder), text)

  def test_compressed_is_the_same(self):
    plain = synthetic_runs.gridworld(self.folder / 'plain', [30, 20])
    packed = synthetic_runs.gridworld(
        self.folder / 'packed', [30, 20], compressed=True)
    np.testing.assert_array_equal(
        runs.read(plain).rows, runs.read(packed).rows)

  def test_status(self):
    path = synthetic_runs.gridworld(
        self.folder / 'run', [30], status='running')
    self.assertEqual(runs.read(path).status, 'running')

  @parameterized.parameters(
      ('finished', 9, 'cut short, 9 of 10 iterations'),
      ('finished', 10, 'finished'), ('running', 9, 'running'),
      (None, 9, 'cut short, 9 of 10 iterations'), (None, 10, ''))
  def test_rows_that_a_finished_run_lacks(self, status, rows, expected):
    path = synthetic_runs.gridworld(
        self.folder / 'run', [30.0] * rows, status=status)
    (path / 'config.gin').write_text('x = 1\nRunner.num_iterations = 10\n')
    self.assertEqual(runs.read(path).status, expected)

  def test_stopped_seed(self):
    path = synthetic_runs.write(self.folder / 'run', {
        'srank': {0: list(range(10)), 1: list(range(9)), 2: list(range(8))}})
    run = runs.read(path)
    # Seed 1 is one row behind, as in a file that grows.
    self.assertEqual(run.stopped(), {2: 7})
    np.testing.assert_array_equal(
        run.has_row(2), [True] * 8 + [False] * 2)
    np.testing.assert_array_equal(
        run.curves('srank').values[2, 7:], [7, np.nan, np.nan])

  def test_drawn_against_gradient_steps(self):
    self._write(
        _HEADER + '0,0,10,0,5\n1,0,14,0,7\n0,1,20,0,4\n1,1,24,0,6\n'
        '1,2,30,0,8\n')
    run = runs.read(self.folder)
    # The seeds' mean, and after seed 0 has ended that of seed 1.
    np.testing.assert_array_equal(
        run.curves('srank', 'gradient_steps').x, [12, 22, 30])
    np.testing.assert_array_equal(run.curves('srank').x, [0, 1, 2])
    self.assertEqual(run.gradient_steps, 30)

  def test_thinned(self):
    kept = [0, *range(4, 500, 5)]
    self._write(_HEADER + ''.join(f'0,{k},0,0,1\n' for k in kept))
    run = runs.read(self.folder)
    self.assertEqual((run.spacing, run.num_iterations), (5, 500))

  @parameterized.parameters(
      ('step,value\n1,2\n', 'does not begin with the columns'),
      (_HEADER + '0,0,1,1,5\n0,1,1,1,x\n', 'line 3 .* is not 5 numbers'),
      (_HEADER + '0,0,1,1,5\n0,1,1,1\n0,2,1,1,4\n', 'line 3 .* is not 5'),
      (_HEADER + '0,0,1,1,5\n0,0,1,1,5\n', 'two rows of seed 0, iteration 0'),
      (_HEADER + 'nan,0,1,1,5\n', 'without seed or iteration'),
  )
  def test_damaged(self, text, message):
    self._write(text)
    with self.assertRaisesRegex(UserError, message):
      runs.read(self.folder)

  def test_unreadable(self):
    (self.folder / 'metrics.csv').write_bytes(b'\xff\xfe\x00')
    with self.assertRaisesRegex(UserError, 'metrics.csv cannot be read'):
      runs.read(self.folder)

  @parameterized.parameters(b'no gzip', gzip.compress(b'text' * 99)[:-9])
  def test_damaged_archive(self, data):
    (self.folder / 'metrics.csv.gz').write_bytes(data)
    with self.assertRaisesRegex(UserError, 'metrics.csv.gz cannot be read'):
      runs.read(self.folder)

  def test_damaged_description(self):
    synthetic_runs.gridworld(self.folder / 'run', [30])
    (self.folder / 'run' / 'run.json').write_text('{')
    with self.assertRaisesRegex(UserError, 'run.json is not JSON'):
      runs.read(self.folder / 'run')

  def test_missing_column(self):
    self._write(_HEADER + '0,0,1,1,5\n')
    with self.assertRaisesRegex(UserError, "'loss'.*one of srank"):
      runs.read(self.folder).curves('loss')

  def test_missing_file(self):
    with self.assertRaisesRegex(UserError, 'holds no metrics.csv'):
      runs.read(self.folder)


class CollectionTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def test_finds_runs_at_any_depth_and_not_inside_runs(self):
    for path in ('a', 'deep/er/b', 'a/checkpoints/c'):
      synthetic_runs.gridworld(self.folder / path, [30])
    found = collection.find(self.folder)
    self.assertEqual(
        {name: [str(p.relative_to(self.folder)) for p in paths]
         for name, paths in found.items()},
        {'a': ['a'], 'b': ['deep/er/b']})

  def test_a_run_itself(self):
    path = synthetic_runs.gridworld(self.folder / 'a', [30])
    self.assertIsNotNone(collection.Collection(path).get('a'))

  def test_variant(self):
    synthetic_runs.gridworld(self.folder / 'a', [30])
    synthetic_runs.gridworld(self.folder / 'a_lr5e-3', [20])
    for variant, expected in (('', 30), ('lr5e-3', 20)):
      run = collection.Collection(self.folder, variant).get('a')
      self.assertEqual(run.curves('srank').values[0, 0], expected)
    self.assertIsNone(collection.Collection(self.folder, 'zz').get('a'))

  def test_two_of_one_name(self):
    for path in ('x/a', 'y/a', 'y/b'):
      synthetic_runs.gridworld(self.folder / path, [30])
    found = collection.Collection(self.folder)
    self.assertIsNotNone(found.get('b'))
    with self.assertRaisesRegex(UserError, 'several runs are called a: .*x/a'):
      found.get('a')

  def test_wrong_folders(self):
    with self.assertRaisesRegex(UserError, 'holds no run'):
      collection.find(self.folder)
    with self.assertRaisesRegex(UserError, 'is not a folder'):
      collection.find(self.folder / 'nowhere')

  @parameterized.parameters(
      ('oracle', '', '--base_dir=D/oracle '
       '--gin_files=gin_configs/gridworld/oracle.gin'),
      ('exact_penalty', 'lr5e-3', '--base_dir=D/exact_penalty_lr5e-3 '
       '--gin_files=gin_configs/gridworld/exact.gin '
       '--gin_files=gin_configs/gridworld/penalty.gin '
       "--gin_bindings='adam.learning_rate = 0.005'"),
  )
  def test_command(self, name, variant, expected):
    self.assertEqual(
        collection.command(name, variant, 'D'),
        f'python -m implicit_underparam.train {expected}')

  def test_command_of_another_suite(self):
    self.assertEqual(
        collection.command(
            'cql_offline_penalty', 'lr1e-4', 'D', suites.ATARI),
        'python -m implicit_underparam.train '
        '--base_dir=D/GAME/cql_offline_penalty_lr1e-4 '
        '--gin_files=gin_configs/atari/cql_offline.gin '
        '--gin_files=gin_configs/atari/penalty.gin '
        '--gin_bindings="game = \'GAME\'" '
        '--gin_bindings="OfflineData.path = \'PREPARED_SET\'" '
        "--gin_bindings='adam.learning_rate = 0.0001'")

  def test_two_suites_with_a_run_of_one_name(self):
    grid = synthetic_runs.gridworld(self.folder / 'x' / 'monte_carlo', [30])
    atari = synthetic_runs.atari(self.folder / 'y' / 'monte_carlo', [300])
    found = collection.Collection(self.folder)
    self.assertEqual(found.get('monte_carlo').path.parent, grid)
    self.assertEqual(
        found.of(suites.ATARI).get('monte_carlo').path.parent, atari)
    self.assertEqual(found.get('monte_carlo').path.parent, grid)

  def test_a_run_without_telling_columns_may_be_of_any_suite(self):
    synthetic_runs.write(self.folder / 'a', {'srank': {0: [30]}})
    found = collection.Collection(self.folder)
    for suite in (suites.GRIDWORLD, suites.ATARI, suites.ATARI_ONLINE):
      self.assertIsNotNone(found.of(suite).get('a'))

  def test_learning_rate(self):
    self.assertIsNone(collection.learning_rate(''))
    self.assertEqual(collection.learning_rate('lr5e-3'), 0.005)
    self.assertIsNone(collection.learning_rate('wide'))


if __name__ == '__main__':
  absltest.main()
