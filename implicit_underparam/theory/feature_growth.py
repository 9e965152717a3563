"""How W_phi moves where its layers are balanced: Lemma D.0.2, Proposition 4.1.

W_phi = W_{N-1} ... W_1 has N - 1 factors. The printed statements count N: see
docs/theory.md.
"""

import numpy as np

from implicit_underparam.theory import deep_linear
from implicit_underparam.theory.deep_linear import Moments, Weights


def feature_gradient(weights: Weights, problem: Moments) -> np.ndarray:
  """[d, p], W_N^T dL/dW_{N:1}: the loss's gradient by W_phi alone."""
  gradient = problem.gradient(deep_linear.end_to_end(weights))
  return np.outer(weights[-1], gradient)


def predicted_velocity(
    weights: Weights, problem: Moments, printed: bool = False
) -> np.ndarray:
  """W_phi' of Lemma D.0.2, from W_phi and W_N alone.

  -sum_{j=1}^{N-1} [W_phi W_phi^T]^{(N-1-j)/(N-1)} W_N^T g
  [W_phi^T W_phi]^{(j-1)/(N-1)} with g = dL/dW_{N:1}.

  Args:
    weights: (W_1, ..., W_N).
    problem: what is fitted.
    printed: the exponent on the left as in the paper, (N-j)/(N-1).

  Returns:
    [d, p].
  """
  layers = len(weights) - 1
  left, sigma, right = np.linalg.svd(deep_linear.features_matrix(weights))
  gradient = feature_gradient(weights, problem)
  total = np.zeros_like(gradient)
  for j in range(1, layers + 1):
    above = _power(left, sigma, (layers - j + printed) / layers)
    below = _power(right.T, sigma, (j - 1) / layers)
    total -= above @ gradient @ below
  return total


def _power(basis: np.ndarray, sigma: np.ndarray, power: float) -> np.ndarray:
  """[W W^T]^power of the left basis, [W^T W]^power of the right one."""
  eigenvalues = np.zeros(len(basis))
  eigenvalues[: len(sigma)] = sigma**2
  return (basis * eigenvalues**power) @ basis.T


def growth_direction(weights: Weights, problem: Moments) -> np.ndarray:
  """-(sigma_r^2)^{1-1/(N-1)} <W_N^T dL/dW_{N:1}, u_r v_r^T>: eq. 4 without N.

  Args:
    weights: (W_1, ..., W_N).
    problem: what is fitted.

  Returns:
    [min(d, p)], largest sigma_r first.
  """
  left, sigma, right = _svd(weights)
  gradient = feature_gradient(weights, problem)
  inner = np.einsum('ir,ij,rj->r', left, gradient, right)
  return -(sigma ** (2 - 2 / (len(weights) - 1))) * inner


def growth(weights: Weights, problem: Moments) -> np.ndarray:
  """[min(d, p)], sigma_r' = u_r^T W_phi' v_r along the flow, no assumption."""
  left, _, right = _svd(weights)
  velocity = deep_linear.features_velocity(weights, problem)
  return np.einsum('ir,ij,rj->r', left, velocity, right)


def measured_growth(
    weights: Weights, problem: Moments, step_size: float
) -> np.ndarray:
  """[min(d, p)], sigma_r' as the difference that one step makes, over eta."""
  after = deep_linear.step(weights, problem, step_size)
  return (_svd(after)[1] - _svd(weights)[1]) / step_size


def summed(
    weights: Weights, problem: Moments, step_size: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Growth and its direction, summed over singular values a step may mix.

  The vectors of nearly equal singular values are not determined, nor is which
  of them is which after a step; their sum is.

  Args:
    weights: (W_1, ..., W_N).
    problem: what is fitted.
    step_size: eta of the measured growth.

  Returns:
    [G] measured growth, [G] growth u_r^T W_phi' v_r, [G] direction of eq. 4.
  """
  _, sigma, _ = _svd(weights)
  velocity = deep_linear.features_velocity(weights, problem)
  labels = clusters(sigma, 10 * step_size * float(np.linalg.norm(velocity)))
  parts = (
      measured_growth(weights, problem, step_size),
      growth(weights, problem),
      growth_direction(weights, problem),
  )
  one, two, three = (np.bincount(labels, part) for part in parts)
  return one, two, three


def clusters(sigma: np.ndarray, gap: float) -> np.ndarray:
  """[r] int, equal for neighbours that are no further apart than a gap.

  Args:
    sigma: [r], largest first.
    gap: the largest distance between neighbours of a cluster.
  """
  return np.cumsum(np.concatenate([[False], -np.diff(sigma) > gap]))


def fitted_constant(values: np.ndarray, direction: np.ndarray) -> float:
  """The c of least squares in values = c direction; NaN where all is still."""
  square = float(direction @ direction)
  return float(values @ direction) / square if square else np.nan


def relative_distance(values: np.ndarray, predicted: np.ndarray) -> float:
  """|values - predicted| / |values|, Euclidean; NaN where all is still."""
  size = float(np.linalg.norm(values))
  return float(np.linalg.norm(values - predicted)) / size if size else np.nan


def discordant_share(sigma: np.ndarray, rate: np.ndarray) -> float:
  """Among pairs of singular values, the share whose larger one moves slower.

  Args:
    sigma: [r], largest first.
    rate: [r], their derivatives; it is their size that is compared.

  Returns:
    In [0, 1]; 0 as section 4.2 has it, 1/2 for rates without order.
  """
  size = np.abs(rate)
  upper = np.triu_indices(len(sigma), 1)
  return float(np.mean(size[upper[0]] < size[upper[1]]))


def interlacing_excess(sigma: np.ndarray, start: np.ndarray) -> float:
  """By how much sigma_{r+1}(0) <= sigma_r <= sigma_{r-1}(0) is violated.

  W_{N-1} W_{N-1}^T - W_N^T W_N does not change along the flow, and W_N has one
  row: sigma^{2/(N-1)} are eigenvalues that a matrix of rank 1 has moved. So
  every singular value but the first stays between two neighbours at the start.

  Args:
    sigma: [r], of W_phi, largest first.
    start: [r], of W_phi at the start of the run.

  Returns:
    The largest excess as a share of the start's largest singular value; 0 or
    less where it holds.
  """
  above = sigma[1:] - start[:-1]
  below = start[1:] - sigma[:-1]
  return float(np.max([*above, *below, -np.inf]) / start[0])


def rank_bounds(
    start: np.ndarray, top: float, delta: float
) -> tuple[int, int]:
  """The least and the largest srank that the first singular value leaves.

  By `interlacing_excess`'s inequalities sigma_1 and the singular values at the
  start enclose every sum of singular values, however many fitting iterations
  were made.

  Args:
    start: [r], of W_phi at the start of the run, largest first.
    top: sigma_1 of W_phi.
    delta: of srank.

  Returns:
    Bounds of srank_delta(W_phi), from below and from above.
  """
  tails = np.cumsum([0, *start[::-1]])[::-1]  # tails[i] = sum_{j>i} start_j.
  largest = top + tails[0] - start[-1]
  smallest = top + tails[min(2, len(start))]
  low = int(np.argmax(np.append(tails[2:], 0) <= delta * largest)) + 1
  high = int(np.argmax(tails <= delta * smallest)) + 1
  return low, min(high, len(start))


def _svd(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  left, sigma, right = np.linalg.svd(
      deep_linear.features_matrix(weights), full_matrices=False
  )
  return left, sigma, right
