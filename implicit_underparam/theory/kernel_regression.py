"""Fitted Q-iteration with kernel ridge regression: eq. 1 and 2, appendix C.

There are N state-action pairs, and a kernel g = U^-1 on them, the Green's
function of the regulariser u of eq. 1. The data D are n of the pairs. With
labels y_k = R + gamma P^pi Q_k the solution of eq. 1 is Q_{k+1} = A y_k, and so
Q_k = A M_k R with M_k = sum_{i<k} S^i and S = gamma P^pi A.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from implicit_underparam.errors import UserError

# Rounding of sums of probabilities, and of eigenvalues, of the largest.
_STOCHASTIC = 1e-9
_SEMIDEFINITE = 1e-8


class KernelProblem(NamedTuple):
  """An MDP under a policy, with a kernel and a dataset.

  Attributes:
    kernel: [N, N], g between all pairs; symmetric and PSD.
    data: [n] int64, which of the pairs the dataset holds; may repeat.
    transition: [n, N], P^pi from the data's pairs to all pairs.
    reward: [n], R of the data's pairs.
  """

  kernel: np.ndarray
  data: np.ndarray
  transition: np.ndarray
  reward: np.ndarray

  def labels(self, q_values: np.ndarray, gamma: float) -> np.ndarray:
    """[n], y = R + gamma P^pi Q.

    Args:
      q_values: [N], Q of all pairs.
      gamma: the discount.
    """
    return self.reward + gamma * self.transition @ q_values


def checked(problem: KernelProblem, name: str) -> KernelProblem:
  """The problem in float64, if it is one.

  Args:
    problem: of any numbers.
    name: the binding that gave it.

  Raises:
    UserError: shapes do not fit, the kernel is not PSD, P^pi not stochastic.
  """
  kernel, transition, reward = (
      np.asarray(x, np.float64)
      for x in (problem.kernel, problem.transition, problem.reward)
  )
  data = np.asarray(problem.data)
  shapes = (kernel.shape, data.shape, transition.shape, reward.shape)
  n, count = data.size, len(kernel) if kernel.ndim else 0
  if not n or shapes != ((count, count), (n,), (n, count), (n,)):
    raise UserError(
        f'{name}: the kernel, data, P^pi and R have shapes {shapes}: give '
        '[N, N], [n], [n, N] and [n]'
    )
  if data.dtype.kind not in 'iu' or data.min() < 0 or data.max() >= count:
    raise UserError(
        f'{name}: the data are numbers of pairs: give integers from 0 to '
        f'{count - 1}'
    )
  if not np.isfinite(reward).all():
    raise UserError(f'{name}: rewards are NaN or infinite: give finite ones')
  check_transition(transition, name)
  check_kernel(kernel, name)
  return KernelProblem(kernel, data.astype(np.int64), transition, reward)


def check_transition(matrix: np.ndarray, name: str) -> None:
  """Raises UserError where P^pi [n, N] has a row that is no distribution."""
  # Comparisons that NaN fails.
  rows = (matrix >= 0).all(axis=1)
  rows &= np.abs(matrix.sum(axis=1) - 1) < _STOCHASTIC
  if not rows.all():
    bad = int(np.argmin(rows))
    raise UserError(
        f'{name}: row {bad} of P^pi is no distribution (sum '
        f'{matrix[bad].sum():.6g}, least entry {matrix[bad].min():.3g}): give '
        'probabilities that sum to 1'
    )


def check_kernel(matrix: np.ndarray, name: str) -> None:
  """Raises UserError where a kernel [N, N] is not symmetric and PSD."""
  size = np.abs(matrix).max()
  if not 0 < size < np.inf:
    raise UserError(f'{name}: the kernel is 0, or not finite: give another')
  if np.abs(matrix - matrix.T).max() > _SEMIDEFINITE * size:
    raise UserError(
        f'{name}: the kernel is not symmetric: give g(x, y) = g(y, x)'
    )
  eigenvalues = np.linalg.eigvalsh(matrix)
  if eigenvalues[0] < -_SEMIDEFINITE * eigenvalues[-1]:
    raise UserError(
        f'{name}: the kernel is not positive semi-definite (eigenvalues from '
        f'{eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}): give one that is'
    )


def check_gamma(gamma: float, name: str) -> None:
  """Raises UserError where the discount is not in [0, 1)."""
  if not (isinstance(gamma, (int, float)) and 0 <= gamma < 1):
    raise UserError(
        f'{name}.gamma is {gamma!r}: give a number from 0 to below 1'
    )


def check_positive(value: float, name: str) -> None:
  """Raises UserError where a number, such as the c of eq. 1, is not above 0."""
  if not (isinstance(value, (int, float)) and 0 < value < np.inf):
    raise UserError(f'{name} is {value!r}: give a number above 0')


def fit(kernel: np.ndarray, data: np.ndarray, c: float) -> np.ndarray:
  """A = g_XD (c I + G)^-1, from labels to the solution of eq. 1 (C.7).

  Args:
    kernel: [N, N], g.
    data: [n], the pairs of D; G is g among them.
    c: the regularisation of eq. 1, above 0, in units of g.

  Returns:
    [N, n].
  """
  across = kernel[data]
  gram = across[:, data] + c * np.eye(len(data))
  return scipy.linalg.solve(gram, across, assume_a='pos').T


def solution_error(
    problem: KernelProblem, q_values: np.ndarray, labels: np.ndarray, c: float
) -> float:
  """By how much Q misses c Q = g_XD (y - Q_D), which minimises eq. 1 (C.6).

  Args:
    problem: its kernel and data.
    q_values: [N].
    labels: [n], y.
    c: of eq. 1.

  Returns:
    Relative to the largest |c Q|; 0 for Q = 0 and y = 0.
  """
  residual = labels - q_values[problem.data]
  missed = c * q_values - problem.kernel[:, problem.data] @ residual
  return relative(missed, c * q_values)


def relative(error: np.ndarray, value: np.ndarray) -> float:
  """max |error| / max |value|; 0 / 0 is 0."""
  largest = float(np.abs(error).max())
  return largest / float(np.abs(value).max()) if largest else 0.0


def next_sum(step: np.ndarray, total: np.ndarray) -> np.ndarray:
  """M_{k+1} = I + S M_k, by Horner's rule.

  Args:
    step: [n, n], S.
    total: [n, n], M_k; M_0 = 0.
  """
  return np.eye(len(step)) + step @ total
