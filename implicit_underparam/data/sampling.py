"""Random indices for the hot loop."""

import jax
import jax.numpy as jnp

from implicit_underparam import types


def uniform_indices(
    rng: types.Array, num_indices: int, size: types.Array | int
) -> types.Array:
  """Indices uniform in 0 .. size - 1, from one draw of 32 bits each.

  floor(size * u / 2^32) for u uniform over 32-bit integers, so that no index
  is more likely than another by more than 2^-32. `jax.random.randint` draws
  twice and divides: three times the cost in a step that takes 90 us.

  Args:
    rng: a key.
    num_indices: how many; static.
    size: [] integer, at least 1 and below 2^31; may be traced.

  Returns:
    [num_indices] int32.
  """
  bits = jax.random.bits(rng, (num_indices,), jnp.uint32)
  return _high_word(bits, jnp.asarray(size, jnp.uint32)).astype(jnp.int32)


def _high_word(x: types.Array, y: types.Array) -> types.Array:
  """The upper 32 bits of the 64-bit product of two uint32 arrays."""
  x_low, x_high = x & 0xFFFF, x >> 16
  y_low, y_high = y & 0xFFFF, y >> 16
  middle = x_high * y_low + ((x_low * y_low) >> 16)
  carry = (x_low * y_high + (middle & 0xFFFF)) >> 16
  return x_high * y_high + (middle >> 16) + carry
