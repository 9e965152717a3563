"""Kernels on state-action pairs, as Gram matrices of mean diagonal 1.

The scale makes the regularisation c of eq. 1 comparable between kernels: a
lone pair is fitted to 1 / (1 + c) of its label.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import gin
import jax
import numpy as np

from implicit_underparam.errors import UserError
from implicit_underparam.theory import kernel_regression


class Pairs(NamedTuple):
  """State-action pairs as a network sees them.

  Attributes:
    observations: [N, d], of the pairs' states.
    actions: [N] int64.
    num_actions: A.
  """

  observations: np.ndarray
  actions: np.ndarray
  num_actions: int

  @property
  def inputs(self) -> np.ndarray:
    """[N, d + A] float64, the observation, then the one-hot action."""
    actions = np.eye(self.num_actions)[self.actions]
    return np.hstack([self.observations.astype(np.float64), actions])


class Kernel(Protocol):
  """A kernel between state-action pairs."""

  def __call__(self, pairs: Pairs, rng: np.random.Generator) -> np.ndarray:
    """[N, N], its Gram matrix on the pairs; PSD, of mean diagonal 1."""


def unit_diagonal(gram: np.ndarray) -> np.ndarray:
  """A Gram matrix [N, N] scaled to a mean diagonal of 1."""
  return gram / np.mean(np.diag(gram))


@gin.register
@dataclasses.dataclass(frozen=True)
class RBFKernel:
  """exp(-|x - x'|^2 / (2 l^2)) on x = [observation; one-hot action].

  Attributes:
    length: l, in units of the median distance between two pairs.
  """

  length: float = 1.0

  def __post_init__(self) -> None:
    kernel_regression.check_positive(self.length, 'RBFKernel.length')

  def __call__(self, pairs: Pairs, rng: np.random.Generator) -> np.ndarray:
    """[N, N]; nothing is drawn."""
    del rng
    x = pairs.inputs
    inner = x @ x.T
    norms = np.diag(inner)
    squares = np.maximum(norms[:, None] + norms[None, :] - 2 * inner, 0)
    np.fill_diagonal(squares, 0)
    median = np.median(squares[np.triu_indices(len(x), 1)])
    if not median > 0:
      raise UserError(
          'RBFKernel: half of the pairs look alike, so that their median '
          'distance is no scale: give observations that tell them apart'
      )
    return np.exp(-squares / (2 * self.length**2 * median))


@gin.register
@dataclasses.dataclass(frozen=True)
class RandomKernel:
  """B B^T with a Gaussian B [N, rank].

  Attributes:
    rank: None for N.
  """

  rank: int | None = None

  def __post_init__(self) -> None:
    rank = self.rank
    if rank is not None and not (isinstance(rank, int) and rank > 0):
      raise UserError(
          f'RandomKernel.rank is {rank!r}: give None, or a whole number above 0'
      )

  def __call__(self, pairs: Pairs, rng: np.random.Generator) -> np.ndarray:
    """[N, N]; what the pairs look like does not count."""
    count = len(pairs.actions)
    factor = rng.standard_normal((count, self.rank or count))
    return unit_diagonal(factor @ factor.T)


@gin.register
@dataclasses.dataclass(frozen=True)
class TangentKernel:
  """The neural tangent kernel of a Q-network at its initialisation: J J^T.

  A row of J is the derivative of Q(s)[a] by all parameters, in float32; the
  products are taken in float64.

  Attributes:
    network: states to q_values [A], of as many actions as the pairs have.
  """

  network: nn.Module

  def __call__(self, pairs: Pairs, rng: np.random.Generator) -> np.ndarray:
    """[N, N], for parameters drawn with `rng`."""
    key = jax.random.key(int(rng.integers(2**31)))
    observations = np.asarray(pairs.observations, np.float32)
    params = self.network.init(key, observations[0])
    output: Any = self.network.apply(params, observations[0])
    if output.q_values.shape != (pairs.num_actions,):
      raise UserError(
          f'TangentKernel.network gives q_values {output.q_values.shape}: bind '
          f'its num_actions to {pairs.num_actions}'
      )
    jacobian = _jacobian(self.network, params, observations, pairs.actions)
    return unit_diagonal(jacobian @ jacobian.T)


def _jacobian(
    network: nn.Module,
    params: Any,
    observations: np.ndarray,
    actions: np.ndarray,
) -> np.ndarray:
  """[N, P] float64, of Q(s)[a] by the parameters."""

  def outputs(parameters: Any, state: jax.Array) -> Any:
    output: Any = network.apply(parameters, state)
    return output.q_values

  states, where = np.unique(observations, axis=0, return_inverse=True)
  per_state = jax.jit(jax.vmap(jax.jacrev(outputs), in_axes=(None, 0)))
  leaves = jax.tree.leaves(per_state(params, states))
  pair = (np.reshape(where, -1), actions)
  rows = [np.asarray(x)[pair].reshape(len(actions), -1) for x in leaves]
  return np.hstack(rows).astype(np.float64)
