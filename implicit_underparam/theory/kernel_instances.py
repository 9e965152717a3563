"""Problems for Theorem 4.1, from S that is PSD to S of a random MDP."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import gin
import numpy as np
import scipy.linalg

from implicit_underparam.errors import UserError
from implicit_underparam.theory.kernel_regression import (
  KernelProblem,
  check_positive,
)
from implicit_underparam.theory.kernels import (
  Kernel,
  Pairs,
  RandomKernel,
  unit_diagonal,
)


class Instance(Protocol):
  """What a kernel regression problem is, before it is drawn."""

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """Draws one."""


@gin.register
@dataclasses.dataclass(frozen=True)
class GivenInstance:
  """One problem, written out.

  Attributes:
    kernel: N rows of N numbers.
    transition: n rows of N numbers, P^pi.
    reward: n numbers.
    data: the pairs of D; None for the first n.
  """

  kernel: Sequence[Sequence[float]]
  transition: Sequence[Sequence[float]]
  reward: Sequence[float]
  data: Sequence[int] | None = None

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """The same each time."""
    del rng
    try:
      data = range(len(self.reward)) if self.data is None else self.data
      return KernelProblem(
          np.array(self.kernel, np.float64),
          np.array(data),
          np.array(self.transition, np.float64),
          np.array(self.reward, np.float64),
      )
    except (TypeError, ValueError) as error:
      raise UserError(
          f'GivenInstance: {error}: give tuples of numbers, rows of one length'
      ) from error


@gin.register
@dataclasses.dataclass(frozen=True)
class ReversibleInstance:
  """Symmetric P^pi, and all pairs as data.

  P^pi is a mixture of random permutations and their inverses, so that its
  eigenvalues spread over [-1, 1]; a lazy one is (I + P^pi) / 2, which is PSD.

  Attributes:
    size: N = n.
    lazy: whether P^pi is PSD.
    permutations: in the mixture; fewer spread the eigenvalues more.
    kernel: None for exp(beta P^pi), which commutes with P^pi, so that S is
      symmetric; another makes it not normal, and similar to a symmetric matrix.
    smoothness: |beta| is uniform between these; beta is positive for a lazy
      P^pi and of either sign for another.
  """

  size: int = 100
  lazy: bool = True
  permutations: int = 3
  kernel: Kernel | None = None
  smoothness: tuple[float, float] = (1.0, 5.0)

  def __post_init__(self) -> None:
    _check_count('ReversibleInstance.size', self.size, 2)
    _check_count('ReversibleInstance.permutations', self.permutations, 1)
    if self.kernel is not None:
      check_kernel_function('ReversibleInstance.kernel', self.kernel)
    _check_interval('ReversibleInstance.smoothness', self.smoothness)

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """Draws P^pi, beta or the kernel, and rewards."""
    transition = self._transition(rng)
    if self.kernel is None:
      beta = rng.uniform(*self.smoothness)
      sign = 1 if self.lazy else rng.choice((-1, 1))
      kernel = unit_diagonal(scipy.linalg.expm(sign * beta * transition))
    else:
      kernel = self.kernel(_random_pairs(self.size, 1, 3, rng), rng)
    # Products and sums leave the last digit of symmetry to chance.
    kernel = (kernel + kernel.T) / 2
    return _on_all_pairs(kernel, transition, rng)

  def _transition(self, rng: np.random.Generator) -> np.ndarray:
    weights = rng.dirichlet(np.ones(self.permutations))
    transition = np.zeros((self.size, self.size))
    for weight in weights:
      permutation = np.eye(self.size)[rng.permutation(self.size)]
      transition += weight / 2 * (permutation + permutation.T)
    if self.lazy:
      transition = (np.eye(self.size) + transition) / 2
    return transition


@gin.register
@dataclasses.dataclass(frozen=True)
class CycleInstance:
  """Walks that go round a torus, with a kernel that is alike everywhere.

  P^pi and the kernel are circulant: S is normal, with eigenvalues of angles 2
  pi m / length where the walk never stays. All pairs are data.

  Attributes:
    length: places once round, the way the walk goes.
    width: places round the other way; N = length width.
    stay: the probability of staying, which makes the angles irrational.
    spread: the kernel's eigenvalues are exp(spread * Gaussian), but for their
      scale, and averaged in pairs so that the kernel is real.
    perturbation: weight of a random PSD matrix of mean diagonal 1 in the
      kernel; above 0, S is but approximately normal.
  """

  length: int = 10
  width: int = 10
  stay: float = 0.0
  spread: float = 2.0
  perturbation: float = 0.0

  def __post_init__(self) -> None:
    _check_count('CycleInstance.length', self.length, 2)
    _check_count('CycleInstance.width', self.width, 1)
    for name in ('stay', 'perturbation'):
      value = getattr(self, name)
      if not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise UserError(
            f'CycleInstance.{name} is {value!r}: give a number from 0 to 1'
        )
    check_positive(self.spread, 'CycleInstance.spread')

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """Draws the kernel and rewards."""
    round_once = np.roll(np.eye(self.length), 1, axis=1)
    shift = np.kron(round_once, np.eye(self.width))
    transition = self.stay * np.eye(len(shift)) + (1 - self.stay) * shift
    kernel = self._kernel(rng)
    if self.perturbation:
      noise = RandomKernel()(_random_pairs(len(shift), 1, 1, rng), rng)
      kernel = (1 - self.perturbation) * kernel + self.perturbation * noise
    return _on_all_pairs((kernel + kernel.T) / 2, transition, rng)

  def _kernel(self, rng: np.random.Generator) -> np.ndarray:
    """[N, N], circulant both ways round, with random eigenvalues."""
    shape = (self.length, self.width)
    spectrum = np.exp(self.spread * rng.standard_normal(shape))
    spectrum += np.roll(np.flip(spectrum), (1, 1), (0, 1))
    values = np.fft.ifft2(spectrum).real
    places = np.stack(np.divmod(np.arange(values.size), self.width))
    apart = places[:, :, None] - places[:, None, :]
    return unit_diagonal(values[apart[0], apart[1]])


@gin.register
@dataclasses.dataclass(frozen=True)
class RandomInstance:
  """A random MDP under a random policy, and some of its pairs as data.

  Attributes:
    kernel: between pairs; states have Gaussian observations.
    num_states: states.
    num_actions: A; N is num_states A.
    num_data: n distinct pairs.
    concentration: of the Dirichlet distributions of P(. | s, a).
    dim_observation: numbers that a kernel sees of a state.
  """

  kernel: Kernel
  num_states: int = 12
  num_actions: int = 3
  num_data: int = 24
  concentration: float = 0.1
  dim_observation: int = 3

  def __post_init__(self) -> None:
    check_kernel_function('RandomInstance.kernel', self.kernel)
    for name, least in (
        ('num_states', 2), ('num_actions', 1), ('num_data', 1),
        ('dim_observation', 1),
    ):
      _check_count(f'RandomInstance.{name}', getattr(self, name), least)
    check_positive(self.concentration, 'RandomInstance.concentration')
    count = self.num_states * self.num_actions
    if self.num_data > count:
      raise UserError(
          f'RandomInstance.num_data is {self.num_data!r}: give at most the '
          f'{count} pairs that there are'
      )

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """Draws the MDP, the policy, what states look like, and the data."""
    pairs = _random_pairs(
        self.num_states, self.num_actions, self.dim_observation, rng
    )
    count = len(pairs.actions)
    following = rng.dirichlet(
        np.full(self.num_states, self.concentration), count
    )
    policy = rng.dirichlet(np.ones(self.num_actions), self.num_states)
    data = np.sort(rng.choice(count, self.num_data, replace=False))
    return KernelProblem(
        self.kernel(pairs, rng),
        data,
        pair_transition(following[data], policy),
        rng.standard_normal(count)[data],
    )


def pair_transition(following: np.ndarray, policy: np.ndarray) -> np.ndarray:
  """P^pi((s', a') | s, a) = P(s' | s, a) pi(a' | s').

  Args:
    following: [n, S], P(. | s, a) of the data's pairs.
    policy: [S, A], pi.

  Returns:
    [n, S A], pairs numbered s A + a.
  """
  return (following[:, :, None] * policy[None]).reshape(len(following), -1)


def _random_pairs(
    num_states: int, num_actions: int, dim: int, rng: np.random.Generator
) -> Pairs:
  """All pairs s A + a of states with Gaussian observations."""
  observations = rng.standard_normal((num_states, dim))
  actions = np.tile(np.arange(num_actions), num_states)
  return Pairs(
      np.repeat(observations, num_actions, axis=0), actions, num_actions
  )


def _on_all_pairs(
    kernel: np.ndarray, transition: np.ndarray, rng: np.random.Generator
) -> KernelProblem:
  """The data are all pairs; rewards are Gaussian."""
  size = len(kernel)
  return KernelProblem(
      kernel, np.arange(size), transition, rng.standard_normal(size)
  )


def check_kernel_function(name: str, kernel: Any) -> None:
  """Raises UserError where a binding is no kernel, or a class of kernels."""
  if isinstance(kernel, type) or not callable(kernel):
    raise UserError(
        f'{name} is {kernel!r}: bind it to a kernel, such as @RBFKernel()'
    )


def _check_interval(name: str, value: Any) -> None:
  numbers = isinstance(value, (tuple, list)) and all(
      isinstance(x, (int, float)) for x in value
  )
  if not (numbers and len(value) == 2 and 0 <= value[0] <= value[1] < np.inf):
    raise UserError(
        f'{name} is {value!r}: give two numbers, 0 <= the first <= the second'
    )


def _check_count(name: str, value: int, least: int) -> None:
  if not isinstance(value, int) or value < least:
    raise UserError(
        f'{name} is {value!r}: give a whole number, at least {least}'
    )
