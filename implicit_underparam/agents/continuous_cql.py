"""CQL(H) for continuous actions (Kumar et al., 2020), on SAC."""

import dataclasses
import math

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, types
from implicit_underparam.agents import sac, value

_LARGEST_MULTIPLIER = 1e6
_MULTIPLIER = 'log_cql_multiplier'


@gin.register
@dataclasses.dataclass(frozen=True)
class ContinuousCQLAgent:
  """SAC's loss + cql_coefficient (logsumexp_a Q_j(s, a) - Q_j(s, a_data)).

  For both critics. The integral over actions is a sum over N drawn uniformly,
  N from the policy at s and N from that at s', each with its density taken
  off (importance sampling, appendix F):

    c log sum_i exp((Q_j(s, a_i) - log density(a_i)) / c)

  without the 1 / 3N, which is a constant, as in the code of that paper. There
  the squared error has no half, as it has here and in the paper's equation
  4: a coefficient of 5 there is 2.5 here.

  Attributes:
    base: the agent.
    cql_coefficient: alpha, the weight of the conservative term.
    num_sampled_actions: N.
    cql_temperature: c.
    lagrange_threshold: tau; the term is then multiplied by a dual variable,
      from 1, which grows while alpha times the gap is above tau and shrinks
      while it is below. None for a fixed weight.
  """

  base: sac.SACAgent
  cql_coefficient: float = 2.5
  num_sampled_actions: int = 10
  cql_temperature: float = 1.0
  lagrange_threshold: float | None = None

  def __post_init__(self) -> None:
    if not isinstance(self.base, sac.SACAgent):
      raise errors.UserError(
          f'ContinuousCQLAgent.base is of type {type(self.base).__name__}: '
          'bind it to @SACAgent()'
      )
    coefficient = self.cql_coefficient
    if not value.is_finite(coefficient) or coefficient < 0:
      raise self._error('cql_coefficient', 'give a number, 0 or more')
    count = self.num_sampled_actions
    if type(count) is not int or count < 1:
      raise self._error('num_sampled_actions', 'give a whole number, from 1')
    temperature = self.cql_temperature
    if not value.is_finite(temperature) or temperature <= 0:
      raise self._error('cql_temperature', 'give a number above 0')
    threshold = self.lagrange_threshold
    if threshold is not None and (
        not value.is_finite(threshold) or threshold < 0
    ):
      raise self._error('lagrange_threshold', 'give a number, or None')

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
    """Fresh parameters: the base's, and the dual variable's logarithm."""
    params = self.base.init(rng, state)
    if self.lagrange_threshold is None:
      return params
    return {**params, _MULTIPLIER: jnp.float32(0)}

  def explore(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array,
      epsilon: types.Array | float,
  ) -> types.Array:
    """The base's actions."""
    return self.base.explore(params, state, rng, epsilon)

  def act(self, params: types.Params, state: types.Array) -> types.Array:
    """The base's actions."""
    return self.base.act(params, state)

  def probe(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Probed:
    """The base's critics and TD errors, without the conservative term."""
    return self.base.probe(params, target_params, batch, rng)

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """The losses of a batch."""
    base_rng, draw_rng = jax.random.split(rng)
    critics = self.base.critics(params, batch.state, batch.action)
    output = self.base.loss_at(critics, params, target_params, batch, base_rng)
    gaps = self.gaps(params, critics, batch, draw_rng)
    terms = self.cql_coefficient * gaps
    metrics = {**output.metrics, 'cql_gap': jnp.mean(gaps)}
    if self.lagrange_threshold is None:
      added = jnp.sum(terms, axis=0)
      return output._replace(losses=output.losses + added, metrics=metrics)
    multiplier = jnp.clip(
        jnp.exp(params[_MULTIPLIER]), 0.0, _LARGEST_MULTIPLIER
    )
    fixed = jax.lax.stop_gradient
    excess = terms - self.lagrange_threshold
    # The critics fall by the first, the dual variable rises by the second.
    added = jnp.sum(fixed(multiplier) * excess, axis=0)
    added -= 0.5 * multiplier * jnp.sum(fixed(excess), axis=0)
    metrics['cql_multiplier'] = fixed(multiplier)
    return output._replace(losses=output.losses + added, metrics=metrics)

  def gaps(
      self,
      params: types.Params,
      critics: sac.Critics,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Array:
    """How far the soft maximum of each critic is above its data: [2, B].

    Args:
      params: the agent's.
      critics: what these say of the batch.
      batch: transitions.
      rng: draws the actions.
    """
    drawn = self._draw(params, batch, rng)
    count, size = drawn.log_density.shape[0], batch.action.shape[0]
    states = jnp.broadcast_to(batch.state, (count, *batch.state.shape))
    found = self.base.critics(
        params,
        states.reshape(count * size, *batch.state.shape[1:]),
        drawn.action.reshape(count * size, -1),
    )
    weighed = found.q_values.reshape(2, count, size) - drawn.log_density
    temperature = self.cql_temperature
    soft = jax.nn.logsumexp(weighed / temperature, axis=1) * temperature
    return soft - critics.q_values

  def _draw(
      self, params: types.Params, batch: types.Batch, rng: types.Array
  ) -> sac.Actions:
    """3N actions for each state, and their densities: [3 N, B, ...]."""
    count = self.num_sampled_actions
    uniform_rng, *rngs = jax.random.split(rng, 3)
    shape = (count, *batch.action.shape)
    uniform = jax.random.uniform(uniform_rng, shape, minval=-1.0)
    even = jnp.full(shape[:2], -math.log(2.0) * shape[-1])
    fixed = jax.lax.stop_gradient(params)
    here, there = (
        self._sampled(self.base.policy(fixed, state), key)
        for state, key in zip(
            (batch.state, batch.next_state), rngs, strict=True
        )
    )
    return sac.Actions(
        jnp.concatenate([uniform, here.action, there.action]),
        jnp.concatenate([even, here.log_density, there.log_density]),
    )

  def _sampled(
      self, policy: sac.Gaussian, rng: types.Array
  ) -> sac.Actions:
    """N actions of each of B Gaussians: [N, B, ...]."""
    keys = jax.random.split(rng, self.num_sampled_actions)
    return jax.vmap(lambda key: self.base.draw(policy, key))(keys)

  def _error(self, name: str, advice: str) -> errors.UserError:
    return value.option_error(self, name, advice)
