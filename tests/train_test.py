"""The command as a user types it: what it leaves, and how it says no."""

import csv
import json
import pathlib
import resource
import shutil
import subprocess
import tempfile

import small_runs
from absl.testing import absltest, parameterized

from implicit_underparam import errors, train

COLUMNS = (
    'srank', 'srank_free', 'srank_minibatch', 'normalized_return',
    'eval_return', 'q_star_error', 'q_star_fit_error', 'loss', 'td_error',
    'dead_fraction', 'feature_norm', 'sigma_max', 'sigma_min',
)  # fmt: skip


class FinishedRunTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.TemporaryDirectory()
    cls.base_dir = pathlib.Path(cls.folder.name) / 'run'
    cls.result = small_runs.run(small_runs.command(cls.base_dir))

  @classmethod
  def tearDownClass(cls):
    cls.folder.cleanup()
    super().tearDownClass()

  def copy(self) -> pathlib.Path:
    copy = pathlib.Path(self.create_tempdir().full_path) / 'run'
    shutil.copytree(self.base_dir, copy)
    return copy

  def assert_one_line(self, result: subprocess.CompletedProcess, *words: str):
    """One line on the screen that says all of `words`, exit code not 0."""
    self.assertNotEqual(result.returncode, 0)
    lines = result.stderr.strip().splitlines()
    self.assertLen(lines, 1, result.stderr)
    for word in words:
      self.assertIn(word, lines[0])

  def test_says_one_line_and_leaves_the_folder_of_the_design(self):
    self.assertEqual(self.result.returncode, 0, self.result.stderr)
    self.assertEqual(self.result.stderr, '')
    self.assertLen(self.result.stdout.strip().splitlines(), 1)
    for name in (
        'metrics.csv', 'config.gin', 'run.json', 'checkpoints', 'tensorboard',
        'summary.png',
    ):  # fmt: skip
      self.assertTrue((self.base_dir / name).exists(), name)
    status = json.loads((self.base_dir / 'run.json').read_text())
    self.assertEqual(status['status'], 'finished')
    self.assertEqual(status['seeds'], [0, 1])

  def test_rows_are_one_a_seed_and_iteration(self):
    with open(self.base_dir / 'metrics.csv', newline='') as file:
      rows = list(csv.DictReader(file))
    self.assertEqual(
        list(rows[0])[:4],
        ['seed', 'iteration', 'gradient_steps', 'environment_steps'],
    )
    self.assertContainsSubset(COLUMNS, rows[0])
    keys = [(int(x['iteration']), int(x['seed'])) for x in rows]
    self.assertEqual(keys, [(i, s) for i in range(24) for s in (0, 1)])
    self.assertEqual(
        [int(x['gradient_steps']) for x in rows[::2]],
        [5 * (i + 1) for i in range(24)],
    )
    self.assertEqual({x['environment_steps'] for x in rows}, {'0'})
    self.assertNotEqual(rows[0]['srank_free'], rows[-2]['srank_free'])

  def test_the_configuration_written_runs_again(self):
    other = self.create_tempdir().full_path + '/again'
    result = small_runs.run([
        *small_runs.command(other)[:3], f'--base_dir={other}',
        f'--gin_files={self.base_dir / "config.gin"}',
    ])  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(
        pathlib.Path(other, 'metrics.csv').read_bytes(),
        (self.base_dir / 'metrics.csv').read_bytes(),
    )

  def test_another_configuration_is_refused_and_named(self):
    result = small_runs.run(
        small_runs.command(self.base_dir, ['adam.learning_rate = 0.01'])
    )
    self.assert_one_line(result, 'adam.learning_rate', '0.001', '0.01')

  def test_a_checkpoint_cut_short_is_named(self):
    copy = self.copy()
    newest = max((copy / 'checkpoints').iterdir(), key=lambda x: x.name)
    data = max(
        (x for x in newest.rglob('*') if x.is_file()),
        key=lambda x: x.stat().st_size,
    )
    data.write_bytes(data.read_bytes()[:-50])
    before = (copy / 'metrics.csv').read_bytes()
    result = small_runs.run(
        small_runs.command(copy, ['Runner.num_iterations = 30'])
    )
    self.assert_one_line(result, str(newest), 'remove it')
    self.assertEqual((copy / 'metrics.csv').read_bytes(), before)
    shutil.rmtree(newest)
    result = small_runs.run(small_runs.command(copy))
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual((copy / 'metrics.csv').read_bytes(), before)

  def test_a_full_disk_is_said_and_the_run_goes_on_later(self):
    base_dir = pathlib.Path(self.create_tempdir().full_path) / 'run'
    # The compiled programs are in the cache, so that only the run is limited;
    # 9 kB is a part of metrics.csv.
    result = small_runs.run(
        small_runs.command(base_dir, ['Runner.checkpoint_every = 1']),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY)
        ),
    )
    self.assert_one_line(result, str(base_dir), 'free space')
    result = small_runs.run(
        small_runs.command(base_dir, ['Runner.checkpoint_every = 1'])
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(
        (base_dir / 'metrics.csv').read_bytes(),
        (self.base_dir / 'metrics.csv').read_bytes(),
    )

  def test_diagnose_reads_the_run(self):
    result = small_runs.run([
        *small_runs.command('')[:2], 'implicit_underparam.diagnose',
        f'--base_dir={self.base_dir}', '--checkpoint=20',
    ])  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stderr)
    with open(self.base_dir / 'metrics.csv', newline='') as file:
      rows = list(csv.DictReader(file))
    row = next(
        line for line in result.stdout.splitlines() if 'srank' in line
    ).split()
    # 20 iterations done: the measures of iteration 19.
    self.assertEqual(row[-2:], [rows[38]['srank'], rows[39]['srank']])
    self.assertTrue((self.base_dir / 'spectrum.png').exists())
    self.assertEqual(result.stderr, '')

  def test_diagnose_names_a_missing_checkpoint(self):
    result = small_runs.run([
        *small_runs.command('')[:2], 'implicit_underparam.diagnose',
        f'--base_dir={self.base_dir}', '--checkpoint=7',
    ])  # fmt: skip
    self.assert_one_line(result, '7', '20', '24')


