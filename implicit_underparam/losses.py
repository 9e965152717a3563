"""The mathematics of one transition or one state; callers vmap.

Nothing here knows of networks, batches or configuration.
"""

import jax
import jax.numpy as jnp

from implicit_underparam import types


def soft_value(q_values: types.Array, temperature: float) -> types.Array:
  """The soft state value, alpha log sum_a exp(Q(s, a) / alpha).

  Args:
    q_values: [A].
    temperature: alpha, in units of reward; 0 gives max_a Q(s, a).

  Returns:
    A scalar.
  """
  if temperature == 0:
    return jnp.max(q_values)
  return temperature * jax.nn.logsumexp(q_values / temperature)


def boltzmann_policy(q_values: types.Array, temperature: float) -> types.Array:
  """pi(a | s) proportional to exp(Q(s, a) / alpha).

  Args:
    q_values: [A].
    temperature: alpha; 0 gives the greedy policy, ties shared evenly.

  Returns:
    [A] probabilities.
  """
  if temperature == 0:
    greedy = (q_values == jnp.max(q_values)).astype(q_values.dtype)
    return greedy / jnp.sum(greedy)
  return jax.nn.softmax(q_values / temperature)


def chosen_value(q_values: types.Array, action: types.Array) -> types.Array:
  """Q(s, a) of the action that was taken.

  Written as a product with a one-hot vector: the gradient of a gather is a
  scatter, which costs a CPU more than the five multiplications.

  Args:
    q_values: [A].
    action: [] integer.

  Returns:
    A scalar.
  """
  one_hot = jax.nn.one_hot(action, q_values.shape[0], dtype=q_values.dtype)
  return jnp.sum(q_values * one_hot)


def squared_error(
    q_values: types.Array, action: types.Array, target: types.Array
) -> types.Array:
  """(Q(s, a) - y)^2 for the action taken (Algorithm 1, line 4).

  Args:
    q_values: [A].
    action: [] integer.
    target: [], y.

  Returns:
    A scalar.
  """
  return jnp.square(chosen_value(q_values, action) - target)


def mean_squared_error(
    q_values: types.Array, targets: types.Array
) -> types.Array:
  """mean_a (Q(s, a) - y(s, a))^2, for targets of all actions at once.

  Args:
    q_values: [A].
    targets: [A].

  Returns:
    A scalar.
  """
  return jnp.mean(jnp.square(q_values - targets))
