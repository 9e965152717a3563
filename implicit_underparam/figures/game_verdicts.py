"""Judges a claim on several games at once."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  game_improvement,
  runs,
  series,
  statistics,
  stratified,
  verdicts,
)
from implicit_underparam.figures.verdicts import Claim

RETURN = 'eval_return'
_UNITLESS = ('rank correlation', 'growth ratio')


@dataclasses.dataclass(frozen=True)
class Row:
  """A claim that was judged on several games.

  Attributes:
    claim: what was judged.
    effect: mean over games of the mean over seeds; None if not run.
    verdict: a constant of `verdicts`.
    by_game: every game's mean over seeds.
    agree: games whose mean is on the claimed side.
    notes: what weakens the verdict.
  """

  claim: Claim
  effect: statistics.Interval | None
  verdict: str
  by_game: Mapping[str, float]
  agree: int
  notes: tuple[str, ...] = ()


class Judged(Protocol):
  """Anything with a verdict."""

  @property
  def verdict(self) -> str:
    """A constant of `verdicts`."""


class Games:
  """The runs of a suite, game by game.

  Args:
    collection: of a suite whose runs lie in a folder for each game.
    interval: of the mean over games, from the seeds' numbers [seeds] of each.
    needed: only games that have one of these runs; () for all.
    trained: leave out the iterations before the first gradient step.
    in_points: returns of a single game are not divided by its best run's.
  """

  def __init__(
      self,
      collection: collection_lib.Collection,
      interval: Callable[
          [Sequence[np.ndarray]], statistics.Interval
      ] = stratified.of_numbers,
      needed: Sequence[str] = (),
      trained: bool = True,
      in_points: bool = False,
  ):
    self.collections = {
        game: x
        for game, x in collection.games().items()
        if not needed or any(x.get(name) is not None for name in needed)
    }
    self.interval = interval
    self.trained = trained
    self.in_points = in_points
    self.suite = collection.suite
    self.place = collection.suite.place

  def __iter__(self) -> Iterator[str]:
    return iter(self.collections)

  def find(self, game: str, names: Sequence[str]) -> list[runs.Run]:
    """Those of a game's runs that are there."""
    collection = self.collections.get(game)
    found = (collection.get(name) for name in names) if collection else ()
    return [run for run in found if run is not None]

  @functools.cached_property
  def returns(self) -> dict[str, dict[str, tuple[float, float]]]:
    """Of every game and run, the first return and the final one.

    Means over seeds.
    """
    return {
        game: dict(_mean_returns(collection))
        for game, collection in self.collections.items()
    }

  @functools.cached_property
  def references(self) -> dict[str, float]:
    """Of every game, the largest of the runs' final returns."""
    return {
        game: max((end for _, end in found.values()), default=math.nan)
        for game, found in self.returns.items()
    }

  def scale(self, claim: Claim, game: str) -> float:
    """What an effect is divided by: returns differ from game to game."""
    if claim.columns != (RETURN,) or claim.statistic in _UNITLESS:
      return 1.0
    return abs(self.references[game]) or math.nan


