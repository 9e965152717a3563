"""What this package does online, a part at a time, to be timed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from implicit_underparam import (
    categorical_networks,
    learner,
    networks,
    online,
    penalties,
    playing,
)
from implicit_underparam.agents import dqn, rainbow, value
from implicit_underparam.data import replay, ring
from implicit_underparam.envs import atari

Run = Callable[[], int]
BATCH_SIZE = 32
_TARGET_PERIOD = 2000
_ALPHA = 1e-3


class Stream(NamedTuple):
  """Random play of one environment, N steps.

  Attributes:
    frames: [N, 84, 84] uint8.
    actions: [N] int32, taken there.
    rewards: [N] float32, clipped.
    terminals: [N] bool.
    ends: [N] bool, by a terminal or not.
  """

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  terminals: np.ndarray
  ends: np.ndarray


def random_play(game: str, num_environments: int, steps: int) -> Run:
  """Random actions, in one thread; counts the steps of each environment."""
  environment = atari.AtariEnvironment(game)
  games = environment.make(num_environments, 1)
  games.reset(range(num_environments))
  rng = np.random.default_rng(0)

  def run() -> int:
    shape = (steps // num_environments, num_environments)
    for actions in rng.integers(environment.num_actions, size=shape):
      games.step(actions)
    return int(np.prod(shape))

  return run


def record(game: str, steps: int) -> Stream:
  """A stream for the replays."""
  environment = atari.AtariEnvironment(game)
  games = environment.make(1, 1)
  observation = games.reset([0])
  rng = np.random.default_rng(0)
  actions = rng.integers(environment.num_actions, size=steps)
  rows = []
  for action in actions:
    frame, step = observation[0, ..., -1], games.step([action])
    reward = np.clip(step.reward[0], -1, 1)
    rows.append((frame, reward, step.is_terminal[0], step.episode_end[0]))
    observation = step.observation
  frames, rewards, terminals, ends = (
      np.stack(x) for x in zip(*rows, strict=True)
  )
  return Stream(frames, actions.astype(np.int32), rewards, terminals, ends)


def make_loop(
    game: str,
    ratio: float,
    history: int,
    capacity: int,
    penalty: bool = False,
    is_rainbow: bool = False,
    num_environments: int = 1,
    num_threads: int = 1,
) -> online.OnlineLoop:
  """DQN or Rainbow with Dopamine's network and hyperparameters.

  Args:
    game: to play.
    ratio: n, gradient steps for each agent step.
    history: agent steps before the first gradient step.
    capacity: of the replay, in transitions a seed.
    penalty: whether to penalise.
    is_rainbow: Rainbow with prioritised replay and n-step returns; else DQN.
    num_environments: K, of a seed.
    num_threads: that the emulators share.
  """
  environment = atari.AtariEnvironment(game)
  return online.OnlineLoop(
      learner.Learner(
          _agent(environment.num_actions, is_rainbow),
          learner.adam(6.25e-5, eps=1.5e-4),
          penalty=penalties.singular_value_penalty if penalty else None,
          penalty_coefficient=_ALPHA if penalty else 0.0,
          target_update_period=_TARGET_PERIOD,
      ),
      environment,
      replay.Replay(
          capacity=capacity, batch_size=BATCH_SIZE, prioritized=is_rainbow
      ),
      # One iteration goes on for as long as anybody looks.
      training_steps=2**30,
      data_reuse_ratio=ratio,
      min_replay_history=max(history, 4 * num_environments + BATCH_SIZE),
      num_environments=num_environments,
      num_threads=num_threads,
  )


def train(loop: online.OnlineLoop, steps: int, num_seeds: int = 1) -> Run:
  """The hot loop, once its replay holds what the updates wait for.

  Counts the agent steps of one seed.

  Args:
    loop: what to run.
    steps: agent steps of a seed that one call takes.
    num_seeds: how many, vectorised as is best on the device.
  """
  player = _player(loop, num_seeds)

  def play(count: int) -> int:
    rows = max(1, count // loop.num_environments)
    for _ in range(rows):
      player.step()
    jax.block_until_ready(player.learning)
    return rows * loop.num_environments

  # The first update, which is compiled, is among these.
  play(loop.min_replay_history + steps + 16)
  return lambda: play(steps)


def replay_adds(stream: Stream, loop: online.OnlineLoop, steps: int) -> Run:
  """Steps added as the loop adds them: the frame goes over, then the rest."""
  add = jax.jit(loop.add, donate_argnums=0)
  contents, step = loop.empty_replay(True), 0

  def run() -> int:
    nonlocal contents, step
    for _ in range(steps):
      frame, result = _row(stream, step)
      contents = add(contents, np.int32(step), jax.device_put(frame), result)
      step += 1
    jax.block_until_ready(contents)
    return steps

  run()
  return run


def replay_samples(
    stream: Stream, loop: online.OnlineLoop, count: int
) -> Run:
  """Batches drawn; where there are priorities, with new ones for each."""
  add = jax.jit(loop.add, donate_argnums=0)
  contents = loop.empty_replay(True)
  for step in range(len(stream.actions)):
    contents = add(contents, np.int32(step), *_row(stream, step))
  losses = jax.numpy.ones(BATCH_SIZE)

  def sample(tree: Any, kept: ring.Ring, key: jax.Array) -> tuple[Any, Any]:
    batch = loop.sample(replay.Contents(kept, tree), key)
    assert isinstance(loop.replay, replay.Replay)
    return loop.replay.feedback(tree, batch.indices, losses), batch

  compiled = jax.jit(sample, donate_argnums=0)
  kept, tree = contents
  drawn = 0

  def run() -> int:
    nonlocal tree, drawn
    for _ in range(count):
      key = jax.random.fold_in(jax.random.key(0), drawn)
      tree, batch = compiled(tree, kept, key)
      jax.block_until_ready(batch)
      drawn += 1
    return count

  run()
  return run


def replay_bytes(loop: online.OnlineLoop) -> float:
  """Bytes of memory a transition, everything counted; allocates nothing."""
  arrays = jax.tree.leaves(jax.eval_shape(lambda: loop.empty_replay(True)))
  total = sum(x.size * x.dtype.itemsize for x in arrays)
  return total / loop.layout.num_rows


def _agent(num_actions: int, is_rainbow: bool) -> value.ValueAgent:
  if is_rainbow:
    network = categorical_networks.RainbowNetwork(num_actions)
    return rainbow.RainbowAgent(network, update_horizon=3)
  return dqn.DQNAgent(networks.NatureNetwork(num_actions, padding='SAME'))


def _player(loop: online.OnlineLoop, num_seeds: int) -> playing.Player:
  """The player of an iteration, as `OnlineProgram.iterate` makes it."""
  program = loop.compile(range(num_seeds), 'auto')
  state = program.init()
  return playing.Player(
      loop,
      program._running,
      state,
      [program._learning(x.train) for x in state],
      loop.environment.make(
          num_seeds * loop.num_environments, loop.num_threads
      ),
      None,
  )


def _row(stream: Stream, step: int) -> tuple[np.ndarray, ring.Result]:
  at = slice(step % len(stream.actions), step % len(stream.actions) + 1)
  columns: Sequence[np.ndarray] = [x[at] for x in stream]
  return columns[0], ring.Result(*columns[1:])
