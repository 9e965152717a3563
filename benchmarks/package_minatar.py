"""What this package does on MinAtar, a part at a time, to be timed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import (
    configuration,
    lanes,
    online,
    runner,
    types,
)
from implicit_underparam.data import replay, ring, sampling

Run = Callable[[], int]
# Agent steps, more than anybody waits for.
_NEVER = 10**9


class Played(NamedTuple):
  """Random play of one environment.

  Attributes:
    state: of the environment.
    frame: [1, *frame_shape], the newest.
    contents: the replay.
  """

  state: Any
  frame: types.Array
  contents: replay.Contents


def make_loop(
    game: str,
    ratio: float = 1,
    penalty: bool = False,
    is_rainbow: bool = False,
    learns: bool = True,
    capacity: int = 100_000,
    steps: int = 1000,
) -> online.OnlineLoop:
  """The shipped configuration; it explores as after the decay of epsilon.

  Args:
    game: to play.
    ratio: n, gradient steps for each agent step.
    penalty: whether to penalise.
    is_rainbow: Rainbow with prioritised replay and n-step returns; else DQN.
    learns: False acts for ever, as before the first gradient step; else the
      first iteration does.
    capacity: of the replay, in transitions.
    steps: agent steps of an iteration.
  """
  agent = 'rainbow' if is_rainbow else 'dqn'
  files = [f'minatar/{agent}_online.gin']
  if penalty:
    files.append('minatar/penalty.gin')
  gin.clear_config()
  configuration.parse(
      files,
      [
          f'game = {game!r}',
          f'OnlineLoop.data_reuse_ratio = {ratio}',
          f'OnlineLoop.training_steps = {steps}',
          f'OnlineLoop.min_replay_history = {steps if learns else _NEVER}',
          'OnlineLoop.epsilon_decay_period = 0',
          'OnlineLoop.evaluation = None',
          # Measured once in 25,000 steps, which is hardly ever.
          'OnlineLoop.probe_size = 1',
          f'Replay.capacity = {capacity}',
      ],
  )
  with configuration.readable_errors():
    loop: Any = runner.Runner('').loop
  assert isinstance(loop, online.OnlineLoop)
  return loop


def gradient_steps(
    loop: online.OnlineLoop, transitions: int, steps: int, num_seeds: int = 1
) -> Run:
  """Gradient steps on transitions of random play, in one dispatch a call.

  Batches are drawn and targets updated by the same program. Counts the steps
  of all seeds.

  Args:
    loop: whose learner and replay; all that it holds is on the device.
    transitions: of random play; all seeds have the same.
    steps: gradient steps a call.
    num_seeds: vectorised, whatever the device.
  """
  kept, tree = _for_seeds(filled(loop, transitions), num_seeds)

  def begin(seed: types.Array) -> tuple[online.Learning, types.Array]:
    state = loop.init(jax.random.key(seed))
    return online.Learning(state.train, loop.totals(state.train)), state.rng

  def update(
      learning: online.Learning,
      tree: Any,
      kept: ring.Ring,
      rng: types.Array,
      first: types.Array,
  ) -> tuple[online.Learning, Any]:
    return loop.update(learning, tree, kept, rng, first, steps, True)

  over = lambda f, axes: jax.jit(
      lanes.over_seeds(f, axes, num_seeds),
      donate_argnums=(0, 1) if f is update else (),
  )
  seeds = jnp.arange(num_seeds) if num_seeds > 1 else jnp.int32(0)
  learning, rng = over(begin, (0,))(seeds)
  compiled = over(update, (0, 0, 0, 0, None))
  taken = 0

  def run() -> int:
    nonlocal learning, tree, taken
    learning, tree = compiled(learning, tree, kept, rng, jnp.int32(taken))
    taken += steps
    jax.block_until_ready(learning)
    return num_seeds * steps

  run()
  return run


def train(loop: online.OnlineLoop, num_seeds: int = 1) -> Run:
  """Iterations of an online run; counts the agent steps of all seeds."""
  program = loop.compile(range(num_seeds), 'auto')
  state = program.init()

  def run() -> int:
    nonlocal state
    state, output = program.iterate(state)
    jax.block_until_ready((state, output))
    return num_seeds * loop.training_steps

  # The programs without and with gradient steps are compiled here.
  run()
  run()
  return run


def environment_and_replay(loop: online.OnlineLoop, steps: int) -> Run:
  """Environment steps with random actions, each added to the replay."""
  played, taken = begun(loop), 0

  def run() -> int:
    nonlocal played, taken
    played = play_at_random(loop, played, taken, steps)
    taken += steps
    jax.block_until_ready(played)
    return steps

  run()
  return run


def batches(loop: online.OnlineLoop, transitions: int, steps: int) -> Run:
  """Batches drawn from a replay of random play, that many in a dispatch."""
  contents = filled(loop, transitions)

  @jax.jit
  def draw(contents: replay.Contents, first: types.Array) -> types.Batch:
    rng = jax.random.key(0)
    one = lambda i: loop.sample(contents, jax.random.fold_in(rng, i))
    # Carried, since what nobody reads would not be gathered.
    return jax.lax.fori_loop(
        first, first + steps, lambda i, _: one(i), one(first)
    )

  drawn = 0

  def run() -> int:
    nonlocal drawn
    jax.block_until_ready(draw(contents, jnp.int32(drawn)))
    drawn += steps
    return steps

  run()
  return run


def filled(loop: online.OnlineLoop, transitions: int) -> replay.Contents:
  """A replay that holds so many steps of random play."""
  return play_at_random(loop, begun(loop), 0, transitions).contents


def begun(loop: online.OnlineLoop) -> Played:
  """A fresh environment and an empty replay."""
  environment: Any = loop.environment

  @jax.jit
  def begin() -> Played:
    keys = jax.random.split(jax.random.key(0), 1)
    state, frame = jax.vmap(environment.reset)(keys)
    return Played(state, frame, loop.empty_replay(True))

  return begin()


def play_at_random(
    loop: online.OnlineLoop, played: Played, first: int, steps: int
) -> Played:
  """Uniformly random actions, and what came of them in the replay.

  Args:
    loop: whose environment and replay.
    played: before; it is consumed.
    first: steps that were added before.
    steps: to take.
  """
  parts = (loop.environment, loop.replay, loop.layout)
  return _play_at_random(parts, played, jnp.int32(first), jnp.int32(steps))


# Neither the loop nor the numbers are compiled in: loops share the program.
@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _play_at_random(
    parts: Any, played: Played, first: types.Array, steps: types.Array
) -> Played:
  environment, kept, layout = parts
  rng = jax.random.key(1)

  def one(i: types.Array, played: Played) -> Played:
    action_rng, step_rng = jax.random.split(jax.random.fold_in(rng, i))
    action = sampling.uniform_indices(action_rng, 1, environment.num_actions)
    made = jax.vmap(environment.step)(
        played.state, action, jax.random.split(step_rng, 1)
    )
    result = ring.Result(
        action, made.reward, made.is_terminal, made.episode_end
    )
    contents = kept.add(layout, played.contents, i, played.frame, result)
    return Played(made.state, made.frame, contents)

  return jax.lax.fori_loop(first, first + steps, one, played)


def _for_seeds(contents: replay.Contents, num_seeds: int) -> replay.Contents:
  """Copies of a replay, the seeds in front if there are several."""
  if num_seeds == 1:
    return contents
  return jax.tree.map(lambda x: jnp.stack([x] * num_seeds), contents)