class WrongCommandTest(parameterized.TestCase):

  @parameterized.parameters(
      ('Runner.num_iteration = 3', 'num_iteration', "'num_iterations'"),
      ('Runer.num_iterations = 3', 'Runer', "'Runner'"),
      ('FQIAgent.target_rule = @optimal_targets', 'optimal_targets', '@'),
      ('Runner.num_iterations = 3 3', 'Runner.num_iterations = 3 3', ''),
      ('Runner.num_iterations = 0', 'Runner.num_iterations is 0', ''),
      ('Runner.seeds = (1, 1)', 'Runner.seeds', ''),
      ('MLPNetwork.num_actions = 4', 'MLPNetwork.num_actions = 5', ''),
      ("Runner.metrics = {'srank@wals': @srank}", 'wals', 'free'),
      ('Learner.penalty_coefficient = 0.1', 'Learner.penalty', ''),
      ('TabularReplay.capacity = 10', 'TabularReplay.capacity', ''),
      ('FittedIteration.gradient_steps = 0', 'gradient_steps is 0', ''),
      ('temprature = 0.2', "nothing uses 'temprature'", "'temperature'"),
      ('import no_such_module', 'no_such_module', ''),
      ('Runner.seeds = (0, 1', 'Runner.seeds = (0, 1', 'not closed'),
      ('Runner.seeds = (0, foo)', ': foo is not a value: ', "'foo'"),
      ("include 'no_such.gin'", 'no_such.gin', ''),
      ('FQIAgent.target_rule = @monte_carlo_targets', 'monte_carlo_horizon'),
      ('FQIAgent.target_rule = None', 'FQIAgent.target_rule', ''),
      ('MLPNetwork.hidden_units = 64', 'MLPNetwork.hidden_units', ''),
      ('Learner.target_update_period = 2.5', 'target_update_period is 2.5'),
      ("adam.learning_rate = 'x'", 'adam.learning_rate', ''),
      ("Runner.metrics = {'loss': @srank}", 'Runner.metrics', 'taken'),
      ("Runner.metrics = {'x': 3}", 'Runner.metrics', '3'),
  )
  def test_a_wrong_binding_is_one_line(self, binding, *words):
    base_dir = pathlib.Path(self.create_tempdir().full_path) / 'run'
    bindings = [*small_runs.BINDINGS, binding]
    small_runs.check_refused(
        self, base_dir, [small_runs.GIN_FILE], bindings, *words
    )
    self.assertFalse((base_dir / 'metrics.csv').exists())

  def test_a_name_without_quotes_in_an_included_file_is_placed(self):
    inner = self.create_tempfile('inner.gin', '\nRunner.seeds = (0,\n foo)\n')
    outer = self.create_tempfile(
        'outer.gin', f"include '{inner.full_path}'\n"
    )
    with self.assertRaisesRegex(
        errors.UserError, r'outer.gin: foo is not a value \(inner.gin, line 3\)'
    ):
      train.run('unused', [outer.full_path], [])

  def test_the_command_prints_that_line_alone(self):
    base_dir = pathlib.Path(self.create_tempdir().full_path) / 'run'
    binding = 'Runner.num_iteration = 3'
    result = small_runs.run(small_runs.command(base_dir, [binding]))
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1, result.stderr)
    self.assertIn("did you mean 'num_iterations'?", result.stderr)

  def test_a_misspelled_file_is_named_with_the_nearest(self):
    result = small_runs.run(
        small_runs.command('/nowhere', gin_files=['gridworld/ofline_fqi.gin'])
    )
    self.assertNotEqual(result.returncode, 0)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('ofline_fqi.gin', result.stderr)
    self.assertIn('offline_fqi.gin', result.stderr)

  def test_a_base_dir_that_is_a_file_is_named(self):
    path = self.create_tempfile('taken').full_path
    result = small_runs.run(small_runs.command(path))
    self.assertNotEqual(result.returncode, 0)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('--base_dir', result.stderr)
    self.assertIn(path, result.stderr)

  def test_a_second_process_is_refused(self):
    base_dir = pathlib.Path(self.create_tempdir().full_path) / 'run'
    arguments = small_runs.command(base_dir, ['Runner.num_iterations = 5000'])
    first = subprocess.Popen(
        arguments, env=small_runs.environment(), stdout=subprocess.DEVNULL
    )
    try:
      while first.poll() is None and not (base_dir / 'metrics.csv').exists():
        pass
      second = small_runs.run(arguments)
    finally:
      first.kill()
      first.wait()
    self.assertNotEqual(second.returncode, 0)
    self.assertLen(second.stderr.strip().splitlines(), 1)
    self.assertIn(str(first.pid), second.stderr)


if __name__ == '__main__':
  absltest.main()
