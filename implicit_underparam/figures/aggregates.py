"""Aggregates over games and seeds, by rliable.

Agarwal et al. (2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice"): median, interquartile mean (IQM) and mean of normalised
returns, and the probability that one run's return is above another's, each with
an interval from rliable's stratified bootstrap.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from implicit_underparam.figures import improvement, runs
from implicit_underparam.figures.game_runs import Game
from implicit_underparam.figures.paper_figure import Undrawable
from implicit_underparam.figures.runs import Run
from implicit_underparam.figures.statistics import Interval

METRICS = ('median', 'IQM', 'mean')
RESAMPLES = 2000
# Game and [...] returns -> normalised ones; None where nothing is known of it.
Normalizer = Callable[[str, np.ndarray], np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs that are compared on the same games, seeds and length of training.

  Attributes:
    label: of them all.
    runs: label of a row -> configuration.
    along: column along which they are cut to what all of them have.
    over: label -> configurations (x, y), for the probability that the return
      of x is above that of y.
  """

  label: str
  runs: Mapping[str, str]
  along: str
  over: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Scores:
  """Normalised final returns of a group.

  Attributes:
    group: which.
    games: that have all of the group's runs that any game has.
    left_out: games that lack one, or are not known to the normaliser.
    by_run: configuration -> [seeds, games]; the same number of seeds of every
      game, the first ones.
  """

  group: Group
  games: tuple[str, ...]
  left_out: tuple[str, ...]
  by_run: Mapping[str, np.ndarray]


def collect(
    group: Group,
    games: Sequence[Game],
    normalize: Normalizer,
    limit: int | None = None,
) -> Scores:
  """The scores of a group.

  Args:
    group: which.
    games: what there is.
    normalize: of the returns.
    limit: gradient updates that no run is read beyond; None for none.
  """
  there = [_own_runs(group, game) for game in games]
  present = [x for x in group.runs.values() if any(x in own for own in there)]
  columns, left_out = {}, []
  for game, own in zip(games, there, strict=True):
    chosen = [own[x] for x in present if x in own]
    if not chosen:
      continue
    name = game.title or 'this game'
    complete = len(chosen) == len(present)
    column = _column(chosen, group.along, limit) if complete else None
    scores = None if column is None else normalize(game.name, column)
    if scores is None:
      left_out.append(name)
    else:
      columns[name] = scores
  count = min((x.shape[1] for x in columns.values()), default=0)
  by_run = {
      run: np.stack([x[i, :count] for x in columns.values()], axis=1)
      for i, run in enumerate(present)
      if columns
  }
  return Scores(group, tuple(columns), tuple(left_out), by_run)


def _own_runs(group: Group, game: Game) -> dict[str, Run]:
  names = set(group.runs.values())
  return {
      line.run: run for line, run in game.runs.items() if line.run in names
  }


def _column(
    chosen: Sequence[Run], along: str, limit: int | None
) -> np.ndarray | None:
  """[runs, seeds] final returns of the seeds that all runs have."""
  if not set.intersection(*(set(x.seeds.tolist()) for x in chosen)):
    return None
  if limit is not None and min(x.gradient_steps for x in chosen) >= limit:
    chosen = [improvement.cut(x, limit) for x in chosen]
  cut = runs.cut_to_common(chosen, along)
  if not all(len(x.rows) for x in cut):
    return None
  found = [improvement.final_returns(x) for x in cut]
  common = sorted(set.intersection(*(
      {seed for seed, x in one.items() if not math.isnan(x)} for one in found
  )))
  if not common:
    return None
  return np.array([[one[seed] for seed in common] for one in found])


def interquartile_mean(scores: np.ndarray) -> float:
  """The mean without the lowest and the highest quarter.

  rliable's own takes a millisecond and more, thousands of times.

  Args:
    scores: any shape.
  """
  ranked = np.sort(scores, axis=None)
  quarter = len(ranked) // 4
  return float(ranked[quarter:len(ranked) - quarter].mean())


def share_above(first: np.ndarray, second: np.ndarray) -> float:
  """The share of pairs in which the first is above, ties half; rliable's P.

  Args:
    first: [seeds, games].
    second: [seeds', games].
  """
  x, y = first[:, None], second[None]
  return float(((x > y) + (x == y) / 2).mean())


def summarize(scores: np.ndarray) -> dict[str, Interval]:
  """rliable's aggregates of one run, by their names in `METRICS`.

  Args:
    scores: [seeds, games].

  Raises:
    Undrawable: rliable is not installed.
  """
  metrics = load('metrics')
  estimates = (
      metrics.aggregate_median, metrics.aggregate_iqm, metrics.aggregate_mean
  )

  def every(x: np.ndarray) -> np.ndarray:
    means = x.mean(0)
    return np.array([np.median(means), interquartile_mean(x), means.mean()])

  ends = _bootstrap(scores, every)
  return {
      name: Interval(float(f(scores)), float(low), float(high), len(scores))
      for name, f, low, high in zip(METRICS, estimates, *ends, strict=True)
  }


def probability(first: np.ndarray, second: np.ndarray) -> Interval:
  """rliable's probability that the first run's return is above the second's.

  Args:
    first: [seeds, games].
    second: [seeds', games].

  Raises:
    Undrawable: rliable is not installed.
  """
  estimate = load('metrics').probability_of_improvement(first, second)
  low, high = _bootstrap(
      (first, second), lambda x, y: np.array([share_above(x, y)])
  )
  count = min(len(first), len(second))
  return Interval(float(estimate), float(low[0]), float(high[0]), count)


def _bootstrap(
    scores: np.ndarray | tuple[np.ndarray, np.ndarray],
    function: Callable[..., np.ndarray],
) -> np.ndarray:
  """[2, k] ends of the intervals; NaN of a single seed."""
  parts = scores if isinstance(scores, tuple) else (scores,)
  if min(map(len, parts)) < 2:
    return np.full((2, len(function(*parts))), np.nan)
  with _quiet_and_seeded():
    _, ends = load('library').get_interval_estimates(
        {'': scores}, function, reps=RESAMPLES
    )
  return ends['']


def load(name: str) -> Any:
  """A module of rliable.

  Raises:
    Undrawable: it is not installed.
  """
  try:
    # Imported late: an extra that only these figures need.
    from rliable import library, metrics
  except ImportError as error:
    raise Undrawable(
        f'aggregates need rliable, which cannot be imported ({error}): '
        "pip install '.[analysis]'"
    ) from error
  return {'library': library, 'metrics': metrics}[name]


@contextlib.contextmanager
def _quiet_and_seeded() -> Iterator[None]:
  """rliable logs every call, and draws from numpy's global state."""
  verbosity, state = logging.get_verbosity(), np.random.get_state()
  logging.set_verbosity(logging.WARNING)
  np.random.seed(0)
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)
    np.random.set_state(state)
