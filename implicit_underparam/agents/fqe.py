"""Fitted Q evaluation: the value of a fixed policy, no maximum (Figure 4d)."""

import dataclasses

import gin
import jax

from implicit_underparam import losses, types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class FQEAgent(value.ValueAgent):
  """Q(s, a) towards r + gamma^n Q_target(s', a'), a' the policy's action.

  The data says what a' is: its own next action, or that of a given network
  (`OfflineData.policy`).
  """

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """y, [B]."""
    del params
    assert batch.next_action is not None, 'the data has no next actions'
    next_q = self.apply(target_params, batch.next_state).q_values
    next_value = jax.vmap(losses.chosen_value)(next_q, batch.next_action)
    return losses.bootstrapped_target(
        batch.reward, batch.is_terminal, next_value, self.cumulative_gamma
    )
