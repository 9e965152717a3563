"""One number of one seed's curve: end, peak, drop and their kin.

Every function takes the iterations [n] of a seed's rows, rising and evenly
spaced, and one or two columns [n]. N is the number of iterations they span.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from implicit_underparam.figures import statistics

WINDOW = 25  # Iterations of the running mean behind peak and trough.
SHORT = 0.05  # Of all iterations: the running mean of `fall`.
_END = 0.1
_SETTLED = 0.2
_LEAST_CORRELATED = 5


def spacing(iterations: np.ndarray) -> int:
  """Iterations between neighbouring rows: 1 unless the file was thinned."""
  steps = np.diff(iterations)
  return int(np.median(steps)) if len(steps) else 1


def window_rows(iterations: np.ndarray, window: int) -> int:
  """How many rows a window of so many iterations holds, at least 1."""
  return max(1, round(window / spacing(iterations)))


def _span(iterations: np.ndarray) -> int:
  return int(iterations[-1]) + 1


def _fraction(fraction: float, iterations: np.ndarray) -> int:
  # Rounded: 0.2 + 0.1 of 500 is a little more than 150.
  return round(fraction * _span(iterations))


def _end_from(iterations: np.ndarray) -> int:
  return int(min(_fraction(1 - _END, iterations), iterations[-1]))


def end(iterations: np.ndarray, values: np.ndarray) -> float:
  """The mean over the last tenth of the iterations."""
  return float(values[iterations >= _end_from(iterations)].mean())


def log_end(iterations: np.ndarray, values: np.ndarray) -> float:
  """log10 of end; NaN where it is not positive."""
  last = end(iterations, values)
  return math.log10(last) if last > 0 else math.nan


def start(iterations: np.ndarray, values: np.ndarray) -> float:
  """The mean over the first tenth of the iterations."""
  last = max(_fraction(_END, iterations), iterations[0] + 1)
  return float(values[iterations < last].mean())


def _smoothed(iterations: np.ndarray, values: np.ndarray) -> np.ndarray:
  return statistics.running_mean(values, window_rows(iterations, WINDOW))


def peak(iterations: np.ndarray, values: np.ndarray) -> float:
  """The largest running mean over 25 iterations."""
  return float(_smoothed(iterations, values).max())


def trough(iterations: np.ndarray, values: np.ndarray) -> float:
  """The smallest running mean over 25 iterations."""
  return float(_smoothed(iterations, values).min())


def drop(iterations: np.ndarray, values: np.ndarray) -> float:
  """Peak minus end."""
  return peak(iterations, values) - end(iterations, values)


def fall(iterations: np.ndarray, values: np.ndarray) -> float:
  """As drop, the running mean being over a twentieth of the iterations.

  For suites whose runs are of any length, down to ten iterations.
  """
  window = max(1, _fraction(SHORT, iterations))
  rows = window_rows(iterations, window)
  highest = float(statistics.running_mean(values, rows).max())
  return highest - end(iterations, values)


def relative_rise(iterations: np.ndarray, values: np.ndarray) -> float:
  """(end - trough) / trough, of a column that is positive."""
  lowest = trough(iterations, values)
  if lowest <= 0:
    return float('nan')
  return end(iterations, values) / lowest - 1


def change(iterations: np.ndarray, values: np.ndarray) -> float:
  """End minus start: negative if the column fell."""
  return end(iterations, values) - start(iterations, values)


def growth_ratio(
    iterations: np.ndarray, first: np.ndarray, second: np.ndarray
) -> float:
  """log10 of (end / start of the first) / (end / start of the second)."""
  ends = [f(iterations, x) for f in (end, start) for x in (first, second)]
  if min(ends) <= 0:
    return float('nan')
  first_end, second_end, first_start, second_start = ends
  return math.log10(first_end / first_start * second_start / second_end)


def _drop_from(
    fraction: float, iterations: np.ndarray, values: np.ndarray
) -> float:
  first = _fraction(fraction, iterations)
  # Of eight iterations, a tenth is none.
  last = max(_fraction(fraction + _END, iterations), first + 1)
  last = min(last, _end_from(iterations))
  window = (iterations >= first) & (iterations < last)
  if not window.any():
    return float('nan')
  return float(values[window].mean()) - end(iterations, values)


def settled_drop(iterations: np.ndarray, values: np.ndarray) -> float:
  """The mean over iterations 0.2 N to 0.3 N, minus end."""
  return _drop_from(_SETTLED, iterations, values)


def late_drop(iterations: np.ndarray, values: np.ndarray) -> float:
  """The mean over iterations 0.5 N to 0.6 N, minus end."""
  return _drop_from(0.5, iterations, values)


def correlation(
    iterations: np.ndarray, first: np.ndarray, second: np.ndarray
) -> float:
  """Spearman's correlation of two columns over the last 80% of iterations.

  NaN for fewer than five: two points always correlate by 1 or -1.
  """
  settled = iterations >= _fraction(_SETTLED, iterations)
  if len(first[settled]) < _LEAST_CORRELATED:
    return math.nan
  return statistics.spearman(first[settled], second[settled])


STATISTICS: Mapping[str, Callable[..., float]] = {
    'end': end,
    'log end': log_end,
    'drop': drop,
    'fall': fall,
    'relative rise': relative_rise,
    'change': change,
    'settled drop': settled_drop,
    'late drop': late_drop,
    'rank correlation': correlation,
    'growth ratio': growth_ratio,
}
