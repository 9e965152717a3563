"""Drives an offline loop for several seeds: dispatches, frames, evaluation."""

import collections
import concurrent.futures
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import (
    errors,
    evaluating,
    offline_checks,
    program,
    progress,
    types,
)
from implicit_underparam import seeds as seeds_lib
from implicit_underparam.data import offline as offline_data
from implicit_underparam.data import offline_sets
from implicit_underparam.envs import pure

if TYPE_CHECKING:
  from implicit_underparam import offline

# Frames gathered on the host for one dispatch; as many wait for their turn.
_HOST_BYTES = 64e6
_IN_FLIGHT = 2


class OfflineProgram:
  """An `OfflineLoop` compiled for several seeds; a `types.Program`.

  Args:
    loop: the experiment.
    seeds: one run each.
    seed_axis: see `seeds.SeedAxis`.

  Raises:
    UserError: for data that is not there, does not fit the network or the
      game, or does not fit where it was asked to be.
  """

  waits = True

  def __init__(
      self, loop: 'offline.OfflineLoop', seeds: Sequence[int], seed_axis: str
  ):
    self.loop = loop
    self.seeds = tuple(seeds)
    self.environment = loop.evaluation.environment if loop.evaluation else None
    self._axis = seeds_lib.SeedAxis(len(self.seeds), seed_axis)
    self._sets = offline_sets.OfflineSets(loop.data, self.seeds)
    self._stack_size = self._sets.stack_size
    self._num_frames = self._stack_size + loop.agent.update_horizon
    columns = self._sets.columns(
        loop.agent.update_horizon, loop.agent.gamma, loop.agent.needs_returns
    )
    self._identity = self._sets.identity(columns)
    shape = (1, *self._sets.frame_shape, self._stack_size)
    example = jax.ShapeDtypeStruct(shape, self._sets.frame_dtype)
    params = jax.eval_shape(self._init_seed, jnp.uint32(0)).train.params
    for store in self._sets.stores:
      offline_checks.check_actions(
          store, loop.agent, params, example, self.environment
      )
      offline_checks.check_observations(store, self.environment)
    self._columns = self._put(columns)
    self._frames = self._place_frames()
    self._steps = self._steps_per_dispatch()
    self._init = program.compile_init(self._init_seed)
    self._compile()

  def init(self) -> Any:
    """The state of every seed before the first iteration."""
    return self.place(self._init(jnp.asarray(self.seeds, jnp.uint32)))

  def snapshot(self, state: Any) -> Any:
    """The state itself holds all that a checkpoint needs."""
    return state

  def place(self, state: Any) -> Any:
    """A restored state, where `iterate` wants it.

    Raises:
      UserError: it was trained on other data, or to evaluate another policy.
    """
    if int(state.data[0]) != self._identity:
      kind = type(self.loop.data).__name__
      raise errors.UserError(
          f'{kind}.path = {self.loop.data.path!r} holds other data than when '
          'the run began (or its policy is another): put it back, or name '
          'another --base_dir'
      )
    return self._axis.place(state)

  def iterate(self, state: Any) -> tuple[Any, types.IterationOutput]:
    """An iteration of every seed; the given state is consumed."""
    first = int(state.steps[0])
    state, means = self._update(state, first)
    output = self._measure(state)
    evaluated = self._evaluate(
        output.parameters, first // self.loop.gradient_steps
    )
    # A copy, since the state is donated and the output is read after that.
    state = state._replace(iterations=jnp.copy(output.iterations))
    scalars = {**means, **output.scalars, **evaluated}
    return state, output._replace(scalars=scalars)

  def probe(self, state: Any) -> Mapping[str, types.Probe]:
    """Every seed's probes, without an update."""
    return self._measure(state).probes

  def close(self) -> None:
    """There is nothing to end."""

  def output_shapes(self) -> types.IterationOutput:
    """Shapes and types of one seed's output."""
    num_seeds = len(self.seeds)
    state = jax.eval_shape(self._init, jnp.zeros(num_seeds, jnp.uint32))
    gathered = rows = None
    batch = (num_seeds, self._steps, self.loop.data.batch_size)
    probed = (num_seeds, self.loop.probe_size)
    if self._frames is None:
      gathered = offline_data.Gathered(
          self._window_shapes(batch), _integers(batch)
      )
    shared = (self._columns, self._frames)
    hyper = self.loop.learner.hyperparameters(1)
    scalars = jax.eval_shape(
        self._dispatch, state, *shared, gathered, hyper, jnp.int32(0)
    )[1]
    rows = self._window_shapes(probed) if self._frames is None else None
    output = jax.eval_shape(
        self._finish, state, *shared, rows, _integers(probed)
    )
    number = jax.ShapeDtypeStruct((num_seeds,), jnp.float32)
    names = evaluating.SCALARS if self.loop.evaluation else ()
    output = output._replace(
        scalars={**scalars, **output.scalars, **dict.fromkeys(names, number)}
    )
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), output
    )

  def _init_seed(self, seed: types.Array) -> Any:
    shape = (1, *self._sets.frame_shape, self._stack_size)
    example = jnp.zeros(shape, self._sets.frame_dtype)
    return self.loop.init(jax.random.key(seed), example, self._identity)

  def _compile(self) -> None:
    loop, vectorize = self.loop, self._axis.vectorize
    stack_size = self._stack_size
    axis = 0 if self._sets.by_seed else None
    self._dispatch = jax.jit(
        vectorize(
            functools.partial(loop.update, stack_size=stack_size),
            (0, axis, axis, 0, None, None),
        ),
        donate_argnums=0,
    )
    self._finish = jax.jit(
        vectorize(
            functools.partial(loop.measure, stack_size=stack_size),
            (0, axis, axis, 0, 0),
        )
    )
    self._rows = jax.jit(
        vectorize(
            functools.partial(loop.rows, num_steps=loop.gradient_steps),
            (0, axis, None),
        )
    )
    self._probe_rows = jax.jit(vectorize(loop.probe_rows, (0, axis)))
    self._act = jax.jit(vectorize(loop.act, (0, 0)))
    self._evaluation = jax.jit(vectorize(loop.evaluate, (0, 0, None)))

  def _put(self, tree: Any) -> Any:
    """Data, on the devices of the seeds that read it."""
    if self._sets.by_seed:
      return self._axis.place(tree)
    return self._axis.replicate(tree)

  def _place_frames(self) -> Any:
    """All frames on the devices, or None; prints which, and why."""
    data, devices = self.loop.data, self._axis.devices
    share = len(devices) if self._sets.by_seed else 1
    placement, line = data.place(self._sets.num_bytes // share, devices[0])
    if len(jax.local_devices()) > 1:
      line += (
          f'; {len(self.seeds)} seeds on {len(devices)} of '
          f'{len(jax.local_devices())} devices'
      )
    print(line, flush=True)
    if placement == 'host':
      return None
    try:
      return jax.block_until_ready(self._put(self._sets.frames()))
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      if data.placement == 'device':
        raise errors.UserError(
            f"OfflineData.placement is 'device', and the device ran out of "
            f'memory ({line}): use \'auto\' or \'host\''
        ) from error
    print('frames: out of memory on the device; streamed from disk', flush=True)
    return None

  def _steps_per_dispatch(self) -> int:
    steps = min(self.loop.steps_per_dispatch, self.loop.gradient_steps)
    if self._frames is not None:
      return steps
    frame = int(np.prod(self._sets.frame_shape))
    windows = len(self.seeds) * self.loop.data.batch_size
    step_bytes = windows * self._num_frames * frame
    return max(1, min(steps, int(_HOST_BYTES / step_bytes)))

  def _update(self, state: Any, first: int) -> tuple[Any, dict[str, Any]]:
    """All gradient steps of an iteration, a dispatch at a time."""
    total = self.loop.gradient_steps
    begins = range(0, total, self._steps)
    results: list[tuple[int, Any]] = []
    with progress.bar(total, 'gradient steps') as bar:
      for begin, gathered in zip(
          begins, self._gathered(state, first, begins), strict=True
      ):
        count = min(self._steps, total - begin)
        state, means = self._dispatch(
            state,
            self._columns,
            self._frames,
            gathered,
            self.loop.learner.hyperparameters(count),
            jnp.int32(first + begin),
        )
        results.append((count, means))
        if len(results) > _IN_FLIGHT:
          # So that the host is not far ahead, with frames that wait.
          jax.block_until_ready(results[-1 - _IN_FLIGHT])
        bar.update(count)
    return state, _averaged(results)

  def _gathered(
      self, state: Any, first: int, begins: Sequence[int]
  ) -> Iterator[Any]:
    """What each dispatch trains on, gathered while the one before runs."""
    if self._frames is not None:
      yield from (None for _ in begins)
      return
    rows = np.asarray(self._rows(state, self._columns, jnp.int32(first)))
    # The last dispatch may be shorter; its arrays are not.
    missing = -rows.shape[1] % self._steps
    rows = np.pad(rows, ((0, 0), (0, missing), (0, 0)), mode='edge')
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      waiting = collections.deque(
          pool.submit(self._gather, rows[:, x : x + self._steps])
          for x in begins[:1]
      )
      for following in [*begins[1:], None]:
        gathered = waiting.popleft().result()
        if following is not None:
          piece = rows[:, following : following + self._steps]
          waiting.append(pool.submit(self._gather, piece))
        yield gathered

  def _gather(self, rows: np.ndarray) -> offline_data.Gathered:
    """Windows and rows, on the devices."""
    windows = self._sets.windows(rows, self._num_frames)
    return self._axis.place(offline_data.Gathered(windows, rows))

  def _measure(self, state: Any) -> types.IterationOutput:
    rows = self._probe_rows(state, self._columns)
    windows = None
    if self._frames is None:
      windows = self._gather(np.asarray(rows)).windows
    return self._finish(state, self._columns, self._frames, windows, rows)

  def _evaluate(
      self, params: types.Params, iteration: int
  ) -> dict[str, np.ndarray]:
    evaluation = self.loop.evaluation
    if evaluation is None:
      return {}
    if pure.is_pure(evaluation.environment):
      seeds = jnp.asarray(self.seeds, jnp.uint32)
      return self._evaluation(params, seeds, jnp.int32(iteration))
    return evaluating.on_host(
        evaluation,
        lambda observations: np.asarray(self._act(params, observations)),
        self.seeds,
        iteration,
    )

  def _window_shapes(self, rows: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(
        (*rows, self._num_frames, *self._sets.frame_shape),
        self._sets.frame_dtype,
    )


def _averaged(results: Sequence[tuple[int, Any]]) -> dict[str, np.ndarray]:
  """Means over all steps, from means over dispatches of so many each."""
  counts = np.array([count for count, _ in results], np.float64)
  means = [jax.device_get(x) for _, x in results]
  return {
      name: np.average([x[name] for x in means], axis=0, weights=counts).astype(
          np.float32
      )
      for name in means[0]
  }


def _integers(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, jnp.int32)
