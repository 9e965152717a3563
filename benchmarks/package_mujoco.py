"""What this package does on MuJoCo, a part at a time, to be timed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import (
    configuration,
    lanes,
    learner,
    online,
    program,
    runner,
    types,
)
from implicit_underparam.envs import continuous

Run = Callable[[], int]
ENVIRONMENT = 'HalfCheetah-v4'
BATCH = 256
UNITS = 256
# stable-baselines3's networks, whatever a configuration has.
_BINDINGS = (
    f'environment_id = {ENVIRONMENT!r}',
    f'GaussianActorNetwork.hidden_units = ({UNITS}, {UNITS})',
    f'CriticNetwork.hidden_units = ({UNITS}, {UNITS})',
)


class Transitions(NamedTuple):
  """Of random play; N of them.

  Attributes:
    state: [N, 17] float32.
    action: [N, 6] float32, in [-1, 1].
    reward: [N] float32.
    next_state: [N, 17] float32.
  """

  state: np.ndarray
  action: np.ndarray
  reward: np.ndarray
  next_state: np.ndarray


def random_play(steps: int) -> Transitions:
  """Uniformly random actions in HalfCheetah, which never ends by itself."""
  environment = continuous.ContinuousEnvironment(ENVIRONMENT)
  one = environment.make(1, 1)
  observation = one.reset([0])
  rng = np.random.default_rng(0)
  size = (steps, environment.action_size)
  actions = rng.uniform(-1, 1, size).astype(np.float32)
  rows = []
  for action in actions:
    step = one.step(action[None])
    if not step.episode_end[0]:
      rows.append((observation, action[None], step.reward, step.observation))
    observation = step.observation
  columns = (np.concatenate(x) for x in zip(*rows, strict=True))
  flat = (x.reshape(len(x), -1).astype(np.float32) for x in columns)
  state, action, reward, next_state = flat
  return Transitions(state, action, reward[:, 0], next_state)


def make_learner(
    penalty: bool = False, is_cql: bool = False
) -> learner.Learner:
  """The shipped configuration, with two layers of 256.

  Args:
    penalty: whether to penalise, both critics.
    is_cql: CQL(H) on SAC with 10 sampled actions of each kind; else SAC.
  """
  files = [f'mujoco/{"cql_offline" if is_cql else "sac_online"}.gin']
  _configure(files + ['mujoco/penalty.gin'] * penalty, ())
  with configuration.readable_errors():
    made: Any = gin.get_configurable('Learner')()
  assert isinstance(made, learner.Learner)
  return made


def make_loop(steps: int, capacity: int, history: int) -> online.OnlineLoop:
  """The shipped online SAC at n = 1, which neither evaluates nor measures.

  Args:
    steps: agent steps of an iteration.
    capacity: of the replay, in transitions.
    history: random steps before the first gradient step.
  """
  _configure(
      ['mujoco/sac_online.gin'],
      (
          f'OnlineLoop.training_steps = {steps}',
          f'OnlineLoop.min_replay_history = {history}',
          'OnlineLoop.evaluation = None',
          # Measured once in 10,000 steps, which is hardly ever.
          'OnlineLoop.probe_size = 1',
          f'Replay.capacity = {capacity}',
      ),
  )
  with configuration.readable_errors():
    loop: Any = runner.Runner('').loop
  assert isinstance(loop, online.OnlineLoop)
  return loop


def train(loop: online.OnlineLoop) -> Run:
  """Iterations of an online run of one seed; counts agent steps."""
  compiled = loop.compile((0,), 'auto')
  state = compiled.init()

  def run() -> int:
    nonlocal state
    state, output = compiled.iterate(state)
    jax.block_until_ready((state, output))
    return loop.training_steps

  # The first gradient step, which is compiled, is among these.
  for _ in range(loop.min_replay_history // loop.training_steps + 1):
    run()
  return run


def gradient_steps(
    made: learner.Learner,
    data: Transitions,
    steps: int,
    num_seeds: int = 1,
    seed_axis: str = 'vmap',
) -> Run:
  """`Learner.fit` on data that lies on the device; counts all seeds' steps.

  Args:
    made: whose steps.
    data: all seeds draw from the same.
    steps: gradient steps a dispatch.
    num_seeds: how many.
    seed_axis: 'vmap' takes their steps in one dispatch, 'map' in one each.
  """
  split = lanes.split(range(num_seeds), seed_axis, jax.local_devices()[:1])
  columns = jax.device_put(data)
  hyper = made.hyperparameters(steps)

  def fit(
      train: types.TrainState, rng: types.Array, columns: Transitions
  ) -> types.TrainState:
    sample = lambda _, key: draw(columns, key)
    first = train.gradient_steps
    return made.fit(train, sample, rng, hyper, first)[0]

  vectorized = lanes.over_seeds(fit, (0, 0, None), len(split[0].seeds))
  compiled = jax.jit(vectorized, donate_argnums=0)
  init = program.compile_init(
      lambda seed: made.init(jax.random.key(seed), columns.state[:1])
  )
  every = init(jnp.arange(num_seeds, dtype=jnp.uint32))
  trains = [jax.tree.map(x.part, every) for x in split]
  keys = [x.part(jax.random.split(jax.random.key(0), num_seeds)) for x in split]

  def run() -> int:
    for i, key in enumerate(keys):
      trains[i] = jax.block_until_ready(compiled(trains[i], key, columns))
    return num_seeds * steps

  run()
  return run


def draw(columns: Transitions, key: types.Array) -> types.Batch:
  """A batch, uniform with replacement."""
  count = len(columns.reward)
  rows = jax.random.randint(key, (BATCH,), 0, count)
  state, action, reward, next_state = (x[rows] for x in columns)
  return types.Batch(
      state, action, reward, next_state, jnp.zeros_like(reward)
  )


def products(steps: int) -> Run:
  """Products of two matrices [256, 256], one after another on the device."""
  kernel = jnp.full((UNITS, UNITS), 1 / UNITS)

  @jax.jit
  def multiply(x: types.Array, kernel: types.Array) -> types.Array:
    return jax.lax.fori_loop(0, steps, lambda _, x: x @ kernel, x)

  x = jnp.ones((BATCH, UNITS))

  def run() -> int:
    jax.block_until_ready(multiply(x, kernel))
    return steps

  run()
  return run


def flops(data: Transitions) -> int:
  """Of the products of one step of SAC, forward and backward.

  The actor is asked at s' and at s, the critics' targets at s', the critics at
  (s, a_data) and at (s, a). Backward, all but the first is as much again, for
  parameters and for inputs each, where they are asked for.
  """
  size, count = data.state.shape[1], data.action.shape[1]
  actor = _forward(size, 2 * count)
  critic = _forward(size + count, 1)
  of_actor = 4 * actor - _first(size)
  of_critic = 6 * critic - _first(size + count)
  return of_actor + 2 * of_critic


def _forward(inputs: int, outputs: int) -> int:
  """Of one network, for a batch."""
  return _first(inputs) + 2 * BATCH * UNITS * (UNITS + outputs)


def _first(inputs: int) -> int:
  """Of its first layer."""
  return 2 * BATCH * inputs * UNITS


def _configure(files: Sequence[str], bindings: Sequence[str]) -> None:
  gin.clear_config()
  configuration.parse(list(files), [*_BINDINGS, *bindings])
