"""The loop of online training in an environment that is a pure function.

Acting, the environment, the replay and the gradient steps are one program; the
host is needed once a dispatch. What it does is what `playing.Player` does step
by step, in Dopamine's order: the gradient steps that are due come after the
step that makes them due.
"""

import fractions
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from implicit_underparam import acting, types
from implicit_underparam.data import replay, ring

if TYPE_CHECKING:
  from implicit_underparam import online
  from implicit_underparam.envs import pure


class World(NamedTuple):
  """Where K environments of one seed are; all of it is checkpointed.

  Attributes:
    state: of the environments.
    stack: [K, ..., stack_size], what the next actions are chosen on.
    returns: [] float32, sum of returns of the episodes that ended in this
      iteration.
    episodes: [] int32, their number.
  """

  state: Any
  stack: types.Array
  returns: types.Array
  episodes: types.Array


class Carried(NamedTuple):
  """What a dispatch takes and gives, for one seed.

  Attributes:
    learning: see `online.Learning`.
    contents: the replay.
    world: the environments.
  """

  learning: Any
  contents: replay.Contents
  world: World


def round_of(loop: 'online.OnlineLoop') -> tuple[int, int]:
  """The steps of every environment in a round, and its gradient steps.

  The smallest whole numbers in the ratio of n: 4 and 1 for n = 0.25 and one
  environment.
  """
  ratio = fractions.Fraction(str(loop.data_reuse_ratio))
  ratio *= loop.num_environments
  return ratio.denominator, ratio.numerator


def begin(loop: 'online.OnlineLoop', rng: types.Array) -> World:
  """Fresh environments."""
  environment: pure.PureEnvironment = loop.environment  # type: ignore
  count = loop.num_environments
  keys = jax.random.split(jax.random.fold_in(rng, 4), count)
  state, frame = jax.vmap(environment.reset)(keys)
  shape = (count, *environment.observation_shape)
  empty = jnp.zeros(shape, environment.frame_dtype)
  stack = acting.push_frame(empty, frame, jnp.ones(count, bool))
  return World(state, stack, jnp.float32(0), jnp.int32(0))


def step(
    loop: 'online.OnlineLoop',
    carried: Carried,
    rng: types.Array,
    steps: types.Array,
    epsilon: types.Array,
) -> Carried:
  """Acts once in every environment and keeps what comes of it.

  Args:
    loop: the experiment.
    carried: before.
    rng: of the seed.
    steps: [] int32, agent steps taken before; the same for all seeds.
    epsilon: [], probability of a random action.

  Returns:
    After.
  """
  environment: pure.PureEnvironment = loop.environment  # type: ignore
  learning, contents, world = carried
  act_rng, step_rng = (
      jax.random.fold_in(jax.random.fold_in(rng, i), steps) for i in (1, 5)
  )
  actions = loop.agent.explore(
      learning.train.params, world.stack, act_rng, epsilon
  )
  keys = jax.random.split(step_rng, loop.num_environments)
  made = jax.vmap(environment.step)(world.state, actions, keys)
  result = ring.Result(
      actions, _clipped(loop, made.reward), made.is_terminal, made.episode_end
  )
  row = steps // loop.num_environments
  contents = loop.add(contents, row, world.stack[..., -1], result)
  ended = made.episode_end
  returns = jnp.sum(jnp.where(ended, made.episode_return, 0.0))
  return Carried(
      learning,
      contents,
      World(
          made.state,
          acting.push_frame(world.stack, made.frame, ended),
          world.returns + returns,
          world.episodes + jnp.sum(ended, dtype=jnp.int32),
      ),
  )


def play(
    loop: 'online.OnlineLoop',
    carried: Carried,
    rng: types.Array,
    first: types.Array,
    num_rounds: int,
    learns: bool,
) -> Carried:
  """Rounds of acting, each followed by its gradient steps.

  Args:
    loop: the experiment.
    carried: before.
    rng: of the seed.
    first: [] int32, agent steps taken before; the same for all seeds, so that
      what depends on it stays a branch.
    num_rounds: how many; compiled in.
    learns: whether there are gradient steps.

  Returns:
    After.
  """
  acts, updates = round_of(loop)
  stride = loop.num_environments

  def act(i: types.Array, carry: tuple) -> tuple:
    carried, start = carry
    steps = start + i * stride
    epsilon = loop.epsilon(steps)
    return step(loop, carried, rng, steps, epsilon), start

  def one(i: types.Array, carried: Carried) -> Carried:
    start = first + i * acts * stride
    carried, _ = jax.lax.fori_loop(0, acts, act, (carried, start))
    if not learns:
      return carried
    done = start + acts * stride
    return _learn(loop, carried, rng, done, updates)

  return jax.lax.fori_loop(0, num_rounds, one, carried)


def _learn(
    loop: 'online.OnlineLoop',
    carried: Carried,
    rng: types.Array,
    steps: types.Array,
    count: int,
) -> Carried:
  """The gradient steps of a round that ends after so many agent steps."""
  learning, contents, world = carried
  acts, updates = round_of(loop)
  rounds = (steps - loop.min_replay_history) // (acts * loop.num_environments)
  first = rounds * updates - count
  learning, tree = loop.update(
      learning, contents.priorities, contents.ring, rng, first, count, True
  )
  if loop.target_update_clock == 'agent_steps':
    period = loop.learner.target_update_period
    assert period is not None
    before = steps - acts * loop.num_environments
    learning = jax.lax.cond(
        steps // period > before // period,
        loop.update_target,
        lambda x: x,
        learning,
    )
  contents = replay.Contents(contents.ring, tree)
  return Carried(learning, contents, world)


def _clipped(loop: 'online.OnlineLoop', reward: types.Array) -> types.Array:
  clip = loop.reward_clip
  return reward if clip is None else jnp.clip(reward, -clip, clip)
