"""Training while playing: the loop of the online experiments (section 3)."""

import dataclasses
import fractions
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import (
    acting,
    episode_evaluation,
    evaluating,
    online_checks,
    probing,
    types,
)
from implicit_underparam import learner as learner_lib
from implicit_underparam import target_features as target_features_lib
from implicit_underparam.data import dopamine_replay, ring
from implicit_underparam.data import replay as replay_lib
from implicit_underparam.envs import pure, vector

if TYPE_CHECKING:
  from implicit_underparam import online_program


class OnlineState(NamedTuple):
  """One seed between two iterations.

  Attributes:
    train: parameters, target, optimiser.
    rng: a key; never changes, steps are folded in.
    steps: [] int32, agent steps taken.
    iterations: [] int32, iterations that were finite.
    finite: [] bool, False once a loss or a parameter was NaN or infinite;
      `train` is then what it was before that iteration.
  """

  train: types.TrainState
  rng: types.Array
  steps: types.Array
  iterations: types.Array
  finite: types.Array


class Learning(NamedTuple):
  """What gradient steps change within an iteration, for one seed.

  Attributes:
    train: parameters, target, optimiser.
    totals: the steps' scalars, summed.
  """

  train: types.TrainState
  totals: Mapping[str, types.Array]


@gin.register
@dataclasses.dataclass(frozen=True)
class OnlineLoop:
  """Acting, a replay, and n gradient steps for every agent step.

  Attributes:
    learner: the gradient step, with a value agent.
    environment: what is played.
    replay: what is kept of it: `Replay`, or `DopamineReplay`.
    evaluation: how returns are measured; None for not at all.
    training_steps: agent steps of one iteration, a seed.
    data_reuse_ratio: n, gradient steps for each agent step; may be a fraction
      below 1 (0.25 is Dopamine's update every 4 steps) or above.
    min_replay_history: agent steps before the first gradient step.
    target_update_clock: what `Learner.target_update_period` counts:
      'gradient_steps' (Table B.1) or 'agent_steps' (Dopamine).
    epsilon_train: probability of a random action, once it has decayed.
    epsilon_decay_period: agent steps over which it decays from 1.
    reward_clip: rewards are clipped to +- this before they are kept; None
      for not at all.
    num_environments: K, played side by side by each seed.
    num_threads: that all emulators share; 0 is one a core.
    overlap: step the environments while gradient steps are taken; actions
      then come from the parameters before them. False is Dopamine's order.
    probe_size: transitions on which the network is measured (section A).
    target_features: how the rank of the target's features is measured
      (Figure D.2); None for not at all.
  """

  learner: learner_lib.Learner
  environment: vector.Environment
  replay: replay_lib.Replay | dopamine_replay.DopamineReplay
  evaluation: episode_evaluation.EpisodeEvaluation | None = None
  training_steps: int = 250_000
  data_reuse_ratio: float = 0.25
  min_replay_history: int = 20_000
  target_update_clock: str = 'gradient_steps'
  epsilon_train: float = 0.01
  epsilon_decay_period: int = 250_000
  reward_clip: float | None = 1.0
  num_environments: int = 1
  num_threads: int = 0
  overlap: bool = True
  probe_size: int = 2048
  target_features: target_features_lib.TargetFeatures | None = None

  def __post_init__(self) -> None:
    online_checks.check(self)

  @property
  def agent(self) -> types.ActingAgent:
    """The learner's agent."""
    assert isinstance(self.learner.agent, types.ActingAgent)
    return self.learner.agent

  @property
  def layout(self) -> ring.RingBuffer:
    """How a seed's experience lies in memory."""
    return self._replay.layout(
        self.num_environments,
        self.environment.stack_size,
        self.agent.update_horizon,
        self.agent.gamma,
        vector.action_size(self.environment),
    )

  def compile(
      self, seeds: Sequence[int], seed_axis: str
  ) -> 'online_program.OnlineProgram':
    """The experiment for several seeds."""
    # Imported late: they need each other.
    from implicit_underparam import online_program, pure_online_program

    if pure.is_pure(self.environment):
      return pure_online_program.PureOnlineProgram(self, seeds, seed_axis)
    return online_program.OnlineProgram(self, seeds, seed_axis)

  def updates_by(self, steps: int) -> int:
    """Gradient steps that are due once so many agent steps are taken."""
    return math.floor(self._ratio * max(0, steps - self.min_replay_history))

  @functools.cached_property
  def _ratio(self) -> fractions.Fraction:
    """n, as it is written."""
    return fractions.Fraction(str(self.data_reuse_ratio))

  def target_updates_by(self, steps: int) -> int:
    """Target updates that are due once so many agent steps are taken.

    By the agent steps' clock what falls before the first gradient step is left
    out, as in Dopamine.
    """
    period = self.learner.target_update_period
    assert period is not None
    if self.target_update_clock == 'gradient_steps':
      return self.updates_by(steps) // period
    return max(0, steps // period - self.min_replay_history // period)

  def epsilon(self, steps: Any) -> Any:
    """Probability of a random action once so many agent steps are taken."""
    return acting.linearly_decaying_epsilon(
        steps,
        self.epsilon_decay_period,
        self.min_replay_history,
        self.epsilon_train,
    )

  def hyperparameters(
      self, count: int, target_updates: bool = False
  ) -> types.Hyperparameters:
    """Of `count` gradient steps, whose number is compiled in.

    Args:
      count: how many.
      target_updates: whether the steps take those that the gradient steps'
        clock says. They are else left to the program, which knows when they
        are due: a branch beside every gradient step would copy parameters.
    """
    hyper = self.learner.hyperparameters(count)._replace(gradient_steps=count)
    by_gradient_steps = self.target_update_clock == 'gradient_steps'
    if self.moves_target_always or target_updates and by_gradient_steps:
      return hyper
    return hyper._replace(target_update_period=0)

  @property
  def moves_target_always(self) -> bool:
    """Whether each gradient step updates the target, as SAC's do."""
    return (
        self.learner.target_update_period == 1
        and self.target_update_clock == 'gradient_steps'
    )

  def init(self, rng: types.Array) -> OnlineState:
    """Fresh parameters."""
    params_rng, rng = jax.random.split(rng)
    train = self.learner.init(params_rng, self._states(1))
    zero = jnp.int32(0)
    return OnlineState(train, rng, zero, zero, jnp.bool_(True))

  def empty_replay(self, frames_here: bool) -> replay_lib.Contents:
    """A replay of one seed; without its frames if they are kept elsewhere."""
    shape = self.environment.frame_shape if frames_here else None
    return self._replay.init(self.layout, shape, self.environment.frame_dtype)

  def act(
      self,
      params: types.Params,
      stack: types.Array,
      frame: types.Array,
      begins: types.Array,
      rng: types.Array,
      step: types.Array,
      epsilon: types.Array,
  ) -> tuple[types.Array, types.Array]:
    """The states [K, ..., stack] that frames make, and what is done there."""
    stack = acting.push_frame(stack, frame, begins)
    rng = jax.random.fold_in(jax.random.fold_in(rng, 1), step)
    return stack, self.agent.explore(params, stack, rng, epsilon)

  def add(
      self,
      contents: replay_lib.Contents,
      step: types.Array,
      frames: types.Array | None,
      result: ring.Result,
  ) -> replay_lib.Contents:
    """Keeps a step; `step` counts those of each environment."""
    return self._replay.add(self.layout, contents, step, frames, result)

  def update(
      self,
      learning: Learning,
      tree: Any,
      kept: ring.Ring,
      rng: types.Array,
      first: types.Array,
      count: int,
      target_updates: bool = False,
  ) -> tuple[Learning, Any]:
    """Takes gradient steps on batches of a replay that is all on the device.

    Args:
      learning: before.
      tree: the replay's priorities, or None.
      kept: the replay's ring.
      rng: of the seed.
      first: [] int32, gradient steps taken before.
      count: gradient steps to take.
      target_updates: whether to take those that the gradient steps' clock
        says, which are else left to the caller.

    Returns:
      Both after.
    """
    train, tree, means = self.learner.fit_with_feedback(
        learning.train,
        tree,
        lambda tree, i, key: self.sample(replay_lib.Contents(kept, tree), key),
        lambda tree, batch, losses: self._replay.feedback(
            tree, batch.indices, losses
        ),
        jax.random.fold_in(rng, 0),
        self.hyperparameters(count, target_updates),
        first,
    )
    totals = jax.tree.map(
        lambda total, mean: total + count * mean, learning.totals, means
    )
    return Learning(train, totals), tree

  def sample(
      self, contents: replay_lib.Contents, key: types.Array
  ) -> types.Batch:
    """A batch of a replay that is all on the device."""
    drawn = self._replay.draw(self.layout, contents, key)
    batch = self.layout.batch(contents.ring, drawn.rows)
    return batch._replace(weight=drawn.weight)

  def draw(
      self, contents: replay_lib.Contents, rng: types.Array, step: types.Array
  ) -> replay_lib.Drawn:
    """The rows that `update` draws for its step-th gradient step."""
    key = learner_lib.sample_key(jax.random.fold_in(rng, 0), step)
    return self._replay.draw(self.layout, contents, key)

  def update_on_windows(
      self,
      learning: Learning,
      tree: Any,
      kept: ring.Ring,
      drawn: replay_lib.Drawn,
      windows: types.Array,
      rng: types.Array,
      first: types.Array,
  ) -> tuple[Learning, Any]:
    """One step of `update`, with rows of `draw` and the frames around them."""
    batch = self.layout.batch(kept, drawn.rows, windows)
    batch = batch._replace(weight=drawn.weight)
    learning, losses = self.update_on(learning, batch, rng, first)
    return learning, self._replay.feedback(tree, drawn.rows, losses)

  def update_on(
      self,
      learning: Learning,
      batch: types.Batch,
      rng: types.Array,
      first: types.Array,
  ) -> tuple[Learning, types.Array]:
    """One gradient step on a given batch, and its losses [B]."""
    train, scalars, losses = self.learner.step_with_losses(
        learning.train,
        batch,
        learner_lib.loss_key(jax.random.fold_in(rng, 0), first),
        self.hyperparameters(1),
    )
    totals = jax.tree.map(jnp.add, learning.totals, scalars)
    return Learning(train, totals), losses

  def totals(self, train: types.TrainState) -> Mapping[str, types.Array]:
    """Zeros for the scalars of gradient steps."""
    batch = self._batch(self.replay.batch_size)
    shapes = jax.eval_shape(
        lambda train: self.learner.step(
            train, batch, jax.random.key(0), self.hyperparameters(1)
        )[1],
        train,
    )
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

  def measured_shapes(
      self, train: types.TrainState
  ) -> tuple[dict[str, types.Probe], dict[str, types.Array]]:
    """Shapes and types of what `measure` gives."""
    measure = functools.partial(self.measure, kept=None)
    probes, td_errors = jax.eval_shape(
        measure, train, given=self._batch(self.probe_size)
    )
    return dict(probes), td_errors

  def update_target(self, learning: Learning) -> Learning:
    """One target update."""
    rate = self.learner.target_update_rate
    train = self.learner.update_target(learning.train, rate)
    return learning._replace(train=train)

  def finish(
      self,
      learning: Learning,
      before: types.TrainState,
      finite: types.Array,
      count: types.Array,
  ) -> tuple[types.TrainState, Mapping[str, types.Array], types.Array]:
    """Ends an iteration: what it left, the steps' means, whether finite.

    Args:
      learning: after its gradient steps.
      before: what is kept if a number is not finite.
      finite: [] bool, of the iterations before.
      count: [] float32, its gradient steps.
    """
    finite &= learner_lib.all_finite((learning.train.params, learning.totals))
    train = learner_lib.kept_if(finite, learning.train, before)
    means = jax.tree.map(lambda x: x / count, learning.totals)
    return train, means, finite

  def probe_rows(
      self, kept: ring.Ring, rng: types.Array, steps: types.Array
  ) -> types.Array:
    """Fresh i.i.d. rows of the replay for the measures: [probe_size]."""
    key = jax.random.fold_in(jax.random.fold_in(rng, 2), steps)
    return self.layout.draw(kept, key, self.probe_size)

  def measure(
      self, train: types.TrainState, kept: ring.Ring | None, given: Any
  ) -> tuple[Mapping[str, types.Probe], dict[str, types.Array]]:
    """The probes and TD errors on transitions of the replay.

    Args:
      train: of the network.
      kept: the replay's ring; None where batches are given.
      given: (rows [P], None), or with their frames [P, stack_size + n, ...];
        or a batch of P transitions.
    """

    def batch_of(given: Any) -> types.Batch:
      if kept is None:
        assert isinstance(given, types.Batch)
        return given
      return self.layout.batch(kept, *given)

    return probing.measure(self.agent, train, batch_of, given)

  def measure_target(
      self,
      train: types.TrainState,
      contents: replay_lib.Contents,
      rows: types.Array,
      rng: types.Array,
      steps: types.Array,
  ) -> types.Probe:
    """Features fit to gamma P^pi Q on the states of some rows (Figure D.2)."""
    assert self.target_features is not None
    key = jax.random.fold_in(jax.random.fold_in(rng, 3), steps)
    fitted = self.target_features.fit(
        self.learner, train, lambda _, key: self.sample(contents, key), key
    )

    def batch_of(rows: types.Array) -> types.Batch:
      return self.layout.batch(contents.ring, rows)

    return probing.measure(self.agent, fitted, batch_of, rows)[0]['all']

  def greedy(self, params: types.Params, state: types.Array) -> types.Array:
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

  def _states(self, count: int) -> types.Array:
    environment = self.environment
    return jnp.zeros(
        (count, *environment.observation_shape), environment.frame_dtype
    )

  def _batch(self, count: int) -> types.Batch:
    """An example of transitions."""
    states, numbers = self._states(count), jnp.zeros(count)
    size = vector.action_size(self.environment)
    actions = numbers.astype(jnp.int32)
    if size is not None:
      actions = jnp.zeros((count, size))
    return types.Batch(
        states, actions, numbers, states, numbers, next_action=actions
    )

  @property
  def _replay(self) -> replay_lib.Replay:
    assert isinstance(self.replay, replay_lib.Replay)
    return self.replay
