"""Drives an online loop for several seeds: emulators, dispatches, evaluation.

Each step acts for all seeds, lets the environments go on in their threads
while the gradient steps that are due run on the device, and keeps what came
of it. The host waits for the device once a step, for the actions.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import (
  errors,
  evaluating,
  lanes,
  online,
  online_checks,
  playing,
  program,
  progress,
  replay_drivers,
  types,
)
from implicit_underparam.data import (
  replay,
  replay_recorder,
  transition_recorder,
)
from implicit_underparam.envs import pure, vector
from implicit_underparam.online_functions import Functions


class Played(NamedTuple):
  """What playing an iteration leaves.

  Attributes:
    learning: of each lane.
    returns: [S], mean returns of training episodes; NaN where none ended.
    episodes: [S], their number.
  """

  learning: Sequence[Any]
  returns: np.ndarray
  episodes: np.ndarray


class OnlineProgram:
  """An `OnlineLoop` compiled for several seeds; a `types.Program`.

  Args:
    loop: the experiment.
    seeds: one run each.
    seed_axis: see `lanes.split`.

  Raises:
    UserError: the network does not fit the environment, or the replay does
      not fit into memory.
  """

  waits = True

  def __init__(
      self, loop: online.OnlineLoop, seeds: Sequence[int], seed_axis: str
  ):
    self.loop = loop
    self.seeds = tuple(seeds)
    self.environment = loop.environment
    self._shapes = jax.eval_shape(self._init_seed, jnp.uint32(0))
    online_checks.check_actions(loop, self._shapes.train.params)
    split = lanes.split(self.seeds, seed_axis)
    functions = {
        n: Functions(loop, n) for n in {len(x.seeds) for x in split}
    }
    frames_here = self._place(split)
    self._running = [
        playing.RunningLane(
            x, functions[len(x.seeds)],
            self._driver(x, functions[len(x.seeds)], frames_here),
        )  # fmt: skip
        for x in split
    ]
    self._vector: vector.VectorEnvironment | None = None
    self._recorder: playing.Recorder | None = None

  def log_replay(self, folder: Any) -> None:
    """Writes what is played below a folder: replay_logs, or transitions.

    Raises:
      UserError: these cannot hold it.
    """
    loop = self.loop
    if vector.action_size(loop.environment) is not None:
      self._recorder = transition_recorder.TransitionRecorder(
          folder, loop.environment, self.seeds
      )
      return
    self._recorder = replay_recorder.ReplayRecorder(
        folder,
        loop.environment,
        self.seeds,
        loop.num_environments,
        loop.agent.update_horizon,
        loop.replay.capacity,
    )

  def init(self) -> Any:
    """The state of every lane before the first iteration."""
    init = program.compile_init(self._init_seed)
    every = init(jnp.asarray(self.seeds, jnp.uint32))
    return [
        jax.device_put(jax.tree.map(x.part, every), x.device)
        for x, _, _ in self._running
    ]

  def snapshot(self, state: Any) -> Any:
    """All that a checkpoint needs."""
    # Of the same structure without a log, for those who only look at the run.
    log = [b''] * len(self.seeds)
    if self._recorder is not None:
      log = self._recorder.suspend()
    return {
        'lanes': state,
        'replay': [x.driver.save() for x in self._running],
        'log': log,
    }

  def place(self, tree: Any) -> Any:
    """The state to go on with, from what a checkpoint gave back."""
    for lane, saved in zip(self._running, tree['replay'], strict=True):
      lane.driver.load(saved)
    if self._recorder is not None:
      self._recorder.resume(tree['log'])
    return [
        jax.device_put(state, x.lane.device)
        for x, state in zip(self._running, tree['lanes'], strict=True)
    ]

  def close(self) -> None:
    """Ends what is written beside the checkpoints."""
    if self._recorder is not None:
      self._recorder.close()

  def iterate(self, state: Any) -> tuple[Any, types.IterationOutput]:
    """An iteration of every seed; the given state is consumed."""
    first = int(np.ravel(state[0].steps)[0])
    # The gradient steps consume their state; this is gone back to if a
    # number is not finite.
    before = [jax.tree.map(jnp.copy, x.train) for x in state]
    played = self._play(state)
    results = [
        self._finish(*x, first)
        for x in zip(self._running, state, played.learning, before, strict=True)
    ]
    output = self._merge([x for _, x in results])
    known = self._known(played, first + self.loop.training_steps)
    scalars = {**output.scalars, **known}
    iteration = first // self.loop.training_steps
    scalars |= self._evaluate([x.parameters for _, x in results], iteration)
    new = [x for x, _ in results]
    return new, output._replace(scalars=scalars)

  def probe(self, state: Any) -> Mapping[str, types.Probe]:
    """Every seed's probes, without an update."""
    probes = [
        x.driver.measure(s.train, s.rng, s.steps)[0]
        for x, s in zip(self._running, state, strict=True)
    ]
    return self._merge(probes)

  def output_shapes(self) -> types.IterationOutput:
    """Shapes and types of one seed's output."""
    train = self._shapes.train
    loop = self.loop
    number: Any = jax.ShapeDtypeStruct((), jnp.float32)
    probes, td_errors = loop.measured_shapes(train)
    names = [
        *jax.eval_shape(loop.totals, train),
        *td_errors,
        'train_return', 'train_episodes', 'epsilon', 'target_updates',
        *(evaluating.SCALARS if loop.evaluation else ()),
    ]  # fmt: skip
    if loop.target_features is not None:
      probes['target'] = probes['all']
    count: Any = jax.ShapeDtypeStruct((), jnp.int32)
    flag: Any = jax.ShapeDtypeStruct((), bool)
    return types.IterationOutput(
        scalars=dict.fromkeys(names, number),
        probes=probes,
        parameters=train.params,
        gradient_steps=count,
        environment_steps=count,
        iterations=count,
        finite=flag,
    )

  def _init_seed(self, seed: types.Array) -> Any:
    return self.loop.init(jax.random.key(seed))

  def _place(self, split: Sequence[lanes.Lane]) -> bool:
    """Whether the frames lie on the devices; prints where, and why."""
    loop = self.loop
    if not isinstance(loop.replay, replay.Replay):
      return False
    shape, dtype = loop.environment.frame_shape, loop.environment.frame_dtype
    device = split[0].device
    together = sum(len(x.seeds) for x in split if x.device == device)
    place, line = loop.replay.place(
        int(np.prod(shape)) * np.dtype(dtype).itemsize, together, device
    )
    print(line, flush=True)
    online_checks.check_place(loop, place)
    return place == 'device'

  def _driver(
      self, lane: lanes.Lane, functions: Functions, frames_here: bool
  ) -> replay_drivers.Driver:
    loop, count = self.loop, len(lane.seeds)
    if not isinstance(loop.replay, replay.Replay):
      return replay_drivers.DopamineDriver(loop, functions, lane.seeds)
    make = lanes.over_seeds(
        lambda _: loop.empty_replay(frames_here), (0,), count
    )
    seeds = jnp.arange(count)
    empty = functools.partial(self._empty_replay, make, seeds, lane.device)
    if frames_here:
      shapes = jax.eval_shape(make, seeds)
      return replay_drivers.DeviceDriver(
          loop, functions, empty, shapes, lane.device
      )
    return replay_drivers.HostDriver(
        loop, functions, empty(), lane.device, count
    )

  def _empty_replay(
      self, make: Callable, seeds: types.Array, device: jax.Device
  ) -> Any:
    try:
      with jax.default_device(device):
        return jax.block_until_ready(jax.jit(make)(jax.device_put(seeds)))
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      raise errors.UserError(
          f'{device.device_kind} ran out of memory for a replay of '
          f'{self.loop.replay.capacity} transitions for {len(seeds)} seeds: '
          "lower Replay.capacity, or set Replay.placement to 'host'"
      ) from error

  def _play(self, state: Sequence[Any]) -> Played:
    """The agent steps and gradient steps of an iteration."""
    loop, stride = self.loop, self.loop.num_environments
    if self._vector is None:
      self._vector = loop.environment.make(
          len(self.seeds) * stride, loop.num_threads
      )
    player = playing.Player(
        loop,
        self._running,
        state,
        [self._learning(x.train) for x in state],
        self._vector,
        self._recorder,
    )
    with progress.bar(loop.training_steps, 'agent steps') as bar:
      for _ in range(0, loop.training_steps, stride):
        player.step()
        bar.update(stride)
    player.update()
    means = [float(np.mean(x)) if x else np.nan for x in player.returns]
    return Played(
        player.learning,
        np.array(means),
        np.array([len(x) for x in player.returns]),
    )

  def _learning(self, train: types.TrainState) -> Any:
    # Placed as the state: what comes back is, and would be compiled for again.
    shape, device = train.gradient_steps.shape, train.gradient_steps.sharding
    totals = jax.tree.map(
        lambda x: jnp.zeros((*shape, *x.shape), x.dtype, device=device),
        self._totals,
    )
    return online.Learning(train, totals)

  @functools.cached_property
  def _totals(self) -> Mapping[str, types.Array]:
    return self.loop.totals(self._shapes.train)

  def _known(self, played: Played, last: int) -> dict[str, np.ndarray]:
    """What is known on the host alone: [S] each."""
    count = len(self.seeds)
    values = {
        'train_return': played.returns,
        'train_episodes': played.episodes,
        'epsilon': [self.loop.epsilon(last)] * count,
        'target_updates': [self.loop.target_updates_by(last)] * count,
    }
    return {name: np.array(x, np.float32) for name, x in values.items()}

  def _finish(
      self,
      lane: playing.RunningLane,
      state: Any,
      learning: Any,
      before: Any,
      first: int,
  ) -> tuple[Any, types.IterationOutput]:
    """The state after an iteration and what it shows."""
    last = first + self.loop.training_steps
    count = self.loop.updates_by(last) - self.loop.updates_by(first)
    train, means, finite = lane.functions.finish(
        learning, before, state.finite, np.float32(count)
    )
    steps = jnp.full_like(state.steps, last)
    probes, td_errors = lane.driver.measure(train, state.rng, steps)
    iterations = state.iterations + finite
    output = types.IterationOutput(
        scalars={**means, **td_errors},
        probes=probes,
        parameters=train.params,
        gradient_steps=train.gradient_steps,
        environment_steps=steps,
        iterations=iterations,
        finite=finite,
    )
    # Copies: the state is donated to the next iteration, and the output is
    # read after that.
    output = jax.tree.map(jnp.copy, output)
    new = state._replace(
        train=train, steps=steps, iterations=iterations, finite=finite
    )
    return new, output

  def _evaluate(
      self, params: Sequence[types.Params], iteration: int
  ) -> dict[str, np.ndarray]:
    evaluation = self.loop.evaluation
    if evaluation is None:
      return {}
    if pure.is_pure(evaluation.environment):
      results = [
          x.functions.evaluate(
              p, x.lane.part(np.asarray(self.seeds, np.uint32)), iteration
          )
          for x, p in zip(self._running, params, strict=True)
      ]
      return {
          name: np.concatenate([np.ravel(x[name]) for x in results])
          for name in evaluating.SCALARS
      }

    def select_actions(observations: np.ndarray) -> np.ndarray:
      chosen = [
          x.functions.greedy(p, x.lane.part(observations))
          for x, p in zip(self._running, params, strict=True)
      ]
      each = [
          np.asarray(x.lane.with_seeds(actions))
          for x, actions in zip(self._running, chosen, strict=True)
      ]
      return np.concatenate(each)

    return evaluating.on_host(
        evaluation, select_actions, self.seeds, iteration
    )

  def _merge(self, trees: Sequence[Any]) -> Any:
    """What the lanes gave, all seeds in front."""
    trees = [
        x.lane.with_seeds(tree)
        for x, tree in zip(self._running, trees, strict=True)
    ]
    if len(trees) == 1:
      return trees[0]
    # They may lie on several devices.
    return jax.tree.map(lambda *x: np.concatenate(jax.device_get(x)), *trees)
