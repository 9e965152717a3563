"""Penalties: features of a minibatch [N, d] -> one number to minimise.

The penalty of the paper needs two singular triples of a small matrix, not its
whole spectrum, so it does not pay for an eigendecomposition: the Gram matrix
is reduced to a tridiagonal one (LAPACK), whose two ends are found by testing
many shifts at once for definiteness, and their vectors by inverse iteration.
On other back ends than the CPU, and for more than 128 rows and columns,
`jnp.linalg.eigh` does it; both give the same two vectors.
"""

import functools
from collections.abc import Sequence

import gin
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from implicit_underparam import errors
from implicit_underparam.types import Penalty

# The recurrence of the tridiagonal method is unrolled: compile time grows with
# n. Fewer than 3 rows are not worth it, and LAPACK's edge cases begin there.
_TRIDIAGONAL_SIZES = range(3, 129)
# Shifts tested at once at each end: eight fill one vector register.
_NUM_SHIFTS = 8

# With the tf32 or bfloat16 products that accelerators default to, the share of
# sigma_min in the gradient is wrong by 2e-3 or 2e-2.
_matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)


@gin.register
def singular_value_penalty(features: jax.Array) -> jax.Array:
  """L_p(Phi) = sigma_max(Phi)^2 - sigma_min(Phi)^2, Eq. 6 of the paper.

  sigma_min is the smallest of the min(N, d) singular values. The gradient is
  2 (sigma_max u_1 v_1^T - sigma_min u_n v_n^T); where singular values coincide
  it is one of the subgradients, and the share of sigma_min = 0 is zero. In
  float32 directions whose sigma^2 lie within about 1e-6 sigma_max^2 of
  sigma_min^2 cannot be told apart, and v_n is a mix of them: the gradient is
  then off by at most about sigma_min + 1e-3 sigma_max, beside sigma_max.
  Second derivatives would hold the singular vectors fixed: do not take them.

  Args:
    features: [N, d] features of a minibatch, N >= 1 and d >= 1.

  Returns:
    A scalar >= 0 up to rounding; 0 for one row, one column and all zeros.

  Raises:
    UserError: the features are not a non-empty matrix.
  """
  features = _matrix(features, 'singular_value_penalty')
  if features.shape[0] < features.shape[1]:
    features = features.T
  constant = lax.stop_gradient(features)
  vectors = _extreme_eigenvectors(_matmul(constant.T, constant))
  # With v held fixed ||Phi v||^2 has the derivative of sigma^2 (Hellmann and
  # Feynman); its value loses no digits of a small sigma to the Gram matrix.
  projections = _matmul(lax.stop_gradient(vectors), features.T)
  squares = jnp.sum(projections**2, axis=1)
  return squares[0] - squares[1]


@gin.register
def feature_norm_penalty(features: jax.Array) -> jax.Array:
  """(1 / N) sum_i ||phi_i||^2: the mean squared norm of a row.

  Args:
    features: [N, d] features of a minibatch.

  Returns:
    A scalar >= 0.

  Raises:
    UserError: the features are not a non-empty matrix.
  """
  features = _matrix(features, 'feature_norm_penalty')
  return jnp.mean(jnp.sum(features**2, axis=1))


@gin.register
def weighted_sum(
    penalties: Sequence[Penalty], weights: Sequence[float]
) -> Penalty:
  """Binds several penalties into one: Phi -> sum_i w_i p_i(Phi).

  Args:
    penalties: functions of features [N, d], at least one.
    weights: one weight w_i for each penalty.

  Returns:
    A penalty.

  Raises:
    UserError: there is no penalty, or not one weight for each.
  """
  if not penalties or len(penalties) != len(weights):
    raise errors.UserError(
        f'weighted_sum got {len(penalties)} penalties and {len(weights)}'
        ' weights; give at least one penalty and one weight for each'
    )

  def penalty(features: jax.Array) -> jax.Array:
    terms = [w * p(features) for w, p in zip(weights, penalties, strict=True)]
    return functools.reduce(jnp.add, terms)

  return penalty


def _matrix(features: jax.Array, name: str) -> jax.Array:
  """The features, checked, in float32 or better."""
  features = jnp.asarray(features)
  if features.ndim != 2 or 0 in features.shape:
    raise errors.UserError(
        f'{name} got features of shape {list(features.shape)}; it needs a'
        ' non-empty matrix [N, d], one row a state (use jax.vmap over seeds)'
    )
  return features.astype(jnp.promote_types(features.dtype, jnp.float32))


# jit, so that a call outside a compiled function does not compile the loop
# anew each time.
@jax.jit
def _extreme_eigenvectors(gram: jax.Array) -> jax.Array:
  """Unit eigenvectors [2, n] of the largest and the smallest eigenvalue."""
  if gram.shape[0] not in _TRIDIAGONAL_SIZES:
    return _eigenvectors_dense(gram)
  return lax.platform_dependent(
      gram, cpu=_eigenvectors_tridiagonal, default=_eigenvectors_dense
  )


def _eigenvectors_dense(gram: jax.Array) -> jax.Array:
  """`_extreme_eigenvectors` by an eigendecomposition."""
  _, columns = jnp.linalg.eigh(gram)
  return jnp.stack([columns[:, -1], columns[:, 0]])


