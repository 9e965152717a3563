import json
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection, run_parts, runs, suites


class RunPartsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _part(self, name, seeds, column='srank', status=None):
    return synthetic_runs.write(
        self.folder / 'whole' / name,
        {column: {s: [40 + s, 30 + s, 20 + s][:3 - s % 2] for s in seeds}},
        status=status)

  def test_the_rows_of_one_metrics_csv(self):
    self._part('seeds_0_3', (0, 3))
    self._part('seeds_1_2', (1, 2))
    synthetic_runs.write(self.folder / 'plain', {
        'srank': {s: [40 + s, 30 + s, 20 + s][:3 - s % 2] for s in range(4)}})
    whole = runs.read(self.folder / 'whole')
    plain = runs.read(self.folder / 'plain')
    np.testing.assert_array_equal(whole.rows, plain.rows)
    self.assertEqual(whole.columns, plain.columns)
    self.assertEqual(whole.stopped(), plain.stopped())

  def test_found_as_one_run(self):
    parts = [self._part('seeds_0', (0,)), self._part('seeds_1_10', (1, 10))]
    synthetic_runs.gridworld(self.folder / 'other', [30])
    found = collection.Collection(self.folder)
    self.assertEqual(found.names(), ['other', 'whole'])
    np.testing.assert_array_equal(found.get('whole').seeds, [0, 1, 10])
    own = collection.Collection(self.folder / 'whole')
    np.testing.assert_array_equal(own.get('whole').seeds, [0, 1, 10])
    part = collection.Collection(parts[0])
    np.testing.assert_array_equal(part.get('whole').seeds, [0])

  def test_the_configuration_is_that_of_a_part(self):
    for part in ('seeds_0_1', 'seeds_2_3'):
      path = self.folder / 'Asterix' / 'dqn_log' / part
      start = int(part[6])
      synthetic_runs.minatar(path, [80, 70], 1, {'srank': [80 + start] * 2})
      rows = (path / 'metrics.csv').read_text().replace('\n0,', f'\n{start},')
      (path / 'metrics.csv').write_text(rows)
    there = collection.Collection(self.folder).of(suites.MINATAR)
    self.assertEqual(list(there.games()), ['Asterix'])
    np.testing.assert_array_equal(there.get('dqn_log').seeds, [0, 2])

  def test_a_folder_with_rows_is_a_run_whatever_lies_in_it(self):
    synthetic_runs.write(self.folder / 'whole', {'srank': {7: [1.0]}})
    self._part('seeds_0', (0,))
    found = collection.Collection(self.folder)
    self.assertEqual(found.names(), ['whole'])
    np.testing.assert_array_equal(found.get('whole').seeds, [7])

  @parameterized.parameters(
      (('finished', 'finished'), 'finished'),
      (('finished', 'running'), 'running'),
      (('failed', 'running'), 'failed'),
      (('finished', None), ''),
      ((None, None), ''),
  )
  def test_status_is_the_worst(self, statuses, expected):
    for i, status in enumerate(statuses):
      self._part(f'seeds_{i}', (i,), status=status)
    self.assertEqual(runs.read(self.folder / 'whole').status, expected)

  def test_a_part_that_is_cut_short(self):
    for i in range(2):
      part = self._part(f'seeds_{2 * i}', (2 * i,), status='finished')
      (part / 'config.gin').write_text(f'Runner.num_iterations = {3 + i}\n')
    self.assertEqual(
        runs.read(self.folder / 'whole').status,
        'cut short, 3 of 4 iterations')

  def test_a_part_without_a_row(self):
    self._part('seeds_0', (0,), status='finished')
    empty = self.folder / 'whole' / 'seeds_1'
    empty.mkdir()
    (empty / 'run.json').write_text(json.dumps({'status': 'failed'}))
    whole = runs.read(self.folder / 'whole')
    np.testing.assert_array_equal(whole.seeds, [0])
    self.assertEqual(whole.status, 'failed')
    (self.folder / 'whole' / 'seeds_0' / 'metrics.csv').write_text('')
    self.assertIsNone(runs.read(self.folder / 'whole'))

  def test_a_seed_in_two_parts(self):
    self._part('seeds_0_1', (0, 1))
    self._part('seeds_1_2', (1, 2))
    with self.assertRaisesRegex(
        UserError, r'^seed 1 of \S+/whole is in \S+seeds_0_1/metrics.csv and '
        r'in \S+seeds_1_2/metrics.csv: take one away$'):
      runs.read(self.folder / 'whole')

  def test_columns_that_differ(self):
    self._part('seeds_0', (0,))
    self._part('seeds_1', (1,), column='loss')
    with self.assertRaisesRegex(UserError, 'differ in their columns'):
      runs.read(self.folder / 'whole')

  @parameterized.parameters(
      ('seeds_0', True), ('seeds_0_12', True), ('seeds_', False),
      ('seeds_0_', False), ('my_seeds_0', False), ('seeds_a', False))
  def test_names(self, name, expected):
    self.assertEqual(run_parts.is_part(name), expected)

  def test_no_part(self):
    (self.folder / 'whole').mkdir()
    with self.assertRaisesRegex(UserError, 'holds no metrics.csv'):
      runs.read(self.folder / 'whole')


if __name__ == '__main__':
  absltest.main()
