import itertools
import math

import numpy as np
from absl.testing import absltest, parameterized
from scipy import stats

from implicit_underparam.figures import statistics, stratified


def _mean(means):
  return means[..., 0].mean(0)


class StratifiedTest(parameterized.TestCase):

  def test_percentiles_are_those_of_every_possible_resample(self):
    # Two seeds of one game, three of the other: 4 x 27 resamples.
    games = [np.array([1.0, 4.0]), np.array([10.0, 20.0, 60.0])]
    every = [
        (np.mean(first) + np.mean(second)) / 2
        for first in itertools.product(games[0], repeat=2)
        for second in itertools.product(games[1], repeat=3)]
    found = stratified.of_means(
        [x[:, None] for x in games], _mean, 200_000, share=0.8)
    self.assertAlmostEqual(found.mean, (2.5 + 30) / 2)
    self.assertEqual(found.count, 5)
    sampled = np.sort(every)
    # The ends are values that resamples take; 10% lie below, 10% above.
    for end, share in ((found.low, 0.1), (found.high, 0.9)):
      below, upto = np.mean(sampled < end - 1e-9), np.mean(
          sampled <= end + 1e-9)
      self.assertLessEqual(below, share + 0.01)
      self.assertGreaterEqual(upto, share - 0.01)

  def test_games_are_not_resampled(self):
    # No seed differs from another: games that do add nothing.
    found = stratified.of_means(
        [np.full((5, 1), 1.0), np.full((5, 1), 9.0)], _mean)
    self.assertEqual((found.mean, found.low, found.high), (5, 5, 5))

  def test_two_columns_are_drawn_together(self):
    x = np.array([[5.0, 4.0], [15.0, 14.0], [105.0, 104.0]])
    found = stratified.of_means(
        [x], lambda means: (means[..., 0] - means[..., 1])[0])
    np.testing.assert_allclose((found.mean, found.low, found.high), 1)

  @parameterized.parameters(((5, 5, 5),), ((5,),), ((3, 4),))
  def test_expanded_share_by_scipy(self, counts):
    degrees = sum(counts) - len(counts)
    factor = np.mean([n / (n - 1) for n in counts])
    z = stats.t.ppf(0.975, degrees) * math.sqrt(factor)
    self.assertAlmostEqual(
        stratified.expanded(counts), 1 - 2 * stats.norm.sf(z), places=10)

  def test_covers_95_percent_where_the_plain_one_covers_89(self):
    rng = np.random.default_rng(0)
    rows = stratified.draws((5, 5, 5), 1000)
    expanded = covered = 0
    for _ in range(1500):
      games = rng.normal(size=(3, 5))
      means = np.mean(
          [x[i].mean(1) for x, i in zip(games, rows, strict=True)], axis=0)
      for share in (None, 0.95):
        found = stratified.interval(0, means, (5, 5, 5), share)
        inside = found.low < 0 < found.high
        if share is None:
          expanded += inside
        else:
          covered += inside
    self.assertAlmostEqual(expanded / 1500, 0.95, delta=0.015)
    self.assertAlmostEqual(covered / 1500, 0.89, delta=0.02)

  def test_agrees_with_scipy_s_bootstrap(self):
    values = np.random.default_rng(3).gamma(2, size=8)
    ours = stratified.of_means([values[:, None]], _mean, 50_000, share=0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method='percentile',
        random_state=1).confidence_interval
    self.assertAlmostEqual(ours.low, theirs.low, delta=0.04)
    self.assertAlmostEqual(ours.high, theirs.high, delta=0.04)

  def test_a_game_with_one_seed_gives_no_interval(self):
    found = stratified.of_means([np.ones((5, 1)), np.ones((1, 1))], _mean)
    self.assertEqual(found.mean, 1)
    self.assertTrue(math.isnan(found.low) and math.isnan(found.high))

  def test_nothing(self):
    self.assertTrue(math.isnan(stratified.of_means([], _mean).mean))
    self.assertTrue(math.isnan(
        stratified.of_means([np.ones((5, 1)), np.ones((0, 1))], _mean).mean))


class WeightedSpearmanTest(parameterized.TestCase):

  def test_is_the_correlation_of_the_resample(self):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, size=(2, 12)).astype(float)
    times = rng.integers(0, 3, size=(20, 12))
    found = statistics.weighted_spearman(x, y, times)
    for row, value in zip(times, found, strict=True):
      resample = np.repeat(np.arange(12), row)
      self.assertAlmostEqual(
          value, stats.spearmanr(x[resample], y[resample])[0], places=10)
    np.testing.assert_allclose(
        statistics.weighted_spearman(
            np.tile(x, (20, 1)), np.tile(y, (20, 1)), times), found)

  def test_without_a_point_that_is_nan(self):
    x = np.array([1.0, 2, np.nan, 4, 5, 3])
    y = np.array([2.0, 1, 7, 5, 4, np.nan])
    there = [0, 1, 3, 4]
    self.assertAlmostEqual(
        float(statistics.weighted_spearman(x, y, np.ones(6))),
        stats.spearmanr(x[there], y[there])[0])

  def test_undefined(self):
    constant, other = np.ones(5), np.arange(5.0)
    for weights in (np.ones(5), np.zeros(5), np.eye(5)[0]):
      self.assertTrue(np.isnan(
          statistics.weighted_spearman(constant, other, weights)))


if __name__ == '__main__':
  absltest.main()
