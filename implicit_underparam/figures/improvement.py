"""How much better a run's final return is than another's, game by game.

As Agarwal et al. (2020, "An optimistic perspective on offline reinforcement
learning") and the paper's bar plots have it: (x - b) / |b|.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from implicit_underparam.figures import (
  game_improvement,
  runs,
  stratified,
  verdicts,
)
from implicit_underparam.figures.game_improvement import cut, relative
from implicit_underparam.figures.runs import Run
from implicit_underparam.figures.statistics import Interval
from implicit_underparam.figures.verdicts import Claim

RETURN = 'eval_return'
STEPS = 'gradient_steps'
# Of offline Atari, where the paper compares: 100 iterations of 62,500.
OFFLINE_LIMIT = 6_250_000
DEFINITION = (
    'Relative improvement (x − b) / |b|: x with the penalty, b without, each '
    'the mean over seeds of the evaluation return, averaged over the last '
    'tenth of training{until}; nothing is subtracted before.'
)
_FINAL = Claim('', '', 'end', (RETURN,), '')


@dataclasses.dataclass(frozen=True)
class Improvement:
  """What one game says.

  Attributes:
    returns: [seeds, 2] final returns, x and b, of the seeds that both have.
    effect: the relative improvement, not in percent; NaN where b is zero.
    steps: gradient updates up to which the runs were read.
  """

  returns: np.ndarray
  effect: Interval
  steps: int


def final_returns(run: Run) -> dict[int, float]:
  """Seed -> the mean over the last tenth of its evaluations."""
  return verdicts.per_seed(run, _FINAL, trained=True)


def paired(treated: Run, baseline: Run) -> np.ndarray:
  """[seeds, 2] final returns of the seeds that both runs have."""
  first, second = map(final_returns, (treated, baseline))
  common = sorted(first.keys() & second.keys())
  pairs = np.array([(first[seed], second[seed]) for seed in common])
  pairs = pairs.reshape(-1, 2)
  return pairs[~np.isnan(pairs).any(1)]


def measure(
    treated: Run, baseline: Run, limit: int | None = None
) -> Improvement | None:
  """The improvement of one game, with an interval over pairs of seeds.

  Args:
    treated: the run that is to be better.
    baseline: the other; of the longer one only what both have is read.
    limit: gradient updates that neither is read beyond; None for none.

  Returns:
    The improvement; None if no seed is in both.
  """
  there = [treated, baseline]
  if not set(treated.seeds) & set(baseline.seeds):
    return None
  if limit is not None and min(x.gradient_steps for x in there) >= limit:
    there = [cut(x, limit) for x in there]
  there = runs.cut_to_common(there, STEPS)
  if not all(len(x.rows) for x in there):
    return None
  pairs = paired(*there)
  if not len(pairs):
    return None
  effect = stratified.of_means([pairs], lambda x: relative(x)[0])
  return Improvement(pairs, effect, max(x.gradient_steps for x in there))


def median(found: Sequence[Improvement]) -> Interval:
  """The median over games; seeds are drawn anew within each.

  Args:
    found: of every game; those where it is undefined are left out.
  """
  defined = [x.returns for x in found if not np.isnan(x.effect.mean)]
  return game_improvement.over_games(defined, 'median relative improvement')


def number_improved(found: Mapping[str, Improvement]) -> int:
  """In how many games x is above b."""
  return sum(x.effect.mean > 0 for x in found.values())
