"""Metrics: features, q-values and parameters -> numbers, srank foremost.

Arrays at hand (numpy, `jax.Array`, lists) are measured on the host in float64
and give a Python number; NaN or infinite entries are an error. Tracers (under
jit, vmap or scan) are measured in float32 and give a jax scalar: not finite, or
-1 for a count, where an entry is not finite.

Metrics of singular values take them as `singular_values`, to compute them once
a probe; `features` may then be None, except where their shape counts.
"""

from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax

from implicit_underparam import errors

Features = npt.ArrayLike | jax.Array | None
Integer = int | jax.Array
Real = float | jax.Array

# Two sums are equal when they are within 4 ulp of float32 of the total: that
# is what rounding the features to float32 may move them.
_TIE = 4 * float(np.finfo(np.float32).eps)


def singular_values(features: Features) -> Any:
  """Singular values of Phi, largest first.

  Args:
    features: [N, d], one row a state.

  Returns:
    [min(N, d)]; float64 on the host, accurate to 1e-7 sigma_max for float32
    features, which hold no more, and to 1e-14 sigma_max for float64; float32
    in a trace, all NaN where an entry of the features is not finite.

  Raises:
    UserError: the features are not a non-empty, finite matrix.
  """
  phi = _matrix(features)
  if phi.shape[0] < phi.shape[1]:
    phi = phi.T
  if _is_traced(phi):
    return _traced_singular_values(phi)
  # A float64 Gram matrix keeps 8 digits of sigma_max, in half an SVD's time.
  if np.asarray(features).dtype.itemsize > 4:
    return np.linalg.svd(phi, compute_uv=False)
  return np.sqrt(np.maximum(np.linalg.eigvalsh(phi.T @ phi)[::-1], 0))


@gin.register
def srank(
    features: Features, delta: float = 0.01, *, singular_values: Any = None
) -> Integer:
  """srank_delta = min{k : sum_{i<=k} sigma_i >= (1 - delta) sum_i sigma_i}.

  Section 3 of the paper. k is reached when sum_{i>k} sigma_i <= (delta + 4 ulp)
  sum_i sigma_i with the ulp of float32, 2^-23: a tie that float32 features
  cannot break is a tie, so that the identity of size 100 gives 99.

  Args:
    features: [N, d].
    delta: the share of the sum that may be missing, in [0, 1).
    singular_values: [min(N, d)] of the features, if already computed.

  Returns:
    An integer in [1, min(N, d)]; 0 for all-zero features.

  Raises:
    UserError: for a delta outside [0, 1), or bad features.
  """
  return _threshold_rank(_spectrum(features, singular_values), delta)


@gin.register
def srank_eigenvalues(matrix: Features, delta: float = 0.01) -> Integer:
  """srank_delta with |lambda_i| of a square matrix for sigma_i, as in A.1.

  Args:
    matrix: [n, n], symmetric or not.
    delta: as in `srank`.

  Returns:
    An integer in [1, n]; 0 where all eigenvalues are 0.

  Raises:
    UserError: the matrix is not square, or as in `srank`.
  """
  square = _matrix(matrix, 'the matrix')
  if square.shape[0] != square.shape[1]:
    raise errors.UserError(
        f'eigenvalues need a square matrix, not {list(square.shape)}; use srank'
        ' for features'
    )
  xp = _array_module(square)
  magnitudes = xp.sort(xp.abs(xp.linalg.eigvals(square)))[::-1]
  return _threshold_rank(magnitudes, delta)


@gin.register
def srank_lambda(features: Features, delta: float = 0.01) -> Integer:
  """srank_{delta,lambda}: that of the first d rows' eigenvalues (A.7).

  Args:
    features: [N, d], N >= d; the rows are i.i.d., so the first d are too.
    delta: as in `srank`.

  Returns:
    As `srank_eigenvalues`.

  Raises:
    UserError: fewer rows than units, or as there.
  """
  matrix = _matrix(features)
  num_rows, num_units = matrix.shape
  if num_rows < num_units:
    raise errors.UserError(
        f'srank_lambda needs at least d = {num_units} rows, and the probe has '
        f"{num_rows}: raise the loop's probe_size, or leave the metric out"
    )
  return srank_eigenvalues(matrix[:num_units], delta)


@gin.register
def effective_rank(features: Features, *, singular_values: Any = None) -> Real:
  """exp(-sum_i p_i log p_i), p_i = sigma_i / sum_j sigma_j.

  Roy & Vetterli, The effective rank, 2007. 0 for all-zero features.
  """
  sigma = _spectrum(features, singular_values)
  xp = _array_module(sigma)
  total = xp.sum(sigma)
  p = sigma / xp.where(total == 0, 1, total)
  entropy = -xp.sum(p * xp.log(xp.where(p == 0, 1, p)))
  return _number(xp.where(total == 0, 0, xp.exp(entropy)))


