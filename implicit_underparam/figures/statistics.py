"""Intervals and correlations over a handful of seeds, with numpy alone."""

import dataclasses
import functools
import math

import numpy as np

_CONVERGED = 1e-15
_TINY = 1e-300
_MAX_TERMS = 10_000
# Of a number's size: what eight roundings of a float32 may make of it.
TIE = 1e-6


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean over seeds and the interval that covers its expectation.

  Attributes:
    mean: the estimate.
    low: lower end; NaN for a single seed, which has no interval.
    high: upper end; NaN for a single seed.
    count: seeds, or pairs of seeds, behind it.
  """

  mean: float
  low: float
  high: float
  count: int


def _continued_fraction(a: float, b: float, x: float) -> float:
  """Lentz's evaluation of the incomplete beta function's continued fraction."""
  c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
  result = d
  for m in range(1, _MAX_TERMS):
    even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    for term in (even, odd):
      d = 1 / (1 + term * d or _TINY)
      c = 1 + term / c or _TINY
      result *= c * d
    if abs(c * d - 1) < _CONVERGED:
      break
  return result


def incomplete_beta(a: float, b: float, x: float) -> float:
  """The regularised incomplete beta function I_x(a, b).

  Args:
    a: positive.
    b: positive.
    x: between 0 and 1.

  Returns:
    A number between 0 and 1.
  """
  if x in (0, 1):
    return float(x)
  # The fraction converges fast on this side alone; I_x(a,b) = 1 - I_1-x(b,a).
  if x > (a + 1) / (a + b + 2):
    return 1 - incomplete_beta(b, a, 1 - x)
  log_front = (
      math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
      + a * math.log(x) + b * math.log1p(-x)
  )
  return math.exp(log_front) / a * _continued_fraction(a, b, x)


def t_distribution(t: float, degrees: float) -> float:
  """P(T <= t) for Student's t.

  Args:
    t: any number.
    degrees: degrees of freedom, positive, whole or not.

  Returns:
    A probability.
  """
  tail = incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2
  return 1 - tail if t > 0 else tail


@functools.cache
def t_quantile(probability: float, degrees: float) -> float:
  """The t with P(T <= t) = probability, by bisection.

  Args:
    probability: strictly between 0 and 1.
    degrees: degrees of freedom, positive, whole or not.

  Returns:
    The quantile.
  """
  if probability < 0.5:
    return -t_quantile(1 - probability, degrees)
  low, high = 0.0, 1.0
  while t_distribution(high, degrees) < probability:
    low, high = high, 2 * high
  while high - low > 1e-12 * high:
    middle = (low + high) / 2
    if t_distribution(middle, degrees) < probability:
      low = middle
    else:
      high = middle
  return (low + high) / 2


def t_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
  """Student's t interval of the mean over seeds.

  Chosen over a bootstrap because five seeds resampled give intervals that are
  too narrow.

  Args:
    values: [seeds], one number a seed.
    confidence: coverage.

  Returns:
    The mean and its interval.
  """
  mean, low, high = bands(np.asarray(values, float)[:, None], confidence)
  return Interval(float(mean[0]), float(low[0]), float(high[0]), len(values))


def bands(
    values: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Student's t interval over seeds, in every column by itself.

  Args:
    values: [seeds, points]; NaN where a seed has no value.
    confidence: coverage.

  Returns:
    Mean, lower end and upper end, [points] each: over the seeds that have a
    value; the ends are NaN where fewer than two have one.
  """
  there = ~np.isnan(values)
  count = there.sum(0)
  with np.errstate(invalid='ignore', divide='ignore'):
    mean = np.where(there, values, 0).sum(0) / count
    deviations = np.where(there, values - mean, 0)
    error = np.sqrt((deviations**2).sum(0) / (count - 1) / count)
  quantiles = {
      n: t_quantile((1 + confidence) / 2, n - 1) if n > 1 else math.nan
      for n in map(int, np.unique(count))
  }
  half = error * np.array([quantiles[int(n)] for n in count])
  return mean, mean - half, mean + half


