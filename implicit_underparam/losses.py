"""The mathematics of one transition or one state; callers vmap.

Nothing here knows of networks, batches or configuration.
"""

import jax
import jax.numpy as jnp
import optax

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


def huber_error(
    q_values: types.Array, action: types.Array, target: types.Array
) -> types.Array:
  """The Huber loss of y - Q(s, a), quadratic up to 1 (Mnih et al., 2015).

  Args:
    q_values: [A].
    action: [] integer.
    target: [], y.

  Returns:
    A scalar.
  """
  return optax.huber_loss(chosen_value(q_values, action), target)


def quantile_huber_error(
    quantiles: types.Array, targets: types.Array, kappa: float = 1.0
) -> types.Array:
  """sum_i mean_j |tau_i - [u_ij < 0]| h_kappa(u_ij), u_ij = y_j - q_i.

  Eq. 10 of Dabney et al. (2018), tau_i the midpoints (2 i + 1) / (2 N), with
  h_kappa not divided by kappa, as Dopamine has it.

  Args:
    quantiles: [N], q of the action taken.
    targets: [M], y.
    kappa: where the Huber loss becomes linear.

  Returns:
    A scalar.
  """
  num_atoms = quantiles.shape[0]
  error = targets[None, :] - quantiles[:, None]
  midpoints = (jnp.arange(num_atoms, dtype=error.dtype) + 0.5) / num_atoms
  weight = jnp.abs(midpoints[:, None] - (error < 0).astype(error.dtype))
  huber = optax.huber_loss(error, delta=kappa)
  return jnp.sum(jnp.mean(weight * huber, axis=1))


def categorical_projection(
    target_support: types.Array,
    probabilities: types.Array,
    support: types.Array,
) -> types.Array:
  """A distribution moved to a fixed support (Bellemare et al., 2017, Eq. 7).

  Each target is clipped to the support and shares its probability between the
  two atoms around it: atom i gets sum_j [1 - |y_j - z_i| / dz]_0 p_j.

  Args:
    target_support: [M], y, where the probability lies.
    probabilities: [M], p, their sum 1.
    support: [N], z, increasing and evenly spaced, at least 2 atoms.

  Returns:
    [N] probabilities.
  """
  lowest, highest = support[0], support[-1]
  spacing = (highest - lowest) / (support.shape[0] - 1)
  clipped = jnp.clip(target_support, lowest, highest)
  distance = jnp.abs(clipped[None, :] - support[:, None]) / spacing
  # No matrix product: accelerators round the factors of one.
  return jnp.sum(jax.nn.relu(1.0 - distance) * probabilities[None, :], axis=1)


def categorical_cross_entropy(
    logits: types.Array, target_probabilities: types.Array
) -> types.Array:
  """-sum_i p_i log softmax(logits)_i (Bellemare et al., 2017, Algorithm 1).

  Args:
    logits: [N], of the action taken.
    target_probabilities: [N], p, projected to the same atoms.

  Returns:
    A scalar, at least the entropy of p.
  """
  return optax.softmax_cross_entropy(logits, target_probabilities)


def conservative_gap(
    q_values: types.Array, action: types.Array
) -> types.Array:
  """log sum_a exp Q(s, a) - Q(s, a_data) (CQL(H), Kumar et al., 2020, Eq. 4).

  Args:
    q_values: [A].
    action: [] integer, that of the data.

  Returns:
    A scalar, at least 0.
  """
  return jax.nn.logsumexp(q_values) - chosen_value(q_values, action)


def bootstrapped_target(
    reward: types.Array,
    is_terminal: types.Array,
    next_value: types.Array,
    cumulative_gamma: float,
) -> types.Array:
  """y = R + gamma^n (1 - terminal) V(s').

  Args:
    reward: [], R, the discounted sum over n steps.
    is_terminal: [], 1 where the episode ended within them.
    next_value: [...], V of the state n steps later, or its quantiles.
    cumulative_gamma: gamma^n.

  Returns:
    As `next_value`.
  """
  return reward + cumulative_gamma * next_value * (1.0 - is_terminal)


def td_errors(
    q_value: types.Array, target: types.Array, online_target: types.Array
) -> dict[str, types.Array]:
  """How far Q(s, a) is from its targets, by name.

  Args:
    q_value: Q(s, a), of any shape.
    target: y of the target network.
    online_target: y of the online network.

  Returns:
    |y - Q| for both, and the Huber loss of the former (figure 4b).
  """
  return {
      'td_error_target': jnp.abs(target - q_value),
      'td_error_online': jnp.abs(online_target - q_value),
      'td_error_huber': optax.huber_loss(q_value, target),
  }