@gin.register
def stable_rank(features: Features, *, singular_values: Any = None) -> Real:
  """||Phi||_F^2 / sigma_max^2 = sum_i (sigma_i / sigma_1)^2.

  Rudelson & Vershynin, Sampling from large matrices, 2007. 0 for all-zero
  features.
  """
  sigma = _spectrum(features, singular_values)
  xp = _array_module(sigma)
  return _number(xp.sum((sigma / xp.where(sigma[0] == 0, 1, sigma[0])) ** 2))


@gin.register
def numerical_rank(
    features: Features,
    tolerance: float | None = None,
    *,
    singular_values: Any = None,
) -> Integer:
  """#{i : sigma_i > tolerance * sigma_max}.

  The usual tolerance (Golub & Van Loan, Matrix Computations, Sec. 5.5) is
  max(N, d) times the machine epsilon, here that of float32.

  Args:
    features: [N, d]; only the shape counts where singular values are given.
    tolerance: relative to sigma_max; None means max(N, d) * 2^-23.
    singular_values: [min(N, d)] of the features, if already computed.

  Returns:
    An integer in [0, min(N, d)].

  Raises:
    UserError: bad features, or neither their shape nor a tolerance.
  """
  if tolerance is None:
    shape = _shape(features, 'numerical_rank (without a tolerance)')
    tolerance = max(shape) * float(np.finfo(np.float32).eps)
  sigma = _spectrum(features, singular_values)
  return _count(sigma > tolerance * sigma[0], sigma)


@gin.register
def feature_rank(
    features: Features, epsilon: float = 0.01, *, singular_values: Any = None
) -> Integer:
  """#{i : sigma_i(Phi / sqrt(N)) > epsilon}.

  Lyle, Rowland & Dabney, Understanding and Preventing Capacity Loss in
  Reinforcement Learning, 2022. It depends on the scale of the features.

  Args:
    features: [N, d]; only the shape counts where singular values are given.
    epsilon: the threshold, in units of a feature.
    singular_values: [min(N, d)] of the features, if already computed.

  Returns:
    An integer in [0, min(N, d)].

  Raises:
    UserError: bad features, or none.
  """
  num_rows = _shape(features, 'feature_rank')[0]
  sigma = _spectrum(features, singular_values)
  return _count(sigma > epsilon * num_rows**0.5, sigma)


@gin.register
def sigma_max(features: Features, *, singular_values: Any = None) -> Real:
  """sigma_1, the largest singular value of Phi."""
  return _number(_spectrum(features, singular_values)[0])


@gin.register
def sigma_min(features: Features, *, singular_values: Any = None) -> Real:
  """sigma_n, the smallest of the n = min(N, d) singular values of Phi."""
  return _number(_spectrum(features, singular_values)[-1])


@gin.register
def singular_value(
    features: Features, index: int = 1, *, singular_values: Any = None
) -> Real:
  """sigma_index of Phi, 1 the largest; 0 beyond min(N, d)."""
  sigma = _spectrum(features, singular_values)
  if not isinstance(index, int) or index < 1:
    raise errors.UserError(
        f'singular_value.index is {index!r}: give a whole number, at least 1'
    )
  return _number(sigma[index - 1]) if index <= sigma.shape[0] else 0.0


@gin.register
def dormant_fraction(features: Features, tau: float = 0.025) -> Real:
  """The share of units i with mean_n |phi_ni| <= tau mean_{n,j} |phi_nj|.

  Sokar et al., The Dormant Neuron Phenomenon in Deep Reinforcement Learning,
  2023. 1 for all-zero features.

  Args:
    features: [N, d], one unit a column.
    tau: relative to the mean over units, >= 0.

  Returns:
    A number in [0, 1].

  Raises:
    UserError: for a negative tau, or bad features.
  """
  if not tau >= 0:
    raise errors.UserError(f'tau is {tau}; dormant_fraction needs tau >= 0')
  phi = _matrix(features)
  xp = _array_module(phi)
  scores = xp.mean(xp.abs(phi), axis=0)
  mean = xp.mean(scores)
  share = xp.mean(scores <= tau * mean)
  # A comparison with NaN is false, which would count every unit as alive.
  return _number(xp.where(xp.isfinite(mean), share, xp.nan))


@gin.register
def dead_fraction(features: Features) -> Real:
  """The share of units that are 0 on all rows: dormant with tau = 0."""
  return dormant_fraction(features, 0.0)


