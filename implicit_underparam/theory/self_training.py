"""Self-training, R = 0 and P^pi = I: targets are the previous Q-values."""

import dataclasses
from typing import NamedTuple

import gin
import numpy as np

from implicit_underparam.theory import compounding, deep_linear, experiment
from implicit_underparam.theory.bindings import check_delta, check_parts
from implicit_underparam.theory.deep_linear import Weights
from implicit_underparam.theory.gradient_flow import GradientFlow
from implicit_underparam.theory.kernel_regression import check_positive
from implicit_underparam.theory.linear_instances import LinearInstance


class SelfState(NamedTuple):
  """What an instance carries from one fitting iteration to the next.

  Attributes:
    inputs: [n, p].
    copied: (W_1, ..., W_N) of the network that goes on from its weights.
    distilled: of the one that starts anew in each iteration.
    fresh: where that one starts, the same each time: what changes from one
      iteration to the next is then the target alone.
    kernel: [n, n], A^{k-1}.
  """

  inputs: np.ndarray
  copied: Weights
  distilled: Weights
  fresh: Weights
  kernel: np.ndarray


@gin.register
@dataclasses.dataclass(frozen=True)
class SelfTraining:
  """Fits Q_{k-1} three ways: weights copied, reset, kernel regression.

  Attributes:
    instance: what a network is.
    flow: the fit.
    regularization: c of A = G (c I + G)^{-1} with G = X X^T.
    delta: of srank.
  """

  instance: LinearInstance
  flow: GradientFlow
  regularization: float = 1.0
  delta: float = 0.01

  def __post_init__(self) -> None:
    check_parts('SelfTraining', self.instance, self.flow)
    check_positive(self.regularization, 'SelfTraining.regularization')
    check_delta('SelfTraining', self.delta)

  @property
  def gradient_steps(self) -> int:
    """T, taken in a fit."""
    return self.flow.steps

  def init(self, rng: np.random.Generator) -> SelfState:
    """Draws the inputs and the first network."""
    inputs = self.instance.mdp(rng).inputs
    weights = self.instance.network(rng)
    fresh = self.instance.network(rng)
    return SelfState(inputs, weights, weights, fresh, np.eye(len(inputs)))

  def iterate(
      self, state: SelfState, iteration: int
  ) -> tuple[SelfState, experiment.Scalars]:
    """One fit of each kind."""
    copied, distilled = (
        self.flow.fit(start, self._problem(state.inputs, teacher))
        for start, teacher in (
            (state.copied, state.copied), (state.fresh, state.distilled)
        )
    )
    kernel = self._hat(state.inputs) @ state.kernel
    new = state._replace(copied=copied, distilled=distilled, kernel=kernel)
    return new, {
        **self._copied_columns(state.copied, copied),
        **self._distilled_columns(state, distilled, iteration),
        'srank_kernel': compounding.srank(kernel, self.delta),
        'kernel_rise': (
            compounding.srank(kernel, self.delta)
            - compounding.srank(state.kernel, self.delta)
        ),
    }

  def _copied_columns(
      self, before: Weights, after: Weights
  ) -> experiment.Scalars:
    move = deep_linear.norm(deep_linear.difference(after, before))
    rise = self._srank(after) - self._srank(before)
    return {
        'srank_copied': self._srank(after),
        'copied_move': move / deep_linear.norm(before),
        'copied_missing_drop': rise + 1,
    }

  def _distilled_columns(
      self, state: SelfState, after: Weights, iteration: int
  ) -> experiment.Scalars:
    rank = self._srank(after)
    # The first target is another network's: there is no student before.
    rise = rank - self._srank(state.distilled) if iteration else np.nan
    targets = state.inputs @ deep_linear.end_to_end(state.distilled)
    left = state.inputs @ deep_linear.end_to_end(after) - targets
    return {
        'srank': rank,
        'td_error_left': float(np.linalg.norm(left) / np.linalg.norm(targets)),
        'distilled_missing_drop': rise + 1,
        'distilled_rise': rise,
        'fit_rank_rise': rank - self._srank(state.fresh),
    }

  def _problem(
      self, inputs: np.ndarray, weights: Weights
  ) -> deep_linear.Moments:
    return deep_linear.moments(inputs, inputs @ deep_linear.end_to_end(weights))

  def _srank(self, weights: Weights) -> int:
    return compounding.srank(deep_linear.features_matrix(weights), self.delta)

  def _hat(self, inputs: np.ndarray) -> np.ndarray:
    """[n, n], A, which takes Q_{k-1} to Q_k."""
    gram = inputs @ inputs.T
    scaled = gram + self.regularization * np.eye(len(gram))
    return np.linalg.solve(scaled, gram)
