import itertools
import math

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.figures import statistics


class QuantileTest(parameterized.TestCase):

  @parameterized.parameters(
      # Printed tables of Student's t, three decimals.
      (0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182),
      (0.975, 4, 2.776), (0.975, 9, 2.262), (0.975, 30, 2.042),
      (0.975, 120, 1.980), (0.995, 4, 4.604), (0.95, 7, 1.895),
      (0.9, 5, 1.476),
  )
  def test_tables(self, probability, degrees, expected):
    self.assertAlmostEqual(
        statistics.t_quantile(probability, degrees), expected, delta=5.1e-4)

  @parameterized.parameters(0.5, 0.6, 0.9, 0.975, 0.9999)
  def test_closed_forms(self, p):
    np.testing.assert_allclose(
        statistics.t_quantile(p, 1), math.tan(math.pi * (p - 0.5)),
        rtol=1e-9, atol=1e-9)
    two = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    np.testing.assert_allclose(
        statistics.t_quantile(p, 2), two, rtol=1e-9, atol=1e-9)
    self.assertEqual(
        statistics.t_quantile(1 - p, 2.5), -statistics.t_quantile(p, 2.5))

  @parameterized.parameters(1, 2.5, 4, 17.3)
  def test_distribution_is_the_integral_of_the_density(self, degrees):
    x = np.linspace(0, 3, 200_001)
    log_scale = (
        math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
        - 0.5 * math.log(degrees * math.pi))
    density = np.exp(
        log_scale - (degrees + 1) / 2 * np.log1p(x**2 / degrees))
    integral = np.sum((density[1:] + density[:-1]) / 2) * (x[1] - x[0])
    self.assertAlmostEqual(
        statistics.t_distribution(3, degrees), 0.5 + integral, places=9)
    self.assertAlmostEqual(
        statistics.t_distribution(-3, degrees), 0.5 - integral, places=9)

  def test_incomplete_beta_is_a_binomial_tail(self):
    # I_x(k, n - k + 1) = P(Binomial(n, x) >= k).
    for n, k, x in itertools.product((3, 8), (1, 3), (0.0, 0.2, 0.7, 1.0)):
      tail = sum(
          math.comb(n, j) * x**j * (1 - x)**(n - j) for j in range(k, n + 1))
      self.assertAlmostEqual(
          statistics.incomplete_beta(k, n - k + 1, x), tail, places=12)


class IntervalTest(absltest.TestCase):

  def test_by_hand(self):
    # Mean 3, variance 2.5, standard error sqrt(0.5), t(0.975, 4) = 2.776445.
    interval = statistics.t_interval(np.arange(1.0, 6))
    half = 2.7764451 * math.sqrt(0.5)
    self.assertAlmostEqual(interval.mean, 3)
    self.assertAlmostEqual(interval.low, 3 - half, places=6)
    self.assertAlmostEqual(interval.high, 3 + half, places=6)
    self.assertEqual(interval.count, 5)

  def test_one_seed_has_no_interval(self):
    interval = statistics.t_interval(np.array([2.0]))
    self.assertEqual((interval.mean, interval.count), (2, 1))
    self.assertTrue(math.isnan(interval.low))
    self.assertTrue(math.isnan(interval.high))

  def test_covers_as_often_as_it_says(self):
    rng = np.random.default_rng(0)
    _, low, high = statistics.bands(rng.normal(size=(5, 20_000)))
    self.assertAlmostEqual(((low < 0) & (high > 0)).mean(), 0.95, delta=0.006)

  def test_bands_leave_out_seeds_without_a_row(self):
    values = np.array([[1.0, 1, 1, np.nan], [3, 3, np.nan, np.nan],
                       [8, np.nan, np.nan, np.nan]])
    mean, low, high = statistics.bands(values)
    np.testing.assert_array_equal(mean, [4, 2, 1, np.nan])
    self.assertAlmostEqual(high[1], 2 + 12.7062047, places=6)
    first = statistics.t_interval(values[:, 0])
    self.assertEqual((first.low, first.high), (low[0], high[0]))
    np.testing.assert_array_equal(np.isnan(low), [0, 0, 1, 1])

  def test_welch_by_hand(self):
    # Variances 1 and 16 of the seeds, 1/3 and 4 of the means.
    interval = statistics.welch_interval(
        np.array([9.0, 10, 11]), np.array([-4.0, 0, 4, 0, 0, 0, 0, 0]))
    baseline = 32 / 7 / 8
    variance = 1 / 3 + baseline
    degrees = variance**2 / ((1 / 3)**2 / 2 + baseline**2 / 7)
    half = statistics.t_quantile(0.975, degrees) * math.sqrt(variance)
    self.assertAlmostEqual(interval.mean, 10)
    self.assertAlmostEqual(interval.high - 10, half, places=9)
    self.assertAlmostEqual(10 - interval.low, half, places=9)
    self.assertEqual(interval.count, 3)

  def test_welch_of_equal_groups_is_the_pooled_interval(self):
    x = np.array([1.0, 2, 4, 7])
    interval = statistics.welch_interval(x + 3, x)
    half = 2.4469119 * math.sqrt(2 * x.var(ddof=1) / 4)  # t(0.975, 6).
    self.assertAlmostEqual(interval.low, 3 - half, places=5)

  def test_welch_without_spread_or_seeds(self):
    same = statistics.welch_interval(np.ones(3), np.zeros(2))
    self.assertEqual((same.low, same.high), (1, 1))
    single = statistics.welch_interval(np.ones(1), np.zeros(2))
    self.assertTrue(math.isnan(single.low))


