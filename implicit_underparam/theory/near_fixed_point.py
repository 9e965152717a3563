"""Theorem 4.2 as an experiment: targets close to the previous Q-values."""

import dataclasses
from typing import NamedTuple

import gin
import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory import compounding, deep_linear, experiment
from implicit_underparam.theory.bindings import check_delta, check_parts
from implicit_underparam.theory.deep_linear import Weights
from implicit_underparam.theory.gradient_flow import GradientFlow
from implicit_underparam.theory.linear_instances import LinearInstance


class NearState(NamedTuple):
  """A network and inputs, the same in every iteration.

  Attributes:
    weights: (W_1, ..., W_N) of Q_{k-1}.
    inputs: [n, p].
    key: [] int64, of what is drawn in an iteration.
  """

  weights: Weights
  inputs: np.ndarray
  key: np.int64


@gin.register
@dataclasses.dataclass(frozen=True)
class NearFixedPoint:
  """One fit of Q_{k-1} + epsilon, from Q_{k-1}, for growing epsilon.

  Iteration i has |epsilon| = smallest factor^i epsilon_0; the network does not
  go on from one to the next.

  Attributes:
    instance: what a network is.
    flow: the fit; T large enough to reach the target.
    smallest: |epsilon| / epsilon_0 in the first iteration.
    factor: by which it grows.
    delta: of srank.
  """

  instance: LinearInstance
  flow: GradientFlow
  smallest: float = 0.09
  factor: float = 10**0.5
  delta: float = 0.01

  def __post_init__(self) -> None:
    check_parts('NearFixedPoint', self.instance, self.flow)
    numbers = all(
        isinstance(x, (int, float)) and np.isfinite(x)
        for x in (self.smallest, self.factor)
    )
    if not (numbers and self.smallest > 0 and self.factor > 1):
      raise errors.UserError(
          f'NearFixedPoint.smallest is {self.smallest!r} and .factor '
          f'{self.factor!r}: give numbers above 0 and above 1'
      )
    check_delta('NearFixedPoint', self.delta)

  @property
  def gradient_steps(self) -> int:
    """T, taken in a fit."""
    return self.flow.steps

  def init(self, rng: np.random.Generator) -> NearState:
    """Draws a network and its inputs."""
    inputs = self.instance.mdp(rng).inputs
    weights = self.instance.network(rng)
    return NearState(weights, inputs, np.int64(rng.integers(2**62)))

  def iterate(
      self, state: NearState, iteration: int
  ) -> tuple[NearState, experiment.Scalars]:
    """Perturbs the features, and the target, by one size."""
    rng = np.random.default_rng([int(state.key), iteration])
    scale = self.smallest * self.factor**iteration
    return state, {
        'epsilon_over_bound': scale,
        **self._perturbed(state, scale, rng),
        **self._worst_cases(state, scale),
        **self._fitted(state, scale, rng),
    }

  def _perturbed(
      self, state: NearState, scale: float, rng: np.random.Generator
  ) -> experiment.Scalars:
    """Random changes of W_phi, of spectral norm scale gap / (r + N)."""
    features = deep_linear.features_matrix(state.weights)
    sigma = compounding.spectrum(features)
    zeta = rng.standard_normal(features.shape)
    size = scale * compounding.perturbation_bound(sigma, self.delta)
    zeta *= size / np.linalg.norm(zeta, 2)
    moved = np.abs(compounding.spectrum(features + zeta) - sigma).max()
    change = self._rise(features, zeta)
    return {
        'weyl_printed': float((moved - np.abs(zeta).max()) / size),
        'weyl': float((moved - size) / size),
        'rank_change': _below(scale, abs(change)),
        'rank_rise': _below(scale, change),
        **self._margins(sigma, size, scale, change),
    }

  def _margins(
      self, sigma: np.ndarray, size: float, scale: float, change: int
  ) -> experiment.Scalars:
    """D.17: alpha bounds the rise of srank, and is 0 below the bound."""
    printed, corrected = (
        compounding.rank_margin(sigma, size, self.delta, form)
        for form in (True, False)
    )
    return {
        'alpha_printed_excess': change - printed,
        'alpha_excess': change - corrected,
        'alpha': _below(scale, corrected),
    }

  def _worst_cases(self, state: NearState, scale: float) -> experiment.Scalars:
    """The change that raises srank soonest, by each of the two bounds."""
    features = deep_linear.features_matrix(state.weights)
    sigma = compounding.spectrum(features)
    worst = compounding.worst_change(features, self.delta)
    bound = compounding.perturbation_bound(sigma, self.delta)
    tight = compounding.tight_perturbation_bound(sigma, self.delta)
    printed = compounding.printed_target_bound(state.weights, self.delta)
    needed = compounding.target_bound(state.weights, state.inputs, self.delta)
    at_bound = self._rise(features, scale * bound * worst)
    at_tight = self._rise(features, scale * tight * worst)
    return {
        'worst_rise': _below(scale, at_bound),
        'tight_rise': _below(scale, at_tight),
        'printed_bound_excess': _below(
            scale, self._largest_change(state, scale * printed) / bound - 1
        ),
        'bound_excess': _below(
            scale, self._largest_change(state, scale * needed) / bound - 1
        ),
    }

  def _largest_change(self, state: NearState, size: float) -> float:
    """|zeta|_2 for the epsilon of a size that needs the largest."""
    weakest = np.linalg.svd(state.inputs, full_matrices=False)[0][:, -1]
    return float(np.linalg.norm(self._change(state, size * weakest), 2))

  def _fitted(
      self, state: NearState, scale: float, rng: np.random.Generator
  ) -> experiment.Scalars:
    """A random epsilon in the span of X, and gradient descent towards it."""
    features = deep_linear.features_matrix(state.weights)
    bound = compounding.target_bound(state.weights, state.inputs, self.delta)
    noise = state.inputs @ rng.standard_normal(state.inputs.shape[1])
    epsilon = scale * bound * noise / np.linalg.norm(noise)
    c = self._rise(features, self._change(state, epsilon))
    targets = self._q_values(state.weights, state.inputs) + epsilon
    problem = deep_linear.moments(state.inputs, targets)
    weights = self.flow.fit(state.weights, problem)
    moved = deep_linear.features_matrix(weights) - features
    rise = self._rise(features, moved)
    left = self._q_values(weights, state.inputs) - targets
    size = compounding.perturbation_bound(
        compounding.spectrum(features), self.delta
    )
    path = float(np.linalg.norm(moved, 2)) / size
    return {
        'srank': rise + compounding.srank(features, self.delta),
        'td_error_left': float(np.linalg.norm(left) / np.linalg.norm(epsilon)),
        'c': c,
        'c_not_zero': _below(scale, abs(c)),
        'c_rise': _below(scale, c),
        'fit_move_over_bound': path,
        'fit_rise': _below(scale, rise),
        'fit_missing_drop': _below(scale, rise + 1),
        'fit_rise_nearby': _below(path, rise),
    }

  def _change(self, state: NearState, epsilon: np.ndarray) -> np.ndarray:
    """zeta with W_N zeta X^T = epsilon^T, the least."""
    targets = self._q_values(state.weights, state.inputs) + epsilon
    problem = deep_linear.moments(state.inputs, targets)
    return compounding.target_change(state.weights, problem)

  def _rise(self, features: np.ndarray, change: np.ndarray) -> int:
    """srank(W_phi + change) - srank(W_phi)."""
    after = compounding.srank(features + change, self.delta)
    return after - compounding.srank(features, self.delta)

  def _q_values(self, weights: Weights, inputs: np.ndarray) -> np.ndarray:
    return inputs @ deep_linear.end_to_end(weights)


def _below(scale: float, value: float) -> float:
  """The value where the size is below the bound; else nothing is claimed."""
  return float(value) if scale < 1 else float('nan')
