import math

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.figures import series


def _ramp(spacing):
  """Up from 0 to 100 over 250 iterations, and back to 0 at 500."""
  iterations = np.arange(0, 500, spacing)
  return iterations, 100 - np.abs(iterations - 250) * 0.4


class SeriesTest(parameterized.TestCase):

  def test_by_hand(self):
    iterations, values = _ramp(1)
    # Iterations 450 to 499: 0.4 (500 - k), on average 0.4 * 25.5.
    self.assertAlmostEqual(series.end(iterations, values), 10.2)
    # 0 to 49: 0.4 k, on average 0.4 * 24.5.
    self.assertAlmostEqual(series.start(iterations, values), 9.8)
    # 25 points around 250: 2 * (1 + ... + 12) * 0.4 / 25 below 100.
    self.assertAlmostEqual(series.peak(iterations, values), 97.504)
    self.assertAlmostEqual(series.trough(iterations, values), 4.8)
    self.assertAlmostEqual(series.drop(iterations, values), 87.304)
    self.assertAlmostEqual(series.change(iterations, values), 0.4)
    self.assertAlmostEqual(
        series.relative_rise(iterations, values), 10.2 / 4.8 - 1)
    # 250 to 299: 100 - 0.4 * 24.5 on average.
    self.assertAlmostEqual(series.late_drop(iterations, values), 80.0)
    # 100 to 149: 40 + 0.4 * 24.5 on average.
    self.assertAlmostEqual(series.settled_drop(iterations, values), 39.6)

  @parameterized.parameters(
      'end', 'drop', 'change', 'late drop', 'settled drop')
  def test_thinning_changes_little(self, name):
    statistic = series.STATISTICS[name]
    self.assertAlmostEqual(
        statistic(*_ramp(5)), statistic(*_ramp(1)), delta=1.7)

  def test_windows_are_iterations_not_rows(self):
    iterations, _ = _ramp(5)
    self.assertEqual(series.window_rows(iterations, 25), 5)
    self.assertEqual(series.window_rows(np.arange(500), 25), 25)

  def test_peak_ignores_a_single_spike(self):
    values = np.zeros(100)
    values[40] = 25
    self.assertAlmostEqual(series.peak(np.arange(100), values), 1)

  def test_fall_has_a_window_that_grows_with_the_run(self):
    for count in (20, 100, 500):
      values = np.zeros(count)
      values[count // 2] = count
      # The spike's share of a window of a twentieth of the run.
      self.assertAlmostEqual(
          series.fall(np.arange(count), values), count / (count // 20))
    iterations, values = _ramp(1)
    self.assertAlmostEqual(
        series.fall(iterations, values), series.drop(iterations, values))
    self.assertEqual(series.fall(np.arange(5), np.arange(5.0)[::-1]), 4)

  def test_growth_ratio(self):
    iterations = np.arange(20)
    first = np.where(iterations < 10, 2.0, 600.0)
    second = np.where(iterations < 10, 5.0, 15.0)
    self.assertAlmostEqual(
        series.growth_ratio(iterations, first, second), 2)  # 300 against 3.
    self.assertAlmostEqual(
        series.growth_ratio(iterations, second, first), -2)
    self.assertTrue(math.isnan(
        series.growth_ratio(iterations, first, 0 * second)))

  @parameterized.parameters(
      ('end', 3.0), ('drop', 0.0), ('fall', 0.0), ('change', 0.0),
      ('relative rise', 0.0))
  def test_one_row(self, name, expected):
    value = series.STATISTICS[name](np.array([0]), np.array([3.0]))
    self.assertEqual(value, expected)

  def test_a_tenth_of_few_iterations_is_one(self):
    # Of eight, the third is compared with the eighth.
    values = np.array([9.0, 9, 7, 1, 1, 1, 1, 3])
    self.assertEqual(series.settled_drop(np.arange(8), values), 4)

  def test_log_end(self):
    iterations = np.arange(20)
    values = np.where(iterations < 18, 7.0, 0.01)
    self.assertAlmostEqual(series.log_end(iterations, values), -2)
    self.assertTrue(math.isnan(series.log_end(iterations, 0 * values)))

  def test_correlation_skips_the_first_fifth(self):
    iterations = np.arange(100)
    values = np.where(iterations < 20, -iterations, iterations).astype(float)
    self.assertAlmostEqual(
        series.correlation(iterations, values, 1.0 * iterations), 1)
    self.assertAlmostEqual(
        series.correlation(iterations, values, -1.0 * iterations), -1)

  def test_undefined(self):
    iterations = np.arange(100)
    self.assertTrue(math.isnan(
        series.relative_rise(iterations, np.zeros(100))))
    self.assertTrue(math.isnan(
        series.correlation(iterations, np.zeros(100), 1.0 * iterations)))
    self.assertTrue(math.isnan(
        series.late_drop(np.arange(2), np.ones(2))))


if __name__ == '__main__':
  absltest.main()
