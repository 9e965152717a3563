"""What one iteration is; the runner vectorises, compiles and repeats it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, program, types
from implicit_underparam import learner as learner_lib
from implicit_underparam.agents import fqi
from implicit_underparam.data import tabular as tabular_data
from implicit_underparam.envs import tabular


class LoopState(NamedTuple):
  """Everything that an experiment carries from an iteration to the next.

  Attributes:
    train: parameters, target, optimiser.
    data: the state of the data.
    rng: a key.
    iterations: [] int32, iterations done.
    finite: [] bool, False once a loss or a parameter was NaN or infinite.
  """

  train: types.TrainState
  data: Any
  rng: types.Array
  iterations: types.Array
  finite: types.Array


@gin.register
@dataclasses.dataclass(frozen=True)
class FittedIteration:
  """One iteration is one fitting iteration of Algorithm 1.

  Collect with the policy of Q_{k-1}; label the data from Q_{k-1}; take T
  gradient steps towards the labels.

  Attributes:
    learner: the gradient step, with an `FQIAgent`.
    data: `TabularReplay` or `AllStates`.
    gradient_steps: T, gradient steps a fitting iteration.
    reinitialize: start every fitting iteration from fresh parameters and a
      fresh optimiser (Figure 4c).
  """

  learner: learner_lib.Learner
  data: tabular_data.TabularData
  gradient_steps: int = 200
  reinitialize: bool = False

  def __post_init__(self) -> None:
    steps = self.gradient_steps
    if not isinstance(steps, int) or steps < 1:
      raise errors.UserError(
          f'FittedIteration.gradient_steps is {steps!r}: give a whole number, '
          'at least 1'
      )
    if not isinstance(self.learner.agent, fqi.FQIAgent):
      raise errors.UserError(
          'FittedIteration.learner has an agent that cannot label tabular '
          'data: bind Learner.agent to @FQIAgent()'
      )

  @property
  def environment(self) -> tabular.TabularMDP:
    """The MDP."""
    return self.data.environment

  @property
  def agent(self) -> fqi.FQIAgent:
    """The learner's agent."""
    assert isinstance(self.learner.agent, fqi.FQIAgent)
    return self.learner.agent

  def compile(self, seeds: Sequence[int], seed_axis: str) -> types.Program:
    """The experiment for several seeds."""
    return program.Program(self, seeds, seed_axis)

  def hyperparameters(self) -> types.Hyperparameters:
    """The traced numbers that `iterate` takes."""
    return self.learner.hyperparameters(self.gradient_steps)

  def init(self, rng: types.Array) -> LoopState:
    """Fresh parameters and the data before the first iteration."""
    rng, params_rng, data_rng = jax.random.split(rng, 3)
    train = self.learner.init(params_rng, self._observations())
    self._check_network(train.params)
    data = self.data.init(data_rng)
    return LoopState(train, data, rng, jnp.int32(0), jnp.bool_(True))

  def iterate(
      self, state: LoopState, hyperparameters: types.Hyperparameters
  ) -> tuple[LoopState, types.IterationOutput]:
    """Lines 3 and 4 of Algorithm 1, then the probes."""
    rng, *keys = jax.random.split(state.rng, 4)
    data = self._collect_and_label(state, keys[0])
    train = state.train
    if self.reinitialize:
      train = self.learner.reinitialize(train, keys[1], self._observations())
    train, scalars = self.learner.fit(
        train,
        lambda _, key: self.data.sample(data, key),
        keys[2],
        hyperparameters,
    )
    # The outputs as well: a state that is not in the data may overflow first.
    network = self.agent.apply(train.params, self._observations())
    finite = state.finite & learner_lib.all_finite(
        (train.params, scalars, network)
    )
    new = LoopState(train, data, rng, state.iterations + 1, finite)
    new = learner_lib.kept_if(finite, new, state)
    new = new._replace(finite=finite)
    return new, self._output(new, scalars)

  def _collect_and_label(self, state: LoopState, rng: types.Array) -> Any:
    agent = self.agent
    previous = agent.q_values(state.train.target_params, self._observations())
    data = self.data.collect(state.data, agent.policy(previous), rng)
    targets = agent.targets(previous, self.environment, self.data.view(data))
    return self.data.label(data, targets)

  def probe(self, state: LoopState) -> dict[str, types.Probe]:
    """The network on all states, on the free cells, on a large minibatch."""
    network = self.agent.apply(state.train.params, self._observations())
    free = jnp.asarray(self.environment.free_states)
    # Any key will do that is not used otherwise.
    rng = jax.random.fold_in(state.rng, state.iterations)
    counts = self.data.probe_counts(state.data, rng)
    # Rows scaled by the root of their multiplicity have the singular values
    # of the whole sample, in a matrix of S rows.
    weighted = network.features * jnp.sqrt(counts)[:, None]
    return {
        'all': types.Probe(network.features, network.q_values),
        'free': types.Probe(network.features[free], network.q_values[free]),
        'minibatch': types.Probe(weighted, network.q_values),
    }

  def _output(
      self, state: LoopState, scalars: Mapping[str, types.Array]
  ) -> types.IterationOutput:
    return types.IterationOutput(
        scalars=scalars,
        probes=self.probe(state),
        parameters=state.train.params,
        gradient_steps=state.train.gradient_steps,
        environment_steps=self.data.environment_steps(state.data),
        iterations=state.iterations,
        finite=state.finite,
    )

  def _observations(self) -> types.Array:
    return jnp.asarray(self.environment.observations)

  def _check_network(self, params: types.Params) -> None:
    output = jax.eval_shape(self.agent.apply, params, self._observations())
    wanted = self.environment.num_actions
    if output.q_values.shape[-1] != wanted:
      raise errors.UserError(
          f'the network has {output.q_values.shape[-1]} actions, '
          f'{self.environment.name} has {wanted}: set '
          f'MLPNetwork.num_actions = {wanted}'
      )
