"""Deep linear Q-networks: Q = W_N W_phi x with W_phi = W_{N-1} ... W_1.

Section 4.2 and appendix D. A network is a tuple (W_1, ..., W_N) of float64
matrices. The loss L = sum_i (Q(x_i) - y_i)^2 is known to a step of gradient
descent by C = X^T X and b = X^T y alone, so that a step costs one pass of
vectors through the layers, however many transitions there are. Time is that of
the gradient flow W_j' = -dL/dW_j: a step of size eta takes eta of it.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from implicit_underparam import errors

Weights = tuple[np.ndarray, ...]


class Moments(NamedTuple):
  """What gradient descent sees of a regression problem.

  Attributes:
    covariance: [p, p], C = X^T X.
    cross: [p], b = X^T y.
  """

  covariance: np.ndarray
  cross: np.ndarray

  def gradient(self, end_to_end: np.ndarray) -> np.ndarray:
    """[p], g = dL/dW_{N:1} = 2 (C w - b) at w [p]."""
    return 2 * (self.covariance.dot(end_to_end) - self.cross)

  def solution(self) -> np.ndarray:
    """[p], the w of least norm that minimises the loss."""
    # C's pseudo-inverse squares the condition number of X: cut off at that.
    return np.linalg.pinv(self.covariance, 1e-13, hermitian=True) @ self.cross


def moments(inputs: np.ndarray, targets: np.ndarray) -> Moments:
  """The moments of inputs and targets.

  Args:
    inputs: [n, p], rows [s; a].
    targets: [n], the labels y.

  Raises:
    UserError: the shapes do not fit, or an entry is not finite.
  """
  x = np.asarray(inputs, np.float64)
  y = np.asarray(targets, np.float64)
  if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
    raise errors.UserError(
        f'inputs have shape {x.shape} and targets {y.shape}: give [n, p] and '
        '[n] with n and p at least 1'
    )
  if not (np.isfinite(x).all() and np.isfinite(y).all()):
    raise errors.UserError(
        'inputs or targets hold NaN or infinity: give finite numbers'
    )
  return Moments(x.T @ x, x.T @ y)


def balanced(
    features: np.ndarray,
    last: np.ndarray,
    hidden: Sequence[int],
    rng: np.random.Generator,
) -> Weights:
  """Splits W_phi into layers with W_{j+1}^T W_{j+1} = W_j W_j^T (D.3, D.4).

  W_j = U_{j+1} Sigma^{1/(N-1)} U_j^T, where Sigma, U_N and U_1 are those of
  W_phi's singular value decomposition and the bases between are random.

  Args:
    features: [d, p], W_phi.
    last: [d] or [1, d], W_N, which need not be balanced.
    hidden: widths d_1, ..., d_{N-2} between the layers of W_phi; none leaves
      W_phi one layer.
    rng: of the bases.

  Returns:
    (W_1, ..., W_N), N = len(hidden) + 2.

  Raises:
    UserError: a width is less than the rank of W_phi, or shapes do not fit.
  """
  row = np.asarray(last, np.float64).reshape(1, -1)
  if features.ndim != 2 or row.shape[1] != features.shape[0]:
    raise errors.UserError(
        f'W_phi has shape {np.shape(features)} and W_N {np.shape(last)}: give '
        '[d, p] and [d]'
    )
  left, sigma, right = np.linalg.svd(features, full_matrices=False)
  rank = int(np.linalg.matrix_rank(features))
  if min((rank, *hidden)) < rank:
    raise errors.UserError(
        f'a layer of width {min(hidden)} cannot pass on a W_phi of rank '
        f'{rank}: give every hidden layer at least that many units'
    )
  bases = [
      right[:rank].T,
      *(orthonormal(width, rank, rng) for width in hidden),
      left[:, :rank],
  ]
  root = sigma[:rank] ** (1 / (len(hidden) + 1))
  pairs = zip(bases[1:], bases, strict=False)
  return (*((new * root) @ old.T for new, old in pairs), row)


def orthonormal(
    rows: int, columns: int, rng: np.random.Generator
) -> np.ndarray:
  """[rows, columns], random orthonormal columns, uniformly distributed."""
  q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
  return q * np.sign(np.diag(r))


def features_matrix(weights: Weights) -> np.ndarray:
  """[d, p], W_phi = W_{N-1} ... W_1."""
  return functools.reduce(lambda product, w: w @ product, weights[:-1])


def end_to_end(weights: Weights) -> np.ndarray:
  """[p], W_{N:1} = W_N ... W_1; Q(x) is its product with x."""
  return functools.reduce(lambda row, w: row @ w, weights[::-1])[0]


def loss(weights: Weights, problem: Moments) -> float:
  """L without its constant y^T y: w^T C w - 2 b^T w."""
  w = end_to_end(weights)
  return float(w @ problem.covariance @ w - 2 * problem.cross @ w)


def gradients(weights: Weights, problem: Moments) -> Weights:
  """(dL/dW_1, ..., dL/dW_N), each of its matrix's shape."""
  pairs = gradient_vectors(weights, problem)
  return tuple(np.outer(left, right) for left, right in pairs)


