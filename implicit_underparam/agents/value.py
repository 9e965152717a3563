"""What agents that regress Q(s, a) to targets have in common."""

import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from implicit_underparam import acting, errors, losses, types

# (q_values [A], action [], target []) -> a scalar.
ERRORS: dict[str, Callable[..., types.Array]] = {
    'mse': losses.squared_error,
    'huber': losses.huber_error,
}


@dataclasses.dataclass(frozen=True)
class NetworkAgent:
  """An agent that is one network.

  Attributes:
    network: a Linen module, states -> `NetworkOutput`.
  """

  network: nn.Module

  def init(self, rng: types.Array, state: types.Array) -> types.Params:
    """Fresh parameters."""
    return self.network.init(rng, state)

  def apply(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array | None = None,
  ) -> types.NetworkOutput:
    """The network's output at states [B, ...].

    Args:
      params: the network's.
      state: [B, ...].
      rng: draws the noise of a noisy network; without it there is none.

    Returns:
      Q-values [B, A], features [B, d] and what else the network has.
    """
    rngs = None if rng is None else {'noise': rng}
    output = self.network.apply(params, state, rngs=rngs)
    assert isinstance(output, types.NetworkOutput)
    return output

  def explore(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array,
      epsilon: types.Array | float,
  ) -> types.Array:
    """Epsilon-greedy actions [B], with the noise of a noisy network."""
    return acting.epsilon_greedy(self.apply, params, state, rng, epsilon)

  def act(self, params: types.Params, state: types.Array) -> types.Array:
    """argmax_a Q(s, a) in states [B, ...]: [B] int32."""
    return acting.greedy(self.apply(params, state))


@dataclasses.dataclass(frozen=True)
class ValueAgent(NetworkAgent):
  """Regression of Q(s, a) to `targets`, which a subclass defines.

  Attributes:
    gamma: discount of one step.
    update_horizon: n, steps of the return before bootstrapping.
    loss_type: 'mse' or 'huber'.
  """

  gamma: float = 0.99
  update_horizon: int = 1
  loss_type: str = 'mse'

  def __post_init__(self) -> None:
    if not isinstance(self.network, nn.Module):
      raise self._error('network', 'bind it to one, such as @NatureNetwork()')
    if getattr(self.network, 'noisy', False) and not self.draws_noise:
      raise self._error('network', 'only RainbowAgent draws noise: noisy=False')
    if not isinstance(self.gamma, (int, float)) or not 0 <= self.gamma <= 1:
      raise self._error('gamma', 'give a number from 0 to 1')
    if not isinstance(self.update_horizon, int) or self.update_horizon < 1:
      raise self._error(
          'update_horizon', 'give a whole number of steps, at least 1'
      )
    if self.loss_type not in ERRORS:
      raise self._error('loss_type', f'use one of {", ".join(sorted(ERRORS))}')

  @property
  def cumulative_gamma(self) -> float:
    """gamma^n."""
    return self.gamma**self.update_horizon

  @property
  def needs_returns(self) -> bool:
    """Whether the data has to bring Monte-Carlo returns."""
    return False

  @property
  def draws_noise(self) -> bool:
    """Whether the loss trains a noisy network with its noise."""
    return False

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """The losses of a batch."""
    del rng
    output = self.apply(params, batch.state)
    return self.loss_at(output, params, target_params, batch)

  def loss_at(
      self,
      output: types.NetworkOutput,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.LossOutput:
    """`loss`, given the online network's output at `batch.state`."""
    target = jax.lax.stop_gradient(self.targets(params, target_params, batch))
    unreduced = jax.vmap(ERRORS[self.loss_type])(
        output.q_values, batch.action, target
    )
    return types.LossOutput(
        unreduced,
        output.features,
        value_metrics(output.q_values, batch.action, target),
    )

  def probe(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Probed:
    """The network at `batch.state`, |y - Q(s, a)| and its Huber loss."""
    del rng
    network = self.apply(params, batch.state)
    chosen = jax.vmap(losses.chosen_value)(network.q_values, batch.action)
    target = self.targets(params, target_params, batch)
    online = self.targets(params, params, batch)
    return types.Probed(
        {'all': types.Probe(network.features, network.q_values)},
        losses.td_errors(chosen, target, online),
    )

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """y, [B]."""
    raise NotImplementedError

  def _error(self, name: str, advice: str) -> errors.UserError:
    return option_error(self, name, advice)


def option_error(agent: object, name: str, advice: str) -> errors.UserError:
  """What is said of an option that cannot be."""
  given = getattr(agent, name)
  # Flax writes a module on several lines.
  shown = type(given).__name__ if isinstance(given, nn.Module) else given
  return errors.UserError(
      f'{type(agent).__name__}.{name} is {shown!r}: {advice}'
  )


def is_finite(x: object) -> bool:
  """Whether x is a number, neither NaN nor infinite."""
  return isinstance(x, (int, float)) and math.isfinite(x)


def value_metrics(
    q_values: types.Array, action: types.Array, target: types.Array
) -> dict[str, types.Array]:
  """mean |y - Q(s, a)| and mean Q(s, a) over a batch."""
  chosen = jax.vmap(losses.chosen_value)(q_values, action)
  return {
      'td_error': jnp.mean(jnp.abs(target - chosen)),
      'data_q_value': jnp.mean(chosen),
  }
