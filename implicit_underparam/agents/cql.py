"""CQL(H) for discrete actions (Kumar et al., 2020), on any value agent."""

import dataclasses

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, losses, types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class CQLAgent:
  """A value agent's loss + cql_coefficient (logsumexp_a Q - Q(s, a_data)).

  Attributes:
    base: `DQNAgent`, `QuantileAgent` or `RainbowAgent`.
    cql_coefficient: the weight of the conservative term.
  """

  base: value.ValueAgent
  cql_coefficient: float = 1.0

  def __post_init__(self) -> None:
    if not isinstance(self.base, value.ValueAgent):
      raise errors.UserError(
          f'CQLAgent.base is of type {type(self.base).__name__}: bind it to a '
          'value agent, for example @DQNAgent()'
      )
    if getattr(self.base.network, 'noisy', False):
      raise errors.UserError(
          'CQLAgent.base has a noisy network, whose noise CQL does not draw: '
          f'bind {type(self.base.network).__name__}.noisy to False'
      )
    coefficient = self.cql_coefficient
    if not value.is_finite(coefficient) or coefficient < 0:
      raise errors.UserError(
          f'CQLAgent.cql_coefficient is {coefficient!r}: give a number, 0 or '
          'more'
      )

  @property
  def network(self) -> nn.Module:
    """The base's."""
    return self.base.network

  @property
  def gamma(self) -> float:
    """The base's."""
    return self.base.gamma

  @property
  def update_horizon(self) -> int:
    """The base's."""
    return self.base.update_horizon

  @property
  def needs_returns(self) -> bool:
    """The base's."""
    return self.base.needs_returns

  def init(self, rng: types.Array, state: types.Array) -> types.Params:
    """Fresh parameters."""
    return self.base.init(rng, state)

  def apply(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array | None = None,
  ) -> types.NetworkOutput:
    """The network's output at states [B, ...]."""
    return self.base.apply(params, state, rng)

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """The base's y, [B]."""
    return self.base.targets(params, target_params, batch)

  def explore(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array,
      epsilon: types.Array | float,
  ) -> types.Array:
    """The base's epsilon-greedy actions."""
    return self.base.explore(params, state, rng, epsilon)

  def act(self, params: types.Params, state: types.Array) -> types.Array:
    """The base's greedy actions."""
    return self.base.act(params, state)

  def probe(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Probed:
    """The base's network and its TD errors, without the conservative term."""
    return self.base.probe(params, target_params, batch, rng)

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """The losses of a batch."""
    del rng
    # One forward pass for both terms: two would mean two backward passes.
    output = self.apply(params, batch.state)
    base = self.base.loss_at(output, params, target_params, batch)
    gap = jax.vmap(losses.conservative_gap)(output.q_values, batch.action)
    return base._replace(
        losses=base.losses + self.cql_coefficient * gap,
        metrics={**base.metrics, 'cql_gap': jnp.mean(gap)},
    )
