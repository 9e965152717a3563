"""Whether runs with a higher rank have a higher return.

Gulcehre et al. (2022, "An empirical study of implicit regularization in deep
offline RL") ask this of many runs, where the paper asks it of one run's course.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  runs,
  series,
  statistics,
  stratified,
  suites,
)
from implicit_underparam.figures.statistics import Interval

RANK = 'srank'
PARTS = 10  # Of training, each a point of a run's course.
RESAMPLES = 1000
LEAST = 5  # Points of a correlation.


@dataclasses.dataclass(frozen=True)
class Points:
  """Rank and return of one game's runs; NaN where a seed has no row.

  Attributes:
    names: of the runs.
    final: [2, runs, seeds] rank and return at the end.
    course: [2, runs, seeds, parts] their means over each part of training.
    within: [runs, seeds] rank correlation over a run's last 80%.
  """

  names: tuple[str, ...]
  final: np.ndarray
  course: np.ndarray
  within: np.ndarray

  def take(self, names: Sequence[str]) -> 'Points':
    """Those of some runs."""
    rows = [i for i, name in enumerate(self.names) if name in names]
    return Points(
        tuple(self.names[i] for i in rows), self.final[:, rows],
        self.course[:, rows], self.within[rows],
    )


@dataclasses.dataclass(frozen=True)
class View:
  """A way to correlate rank and return.

  Attributes:
    text: what is correlated.
    measure: of Points and how often each seed is taken, [resamples, seeds];
      gives [resamples], NaN where it is undefined.
  """

  text: str
  measure: Callable[[Points, np.ndarray], np.ndarray]


def return_column(suite: suites.Suite) -> str:
  """What a suite's runs call the return of the evaluated policy."""
  own = 'normalized_return'
  return own if own in suite.own_columns else 'eval_return'


def collect(
    collection: collection_lib.Collection, names: Sequence[str]
) -> Points:
  """Rank and return of a game's runs.

  Args:
    collection: of one game.
    names: of runs; those that are missing or lack a return are left out.
  """
  columns = RANK, return_column(collection.suite)
  found = {
      name: run
      for name in names
      if (run := collection.get(name)) is not None
      and set(columns) <= set(run.columns)
  }
  seeds = sorted({int(s) for run in found.values() for s in run.seeds})
  final = np.full((2, len(found), len(seeds)), np.nan)
  course = np.full((*final.shape, PARTS), np.nan)
  within = np.full(final.shape[1:], np.nan)
  for i, run in enumerate(found.values()):
    for seed in run.seeds:
      j = seeds.index(seed)
      iterations, both = _columns(run, int(seed), columns)
      final[:, i, j] = [series.end(iterations, x) for x in both]
      course[:, i, j] = _parts(run, iterations, both)
      within[i, j] = series.correlation(iterations, *both)
  return Points(tuple(found), final, course, within)


def _columns(
    run: runs.Run, seed: int, columns: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
  """A seed's iterations [n] and its rank and return [2, n]."""
  there = run.has_row(seed)
  row = list(run.seeds).index(seed)
  both = [run.curves(x).values[row, there] for x in columns]
  return run.iterations[there], np.array(both)


def _parts(
    run: runs.Run, iterations: np.ndarray, both: np.ndarray
) -> np.ndarray:
  """[2, PARTS] means; NaN for parts that hold no row."""
  part = iterations * PARTS // run.num_iterations
  means = np.full((2, PARTS), np.nan)
  for k in np.unique(part):
    means[:, k] = both[:, part == k].mean(1)
  return means


def _correlate(points: np.ndarray, times: np.ndarray) -> np.ndarray:
  """[resamples] Spearman's correlations of [2, runs, seeds, ...] points."""
  x, y = points.reshape(2, -1)
  if (~np.isnan(x + y)).sum() < LEAST:
    return np.full(len(times), np.nan)
  seed = np.indices(points.shape[1:])[1].ravel()
  return statistics.weighted_spearman(x, y, times[:, seed])


def _mean(values: np.ndarray, times: np.ndarray) -> np.ndarray:
  """Means over the last axis, without what is NaN; NaN of nothing."""
  times = np.where(np.isnan(values), 0, times)
  count = times.sum(-1)
  total = (np.nan_to_num(values) * times).sum(-1)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def means(values: np.ndarray) -> np.ndarray:
  """Means over seeds; NaN where no seed has a number.

  Args:
    values: [..., seeds].
  """
  return _mean(values, np.ones(values.shape[-1]))


def _between(points: Points, times: np.ndarray) -> np.ndarray:
  rank, returns = _mean(points.final[:, None], times[:, None])
  if rank.shape[-1] < LEAST:
    return np.full(len(times), np.nan)
  return statistics.weighted_spearman(rank, returns, np.ones_like(rank))


def _at_same_part(points: Points, times: np.ndarray) -> np.ndarray:
  found = np.stack([
      _correlate(points.course[..., k], times) for k in range(PARTS)
  ], axis=-1)
  return _mean(found, np.ones(PARTS))


def _within(points: Points, times: np.ndarray) -> np.ndarray:
  runs_and_seeds = points.within.ravel()
  return _mean(runs_and_seeds, np.tile(times, len(points.names)))


FINAL = View(
    'across runs and seeds, at the end',
    lambda points, times: _correlate(points.final, times),
)
BETWEEN = View('across runs, means over seeds, at the end', _between)
POOLED = View(
    f'across runs, seeds and {PARTS} parts of training',
    lambda points, times: _correlate(points.course, times),
)
SAME_PART = View(
    f'across runs and seeds at the same part of training, mean of {PARTS}',
    _at_same_part,
)
WITHIN = View(
    'within a run and seed, over its last 80%, mean of all', _within
)
VIEWS = (FINAL, BETWEEN, POOLED, SAME_PART, WITHIN)


def correlation(
    games: Mapping[str, Points], view: View, resamples: int = RESAMPLES
) -> tuple[Interval, dict[str, float]]:
  """The mean over games of a correlation, with a bootstrap interval.

  A seed is drawn with all its runs: they share the first network, and offline
  ones their log.

  Args:
    games: points of every game.
    view: what is correlated.
    resamples: draws of the seeds of every game.

  Returns:
    The mean with its interval, and every game's correlation. Games where it is
    undefined are left out.
  """
  every = {
      game: float(view.measure(x, np.ones((1, x.within.shape[1])))[0])
      for game, x in games.items()
  }
  defined = {game: x for game, x in every.items() if not math.isnan(x)}
  if not defined:
    return Interval(math.nan, math.nan, math.nan, 0), every
  counts = [games[game].within.shape[1] for game in defined]
  drawn = stratified.draws(counts, resamples)
  resampled = np.mean([
      view.measure(games[game], _times(rows))
      for game, rows in zip(defined, drawn, strict=True)
  ], axis=0)
  mean = float(np.mean(list(defined.values())))
  return stratified.interval(mean, resampled, counts), every


def _times(rows: np.ndarray) -> np.ndarray:
  """How often each resample takes each seed; both are [resamples, seeds]."""
  return (rows[:, :, None] == np.arange(rows.shape[1])).sum(1)
