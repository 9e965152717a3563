import itertools
import math

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.figures import seed_bootstrap, stratified


def _every_resample(values):
  """[n^n] means of all ordered draws, each as likely as the others."""
  n = len(values)
  return np.sort([np.mean(x) for x in itertools.product(values, repeat=n)])


class SeedBootstrapTest(parameterized.TestCase):

  @parameterized.parameters(2, 3, 4, 5)
  def test_ends_are_quantiles_of_all_draws(self, n):
    values = np.random.default_rng(n).normal(size=n)
    means = _every_resample(values)
    share = stratified.expanded([n])
    k = math.ceil((1 - share) / 2 * len(means) - 1e-6) - 1
    mean, low, high = seed_bootstrap.bands(values[:, None])
    np.testing.assert_allclose(
        [mean[0], low[0], high[0]],
        [values.mean(), means[max(k, 0)], means[len(means) - 1 - max(k, 0)]])

  @parameterized.parameters(2, 5, 7, 12)
  def test_resamples(self, n):
    times, probability = seed_bootstrap.resamples(n)
    np.testing.assert_array_equal(times.sum(1), n)
    self.assertAlmostEqual(probability.sum(), 1)
    # A seed is taken once on average.
    np.testing.assert_allclose(
        probability @ times, np.ones(n), atol=1e-9 if n < 8 else 0.1)

  def test_agrees_with_the_stratified_bootstrap_of_one_game(self):
    for n in (6, 12):
      values = np.random.default_rng(0).normal(size=n)
      drawn = stratified.of_numbers([values])
      _, low, high = seed_bootstrap.bands(values[:, None])
      width = drawn.high - drawn.low
      self.assertAlmostEqual(low[0], drawn.low, delta=0.08 * width)
      self.assertAlmostEqual(high[0], drawn.high, delta=0.08 * width)

  def test_seeds_that_stop_are_left_out_where_they_lack(self):
    values = np.random.default_rng(0).normal(size=(4, 6))
    values[1, 3:] = np.nan
    values[2:, 5] = np.nan
    mean, low, high = seed_bootstrap.bands(values)
    for points, seeds in (
        (slice(0, 3), [0, 1, 2, 3]), (slice(3, 5), [0, 2, 3])):
      expected = seed_bootstrap.bands(values[seeds, points])
      np.testing.assert_array_equal(
          [mean[points], low[points], high[points]], expected)
    self.assertEqual(mean[5], values[0, 5])
    self.assertTrue(np.isnan(low[5]) and np.isnan(high[5]))

  def test_infinite_values_have_no_interval(self):
    values = np.array([[1.0, 2, np.nan], [-np.inf, 3, np.nan]])
    mean, low, high = seed_bootstrap.bands(values)
    np.testing.assert_array_equal(mean, [-np.inf, 2.5, np.nan])
    np.testing.assert_array_equal(low, [np.nan, 2, np.nan])
    np.testing.assert_array_equal(high, [np.nan, 3, np.nan])

  def test_what_it_covers(self):
    # Of normal seeds; a plain percentile interval of 5 covers 84%.
    values = np.random.default_rng(0).normal(size=(5, 4000))
    _, low, high = seed_bootstrap.bands(values)
    covered = ((low <= 0) & (high >= 0)).mean()
    self.assertBetween(covered, 0.90, seed_bootstrap.coverage(5))
    self.assertEqual(seed_bootstrap.coverage(3), 0.75)


if __name__ == '__main__':
  absltest.main()
