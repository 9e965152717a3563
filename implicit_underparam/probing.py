"""What a value network shows on a probe of transitions."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from implicit_underparam import losses, types

# Transitions that go through the network at once.
_PIECE = 256


class ValueAgent(types.Agent, Protocol):
  """What an agent needs for its TD errors to be measured."""

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """y, [B]."""


def measure(
    agent: ValueAgent,
    train: types.TrainState,
    batch_of: Callable[[Any], types.Batch],
    rows: Any,
) -> tuple[types.Probe, dict[str, types.Array]]:
  """The network and its TD errors on some transitions, a piece at a time.

  Args:
    agent: whose network.
    train: its parameters.
    batch_of: rows -> their transitions.
    rows: a pytree, [P, ...]: what `batch_of` takes, of P transitions.

  Returns:
    The probe, and the means of |y - Q|, for y of the target network and of
    the online network, and of the former's Huber loss (figure 4b).
  """

  def one(row: Any) -> tuple[types.Probe, dict[str, types.Array]]:
    # A batch of one; `jax.lax.map` makes larger ones of them.
    batch = batch_of(jax.tree.map(lambda x: x[None], row))
    measured = _measure_batch(agent, train, batch)
    return jax.tree.map(lambda x: x[0], measured)

  num_rows = jax.tree.leaves(rows)[0].shape[0]
  probe, errors = jax.lax.map(one, rows, batch_size=min(_PIECE, num_rows))
  return probe, jax.tree.map(jnp.mean, errors)


def _measure_batch(
    agent: ValueAgent, train: types.TrainState, batch: types.Batch
) -> tuple[types.Probe, dict[str, types.Array]]:
  """Unreduced."""
  network = agent.apply(train.params, batch.state)
  chosen = jax.vmap(losses.chosen_value)(network.q_values, batch.action)
  target = agent.targets(train.params, train.target_params, batch)
  online = agent.targets(train.params, train.params, batch)
  return types.Probe(network.features, network.q_values), {
      'td_error_target': jnp.abs(target - chosen),
      'td_error_online': jnp.abs(online - chosen),
      'td_error_huber': optax.huber_loss(chosen, target),
  }
