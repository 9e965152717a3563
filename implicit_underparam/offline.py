"""Training from a fixed data set: the loop of the offline experiments."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import (
    episode_evaluation,
    errors,
    evaluating,
    probing,
    types,
)
from implicit_underparam import learner as learner_lib
from implicit_underparam.data import offline as offline_data
from implicit_underparam.offline_program import OfflineProgram


class OfflineState(NamedTuple):
  """What is carried from a dispatch to the next, for one seed.

  Attributes:
    train: parameters, target, optimiser.
    rng: a key; never changes, steps are folded in.
    data: [] uint32, what tells the data from another; never changes.
    steps: [] int32, gradient steps dispatched.
    iterations: [] int32, iterations that were finite.
    finite: [] bool, False once a loss or a parameter was NaN or infinite;
      `train` is then what it was before that dispatch.
  """

  train: types.TrainState
  rng: types.Array
  data: types.Array
  steps: types.Array
  iterations: types.Array
  finite: types.Array


@gin.register
@dataclasses.dataclass(frozen=True)
class OfflineLoop:
  """Gradient steps on a fixed data set, then the measures, then evaluation.

  Attributes:
    learner: the gradient step, with a value agent.
    data: the prepared set.
    evaluation: how returns are measured; None for not at all.
    gradient_steps: of one iteration (62,500 in the paper: 250,000 agent steps
      with an update every 4).
    steps_per_dispatch: gradient steps that the device takes without the host.
    probe_size: transitions on which the network is measured (section A).
  """

  learner: learner_lib.Learner
  data: offline_data.OfflineData
  evaluation: episode_evaluation.EpisodeEvaluation | None = None
  gradient_steps: int = 62_500
  steps_per_dispatch: int = 500
  probe_size: int = 2048

  def __post_init__(self) -> None:
    for name in ('gradient_steps', 'steps_per_dispatch', 'probe_size'):
      number = getattr(self, name)
      if not isinstance(number, int) or number < 1:
        raise errors.UserError(
            f'OfflineLoop.{name} is {number!r}: give a whole number, at '
            'least 1'
        )
    if not isinstance(self.learner.agent, types.ActingAgent):
      raise errors.UserError(
          'OfflineLoop.learner has an agent that does not learn from '
          'transitions: bind Learner.agent, for example to @DQNAgent()'
      )
    if not isinstance(self.data, offline_data.OfflineData):
      raise errors.UserError(
          f'OfflineLoop.data is {self.data!r}: bind it to @OfflineData()'
      )

  @property
  def agent(self) -> types.ActingAgent:
    """The learner's agent."""
    assert isinstance(self.learner.agent, types.ActingAgent)
    return self.learner.agent

  def compile(
      self, seeds: Sequence[int], seed_axis: str
  ) -> OfflineProgram:
    """The experiment for several seeds."""
    return OfflineProgram(self, seeds, seed_axis)

  def init(
      self, rng: types.Array, example: types.Array, data: int
  ) -> OfflineState:
    """Fresh parameters, from a key, a batch of states and `state.data`."""
    params_rng, rng = jax.random.split(rng)
    train = self.learner.init(params_rng, example)
    zero = jnp.int32(0)
    identity = jnp.uint32(data)
    return OfflineState(train, rng, identity, zero, zero, jnp.bool_(True))

  def update(
      self,
      state: OfflineState,
      columns: offline_data.Columns,
      frames: types.Array | None,
      gathered: offline_data.Gathered | None,
      hyperparameters: types.Hyperparameters,
      first: types.Array,
      stack_size: int,
  ) -> tuple[OfflineState, Mapping[str, types.Array]]:
    """Takes `hyperparameters.gradient_steps` steps.

    Args:
      state: the state before.
      columns: of the data.
      frames: [N, ...] all of them, where they are on the device.
      gathered: those of these steps, where they are not.
      hyperparameters: of the learner.
      first: [] int32, steps taken before.
      stack_size: frames in a state.

    Returns:
      The state after and the steps' scalars, averaged.
    """

    def sample(i: types.Array, key: types.Array) -> types.Batch:
      if gathered is None:
        rows = offline_data.draw(columns, key, self.data.batch_size)
        windows = None
      else:
        rows, windows = gathered.rows[i], gathered.windows[i]
      return self._transitions(columns, frames, windows, rows, stack_size)

    train, scalars = self.learner.fit(
        state.train, sample, state.rng, hyperparameters, first
    )
    finite = state.finite & learner_lib.all_finite((train.params, scalars))
    train = learner_lib.kept_if(finite, train, state.train)
    steps = state.steps + hyperparameters.gradient_steps
    return state._replace(train=train, steps=steps, finite=finite), scalars

  def rows(
      self,
      state: OfflineState,
      columns: offline_data.Columns,
      first: types.Array,
      num_steps: int,
  ) -> types.Array:
    """The rows that `update` draws: [num_steps, B]."""

    def of_step(step: types.Array) -> types.Array:
      key = learner_lib.sample_key(state.rng, step)
      return offline_data.draw(columns, key, self.data.batch_size)

    return jax.vmap(of_step)(first + jnp.arange(num_steps))

  def probe_rows(
      self, state: OfflineState, columns: offline_data.Columns
  ) -> types.Array:
    """Fresh i.i.d. transitions for the measures: [probe_size]."""
    # Steps fold in numbers below 2^31; this one is never among them.
    rng = jax.random.fold_in(state.rng, jnp.uint32(2**32 - 1) - state.steps)
    return offline_data.draw(columns, rng, self.probe_size)

  def measure(
      self,
      state: OfflineState,
      columns: offline_data.Columns,
      frames: types.Array | None,
      windows: types.Array | None,
      rows: types.Array,
      stack_size: int,
  ) -> types.IterationOutput:
    """The network and its TD errors on the transitions of a probe.

    Args:
      state: the state after an iteration.
      columns: of the data.
      frames: as in `update`.
      windows: [P, stack + n, ...] those of `rows`, where `frames` is None.
      rows: [P] int32, of `probe_rows`.
      stack_size: frames in a state.
    """

    def batch_of(row_and_windows: tuple) -> types.Batch:
      row, given = row_and_windows
      return self._transitions(columns, frames, given, row, stack_size)

    probes, td_errors = probing.measure(
        self.agent, state.train, batch_of, (rows, windows)
    )
    output = types.IterationOutput(
        scalars=td_errors,
        probes=probes,
        parameters=state.train.params,
        gradient_steps=state.train.gradient_steps,
        environment_steps=jnp.int32(0),
        iterations=state.iterations + state.finite,
        finite=state.finite,
    )
    # The state is donated to the next dispatch; the output is read after that
    # and may share no buffer with it.
    return jax.tree.map(jnp.copy, output)

  def act(self, params: types.Params, state: types.Array) -> types.Array:
    """What is evaluated: the best actions in states [B, ...]."""
    return self.agent.act(params, state)

  def evaluate(
      self, params: types.Params, seed: types.Array, iteration: types.Array
  ) -> dict[str, types.Array]:
    """Evaluates in an environment that is a pure function."""
    assert self.evaluation is not None
    agent: Any = self.agent  # One with values: so are all of pure environments.
    return evaluating.of_one_seed(
        self.evaluation, agent, params, seed, iteration
    )

  def _transitions(
      self,
      columns: offline_data.Columns,
      frames: types.Array | None,
      windows: types.Array | None,
      rows: types.Array,
      stack_size: int,
  ) -> types.Batch:
    horizon, gamma = self.agent.update_horizon, self.agent.gamma
    if windows is None:
      assert frames is not None
      windows = offline_data.gather_windows(
          frames, rows, stack_size + horizon, stack_size
      )
    return offline_data.transitions(
        columns, windows, rows, stack_size, horizon, gamma
    )