@gin.register
def feature_norm(features: Features) -> Real:
  """(1 / N) sum_n ||phi_n||: the mean Euclidean norm of a row."""
  phi = _matrix(features)
  xp = _array_module(phi)
  return _number(xp.mean(xp.linalg.norm(phi, axis=1)))


@gin.register
def mean_q_value(q_values: Features) -> Real:
  """The mean of Q(s, a) over the states and actions of q_values [N, A]."""
  q = _matrix(q_values, 'q_values')
  return _number(_array_module(q).mean(q))


@gin.register
def max_abs_q_value(q_values: Features) -> Real:
  """max_{s, a} |Q(s, a)| of q_values [N, A]."""
  q = _matrix(q_values, 'q_values')
  xp = _array_module(q)
  return _number(xp.max(xp.abs(q)))


@gin.register
def parameter_norm(parameters: Any) -> Real:
  """sqrt(sum_k theta_k^2) over the leaves of a pytree; NaN passes through."""
  leaves = jax.tree.leaves(parameters)
  if any(_is_traced(x) for x in leaves):
    return jnp.sqrt(sum(jnp.sum(jnp.square(x)) for x in leaves))
  squares = (np.sum(np.square(np.asarray(x, np.float64))) for x in leaves)
  return float(np.sqrt(sum(squares)))


def _is_traced(x: Any) -> bool:
  return isinstance(x, jax.core.Tracer)


def _array_module(x: Any) -> Any:
  """jax.numpy for a tracer, numpy for an array at hand."""
  return jnp if _is_traced(x) else np


def _number(x: Any) -> Any:
  """A Python number, or the tracer."""
  return x if _is_traced(x) else x.item()


def _shape(features: Features, name: str) -> tuple[int, ...]:
  if features is None:
    raise errors.UserError(f'{name} needs features for their shape; pass them')
  return np.shape(features)


def _matrix(features: Features, name: str = 'features') -> Any:
  """The features, checked; float64 on the host, float32 or better traced."""
  array: Any = features if _is_traced(features) else np.asarray(features)
  if array.ndim != 2 or 0 in array.shape:
    raise errors.UserError(
        f'{name} of shape {list(array.shape)}: give a non-empty matrix [N, d],'
        ' one row a state'
    )
  if _is_traced(array):
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
  array = array.astype(np.float64, copy=False)
  num_bad = array.size - np.count_nonzero(np.isfinite(array))
  if num_bad:
    raise errors.UserError(
        f'{num_bad} of the {array.size} entries of {name} are NaN or infinite;'
        ' measure before the run diverged'
    )
  return array


def _traced_singular_values(phi: jax.Array) -> jax.Array:
  """Singular values of [N, d], N >= d, by QR where that is cheaper, and SVD."""
  finite = jnp.all(jnp.isfinite(phi))
  phi = jnp.where(finite, phi, 0)
  if phi.shape[0] >= 4 * phi.shape[1]:
    phi = jnp.linalg.qr(phi, mode='r')
  return jnp.where(finite, jnp.linalg.svd(phi, compute_uv=False), jnp.nan)


def _spectrum(features: Features, given: Any) -> Any:
  """The singular values given, checked, or else those of the features."""
  if given is None:
    return singular_values(features)
  if _is_traced(given):
    return given
  sigma = np.asarray(given, np.float64)
  if sigma.ndim != 1 or not sigma.size or not np.all(np.isfinite(sigma)):
    raise errors.UserError(
        f'singular_values of shape {list(sigma.shape)}: give a non-empty vector'
        ' of finite numbers, as metrics.singular_values returns it'
    )
  return np.sort(sigma)[::-1]


def _threshold_rank(sigma: Any, delta: float) -> Any:
  """`srank` of values sorted from the largest."""
  if not 0 <= delta < 1:
    raise errors.UserError(f'delta is {delta}; srank needs 0 <= delta < 1')
  # What is missing, not what is there: close to the end of the sum the tail is
  # the small number, so float32 keeps its digits.
  if _is_traced(sigma):
    tails = lax.associative_scan(jnp.add, sigma, reverse=True)
  else:
    tails = np.cumsum(sigma[::-1])[::-1]
  total = tails[:1]
  xp = _array_module(sigma)
  unreached = xp.append(total > 0, tails[1:] > (delta + _TIE) * total)
  return _count(unreached, sigma)


def _count(mask: Any, sigma: Any) -> Any:
  """How often the mask holds; -1 where the singular values are NaN."""
  if not _is_traced(sigma):
    return int(np.count_nonzero(mask))
  return jnp.where(jnp.isnan(sigma[0]), -1, jnp.sum(mask))
