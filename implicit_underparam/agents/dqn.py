"""DQN, trained with Adam: MSE or Huber, double, soft and n-step targets."""

import dataclasses

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, losses, types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class DQNAgent(value.ValueAgent):
  """Q(s, a) towards r + gamma^n max_a' Q_target(s', a') (Mnih et al., 2015).

  Attributes:
    double: the online network chooses a' (van Hasselt et al., 2016).
    temperature: above 0, the soft value alpha log sum exp(Q / alpha) in the
      place of the maximum.
  """

  double: bool = False
  temperature: float = 0.0

  def __post_init__(self) -> None:
    super().__post_init__()
    if not value.is_finite(self.temperature) or self.temperature < 0:
      raise self._error('temperature', 'give a number, 0 or more')
    if self.double and self.temperature:
      raise errors.UserError(
          'DQNAgent.double and DQNAgent.temperature exclude each other: a soft '
          'value has no best action to choose'
      )

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """y, [B]."""
    next_q = self.apply(target_params, batch.next_state).q_values
    if self.double:
      online = self.apply(params, batch.next_state).q_values
      best = jax.vmap(losses.chosen_value)(next_q, jnp.argmax(online, -1))
    else:
      best = jax.vmap(losses.soft_value, (0, None))(next_q, self.temperature)
    return losses.bootstrapped_target(
        batch.reward, batch.is_terminal, best, self.cumulative_gamma
    )
