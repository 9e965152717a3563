"""Neural fitted Q-iteration on a tabular MDP (Algorithm 1, section B.2).

What distinguishes the paper's gridworld runs from their controls is one thing,
how y_k is computed from Q_{k-1}: a target rule, one function each below.
"""

import dataclasses
from collections.abc import Callable

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, losses, types
from implicit_underparam.agents import value
from implicit_underparam.data import collectors
from implicit_underparam.envs import tabular

View = collectors.Transitions | collectors.AllPairs

TargetRule = Callable[
    [types.Array, float, tabular.TabularMDP, View], types.Array
]
"""(Q_{k-1} [S, A], temperature, mdp, data) -> y_k, a label an entry of data."""


@gin.register
def optimality_targets(
    q_values: types.Array,
    temperature: float,
    mdp: tabular.TabularMDP,
    data: View,
) -> types.Array:
  """Soft Q-learning: y = r + gamma V(s'), V the soft value of Q_{k-1}."""
  state_value = jax.vmap(losses.soft_value, (0, None))(q_values, temperature)
  return data.reward + mdp.discount * data.backup(state_value)


@gin.register
def evaluation_targets(
    q_values: types.Array,
    temperature: float,
    mdp: tabular.TabularMDP,
    data: View,
    policy: collectors.BehaviourPolicy = collectors.uniform_policy,
) -> types.Array:
  """Fitted Q-evaluation: y = r + gamma sum_a' pi(a' | s') Q_{k-1}(s', a')."""
  del temperature
  state_value = jnp.sum(policy(mdp) * q_values, axis=1)
  return data.reward + mdp.discount * data.backup(state_value)


@gin.register
def monte_carlo_targets(
    q_values: types.Array,
    temperature: float,
    mdp: tabular.TabularMDP,
    data: View,
) -> types.Array:
  """Monte-Carlo returns of the behaviour policy: y = sum_t gamma^t r_t."""
  del q_values, temperature, mdp
  returns = getattr(data, 'monte_carlo_return', None)
  if returns is None:
    raise errors.UserError(
        'FQIAgent.target_rule is @monte_carlo_targets, but the data has no '
        'returns: set TabularReplay.monte_carlo_horizon, for example to 200'
    )
  return returns


@gin.register
def oracle_targets(
    q_values: types.Array,
    temperature: float,
    mdp: tabular.TabularMDP,
    data: View,
) -> types.Array:
  """The exact soft Q^pi of the current policy, pi = softmax(Q_{k-1} / alpha).

  Control without bootstrapping (Figure A.11a). Solves
  V = sum_a pi (r - alpha log pi) + gamma P_pi V, then Q = r + gamma P V.
  """
  policy = jax.vmap(losses.boltzmann_policy, (0, None))(q_values, temperature)
  transitions = jnp.asarray(mdp.transition_matrix, jnp.float32)
  rewards = jnp.asarray(mdp.rewards, jnp.float32)
  entropy = -jnp.sum(jax.scipy.special.xlogy(policy, policy), axis=1)
  under_policy = jnp.einsum('sa,sat->st', policy, transitions)
  system = jnp.eye(mdp.num_states) - mdp.discount * under_policy
  state_value = jnp.linalg.solve(system, rewards + temperature * entropy)
  backup = jnp.einsum('sat,t->sa', transitions, state_value)
  return data.lookup(rewards[:, None] + mdp.discount * backup)


@gin.register
def supervised_targets(
    q_values: types.Array,
    temperature: float,
    mdp: tabular.TabularMDP,
    data: View,
) -> types.Array:
  """The exact soft Q*: supervised regression, nothing is bootstrapped."""
  del q_values
  q_star = tabular.q_star(mdp, temperature)
  return data.lookup(jnp.asarray(q_star, jnp.float32))


@gin.register
@dataclasses.dataclass(frozen=True)
class FQIAgent(value.NetworkAgent):
  """Regression of Q(s, a) to the labels that the data holds.

  Attributes:
    target_rule: how y_k comes from Q_{k-1}.
    temperature: alpha of the soft value and of the Boltzmann policy, in units
      of reward (0.1 in section B.2).
    max_q_value: Q_{k-1} is clipped above at this, as in the code of Fu et al.
  """

  target_rule: TargetRule = optimality_targets
  temperature: float = 0.1
  max_q_value: float = 1e5

  def __post_init__(self) -> None:
    if not callable(self.target_rule):
      raise errors.UserError(
          f'FQIAgent.target_rule is {self.target_rule!r}: bind it to a '
          'function, for example @optimality_targets'
      )

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """(Q(s, a) - y)^2, or its mean over actions where y has them all."""
    del target_params, rng
    output = self.apply(params, batch.state)
    assert batch.target is not None, 'the data holds no targets'
    if batch.action is None:
      squares = jax.vmap(losses.mean_squared_error)(
          output.q_values, batch.target
      )
    else:
      squares = jax.vmap(losses.squared_error)(
          output.q_values, batch.action, batch.target
      )
    td_error = jnp.mean(jnp.sqrt(squares))
    return types.LossOutput(squares, output.features, {'td_error': td_error})

  def q_values(
      self, params: types.Params, observations: types.Array
  ) -> types.Array:
    """The table Q(s, a), clipped: [S, A]."""
    q_values = self.apply(params, observations).q_values
    return jnp.minimum(q_values, self.max_q_value)

  def policy(self, q_values: types.Array) -> types.Array:
    """The Boltzmann policy of a table [S, A]: [S, A]."""
    return jax.vmap(losses.boltzmann_policy, (0, None))(
        q_values, self.temperature
    )

  def targets(
      self, q_values: types.Array, mdp: tabular.TabularMDP, data: View
  ) -> types.Array:
    """Algorithm 1, line 3: labels y_k for every entry of the data."""
    return self.target_rule(q_values, self.temperature, mdp, data)
