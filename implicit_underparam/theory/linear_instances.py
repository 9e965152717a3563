"""Random linear MDPs, whose backups deep linear networks can represent."""

import dataclasses
from typing import NamedTuple

import gin
import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory import deep_linear
from implicit_underparam.theory.deep_linear import Moments, Weights


class LinearMDP(NamedTuple):
  """State-action pairs with a policy, as the loss sees them.

  Attributes:
    inputs: [n, p], rows [s; a].
    reward: [n].
    transition: [n, n], P^pi, row-stochastic.
  """

  inputs: np.ndarray
  reward: np.ndarray
  transition: np.ndarray

  def targets(self, end_to_end: np.ndarray, gamma: float) -> np.ndarray:
    """[n], y = R + gamma P^pi Q for Q = X w.

    Args:
      end_to_end: [p], w.
      gamma: the discount.
    """
    return self.reward + gamma * self.transition @ (self.inputs @ end_to_end)

  def problem(self, targets: np.ndarray) -> Moments:
    """The moments of the inputs and labels [n]."""
    return deep_linear.moments(self.inputs, targets)


@gin.register
@dataclasses.dataclass(frozen=True)
class LinearInstance:
  """Draws a linear MDP and a network with balanced first N - 1 layers.

  The rows of X are distributions over p latent states (Dirichlet), P^pi = X M
  with a random stochastic M and R = X theta: P^pi and R map the span of X into
  itself, so that the function class is closed under the backup (Assumption
  D.1) with any number of state-action pairs.

  Attributes:
    num_layers: N.
    width: d, units in every hidden layer.
    input_size: p.
    num_pairs: n, state-action pairs.
    concentration: of the Dirichlet distributions; small ones are close to
      one-hot inputs.
    feature_scale: W_phi has Gaussian entries of this times 1/sqrt(d).
    decades: None for that; else W_phi has random singular vectors, and
      singular values log-uniform over so many powers of ten, up to
      feature_scale.
    last_scale: W_N has Gaussian entries of this times 1/sqrt(d).
  """

  num_layers: int = 3
  width: int = 12
  input_size: int = 8
  num_pairs: int = 40
  concentration: float = 0.1
  feature_scale: float = 1.0
  decades: float | None = None
  last_scale: float = 1.0

  def __post_init__(self) -> None:
    self._check_at_least('num_layers', 3, 'section 4.2 has N >= 3')
    self._check_at_least('input_size', 2, 'there is no rank to lose below')
    self._check_at_least('width', self.input_size, 'or W_phi has not rank p')
    self._check_at_least('num_pairs', self.input_size, 'or X has not rank p')
    for name in ('concentration', 'feature_scale', 'last_scale'):
      value = getattr(self, name)
      if not (isinstance(value, (int, float)) and 0 < value < np.inf):
        raise errors.UserError(
            f'LinearInstance.{name} is {value!r}: give a number above 0'
        )
    decades = self.decades
    number = isinstance(decades, (int, float)) and 0 < decades < 8
    if not (decades is None or number):
      raise errors.UserError(
          f'LinearInstance.decades is {decades!r}: give None, or a number '
          'above 0 and below 8'
      )

  def mdp(self, rng: np.random.Generator) -> LinearMDP:
    """Draws the state-action pairs, their rewards and transitions."""
    spread = np.full(self.input_size, self.concentration)
    inputs = rng.dirichlet(spread, self.num_pairs)
    reward = inputs @ rng.uniform(-1, 1, self.input_size)
    pairs = np.full(self.num_pairs, self.concentration)
    return LinearMDP(
        inputs, reward, inputs @ rng.dirichlet(pairs, self.input_size)
    )

  def network(self, rng: np.random.Generator) -> Weights:
    """Draws (W_1, ..., W_N)."""
    features = self.feature_scale * self._directions(rng)
    last = self.last_scale / np.sqrt(self.width)
    hidden = [self.width] * (self.num_layers - 2)
    return deep_linear.balanced(
        features, last * rng.standard_normal(self.width), hidden, rng
    )

  def _directions(self, rng: np.random.Generator) -> np.ndarray:
    """[d, p], W_phi but for its scale."""
    shape = (self.width, self.input_size)
    if self.decades is None:
      return rng.standard_normal(shape) / np.sqrt(self.width)
    left = deep_linear.orthonormal(*shape, rng)
    right = deep_linear.orthonormal(self.input_size, self.input_size, rng)
    sigma = 10 ** -rng.uniform(0, self.decades, self.input_size)
    return (left * sigma) @ right

  def _check_at_least(self, name: str, least: int, why: str) -> None:
    value = getattr(self, name)
    if not isinstance(value, int) or value < least:
      raise errors.UserError(
          f'LinearInstance.{name} is {value!r}: give a whole number, at least '
          f'{least} ({why})'
      )
