"""n-step transitions from windows of frames."""

import jax.numpy as jnp

from implicit_underparam import types


def batch_of(
    windows: types.Array,
    actions: types.Array,
    rewards: types.Array,
    terminals: types.Array,
    stack_size: int,
    gamma: float,
) -> types.Batch:
  """Transitions that start at the frames at stack_size - 1 of their windows.

  The reward is sum_k gamma^k r_k up to and with the first terminal step.

  Args:
    windows: [B, stack_size + n, ...] consecutive frames.
    actions: [B] integers, or [B, k].
    rewards: [B, n], of n steps.
    terminals: [B, n], whether the episode ended with a step.
    stack_size: frames in a state.
    gamma: discount.

  Returns:
    A batch; states [B, ..., stack_size], the oldest frame first. What lies
    behind a terminal in a next state means nothing.
  """
  horizon = rewards.shape[1]
  stacked = jnp.moveaxis(windows, 1, -1)
  ended = jnp.cumsum(terminals.astype(jnp.int32), axis=1) > 0
  # A reward counts up to and with the first terminal's.
  before = jnp.pad(ended[:, :-1], ((0, 0), (1, 0)))
  discounts = gamma ** jnp.arange(horizon, dtype=jnp.float32)
  discounted = discounts * rewards.astype(jnp.float32)
  return types.Batch(
      state=stacked[..., :stack_size],
      action=number(actions),
      reward=jnp.sum(jnp.where(before, 0.0, discounted), axis=1),
      next_state=stacked[..., horizon:],
      is_terminal=ended[:, -1].astype(jnp.float32),
  )


def number(actions: types.Array) -> types.Array:
  """Actions as a batch has them: numbers of actions as int32."""
  if jnp.issubdtype(actions.dtype, jnp.floating):
    return actions
  return actions.astype(jnp.int32)
