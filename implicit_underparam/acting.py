"""Epsilon-greedy actions on frames that are stacked on the device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from implicit_underparam import types
from implicit_underparam.data import sampling

Apply = Callable[..., types.NetworkOutput]


def push_frame(
    stack: types.Array, frame: types.Array, begins: types.Array
) -> types.Array:
  """The states that new frames make.

  Args:
    stack: [K, ..., stack_size], the states before.
    frame: [K, ...], the new frames.
    begins: [K] bool, where an episode begins: what lies before is zeros.

  Returns:
    [K, ..., stack_size].
  """
  begins = begins.reshape(-1, *(1,) * (stack.ndim - 1))
  old = jnp.where(begins, jnp.zeros((), stack.dtype), stack[..., 1:])
  return jnp.concatenate([old, frame[..., None].astype(stack.dtype)], axis=-1)


def epsilon_greedy(
    apply: Apply,
    params: types.Params,
    state: types.Array,
    rng: types.Array,
    epsilon: types.Array | float,
    noise: bool = True,
) -> types.Array:
  """Actions that are uniform with probability epsilon, else greedy.

  Args:
    apply: an agent's: parameters, states, a key or None -> Q.
    params: of the network.
    state: [K, ...].
    rng: a key.
    epsilon: [], a probability.
    noise: whether a network with noise gets it.

  Returns:
    [K] int32.
  """
  noise_rng, explore_rng, action_rng = jax.random.split(rng, 3)
  output = apply(params, state, noise_rng if noise else None)
  num_environments, num_actions = output.q_values.shape
  explores = jax.random.uniform(explore_rng, (num_environments,)) < epsilon
  drawn = sampling.uniform_indices(action_rng, num_environments, num_actions)
  return jnp.where(explores, drawn, greedy(output))


def greedy(output: types.NetworkOutput) -> types.Array:
  """argmax_a Q(s, a) in states [B, ...]: [B] int32."""
  return jnp.argmax(output.q_values, axis=-1).astype(jnp.int32)


def linearly_decaying_epsilon(
    step: Any, decay_period: int, warmup_steps: int, epsilon: float
) -> Any:
  """1 during the warm-up, then linearly down to `epsilon` (Mnih et al., 2015).

  Args:
    step: agent steps taken; a number, or [] integer on the device.
    decay_period: agent steps over which it falls; 0 for at once.
    warmup_steps: agent steps before it falls.
    epsilon: the last value.
  """
  share = (decay_period + warmup_steps - step) / max(decay_period, 1)
  if isinstance(share, jax.Array):
    share = jnp.clip(share, 0.0, 1.0)
  else:
    share = min(max(share, 0.0), 1.0)
  return epsilon + (1.0 - epsilon) * share
