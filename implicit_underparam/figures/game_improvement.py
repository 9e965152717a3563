"""How much better one run is than another, over games.

Relative improvement is (x - b) / |b|, of the means over seeds of the final
returns; nothing is subtracted before.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from implicit_underparam.figures import runs, stratified
from implicit_underparam.figures.statistics import Interval


def relative(means: np.ndarray) -> np.ndarray:
  """(x - b) / |b|; NaN where b is zero.

  Args:
    means: [..., 2], x and b.
  """
  baseline = np.abs(means[..., 1])
  there = np.where(baseline > 0, baseline, np.nan)
  return (means[..., 0] - means[..., 1]) / there


def median(means: np.ndarray) -> np.ndarray:
  """The median over games of the relative improvement.

  Args:
    means: [games, ..., 2].
  """
  return np.median(relative(means), axis=0)


def share(means: np.ndarray) -> np.ndarray:
  """The share of the games that improved.

  Args:
    means: [games, ..., 2].
  """
  return (means[..., 0] > means[..., 1]).mean(0)


AGGREGATES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    'median relative improvement': median,
    'share of games improved': share,
}


# Of games where b is zero; whether those improved can be told.
UNDEFINED_AT_ZERO = ('median relative improvement',)


def over_games(pairs: Sequence[np.ndarray], aggregate: str) -> Interval:
  """An aggregate of the games with its interval, over seeds.

  Args:
    pairs: [seeds, 2] for every game, x and b of a seed.
    aggregate: key of `AGGREGATES`.
  """
  return stratified.of_means(pairs, AGGREGATES[aggregate])


def cut(run: runs.Run, until: int) -> runs.Run:
  """A run up to so many gradient steps; as it is, if it never gets so far.

  Args:
    run: whole.
    until: gradient steps.
  """
  if run.gradient_steps <= until:
    return run
  steps = run.rows[:, runs.COLUMNS.index('gradient_steps')]
  return dataclasses.replace(run, rows=run.rows[steps <= until])
