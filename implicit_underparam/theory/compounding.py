"""Proposition 4.2 and Theorem 4.2: what a new target does to srank(W_phi).

A target is expressed in the network by W_phi^P = W_phi + zeta with W_N as it
is; zeta moves singular values, and as long as it is small not their rank.
docs/theory.md tells where the printed bounds differ from these.
"""

import numpy as np

from implicit_underparam import metrics
from implicit_underparam.theory import deep_linear
from implicit_underparam.theory.deep_linear import Moments, Weights


def spectrum(matrix: np.ndarray) -> np.ndarray:
  """[r], the singular values, largest first."""
  return np.linalg.svd(matrix, compute_uv=False)


def srank(matrix: np.ndarray, delta: float) -> int:
  """srank_delta of a matrix such as W_phi.

  Args:
    matrix: [d, p].
    delta: the share of the sum of singular values that may be missing.
  """
  return int(metrics.srank(matrix, delta))


def target_change(weights: Weights, problem: Moments) -> np.ndarray:
  """zeta, the least change of W_phi that fits the target with W_N as it is.

  zeta = W_N^+ (w_y - w), where X w_y is the target, or what of it X can
  express: gradient descent cannot tell these apart. Every other zeta that fits
  on the span of X is larger; with larger ones any srank >= 1 can be had.

  Args:
    weights: (W_1, ..., W_N), W_N not 0.
    problem: the target's moments.

  Returns:
    [d, p], of rank 1.
  """
  last = weights[-1][0]
  change = problem.solution() - deep_linear.end_to_end(weights)
  return np.outer(last / (last @ last), change)


def target_features(weights: Weights, problem: Moments) -> np.ndarray:
  """[d, p], W_phi^P = W_phi + zeta of Assumption D.2; see `target_change`."""
  features = deep_linear.features_matrix(weights)
  return features + target_change(weights, problem)


def gap(sigma: np.ndarray, delta: float) -> float:
  """sum_{i<=r} sigma_i - (1 - delta) sum_i sigma_i at r = srank_delta.

  How much of the leading singular values may be missing before srank rises.

  Args:
    sigma: [N], largest first.
    delta: of srank.
  """
  rank = int(metrics.srank(None, delta, singular_values=sigma))
  return float(max(sigma[:rank].sum() - (1 - delta) * sigma.sum(), 0))


def perturbation_bound(sigma: np.ndarray, delta: float) -> float:
  """gap / (r + N): below it, |zeta|_2 cannot raise srank (Theorem 4.2).

  Args:
    sigma: [N], largest first.
    delta: of srank.
  """
  rank = int(metrics.srank(None, delta, singular_values=sigma))
  return gap(sigma, delta) / (rank + len(sigma))


def tight_perturbation_bound(sigma: np.ndarray, delta: float) -> float:
  """gap / ((1 - delta) (N - r) + delta r), the largest bound of its kind.

  If every singular value moves by z at most, sum_{i<=r} sigma_i - (1 - delta)
  sum_i sigma_i falls by delta r z + (1 - delta) (N - r) z at most, and by that
  where the first r fall and the others rise.

  Args:
    sigma: [N], largest first.
    delta: of srank, above 0.
  """
  rank = int(metrics.srank(None, delta, singular_values=sigma))
  count = len(sigma)
  return gap(sigma, delta) / ((1 - delta) * (count - rank) + delta * rank)


def worst_change(features: np.ndarray, delta: float) -> np.ndarray:
  """[d, p], the zeta of |zeta|_2 = 1 that moves srank up soonest.

  Args:
    features: [d, p], W_phi.
    delta: of srank.
  """
  left, sigma, right = np.linalg.svd(features, full_matrices=False)
  rank = int(metrics.srank(None, delta, singular_values=sigma))
  signs = np.where(np.arange(len(sigma)) < rank, -1.0, 1.0)
  return (left * signs) @ right


def target_bound(
    weights: Weights, inputs: np.ndarray, delta: float
) -> float:
  """epsilon_0 of Theorem 4.2: |W_N|_2 sigma_min(X) gap / (r + N).

  A target Q + epsilon with |epsilon|_2 below it needs a zeta with |zeta|_2 <=
  |epsilon|_2 / (|W_N|_2 sigma_min(X)), below `perturbation_bound`.

  Args:
    weights: (W_1, ..., W_N).
    inputs: [n, p], X of rank p.
    delta: of srank.

  Returns:
    In units of Q, for the Euclidean norm of epsilon [n].
  """
  sigma = spectrum(deep_linear.features_matrix(weights))
  last = float(np.linalg.norm(weights[-1]))
  return last * spectrum(inputs)[-1] * perturbation_bound(sigma, delta)


def printed_target_bound(weights: Weights, delta: float) -> float:
  """|W_N|_inf gap / (r + N), as printed, where sigma_min(X) is missing.

  The norm is the largest entry's: of those that can be meant, the one that
  claims least.

  Args:
    weights: (W_1, ..., W_N).
    delta: of srank.
  """
  sigma = spectrum(deep_linear.features_matrix(weights))
  return float(np.abs(weights[-1]).max()) * perturbation_bound(sigma, delta)


def rank_margin(
    sigma: np.ndarray, zeta: float, delta: float, printed: bool = False
) -> int:
  """alpha of D.17: by how much a zeta of this size may raise srank.

  The number of j >= r before the first at which h(j) - (j + N) zeta / sum_i
  sigma_i >= 1 - delta still, with h(j) = sum_{i<=j} sigma_i / sum_i sigma_i: 0
  below `perturbation_bound`. A count of all j of that kind would not be. The
  printed set has both signs the other way round, and is empty for every zeta
  > 0.

  Args:
    sigma: [N], largest first.
    zeta: |zeta|_2.
    delta: of srank.
    printed: the printed set.
  """
  count = len(sigma)
  share = np.cumsum(sigma) / sigma.sum()
  lowered = share - (np.arange(count) + 1 + count) * zeta / sigma.sum()
  if printed:
    return int(np.sum((lowered >= 1 - delta) & (share <= 1 - delta)))
  rank = int(metrics.srank(None, delta, singular_values=sigma))
  stays = np.append(lowered[rank - 1 : -1] >= 1 - delta, True)
  return int(np.argmax(stays))
