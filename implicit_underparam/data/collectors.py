"""Transitions of a tabular MDP, and how they are gathered."""

from collections.abc import Callable
from typing import NamedTuple

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import types
from implicit_underparam.data import sampling
from implicit_underparam.envs import tabular


class Transitions(NamedTuple):
  """N sampled transitions; states are indices.

  Attributes:
    state: [N] int32.
    action: [N] int32.
    reward: [N] float32.
    next_state: [N] int32.
    monte_carlo_return: [N] float32, the discounted return of one rollout of
      the behaviour policy that begins with this transition; None where the
      data was collected without it.
  """

  state: types.Array
  action: types.Array
  reward: types.Array
  next_state: types.Array
  monte_carlo_return: types.Array | None = None

  def backup(self, values: types.Array) -> types.Array:
    """V(s') of values [S], at each sampled next state: [N]."""
    return values[self.next_state]

  def lookup(self, table: types.Array) -> types.Array:
    """Entries (s, a) of a table [S, A]: [N]."""
    return table[self.state, self.action]


class AllPairs(NamedTuple):
  """Every state-action pair with its exact expectation.

  Attributes:
    reward: [S, 1] float32.
    transition_matrix: [S, A, S] float32.
  """

  reward: types.Array
  transition_matrix: types.Array

  def backup(self, values: types.Array) -> types.Array:
    """sum_s' P(s' | s, a) V(s') of values [S]: [S, A]."""
    return jnp.einsum('sat,t->sa', self.transition_matrix, values)

  def lookup(self, table: types.Array) -> types.Array:
    """The table [S, A] itself."""
    return table


Collector = Callable[
    [tabular.TabularMDP, types.Array, int, types.Array], Transitions
]
"""(mdp, policy [S, A], number N, key) -> N transitions without returns."""

BehaviourPolicy = Callable[[tabular.TabularMDP], types.Array]
"""mdp -> probabilities [S, A]."""


@gin.register
def uniform_policy(mdp: tabular.TabularMDP) -> types.Array:
  """pi(a | s) = 1 / A: [S, A]."""
  shape = (mdp.num_states, mdp.num_actions)
  return jnp.full(shape, 1 / mdp.num_actions, jnp.float32)


@gin.register
def rollouts(
    mdp: tabular.TabularMDP,
    policy: types.Array,
    num_transitions: int,
    rng: types.Array,
) -> Transitions:
  """Whole episodes from the initial state, shuffled and cut to length.

  Args:
    mdp: gives the initial state and the length of an episode.
    policy: [S, A] probabilities.
    num_transitions: N; static.
    rng: a key.

  Returns:
    N transitions.
  """
  num_episodes = -(-num_transitions // mdp.horizon)
  start = jnp.full((num_episodes,), mdp.initial_state, jnp.int32)
  rollout_rng, shuffle_rng = jax.random.split(rng)

  def step(state: types.Array, uniform: types.Array) -> tuple:
    transitions = _act(mdp, policy, state, uniform)
    return transitions.next_state, transitions

  # All at once: a compiler takes a second for each place that draws numbers.
  uniform = jax.random.uniform(rollout_rng, (mdp.horizon, 2, num_episodes))
  episodes: Transitions
  _, episodes = jax.lax.scan(step, start, uniform)
  total = num_episodes * mdp.horizon
  kept = jnp.argsort(jax.random.bits(shuffle_rng, (total,)))[:num_transitions]
  return jax.tree.map(lambda x: x.reshape(total)[kept], episodes)


@gin.register
def uniform_pairs(
    mdp: tabular.TabularMDP,
    policy: types.Array,
    num_transitions: int,
    rng: types.Array,
) -> Transitions:
  """Pairs (s, a) uniform over the free cells and the actions.

  The control for coverage: nothing about this data depends on a policy.

  Args:
    mdp: gives the states that can be reached.
    policy: not used.
    num_transitions: N; static.
    rng: a key.

  Returns:
    N transitions.
  """
  del policy
  state_rng, act_rng = jax.random.split(rng)
  free = jnp.asarray(mdp.free_states, jnp.int32)
  index = sampling.uniform_indices(state_rng, num_transitions, len(free))
  uniform = jax.random.uniform(act_rng, (2, num_transitions))
  return _act(mdp, uniform_policy(mdp), free[index], uniform)


def _act(
    mdp: tabular.TabularMDP,
    policy: types.Array,
    state: types.Array,
    uniform: types.Array,
) -> Transitions:
  """One step of the policy [S, A] from states [N], by draws [2, N]."""
  action = _draw(uniform[0], policy[state])
  states, probabilities = mdp.successors  # [K, S] and [A, K, S].
  by_pair = jnp.asarray(probabilities.transpose(2, 0, 1), jnp.float32)
  chosen = _draw(uniform[1], by_pair[state, action])
  reward = jnp.asarray(mdp.rewards, jnp.float32)[state]
  return Transitions(
      state=state,
      action=action,
      reward=reward,
      next_state=jnp.asarray(states, jnp.int32)[chosen, state],
  )


def _draw(uniform: types.Array, probabilities: types.Array) -> types.Array:
  """One index a row of probabilities [N, K], by inversion: [N] int32."""
  cumulative = jnp.cumsum(probabilities, axis=1)
  # Scaled by the last sum, which rounding can leave below 1; an index past
  # the last column of non-zero probability can then not come out.
  below = uniform[:, None] * cumulative[:, -1:] >= cumulative
  return jnp.sum(below, axis=1, dtype=jnp.int32)


def monte_carlo_returns(
    mdp: tabular.TabularMDP,
    policy: types.Array,
    transitions: Transitions,
    horizon: int,
    rng: types.Array,
) -> types.Array:
  """r + sum_{t=1..horizon} discount^t r_t along one rollout each.

  Args:
    mdp: the process.
    policy: [S, A] probabilities.
    transitions: N, the first step of each rollout.
    horizon: further steps; static.
    rng: a key.

  Returns:
    [N] float32.
  """

  def step(carry: tuple, uniform: types.Array) -> tuple:
    state, total, factor = carry
    new = _act(mdp, policy, state, uniform)
    total = total + factor * new.reward
    return (new.next_state, total, factor * mdp.discount), None

  carry = (
      transitions.next_state,
      transitions.reward,
      jnp.float32(mdp.discount),
  )
  shape = (horizon, 2, transitions.state.shape[0])
  uniform = jax.random.uniform(rng, shape)
  (_, total, _), _ = jax.lax.scan(step, carry, uniform)
  return total