def welch_interval(
    values: np.ndarray, baseline: np.ndarray, confidence: float = 0.95
) -> Interval:
  """Welch's t interval of mean(values) - mean(baseline).

  Args:
    values: [seeds].
    baseline: [seeds'], from other seeds; the variances may differ.
    confidence: coverage.

  Returns:
    The difference and its interval; `count` is the smaller number of seeds.
  """
  count = min(len(values), len(baseline))
  difference = float(np.mean(values) - np.mean(baseline))
  if count < 2:
    return Interval(difference, math.nan, math.nan, count)
  parts = [np.var(x, ddof=1) / len(x) for x in (values, baseline)]
  variance = float(sum(parts))
  if not variance:
    return Interval(difference, difference, difference, count)
  degrees = variance**2 / sum(
      part**2 / (len(x) - 1)
      for part, x in zip(parts, (values, baseline), strict=True)
  )
  quantile = t_quantile((1 + confidence) / 2, float(degrees))
  half = quantile * math.sqrt(variance)
  return Interval(difference, difference - half, difference + half, count)


def tied(values: np.ndarray) -> np.ndarray:
  """Values in which those that float32 hardly tells apart are equal.

  A return that stays the same still trembles in its last digits, and a rank
  correlation would see an order in that.

  Args:
    values: [..., n].

  Returns:
    [..., n], in which those are equal that differ from the smallest of them
    by less than TIE of it.
  """
  order = np.argsort(values, axis=-1)
  rising = np.take_along_axis(values, order, -1)
  for i in range(1, rising.shape[-1]):
    first, value = rising[..., i - 1], rising[..., i]
    size = np.maximum(np.abs(first), np.abs(value))
    with np.errstate(invalid='ignore'):  # Of infinities.
      near = (value - first <= TIE * size) & np.isfinite(size)
    rising[..., i] = np.where(near | (value == first), first, value)
  found = np.empty_like(rising)
  np.put_along_axis(found, order, rising, -1)
  return found


def ranks(values: np.ndarray) -> np.ndarray:
  """Ranks from 1, ties sharing the mean of theirs.

  Args:
    values: [n].

  Returns:
    [n] ranks.
  """
  _, inverse, counts = np.unique(
      values, return_inverse=True, return_counts=True
  )
  last = np.cumsum(counts)
  return (last - (counts - 1) / 2)[inverse]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
  """Spearman's rank correlation, ties (see `tied`) averaged.

  Args:
    first: [n].
    second: [n].

  Returns:
    Between -1 and 1; NaN where either is constant.
  """
  x, y = (ranks(tied(v)) - (len(v) + 1) / 2 for v in (first, second))
  scale = math.sqrt(float(x @ x) * float(y @ y))
  return float(x @ y) / scale if scale else math.nan


def weighted_spearman(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Spearman's correlation of points that count several times or not at all.

  With the numbers of times that a resample drew each point, it is `spearman` of
  the resample.

  Args:
    first: [..., n]; NaN for points that never count.
    second: [..., n], likewise.
    weights: [..., n], not negative; leading axes are broadcast.

  Returns:
    [...] between -1 and 1; NaN where either is constant.
  """
  there = ~(np.isnan(first) | np.isnan(second))
  weights = np.where(there, weights, 0.0)
  x, y = (
      _weighted_ranks(np.where(there, tied(v), 0.0), weights)
      for v in (first, second)
  )
  products = [(weights * a * b).sum(-1) for a, b in ((x, y), (x, x), (y, y))]
  scale = np.sqrt(products[1] * products[2])
  defined = np.where(scale > 0, scale, np.nan)
  return products[0] / defined


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """[..., n] ranks, less their mean."""
  if values.ndim == 1:
    found = _sorted_ranks(values, weights)
  else:
    one, other = values[..., :, None], values[..., None, :]
    below = (other < one) + (other == one) / 2
    found = np.einsum('...ij,...j->...i', below, weights)
  total = weights.sum(-1, keepdims=True)
  # Without a point there is nothing to rank.
  mean = (weights * found).sum(-1, keepdims=True) / np.maximum(total, 1e-300)
  return found - mean


def _sorted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """[..., n]: what lies below each of [n] values, and half of what ties."""
  _, group, counts = np.unique(
      values, return_inverse=True, return_counts=True
  )
  order = np.argsort(group, kind='stable')
  starts = np.cumsum(counts) - counts
  sums = np.add.reduceat(weights[..., order], starts, axis=-1)
  return (np.cumsum(sums, axis=-1) - sums / 2)[..., group]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
  """The mean over every `window` neighbouring points.

  Args:
    values: [..., points].
    window: points, at least 1; cut to the number of points there are.

  Returns:
    [..., points - window + 1].
  """
  window = min(window, values.shape[-1])
  views = np.lib.stride_tricks.sliding_window_view(values, window, axis=-1)
  return views.mean(-1)
