"""Ways to compute sigma_max^2 - sigma_min^2 with its gradient, timed.

Alone, many in one compiled loop, as in a training program: what one costs is
what a gradient step costs more. Beside the time stands the error of the
gradient against float64, relative to its norm, the largest over Gaussian,
rectified and nearly collapsed features.
"""

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from implicit_underparam import penalties

Penalty = Callable[[jax.Array], jax.Array]
_matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
_ITERATIONS = 30


class Measured(NamedTuple):
  """One formulation.

  Attributes:
    name: what it is.
    seeds: how many penalties at once.
    microseconds: of one gradient of all of them.
    error: of the gradient, see the module.
  """

  name: str
  seeds: int
  microseconds: float
  error: float


def formulations(platform: str) -> dict[str, Penalty]:
  """Those that a platform has a kernel for."""
  eigh = lax.linalg.EighImplementation
  found: dict[str, Penalty] = {
      'the package': penalties.singular_value_penalty,
      'eigh of the Gram matrix, default': _from_vectors(_eigh(None)),
      'eigh of the Gram matrix, QR': _from_vectors(_eigh(eigh.QR)),
      'tridiagonal and inverse iteration': _from_vectors(
          penalties._eigenvectors_tridiagonal
      ),
      'power and inverse iteration': _from_vectors(_iterated),
      'repeated squaring, LU': _from_vectors(_squared(jnp.linalg.inv)),
      'repeated squaring, Cholesky': _from_vectors(_squared(_inverse)),
      'eigvalsh, differentiated': _eigvalsh,
      'svd, differentiated': _svd(None),
  }
  if platform == 'gpu':
    svd = lax.linalg.SvdAlgorithm
    found['eigh of the Gram matrix, Jacobi'] = _from_vectors(_eigh(eigh.JACOBI))
    found['svd, Jacobi, differentiated'] = _svd(svd.JACOBI)
    found['svd, QR, differentiated'] = _svd(svd.QR)
  return found


def measure(
    batch_size: int, num_units: int, evaluations: int, rounds: int
) -> Iterator[Measured]:
  """Times all formulations for one seed and for five.

  Args:
    batch_size: rows of the features.
    num_units: columns.
    evaluations: gradients in one loop.
    rounds: timings, of which the median counts.
  """
  for name, penalty in formulations(jax.default_backend()).items():
    error = max(
        _error(penalty, x) for x in _examples(batch_size, num_units).values()
    )
    for seeds in (1, 5):
      run = _loop(penalty, evaluations)
      features = jnp.asarray(
          np.stack([_gaussian(batch_size, num_units, s) for s in range(seeds)])
      )
      jax.block_until_ready(run(features))
      seconds = []
      for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(run(features))
        seconds.append(time.perf_counter() - start)
      yield Measured(
          name, seeds, statistics.median(seconds) / evaluations * 1e6, error
      )


def _loop(penalty: Penalty, evaluations: int) -> Callable:
  gradient = jax.vmap(jax.grad(penalty))

  @jax.jit
  def run(features: jax.Array) -> jax.Array:
    # Each depends on the one before, so that none is left out.
    def body(_: int, x: jax.Array) -> jax.Array:
      return x - 1e-6 * gradient(x)

    return lax.fori_loop(0, evaluations, body, features)

  return run


def _gaussian(rows: int, columns: int, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.standard_normal((rows, columns)).astype(np.float32)


def _examples(rows: int, columns: int) -> dict[str, np.ndarray]:
  gaussian = _gaussian(rows, columns)
  scales = 2.0 ** -np.arange(rows)[:, None]
  mixed = np.linalg.qr(_gaussian(rows, rows, 1))[0]
  return {
      'gaussian': gaussian,
      'rectified': np.maximum(gaussian, 0),
      'collapsed': (mixed @ (scales * gaussian)).astype(np.float32),
  }


def _error(penalty: Penalty, features: np.ndarray) -> float:
  u, s, vt = np.linalg.svd(features.astype(np.float64), full_matrices=False)
  wanted = 2 * s[0] * np.outer(u[:, 0], vt[0])
  wanted -= 2 * s[-1] * np.outer(u[:, -1], vt[-1])
  found = np.asarray(jax.jit(jax.grad(penalty))(jnp.asarray(features)))
  return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def _from_vectors(
    extreme_eigenvectors: Callable[[jax.Array], jax.Array],
) -> Penalty:
  """||Phi v||^2 of two vectors that are held fixed, as the package does."""

  def penalty(features: jax.Array) -> jax.Array:
    constant = lax.stop_gradient(features)
    vectors = extreme_eigenvectors(_matmul(constant, constant.T))
    projections = _matmul(lax.stop_gradient(vectors), features)
    squares = jnp.sum(projections**2, axis=1)
    return squares[0] - squares[1]

  return penalty


def _eigh(implementation: lax.linalg.EighImplementation | None) -> Callable:
  def vectors(gram: jax.Array) -> jax.Array:
    columns, _ = lax.linalg.eigh(gram, implementation=implementation)
    return jnp.stack([columns[:, -1], columns[:, 0]])

  return vectors


def _iterated(gram: jax.Array) -> jax.Array:
  """Power iteration for the one, with a Cholesky factor for the other."""
  n = gram.shape[0]
  scaled = gram / jnp.trace(gram)
  ridge = jnp.finfo(gram.dtype).eps * n
  factor = lax.linalg.cholesky(scaled + ridge * jnp.eye(n, dtype=gram.dtype))
  start = jnp.ones(n, gram.dtype) / n**0.5
  for _ in range(_ITERATIONS):
    start = _unit(_matmul(scaled, start))
  last = jnp.arange(n) % 2 - 0.5
  for _ in range(_ITERATIONS // 10):
    last = _unit(jax.scipy.linalg.cho_solve((factor, True), last))
  return jnp.stack([start, last])


def _squared(invert: Callable[[jax.Array], jax.Array]) -> Callable:
  """G^1024 and G^-1024, of which any column will do: products of matrices."""

  def vectors(gram: jax.Array) -> jax.Array:
    n = gram.shape[0]
    scaled = gram / jnp.trace(gram)
    ridge = jnp.finfo(gram.dtype).eps * n * jnp.eye(n, dtype=gram.dtype)
    both = jnp.stack([scaled, invert(scaled + ridge)])
    for _ in range(10):
      both = both / jnp.linalg.norm(both, axis=(1, 2), keepdims=True)
      both = _matmul(both, both)
    largest = jnp.argmax(jnp.linalg.norm(both, axis=1), axis=1)
    return jax.vmap(lambda x, i: _unit(x[:, i]))(both, largest)

  return vectors


def _inverse(positive: jax.Array) -> jax.Array:
  """The inverse of a positive definite matrix."""
  factor = lax.linalg.cholesky(positive)
  eye = jnp.eye(positive.shape[0], dtype=positive.dtype)
  half = lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
  return _matmul(half.T, half)


def _unit(x: jax.Array) -> jax.Array:
  return x / jnp.linalg.norm(x)


def _eigvalsh(features: jax.Array) -> jax.Array:
  values = jnp.linalg.eigvalsh(_matmul(features, features.T))
  return values[-1] - values[0]


def _svd(algorithm: lax.linalg.SvdAlgorithm | None) -> Penalty:
  def penalty(features: jax.Array) -> jax.Array:
    values = lax.linalg.svd(features, compute_uv=False, algorithm=algorithm)
    return values[0] ** 2 - values[-1] ** 2

  return penalty
