"""The tanh of a Gaussian: one action, its density, its sample."""

import math

import jax
import jax.numpy as jnp

from implicit_underparam import types

_EDGE = 1.0 - 2.0**-24


def sample(
    mean: types.Array, log_std: types.Array, noise: types.Array
) -> tuple[types.Array, types.Array]:
  """a = tanh(u) with u = mean + std noise, and log pi(a).

  Args:
    mean: [k].
    log_std: [k].
    noise: [k], of a standard normal.

  Returns:
    The action [k], in [-1, 1], and the logarithm of its density, [].
  """
  before = mean + jnp.exp(log_std) * noise
  normal = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
  return jnp.tanh(before), jnp.sum(normal - _log_slope(before))


def log_density(
    mean: types.Array, log_std: types.Array, action: types.Array
) -> types.Array:
  """log pi(a) of an action that somebody else took.

  log N(u; mean, std^2) - sum log(1 - tanh(u)^2) at u = artanh(a) (Haarnoja et
  al., 2018, appendix C). On the edge, a = +-1, where it is infinite, it is that
  of the nearest number that float32 tells from it.

  Args:
    mean: [k].
    log_std: [k].
    action: [k], in [-1, 1].

  Returns:
    [].
  """
  before = jnp.arctanh(jnp.clip(action, -_EDGE, _EDGE))
  noise = (before - mean) * jnp.exp(-log_std)
  return sample(mean, log_std, noise)[1]


def _log_slope(before: types.Array) -> types.Array:
  """log(1 - tanh(u)^2), in a form that never takes the log of 0."""
  return 2.0 * (math.log(2.0) - before - jax.nn.softplus(-2.0 * before))