def gradient_vectors(
    weights: Weights, problem: Moments
) -> list[tuple[np.ndarray, np.ndarray]]:
  """The gradients, which have rank 1: dL/dW_j = left_j right_j^T.

  Args:
    weights: (W_1, ..., W_N).
    problem: what is fitted.

  Returns:
    (left_j, right_j) for every layer: left_j = (W_N ... W_{j+1})^T of the size
    of W_j's output, right_j = W_{j-1} ... W_1 g of the size of its input.
  """
  # For vectors as short as these, dot takes half the time of the operator @.
  lefts = [np.ones(1)]
  for w in weights[::-1]:
    lefts.append(lefts[-1].dot(w))
  rights = [problem.gradient(lefts.pop())]
  for w in weights[:-1]:
    rights.append(w.dot(rights[-1]))
  return list(zip(lefts[::-1], rights, strict=True))


def step(weights: Weights, problem: Moments, step_size: float) -> Weights:
  """One step of gradient descent, W_j <- W_j - eta dL/dW_j.

  Args:
    weights: (W_1, ..., W_N).
    problem: what is fitted.
    step_size: eta, in units of the flow's time.
  """
  return descend(weights, gradient_vectors(weights, problem), step_size)


def descend(
    weights: Weights,
    vectors: Sequence[tuple[np.ndarray, np.ndarray]],
    step_size: float,
) -> Weights:
  """W_j - eta left_j right_j^T, with the vectors of `gradient_vectors`."""
  return tuple(
      w - np.multiply.outer(step_size * left, right)
      for w, (left, right) in zip(weights, vectors, strict=True)
  )


def velocity(weights: Weights, problem: Moments) -> Weights:
  """The flow's derivative, (W_1', ..., W_N') = -(dL/dW_1, ..., dL/dW_N)."""
  return tuple(-x for x in gradients(weights, problem))


def features_velocity(weights: Weights, problem: Moments) -> np.ndarray:
  """[d, p], W_phi' along the flow, by the product rule.

  Nothing is assumed of the weights; Lemma D.0.2 predicts it where they are
  balanced.
  """
  terms = []
  for j, derivative in enumerate(velocity(weights, problem)[:-1]):
    layers = (*weights[:j], derivative, *weights[j + 1 :])
    terms.append(features_matrix(layers))
  return np.sum(terms, axis=0)


def imbalances(weights: Weights) -> list[np.ndarray]:
  """W_{j+1}^T W_{j+1} - W_j W_j^T for j = 1, ..., N - 2 (D.4)."""
  inner = weights[:-1]
  return [
      above.T @ above - below @ below.T
      for below, above in zip(inner, inner[1:], strict=False)
  ]


def relative_imbalance(weights: Weights) -> float:
  """The largest |W_{j+1}^T W_{j+1} - W_j W_j^T| / |W_j|^2, Frobenius norms.

  0 where the first N - 1 layers are balanced, as Lemma D.0.1 has it.
  """
  gaps = imbalances(weights)
  return max(
      (
          float(np.linalg.norm(gap) / max(np.sum(w**2), np.finfo(float).tiny))
          for gap, w in zip(gaps, weights, strict=False)
      ),
      default=0.0,
  )


def norm(weights: Weights) -> float:
  """The Euclidean norm of all weights together."""
  return float(np.sqrt(sum(np.sum(w**2) for w in weights)))


def difference(one: Weights, other: Weights) -> Weights:
  """Layer by layer, one - other."""
  return tuple(a - b for a, b in zip(one, other, strict=True))
