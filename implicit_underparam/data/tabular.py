"""Data of a tabular MDP: a ring of sampled transitions, or every pair.

Both kinds of data live on the device, are pure, and answer the same
questions, so that a target rule (agents/fqi.py) need not know which it labels.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, types
from implicit_underparam.data import collectors, sampling
from implicit_underparam.envs import tabular


class ReplayState(NamedTuple):
  """A ring of transitions and their labels; C is its capacity.

  Attributes:
    transitions: [C] each.
    target: [C] float32, the labels y_k.
    added: [] int32, transitions ever added; the next goes to added mod C.
    environment_steps: [] int32, transitions added since the run began, of
      episodes that are cut to length; those of a fixed data set, which were
      there before, do not count.
  """

  transitions: collectors.Transitions
  target: types.Array
  added: types.Array
  environment_steps: types.Array


class TabularData(Protocol):
  """What a fitted iteration asks of its data; the state is a pytree."""

  environment: tabular.TabularMDP

  def init(self, rng: types.Array) -> Any:
    """The state before the first iteration."""

  def collect(self, state: Any, policy: types.Array, rng: types.Array) -> Any:
    """Adds what an iteration gathers with `policy` [S, A]."""

  def view(self, state: Any) -> collectors.Transitions | collectors.AllPairs:
    """What a target rule labels."""

  def label(self, state: Any, targets: types.Array) -> Any:
    """Sets the labels."""

  def sample(self, state: Any, rng: types.Array) -> types.Batch:
    """A batch for one gradient step."""

  def probe_counts(self, state: Any, rng: types.Array) -> types.Array:
    """How often each state stands in a large minibatch: [S] float32."""

  def environment_steps(self, state: Any) -> types.Array:
    """Transitions gathered since the run began: [] int32."""


@gin.register
@dataclasses.dataclass(frozen=True)
class TabularReplay:
  """A first-in first-out ring of sampled transitions (section B.2).

  Attributes:
    environment: the MDP.
    batch_size: B, transitions a gradient step, drawn with replacement.
    capacity: C, transitions; the oldest are overwritten.
    initial_transitions: collected before the first iteration; these alone
      are a fixed data set if `transitions_per_iteration` is 0.
    transitions_per_iteration: collected at the start of each iteration.
    collector: how transitions are gathered, `rollouts` or `uniform_pairs`.
    behaviour_policy: who gathers them; None is the agent's current policy,
      the Boltzmann policy of Q_{k-1}.
    monte_carlo_horizon: steps for which each transition is continued under
      the behaviour policy for its Monte-Carlo return; 0 for none. What is
      cut off is at most discount^horizon / (1 - discount).
    probe_size: transitions in the 'minibatch' probe (2048, section A).
  """

  environment: tabular.TabularMDP
  batch_size: int = 128
  capacity: int = 10_000
  initial_transitions: int = 0
  transitions_per_iteration: int = 128
  collector: collectors.Collector = collectors.rollouts
  behaviour_policy: collectors.BehaviourPolicy | None = None
  monte_carlo_horizon: int = 0
  probe_size: int = 2048

  def __post_init__(self) -> None:
    for name in ('batch_size', 'capacity', 'probe_size'):
      _check_at_least(name, getattr(self, name), 1)
    _check_at_least('monte_carlo_horizon', self.monte_carlo_horizon, 0)
    for name in ('initial_transitions', 'transitions_per_iteration'):
      _check_at_least(name, getattr(self, name), 0)
      if getattr(self, name) > self.capacity:
        raise errors.UserError(
            f'TabularReplay.{name} is {getattr(self, name)}, more than '
            f'TabularReplay.capacity, {self.capacity}: raise the capacity'
        )
    if self.initial_transitions + self.transitions_per_iteration == 0:
      raise errors.UserError(
          'TabularReplay has no data: set TabularReplay.initial_transitions '
          'or TabularReplay.transitions_per_iteration'
      )
    if self.monte_carlo_horizon and self.behaviour_policy is None:
      raise errors.UserError(
          'TabularReplay.monte_carlo_horizon needs a fixed policy: bind '
          'TabularReplay.behaviour_policy, for example to @uniform_policy'
      )

  def init(self, rng: types.Array) -> ReplayState:
    """The ring before the first iteration."""
    integers = jnp.zeros((self.capacity,), jnp.int32)
    floats = jnp.zeros((self.capacity,), jnp.float32)
    returns = floats if self.monte_carlo_horizon else None
    empty = collectors.Transitions(
        integers, integers, floats, integers, returns
    )
    state = ReplayState(empty, floats, jnp.int32(0), jnp.int32(0))
    if self.initial_transitions == 0:
      return state
    # Before there is a network the agent's policy is the uniform one.
    policy = collectors.uniform_policy(self.environment)
    state = self._add(state, policy, self.initial_transitions, rng)
    return state._replace(environment_steps=jnp.int32(0))

  def collect(
      self, state: ReplayState, policy: types.Array, rng: types.Array
  ) -> ReplayState:
    """Adds an iteration's transitions, gathered by `policy` [S, A]."""
    if self.transitions_per_iteration == 0:
      return state
    return self._add(state, policy, self.transitions_per_iteration, rng)

  def view(self, state: ReplayState) -> collectors.Transitions:
    """What a target rule labels; rows not yet filled are zeros."""
    return state.transitions

  def label(self, state: ReplayState, targets: types.Array) -> ReplayState:
    """Sets the labels y_k, [C]."""
    return state._replace(target=targets)

  def sample(self, state: ReplayState, rng: types.Array) -> types.Batch:
    """B transitions, uniform with replacement."""
    index = sampling.uniform_indices(
        rng, self.batch_size, self._size(state)
    )
    observations = jnp.asarray(self.environment.observations)
    return types.Batch(
        state=observations[state.transitions.state[index]],
        action=state.transitions.action[index],
        target=state.target[index],
    )

  def probe_counts(self, state: ReplayState, rng: types.Array) -> types.Array:
    """How often each state stands in `probe_size` samples: [S] float32."""
    index = sampling.uniform_indices(
        rng, self.probe_size, self._size(state)
    )
    states = state.transitions.state[index]
    counts = jnp.zeros((self.environment.num_states,), jnp.float32)
    return counts.at[states].add(1.0)

  def environment_steps(self, state: ReplayState) -> types.Array:
    """Transitions gathered since the run began."""
    return state.environment_steps

  def _size(self, state: ReplayState) -> types.Array:
    return jnp.minimum(state.added, self.capacity)

  def _add(
      self,
      state: ReplayState,
      policy: types.Array,
      num_transitions: int,
      rng: types.Array,
  ) -> ReplayState:
    if self.behaviour_policy is not None:
      policy = self.behaviour_policy(self.environment)
    collect_rng, return_rng = jax.random.split(rng)
    new = self.collector(
        self.environment, policy, num_transitions, collect_rng
    )
    if self.monte_carlo_horizon:
      returns = collectors.monte_carlo_returns(
          self.environment, policy, new, self.monte_carlo_horizon, return_rng
      )
      new = new._replace(monte_carlo_return=returns)
    index = (state.added + jnp.arange(num_transitions)) % self.capacity
    return state._replace(
        transitions=jax.tree.map(
            lambda ring, x: ring.at[index].set(x), state.transitions, new
        ),
        added=state.added + num_transitions,
        environment_steps=state.environment_steps + num_transitions,
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class AllStates:
  """Every state in every step, with exact expectations instead of samples.

  Fitted Q-iteration then has no sampling error and full coverage: what is
  left is the network and its optimisation. Wall cells are included, as in the
  code of Fu et al. (2019).

  Attributes:
    environment: the MDP.
  """

  environment: tabular.TabularMDP

  def init(self, rng: types.Array) -> types.Array:
    """The labels, [S, A]."""
    del rng
    mdp = self.environment
    return jnp.zeros((mdp.num_states, mdp.num_actions), jnp.float32)

  def collect(
      self, state: types.Array, policy: types.Array, rng: types.Array
  ) -> types.Array:
    """Nothing to collect."""
    del policy, rng
    return state

  def view(self, state: types.Array) -> collectors.AllPairs:
    """What a target rule labels."""
    del state
    return collectors.AllPairs(
        reward=jnp.asarray(self.environment.rewards, jnp.float32)[:, None],
        transition_matrix=jnp.asarray(
            self.environment.transition_matrix, jnp.float32
        ),
    )

  def label(self, state: types.Array, targets: types.Array) -> types.Array:
    """Sets the labels y_k, [S, A]."""
    return jnp.broadcast_to(targets, state.shape)

  def sample(self, state: types.Array, rng: types.Array) -> types.Batch:
    """All states, with a target for each action."""
    del rng
    observations = jnp.asarray(self.environment.observations)
    return types.Batch(state=observations, target=state)

  def probe_counts(self, state: types.Array, rng: types.Array) -> types.Array:
    """Every state once: [S] float32."""
    del state, rng
    return jnp.ones((self.environment.num_states,), jnp.float32)

  def environment_steps(self, state: types.Array) -> types.Array:
    """None are ever taken."""
    del state
    return jnp.int32(0)


def _check_at_least(name: str, value: int, least: int) -> None:
  if not isinstance(value, int) or value < least:
    raise errors.UserError(
        f'TabularReplay.{name} is {value!r}: give a whole number, at least '
        f'{least}'
    )
