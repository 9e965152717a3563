"""SAC: soft actor-critic with two critics and a learnt temperature."""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, losses, squashed_gaussian, types
from implicit_underparam.agents import value
from implicit_underparam.continuous_networks import Gaussian

CRITICS = ('critic_1', 'critic_2')


class Critics(NamedTuple):
  """What both critics say of the same states and actions.

  Attributes:
    q_values: [2, B].
    features: of the first and the second critic, [B, d] each.
  """

  q_values: types.Array
  features: tuple[types.Array, types.Array]


class Actions(NamedTuple):
  """Actions that the actor draws.

  Attributes:
    action: [B, k], in [-1, 1].
    log_density: [B].
  """

  action: types.Array
  log_density: types.Array


@gin.register
@dataclasses.dataclass(frozen=True)
class SACAgent:
  """Haarnoja et al. (2018, second version), one loss of all three parts.

  With alpha = exp(log_temperature) and a, a' drawn from the actor:

    J_Q     = sum_j 1/2 (Q_j(s, a_data) - y)^2,
              y = r + gamma^n (min_j Q_target_j(s', a') - alpha log pi(a' | s'))
    J_pi    = alpha log pi(a | s) - min_j Q_j(s, a)
    J_alpha = -log alpha (log pi(a | s) + target_entropy)

  The loss is their sum, each with the others' parameters held fixed: its
  gradient is that of each part for that part's parameters, all at the values
  before the step. Parameters are a dictionary: `actor`, `critic_1`,
  `critic_2`, `log_temperature`.

  Attributes:
    actor: a Linen module, states -> `continuous_networks.Gaussian`.
    critic: a Linen module, states and actions -> `NetworkOutput`; made twice.
    gamma: discount of one step.
    update_horizon: n, steps of the return before bootstrapping.
    temperature: alpha, where it is fixed; None learns it, from 1.
    target_entropy: that it is learnt for; None is -k, for actions of k
      numbers.
    entropy_in_target: whether y has the entropy term; without it the backup
      is what the CQL code calls deterministic.
    penalized_critics: on whose features a penalty acts, of (1, 2).
    cloning_steps: gradient steps at the start in which the actor maximises
      log pi(a_data | s) in the place of Q, as in the CQL code; 0 for none.
  """

  actor: nn.Module
  critic: nn.Module
  gamma: float = 0.99
  update_horizon: int = 1
  temperature: float | None = None
  target_entropy: float | None = None
  entropy_in_target: bool = True
  penalized_critics: tuple[int, ...] = (1, 2)
  cloning_steps: int = 0

  def __post_init__(self) -> None:
    for name, example in (
        ('actor', '@GaussianActorNetwork()'),
        ('critic', '@CriticNetwork()'),
    ):
      if not isinstance(getattr(self, name), nn.Module):
        raise self._error(name, f'bind it to one, such as {example}')
    if not value.is_finite(self.gamma) or not 0 <= self.gamma <= 1:
      raise self._error('gamma', 'give a number from 0 to 1')
    for name, least in (('update_horizon', 1), ('cloning_steps', 0)):
      number = getattr(self, name)
      if type(number) is not int or number < least:
        raise self._error(name, f'give a whole number of steps, from {least}')
    fixed = self.temperature
    if fixed is not None and (not value.is_finite(fixed) or fixed < 0):
      raise self._error('temperature', 'give a number, 0 or more, or None')
    entropy = self.target_entropy
    if entropy is not None and not value.is_finite(entropy):
      raise self._error('target_entropy', 'give a number, or None')
    if self.penalized_critics not in ((1,), (2,), (1, 2)):
      raise self._error('penalized_critics', 'use (1,), (2,) or (1, 2)')

  @property
  def cumulative_gamma(self) -> float:
    """gamma^n."""
    return self.gamma**self.update_horizon

  @property
  def needs_returns(self) -> bool:
    """Whether the data has to bring Monte-Carlo returns."""
    return False

  def init(self, rng: types.Array, state: types.Array) -> types.Params:
    """Fresh parameters."""
    actor_rng, *critic_rngs = jax.random.split(rng, 3)
    actor = self.actor.init(actor_rng, state)
    action = self.policy({'actor': actor}, state).mean
    critics = {
        name: self.critic.init(key, state, action)
        for name, key in zip(CRITICS, critic_rngs, strict=True)
    }
    return {'actor': actor, **critics, 'log_temperature': jnp.float32(0)}

  def policy(self, params: types.Params, state: types.Array) -> Gaussian:
    """The actor's Gaussian in states [B, ...]."""
    output = self.actor.apply(params['actor'], state)
    assert isinstance(output, Gaussian)
    return output

  def critics(
      self, params: types.Params, state: types.Array, action: types.Array
  ) -> Critics:
    """Q-values and features of states [B, ...] and actions [B, k]."""
    first, second = (
        self._critic(params[name], state, action) for name in CRITICS
    )
    q_values = jnp.stack([first.q_values[:, 0], second.q_values[:, 0]])
    return Critics(q_values, (first.features, second.features))

  def _critic(
      self, params: types.Params, state: types.Array, action: types.Array
  ) -> types.NetworkOutput:
    output = self.critic.apply(params, state, action)
    assert isinstance(output, types.NetworkOutput)
    return output

  def draw(self, policy: Gaussian, rng: types.Array) -> Actions:
    """An action of each of B Gaussians."""
    noise = jax.random.normal(rng, policy.mean.shape)
    return Actions(*jax.vmap(squashed_gaussian.sample)(*policy, noise))

  def explore(
      self,
      params: types.Params,
      state: types.Array,
      rng: types.Array,
      epsilon: types.Array | float,
  ) -> types.Array:
    """Actions [K, k]: uniform with probability epsilon, else the actor's."""
    draw_rng, explore_rng, action_rng = jax.random.split(rng, 3)
    drawn = self.draw(self.policy(params, state), draw_rng).action
    uniform = jax.random.uniform(action_rng, drawn.shape, minval=-1.0)
    explores = jax.random.uniform(explore_rng, (len(drawn), 1)) < epsilon
    return jnp.where(explores, uniform, drawn)

  def act(self, params: types.Params, state: types.Array) -> types.Array:
    """The middle of the policy, tanh(mean), in states [B, ...]: [B, k]."""
    return jnp.tanh(self.policy(params, state).mean)

  def probe(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Probed:
    """Both critics at the data's (s, a), and |y - Q_1| of a drawn a'."""
    found = self.critics(params, batch.state, batch.action)
    target = self.targets(params, target_params, batch, rng)
    online = self.targets(params, params, batch, rng)
    return types.Probed(
        {
            name: types.Probe(features, q_values[:, None])
            for name, features, q_values in zip(
                ('all', 'critic_2'), found.features, found.q_values, strict=True
            )
        },
        losses.td_errors(found.q_values[0], target, online),
    )

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.Array:
    """y, [B]."""
    next_ = self.draw(self.policy(params, batch.next_state), rng)
    critics = self.critics(target_params, batch.next_state, next_.action)
    best = jnp.min(critics.q_values, axis=0)
    if self.entropy_in_target:
      best = best - self._alpha(params) * next_.log_density
    return losses.bootstrapped_target(
        batch.reward, batch.is_terminal, best, self.cumulative_gamma
    )

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """The losses of a batch: J_Q + J_pi + J_alpha, [B]."""
    critics = self.critics(params, batch.state, batch.action)
    return self.loss_at(critics, params, target_params, batch, rng)

  def loss_at(
      self,
      critics: Critics,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """`loss`, given the critics' output at the batch's states and actions."""
    target_rng, actor_rng = jax.random.split(rng)
    fixed = jax.lax.stop_gradient(params)
    target = self.targets(fixed, target_params, batch, target_rng)
    errors_ = critics.q_values - target
    critic_loss = jnp.sum(0.5 * jnp.square(errors_), axis=0)
    policy = self.policy(params, batch.state)
    drawn = self.draw(policy, actor_rng)
    actor_loss = self._actor_loss(fixed, policy, drawn, batch)
    short = drawn.log_density + self._target_entropy(batch.action.shape[-1])
    unreduced = critic_loss + actor_loss
    if self.temperature is None:
      unreduced -= params['log_temperature'] * jax.lax.stop_gradient(short)
    metrics = {
        'loss': jnp.mean(critic_loss),
        'actor_loss': jnp.mean(actor_loss),
        'td_error': jnp.mean(jnp.abs(errors_[0])),
        'data_q_value': jnp.mean(critics.q_values[0]),
        'entropy': -jnp.mean(drawn.log_density),
        'temperature': self._alpha(fixed),
    }
    features = tuple(critics.features[i - 1] for i in self.penalized_critics)
    return types.LossOutput(unreduced, features, metrics)

  def _actor_loss(
      self,
      fixed: types.Params,
      policy: Gaussian,
      drawn: Actions,
      batch: types.Batch,
  ) -> types.Array:
    """J_pi, [B], with the critics and the temperature held fixed."""
    critics = self.critics(fixed, batch.state, drawn.action)
    gained = jnp.min(critics.q_values, axis=0)
    if self.cloning_steps:
      cloned = jax.vmap(squashed_gaussian.log_density)(*policy, batch.action)
      gained = jnp.where(
          batch.gradient_steps < self.cloning_steps, cloned, gained
      )
    return self._alpha(fixed) * drawn.log_density - gained

  def _alpha(self, params: types.Params) -> types.Array:
    if self.temperature is not None:
      return jnp.float32(self.temperature)
    return jnp.exp(params['log_temperature'])

  def _target_entropy(self, action_size: int) -> float:
    entropy = self.target_entropy
    return -float(action_size) if entropy is None else entropy

  def _error(self, name: str, advice: str) -> errors.UserError:
    return value.option_error(self, name, advice)
