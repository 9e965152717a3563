"""What an agent's networks show on a probe of transitions."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from implicit_underparam import types

# Transitions that go through the network at once.
_PIECE = 256


def measure(
    agent: types.ActingAgent,
    train: types.TrainState,
    batch_of: Callable[[Any], types.Batch],
    rows: Any,
) -> tuple[Mapping[str, types.Probe], dict[str, types.Array]]:
  """The networks and their TD errors on some transitions, a piece at a time.

  Args:
    agent: whose networks.
    train: their parameters.
    batch_of: rows -> their transitions.
    rows: a pytree, [P, ...]: what `batch_of` takes, of P transitions.

  Returns:
    The probes, and the means of the TD errors: of y of the target network and
    of the online network, and of the former's Huber loss (figure 4b).
  """

  def one(given: tuple[Any, types.Array]) -> types.Probed:
    row, rng = given
    # A batch of one; `jax.lax.map` makes larger ones of them.
    batch = batch_of(jax.tree.map(lambda x: x[None], row))
    probed = agent.probe(train.params, train.target_params, batch, rng)
    return jax.tree.map(lambda x: x[0], probed)

  num_rows = jax.tree.leaves(rows)[0].shape[0]
  # The same each time: what is drawn does not move from one to the next.
  keys = jax.random.split(jax.random.key(0), num_rows)
  probed = jax.lax.map(one, (rows, keys), batch_size=min(_PIECE, num_rows))
  return probed.probes, jax.tree.map(jnp.mean, dict(probed.errors))
