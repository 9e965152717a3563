"""Section 4.2 along fitted Q-iteration with a deep linear network."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import gin
import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory import (
  compounding,
  deep_linear,
  experiment,
  feature_growth,
)
from implicit_underparam.theory.bindings import check_delta, check_parts
from implicit_underparam.theory.deep_linear import Moments, Weights
from implicit_underparam.theory.gradient_flow import GradientFlow, Point
from implicit_underparam.theory.kernel_regression import check_gamma
from implicit_underparam.theory.linear_instances import (
  LinearInstance,
  LinearMDP,
)

# Q fits its target if it is this share of it away: there is no TD error left.
_FITTED = 1e-9


class FittedState(NamedTuple):
  """What an instance carries from one fitting iteration to the next.

  Attributes:
    mdp: the data.
    weights: (W_1, ..., W_N) of Q_{k-1}.
    start: [r], singular values of W_phi before the first iteration.
    start_rank: [] int64, their srank.
    squared_steps: [], of all steps so far, see `gradient_flow.Point`.
    c_sum: [] int64, c_1 + ... + c_{k-1}.
  """

  mdp: LinearMDP
  weights: Weights
  start: np.ndarray
  start_rank: np.int64
  squared_steps: np.float64
  c_sum: np.int64


@gin.register
@dataclasses.dataclass(frozen=True)
class DeepLinearIteration:
  """Fitted Q-iteration; what its fits violate of section 4.2.

  Attributes:
    instance: what a network and its data are.
    flow: the fit.
    gamma: the discount.
    delta: of srank.
    probes: points of a fit at which the derivatives are looked at.
  """

  instance: LinearInstance
  flow: GradientFlow
  gamma: float = 0.9
  delta: float = 0.01
  probes: int = 20

  def __post_init__(self) -> None:
    check_parts('DeepLinearIteration', self.instance, self.flow)
    check_gamma(self.gamma, 'DeepLinearIteration')
    if not (
        isinstance(self.probes, int) and 1 <= self.probes <= self.flow.steps
    ):
      raise errors.UserError(
          f'DeepLinearIteration.probes is {self.probes!r}: give a whole number '
          f'from 1 to GradientFlow.steps, {self.flow.steps}'
      )
    check_delta('DeepLinearIteration', self.delta)

  @property
  def gradient_steps(self) -> int:
    """T, taken in a fit."""
    return self.flow.steps

  def init(self, rng: np.random.Generator) -> FittedState:
    """Draws a linear MDP and a network."""
    mdp = self.instance.mdp(rng)
    weights = self.instance.network(rng)
    features = deep_linear.features_matrix(weights)
    return FittedState(
        mdp, weights, compounding.spectrum(features),
        np.int64(compounding.srank(features, self.delta)),
        np.float64(0), np.int64(0),
    )

  def iterate(
      self, state: FittedState, iteration: int
  ) -> tuple[FittedState, experiment.Scalars]:
    """Fits R + gamma P^pi Q_{k-1}."""
    del iteration  # Nothing is drawn.
    w = deep_linear.end_to_end(state.weights)
    problem = state.mdp.problem(state.mdp.targets(w, self.gamma))
    points = list(self.flow.path(state.weights, problem, self.probes))
    last = points[-1]
    columns = {
        **self._rank_columns(points),
        **self._balance_columns(points, float(state.squared_steps)),
        **self._growth_columns(points, problem),
        **self._interlacing_columns(points, state.start),
        **self._compounding_columns(state, last.weights, problem),
    }
    new = state._replace(
        weights=last.weights,
        squared_steps=np.float64(state.squared_steps + last.squared_steps),
        c_sum=np.int64(state.c_sum + columns['c']),
    )
    return new, columns

  def _rank_columns(self, points: Sequence[Point]) -> dict[str, float]:
    """D.1: within a fitting iteration srank falls."""
    ranks = np.array([self._srank(x.weights) for x in points])
    sigma = _spectrum(points[-1].weights)
    lowest = np.minimum.accumulate(ranks)
    return {
        'srank': int(ranks[-1]),
        'srank_start': int(ranks[0]),
        'fit_rank_rise': int(ranks[-1] - ranks[0]),
        'fit_rank_rise_within': int((ranks - lowest).max()),
        'sigma_max': float(sigma[0]),
        'sigma_second': float(sigma[1]),
        'sigma_min': float(sigma[-1]),
    }

  def _balance_columns(
      self, points: Sequence[Point], squared_steps: float
  ) -> dict[str, float]:
    """Lemma D.0.1, and what finite steps may take from it."""
    lost = [
        max(map(np.linalg.norm, deep_linear.imbalances(x.weights)))
        - (squared_steps + x.squared_steps)
        for x in points
    ]
    relative = [deep_linear.relative_imbalance(x.weights) for x in points]
    return {
        'imbalance': max(relative),
        'imbalance_excess': float(max(lost)),
    }

  def _interlacing_columns(
      self, points: Sequence[Point], start: np.ndarray
  ) -> dict[str, float]:
    """What all fits together can change of the start's singular values."""
    spectra = [_spectrum(x.weights) for x in points]
    low, high = feature_growth.rank_bounds(start, spectra[-1][0], self.delta)
    rank = self._srank(points[-1].weights)
    return {
        'interlacing': max(
            feature_growth.interlacing_excess(x, start) for x in spectra
        ),
        'srank_least': low,
        'srank_most': high,
        'srank_bounds_excess': max(low - rank, rank - high),
    }

  def _growth_columns(
      self, points: Sequence[Point], problem: Moments
  ) -> dict[str, float]:
    """Lemma D.0.2 and Proposition 4.1 at every point but the last."""
    moving = [x.weights for x in points[:-1]]
    size = self.flow.step_size
    sums = [feature_growth.summed(x, problem, size) for x in moving]
    measured, exact, direction = map(np.concatenate, zip(*sums, strict=True))
    printed, factors = (
        feature_growth.relative_distance(measured, count * direction)
        for count in (self.instance.num_layers, self.instance.num_layers - 1)
    )
    rates = [feature_growth.growth(x, problem) for x in moving]
    discordant = [
        feature_growth.discordant_share(_spectrum(x), rate)
        for x, rate in zip(moving, rates, strict=True)
    ]
    return {
        'growth_constant': feature_growth.fitted_constant(measured, direction),
        'growth_constant_exact': feature_growth.fitted_constant(
            exact, direction
        ),
        'growth_printed': printed,
        'growth': factors,
        'velocity_printed': _velocity_error(moving, problem, True),
        'velocity': _velocity_error(moving, problem, False),
        'discordant_pairs': float(np.mean(discordant)),
    }

  def _compounding_columns(
      self, state: FittedState, weights: Weights, problem: Moments
  ) -> dict[str, float]:
    """Proposition 4.2, in the part of it that needs no lambda_k."""
    target = compounding.target_features(state.weights, problem)
    target_rank = compounding.srank(target, self.delta)
    rank, before = self._srank(weights), self._srank(state.weights)
    c = target_rank - before
    w = deep_linear.end_to_end(weights)
    error = float(
        np.linalg.norm(state.mdp.inputs @ (w - problem.solution()))
        / np.linalg.norm(state.mdp.inputs @ problem.solution())
    )
    missing = float(rank - target_rank) if error > _FITTED else np.nan
    return {
        'td_error_left': error,
        'srank_target': target_rank,
        'c': c,
        'lambda_negative': missing,
        'lambda_infinite': missing + 1,
        'compounded_excess': float(
            rank - int(state.start_rank) - (int(state.c_sum) + c)
        ),
    }

  def _srank(self, weights: Weights) -> int:
    return compounding.srank(deep_linear.features_matrix(weights), self.delta)


def _spectrum(weights: Weights) -> np.ndarray:
  return compounding.spectrum(deep_linear.features_matrix(weights))


def _velocity_error(
    points: Sequence[Weights], problem: Moments, printed: bool
) -> float:
  """Lemma D.0.2 against the product rule: the largest relative error."""
  return max(
      feature_growth.relative_distance(
          deep_linear.features_velocity(x, problem),
          feature_growth.predicted_velocity(x, problem, printed),
      )
      for x in points
  )