def judge(claim: Claim, games: Games) -> Row:
  """Judges a claim on those of its games that have its runs.

  Args:
    claim: a comparison is made seed by seed.
    games: the runs.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  values: dict[str, np.ndarray] = {}
  notes: list[str] = []
  is_undefined = False
  is_mean = claim.over_games == 'mean'
  # As `improvement` has it, which the bars are drawn by.
  trained = games.trained or not is_mean
  for game in places(claim, games):
    there = games.find(game, claim.runs)
    if len(there) < len(claim.runs):
      notes.append(f'{game}: not run')
      continue
    notes += _weaknesses(game, claim, there)
    if claim.until:
      there = [game_improvement.cut(run, claim.until) for run in there]
    if claim.along:
      there = runs.cut_to_common(there, claim.along)
      notes.append(f'{game}: {_reach(there, claim.along)}')
    by_run = [verdicts.per_seed(run, claim, trained) for run in there]
    numbers = _common(by_run)
    if not len(numbers):
      notes.append(f'{game}: undefined')
      is_undefined = True
      continue
    values[game] = numbers
    if len(numbers) < max(map(len, by_run)):
      notes.append(f'{game}: {_seeds(len(numbers))}')
  if not values:
    verdict = verdicts.UNCLEAR if is_undefined else verdicts.NOT_RUN
    return Row(claim, None, verdict, {}, 0, tuple(notes) * is_undefined)
  if not is_mean:
    return _improved(claim, values, notes)
  divided = not (games.in_points and len(values) == 1)
  contrasts = {
      game: _contrast(x) / (games.scale(claim, game) if divided else 1.0)
      for game, x in values.items()
  }
  return _row(claim, contrasts, notes, games.interval([*contrasts.values()]))


def places(claim: Claim, games: Games) -> Iterable[str]:
  """The games that a claim is about, whether they were run or not.

  Args:
    claim: which.
    games: the runs.
  """
  if claim.games:
    return claim.games
  return (x for x in games if re.fullmatch(claim.where or '.*', x))


def _weaknesses(
    game: str, claim: Claim, there: Sequence[runs.Run]
) -> list[str]:
  several = len(there) > 1
  return [
      f'{game}, {name}: {x}' if several else f'{game}: {x}'
      for name, run in zip(claim.runs, there, strict=True)
      for x in run.notes()
  ]


def _seeds(count: int) -> str:
  return f'{count} seed{"" if count == 1 else "s"}'


def _reach(there: Sequence[runs.Run], column: str) -> str:
  last = [getattr(run, column) for run in there if len(run.rows)]
  return f'to {max(last, default=0):,} {column.replace("_", " ")}'


def differences(by_run: Sequence[Mapping[int, float]]) -> np.ndarray:
  """Seed by seed, the first run's numbers less the second's.

  Args:
    by_run: seed -> number, of one run or two.

  Returns:
    [seeds] of the seeds for which all are defined.
  """
  return _contrast(_common(by_run))


def _common(by_run: Sequence[Mapping[int, float]]) -> np.ndarray:
  """[seeds, runs] numbers of the seeds for which all are defined."""
  common = set.intersection(*(
      {seed for seed, x in one.items() if not math.isnan(x)} for one in by_run
  ))
  rows = [[one[seed] for one in by_run] for seed in sorted(common)]
  return np.array(rows, float).reshape(-1, len(by_run))


def _contrast(numbers: np.ndarray) -> np.ndarray:
  first, *rest = numbers.T
  return first - rest[0] if rest else first


def supports(claim: Claim, value: float) -> bool:
  """Whether a number is on the claimed side of the threshold."""
  if claim.side == 'within':
    return abs(value) < claim.threshold
  if claim.side == 'above':
    return value > claim.threshold
  return value < claim.threshold


def together(rows: Iterable[Judged]) -> str:
  """One verdict of a claim that has several parts.

  Args:
    rows: the parts.

  Returns:
    It holds if all of them do, and does not hold if one does not; otherwise
    it is not run if a part is not, and else unclear.
  """
  found = {row.verdict for row in rows}
  for verdict in (verdicts.FAILS, verdicts.NOT_RUN, verdicts.UNCLEAR):
    if verdict in found:
      return verdict
  return verdicts.HOLDS


def _row(
    claim: Claim,
    values: Mapping[str, np.ndarray],
    notes: list[str],
    effect: statistics.Interval,
) -> Row:
  means = {game: float(x.mean()) for game, x in values.items()}
  return Row(
      claim,
      effect,
      verdicts.verdict(claim, effect),
      means,
      sum(supports(claim, x) for x in means.values()),
      tuple(notes),
  )


def _improved(
    claim: Claim, values: Mapping[str, np.ndarray], notes: list[str]
) -> Row:
  """Of two runs' numbers; every game is shown its relative improvement."""
  each = {
      game: float(game_improvement.relative(x.mean(0)))
      for game, x in values.items()
  }
  undefined = [
      game for game, x in each.items()
      if math.isnan(x)
      and claim.over_games in game_improvement.UNDEFINED_AT_ZERO
  ]
  notes += [f'{x}: undefined, its return without is 0' for x in undefined]
  defined = [x for game, x in values.items() if game not in undefined]
  if not defined:
    return Row(claim, None, verdicts.UNCLEAR, {}, 0, tuple(notes))
  effect = game_improvement.over_games(defined, claim.over_games)
  each = {game: x for game, x in each.items() if game not in undefined}
  sign = -1 if claim.side == 'below' else 1
  return Row(
      claim, effect, verdicts.verdict(claim, effect), each,
      sum(sign * float(x.mean(0) @ (1, -1)) > 0 for x in defined),
      tuple(notes),
  )


def _mean_returns(
    collection: collection_lib.Collection,
) -> Iterator[tuple[str, tuple[float, float]]]:
  for name in collection.names():
    run = collection.get(name)
    if run is not None and RETURN in run.columns:
      curves = run.curves(RETURN)
      there = [run.has_row(int(seed)) for seed in run.seeds]
      ends = [
          (values[rows][0], series.end(run.iterations[rows], values[rows]))
          for rows, values in zip(there, curves.values, strict=True)
      ]
      first, end = np.nanmean(ends, axis=0)
      yield name, (float(first), float(end))
