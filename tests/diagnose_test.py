"""The diagnose command on files of features; runs are in train_test.py."""

import pathlib

import numpy as np
import small_runs
from absl.testing import absltest, parameterized

from implicit_underparam import diagnose, errors

RNG = np.random.default_rng(0)


class DiagnoseTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.path = self.folder / 'features.npy'

  def command(self, *arguments: str):
    module = [*small_runs.command('')[:2], 'implicit_underparam.diagnose']
    return small_runs.run([*module, *arguments])

  def test_prints_and_draws(self):
    low = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 20))
    np.save(self.path, low.astype(np.float32))
    result = self.command(f'--features={self.path}')
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(result.stderr, '')
    self.assertIn('features: 300 x 20', result.stdout)
    line = next(x for x in result.stdout.splitlines() if 'srank' in x)
    self.assertEqual(line.split()[-1], '3')
    picture = (self.folder / 'features_spectrum.png').read_bytes()
    self.assertTrue(picture.startswith(b'\x89PNG'))
    self.assertGreater(len(picture), 10_000)

  def test_nan_is_one_line(self):
    features = np.ones((5, 4))
    features[2, 1] = np.nan
    np.save(self.path, features)
    result = self.command(f'--features={self.path}')
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('1 of the 20', result.stderr)

  def test_nothing_to_read_is_one_line(self):
    result = self.command()
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('--features=FILE.npy', result.stderr)

  @parameterized.parameters(
      (np.ones(4), r'shape \(4,\)'),
      (np.ones((2, 2, 2, 2)), 'shape'),
      (np.array(['a']), 'not an array of real numbers'),
      (np.ones((3, 3), complex), 'complex'),
  )
  def test_what_is_no_matrix_is_named(self, array, message):
    np.save(self.path, array)
    with self.assertRaisesRegex(errors.UserError, message):
      diagnose.load_features(self.path)

  def test_a_cut_file_is_named(self):
    np.save(self.path, np.ones((50, 4)))
    self.path.write_bytes(self.path.read_bytes()[:-9])
    with self.assertRaisesRegex(errors.UserError, 'features.npy'):
      diagnose.load_features(self.path)

  def test_seeds_are_columns(self):
    np.save(self.path, RNG.normal(size=(3, 40, 5)))
    loaded = diagnose.load_features(self.path)
    self.assertEqual(list(loaded), ['seed 0', 'seed 1', 'seed 2'])
    rows = {k: diagnose.measures(x, 0.01) for k, x in loaded.items()}
    header, *lines = diagnose.table(rows).splitlines()
    self.assertEqual(header.split(), ['seed', '0', 'seed', '1', 'seed', '2'])
    self.assertLen(lines, 10)


if __name__ == '__main__':
  absltest.main()