class CorrelationTest(absltest.TestCase):

  def test_ranks_share_ties(self):
    np.testing.assert_array_equal(
        statistics.ranks(np.array([3.0, 1, 3, 5, 3])), [3, 1, 3, 5, 3])

  def test_monotone(self):
    x = np.linspace(1, 3, 20)
    self.assertAlmostEqual(statistics.spearman(x, np.exp(x)), 1)
    self.assertAlmostEqual(statistics.spearman(x, 1 / x), -1)

  def test_without_ties_by_the_formula(self):
    # 1 - 6 sum d^2 / (n (n^2 - 1)), d = (1, -1, 1, -1, 0).
    value = statistics.spearman(
        np.array([2.0, 1, 4, 3, 5]), np.array([1.0, 2, 3, 4, 5]))
    self.assertAlmostEqual(value, 1 - 6 * 4 / (5 * 24))

  def test_with_ties_is_the_correlation_of_ranks(self):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 40))
    by_hand = [
        [sum(z < a) + (sum(z == a) + 1) / 2 for a in z] for z in (x, y)]
    self.assertAlmostEqual(
        statistics.spearman(x, y), np.corrcoef(by_hand)[0, 1])

  def test_what_float32_cannot_tell_apart_is_a_tie(self):
    x = np.array([3.0, -1, 3 * (1 - 9e-7), np.nan, 3 * (1 + 9e-7), 0.1, np.inf,
                  np.inf, -1 + 2e-6, np.nan])
    expected = x.copy()
    expected[[0, 2]] = x[2]
    np.testing.assert_array_equal(statistics.tied(x), expected)
    np.testing.assert_array_equal(
        statistics.tied(np.stack([x, x[::-1]])),
        [expected, expected[::-1]])
    # Small steps add up: it is the first of them that is told apart.
    steps = 1 + 6e-7 * np.arange(8)
    np.testing.assert_array_equal(
        statistics.tied(steps[::-1]), steps[[6, 6, 4, 4, 2, 2, 0, 0]])
    trembling = 7 + 1e-8 * np.random.default_rng(0).normal(size=(2, 30))
    self.assertTrue(math.isnan(statistics.spearman(*trembling)))
    for shape in ((30,), (1, 30)):
      found = statistics.weighted_spearman(
          trembling[0].reshape(shape), np.arange(30.0).reshape(shape),
          np.ones(shape))
      self.assertTrue(np.isnan(found).all())

  def test_constant_is_undefined(self):
    self.assertTrue(math.isnan(
        statistics.spearman(np.ones(4), np.arange(4.0))))


class RunningMeanTest(absltest.TestCase):

  def test_windows(self):
    values = np.array([[1.0, 2, 6, 4], [0, 0, 3, 3]])
    np.testing.assert_allclose(
        statistics.running_mean(values, 3), [[3, 4], [1, 2]])
    np.testing.assert_array_equal(statistics.running_mean(values, 1), values)

  def test_window_longer_than_the_run(self):
    np.testing.assert_allclose(
        statistics.running_mean(np.array([1.0, 2, 6]), 25), [3])


if __name__ == '__main__':
  absltest.main()
