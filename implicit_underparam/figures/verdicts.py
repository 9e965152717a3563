"""Judges one claim: a statistic of runs, its interval, a verdict."""

import dataclasses
import math

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import runs, series, statistics

HOLDS = 'holds'
FAILS = 'does not hold'
UNCLEAR = 'unclear'
NOT_RUN = 'not run'
PLANNED_SEEDS = 5


@dataclasses.dataclass(frozen=True)
class Claim:
  """What is said to be so, in terms of columns of runs.

  Attributes:
    id: as in the list of experiments.
    text: the claim.
    statistic: a name in `series.STATISTICS`, taken of every seed.
    columns: one column; two for the rank correlation and the growth ratio.
    run: the configuration.
    baseline: another configuration, whose statistic is subtracted; or ''.
    side: 'above' or 'below' the threshold, or 'within': |effect| < threshold.
    threshold: in units of the statistic.
    games: that it is about, of a suite that has any; () for all there are.
    along: for such a suite, the column along which two runs of unequal length
      are cut to what is common to both; '' for not at all.
    where: for such a suite, a regular expression for the names of the games;
      '' for all.
    until: gradient steps beyond which its runs are not read; 0 for none.
    over_games: what is taken of the games' numbers: their mean, or a key of
      `game_improvement.AGGREGATES`.
  """

  id: str
  text: str
  statistic: str
  columns: tuple[str, ...]
  run: str
  baseline: str = ''
  side: str = 'above'
  threshold: float = 0.0
  games: tuple[str, ...] = ()
  along: str = ''
  where: str = ''
  until: int = 0
  over_games: str = 'mean'

  @property
  def runs(self) -> tuple[str, ...]:
    """The configurations that the claim needs."""
    return (self.run, self.baseline) if self.baseline else (self.run,)


@dataclasses.dataclass(frozen=True)
class Row:
  """A judged claim.

  Attributes:
    claim: what was judged, on these very columns.
    setting: runs, learning rate, iterations, seeds.
    effect: the statistic, or its difference, over seeds; None if not run.
    verdict: one of the constants above.
    notes: what weakens the verdict, such as '3 seeds'.
  """

  claim: Claim
  setting: str
  effect: statistics.Interval | None
  verdict: str
  notes: tuple[str, ...] = ()


def judge(claim: Claim, collection: collection_lib.Collection) -> Row:
  """Judges a claim.

  Args:
    claim: what to judge.
    collection: the runs.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  found = [collection.get(name) for name in claim.runs]
  there = [run for run in found if run is not None]
  if len(there) < len(found):
    return Row(claim, _names(claim), None, NOT_RUN)
  numbers = [per_seed(run, claim) for run in there]
  effect, how = _effect(numbers)
  setting = '; '.join((
      _names(claim),
      *_scale(there, collection),
      f'{_seeds(effect.count)}{how}',
  ))
  notes = tuple(_notes(claim, there, numbers, effect))
  return Row(claim, setting, effect, verdict(claim, effect), notes)


def verdict(claim: Claim, effect: statistics.Interval) -> str:
  """Holds if the whole interval is on the claimed side of the threshold.

  Args:
    claim: side and threshold.
    effect: the interval; a NaN end (one seed) decides nothing, nor does one
      without width of few seeds: they agree because ranks are whole numbers.
  """
  low, high, threshold = effect.low, effect.high, claim.threshold
  if math.isnan(low) or math.isnan(high):
    return UNCLEAR
  if low == high and effect.count < PLANNED_SEEDS:
    return UNCLEAR
  above, below = low > threshold, high < threshold
  if claim.side == 'within':
    holds, fails = -threshold < low and below, above or high < -threshold
  else:
    holds, fails = (above, below) if claim.side == 'above' else (below, above)
  return HOLDS if holds else FAILS if fails else UNCLEAR


def per_seed(
    run: runs.Run, claim: Claim, trained: bool = False
) -> dict[int, float]:
  """The claim's statistic of every seed, each over its own rows.

  Args:
    run: the run.
    claim: statistic and columns.
    trained: leave out the iterations before the first gradient step, and
      count from there.

  Returns:
    Seed -> number; NaN where the statistic is undefined.
  """
  curves = [run.curves(column) for column in claim.columns]
  statistic = series.STATISTICS[claim.statistic]
  numbers = {}
  for i, seed in enumerate(run.seeds):
    there = run.has_row(int(seed))
    if trained:
      there &= run.curves('gradient_steps').values[i] > 0
    iterations = run.iterations[there]
    if trained and len(iterations):
      iterations = iterations - iterations[0]
    columns = (curve.values[i, there] for curve in curves)
    numbers[int(seed)] = (
        statistic(iterations, *columns) if len(iterations) else math.nan
    )
  return numbers


def _effect(
    numbers: list[dict[int, float]],
) -> tuple[statistics.Interval, str]:
  defined = [
      {seed: x for seed, x in one.items() if not math.isnan(x)}
      for one in numbers
  ]
  values = [np.array(list(one.values())) for one in defined]
  if not all(len(x) for x in values):
    return statistics.Interval(math.nan, math.nan, math.nan, 0), ''
  if len(values) == 1:
    return statistics.t_interval(values[0]), ''
  if set(defined[0]) != set(defined[1]):
    return statistics.welch_interval(values[0], values[1]), ' at least, Welch'
  differences = [defined[0][seed] - defined[1][seed] for seed in defined[0]]
  return statistics.t_interval(np.array(differences)), ' paired'


def _notes(
    claim: Claim,
    found: list[runs.Run],
    numbers: list[dict[int, float]],
    effect: statistics.Interval,
) -> list[str]:
  notes = []
  if effect.count < PLANNED_SEEDS:
    notes.append(_seeds(effect.count))
  for name, run, values in zip(claim.runs, found, numbers, strict=True):
    notes += [f'{name}: {x}' for x in run.notes()]
    undefined = [seed for seed, x in values.items() if math.isnan(x)]
    if undefined:
      listed = ', '.join(map(str, undefined))
      notes.append(f'{name}: undefined for seed {listed}')
  return notes


def _names(claim: Claim) -> str:
  return ' − '.join(f'`{name}`' for name in claim.runs)


def _scale(
    found: list[runs.Run], collection: collection_lib.Collection
) -> list[str]:
  suite, variant = collection.suite, collection.variant
  parts = []
  rate = collection_lib.learning_rate(variant)
  if not variant:
    rate = suite.learning_rate
  if rate is not None:
    parts.append(f'learning rate {rate:g}')
  elif variant:
    parts.append(f'variant {variant}')
  parts.append(_each(found, 'num_iterations', 'iterations'))
  if suite.x == 'environment_steps':
    parts.append(_each(found, 'environment_steps', 'environment steps'))
  if suite.x != 'iteration':
    parts.append(_each(found, 'gradient_steps', 'gradient updates'))
  return parts


def _each(found: list[runs.Run], attribute: str, unit: str) -> str:
  numbers = dict.fromkeys(getattr(run, attribute) for run in found)
  return f'{" and ".join(f"{x:,}" for x in numbers)} {unit}'


def _seeds(count: int) -> str:
  return f'{count} seed{"" if count == 1 else "s"}'