def _eigenvectors_tridiagonal(gram: jax.Array) -> jax.Array:
  """`_extreme_eigenvectors` by tridiagonal reduction, for n >= 3."""
  reflectors, diagonal, off_diagonal, taus = lax.linalg.tridiagonal(gram)
  trace = jnp.sum(diagonal)
  scale = 1 / jnp.where(trace > 0, trace, 1)
  diagonal, off_diagonal = diagonal * scale, off_diagonal * scale
  shifts = _shifts_outside_spectrum(diagonal, off_diagonal)
  vectors = _inverse_iteration(diagonal, off_diagonal, shifts)
  vectors = _apply_reflectors(reflectors, taus, vectors)
  return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


def _shifts_outside_spectrum(
    diagonal: jax.Array, off_diagonal: jax.Array
) -> jax.Array:
  """Shifts [2] a few ulp above and below the spectrum of a tridiagonal T.

  s - T has only positive pivots where s is above the spectrum, and T - s where
  s is below it. Each round tests evenly spaced shifts between one known to be
  inside and one outside, and goes on with the gap where the answer changes.

  Args:
    diagonal: [n] of T, positive semi-definite up to rounding, of trace 1 (or
      0, where any shift but 0 will do).
    off_diagonal: [n - 1] of T.
  """
  n = diagonal.shape[0]
  dtype = diagonal.dtype
  eps = jnp.finfo(dtype).eps
  # In the variable sign * s both ends are looked for from below. The mean
  # eigenvalue 1 / n is inside; 0 and 1 are bounds up to rounding.
  sign = jnp.array([1, -1], dtype)
  diagonals = sign[:, None] * diagonal
  inside = sign / n
  outside = jnp.array([1.001, 0.001], dtype)
  fractions = jnp.arange(1, _NUM_SHIFTS + 1, dtype=dtype)

  def narrow(
      _: int, bracket: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    inside, step = bracket
    shifts = inside[:, None] + step[:, None] * fractions
    pivots = _smallest_pivot(shifts, diagonals, off_diagonal**2)
    # NaN, from 0 / 0 after a zero pivot, is not positive either.
    num_inside = jnp.sum(~(pivots > 0), axis=1).astype(dtype)
    return inside + step * num_inside, step / (_NUM_SHIFTS + 1)

  # ||T|| is at least 1 / n: the last bracket is at most an ulp of it.
  rounds = int(np.ceil(np.log(n / eps) / np.log(_NUM_SHIFTS + 1)))
  step = (outside - inside) / (_NUM_SHIFTS + 1)
  inside, step = lax.fori_loop(0, rounds, narrow, (inside, step))
  norm = inside[0]
  return sign * (inside + step * (_NUM_SHIFTS + 1) + 4 * eps * norm)


def _smallest_pivot(
    shifts: jax.Array, diagonals: jax.Array, off_squared: jax.Array
) -> jax.Array:
  """Smallest pivot [2, m] of shifts [2, m] minus diagonals [2, n].

  Unrolled, so that XLA makes one kernel of it: a loop of the same steps costs
  a hundred times more on a CPU.
  """
  pivot = smallest = shifts - diagonals[:, :1]
  for i in range(1, diagonals.shape[1]):
    pivot = shifts - diagonals[:, i : i + 1] - off_squared[i - 1] / pivot
    smallest = jnp.minimum(smallest, pivot)
  return smallest


def _inverse_iteration(
    diagonal: jax.Array, off_diagonal: jax.Array, shifts: jax.Array
) -> jax.Array:
  """Eigenvectors [2, n] of T next to shifts [2], of maximum norm 1.

  A step multiplies the error by about 5 ulp / gap. T - s is definite, hence
  never singular, and a step grows a vector by at most n / (4 ulp), so that
  three do not overflow float32.
  """
  n = diagonal.shape[0]
  start = np.random.default_rng(0).standard_normal((2, n, 1))
  vectors = jnp.asarray(start, diagonal.dtype)
  off_diagonal = jnp.broadcast_to(off_diagonal, (2, n - 1))
  lower = jnp.pad(off_diagonal, ((0, 0), (1, 0)))
  upper = jnp.pad(off_diagonal, ((0, 0), (0, 1)))
  shifted = diagonal - shifts[:, None]
  for _ in range(3):
    vectors = lax.linalg.tridiagonal_solve(lower, shifted, upper, vectors)
  return vectors[..., 0] / jnp.max(jnp.abs(vectors), axis=1)


def _apply_reflectors(
    reflectors: jax.Array, taus: jax.Array, vectors: jax.Array
) -> jax.Array:
  """Rows [k, n] of vectors times Q^T, for Q from `lax.linalg.tridiagonal`.

  Q = prod_i (I - r_i r_i^T) = I - R^T W R with W^-1 = I + striu(R R^T), the
  compact WY form with sqrt(tau_i) taken into r_i: two products and a
  triangular solve in place of n rank-one updates.
  """
  n = reflectors.shape[0]
  rows = jnp.triu(reflectors.T, 2) + jnp.eye(n, k=1, dtype=reflectors.dtype)
  rows *= jnp.sqrt(jnp.append(taus, 0))[:, None]
  weights = lax.linalg.triangular_solve(
      _matmul(rows, rows.T),
      _matmul(vectors, rows.T),
      transpose_a=True,
      unit_diagonal=True,
  )
  return vectors - _matmul(weights, rows)
