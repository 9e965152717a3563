"""Online training as a plain loop over lists, to compare with.

It shares with the package the learner's step, which has tests of its own, and
the keys of random draws; all else is written anew, one environment and one
transition at a time.
"""

import functools
import math
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import learner, online, types
from implicit_underparam.data import priorities, replay

_PLAY = 0x706C6179


class Row(NamedTuple):
  """One agent step in one environment."""

  frame: np.ndarray
  action: int
  reward: float
  is_terminal: bool
  is_end: bool


class PlainReplay:
  """Steps of K environments, all of them, as lists of lists of `Row`."""

  def __init__(self, loop: online.OnlineLoop):
    assert isinstance(loop.replay, replay.Replay)
    self.num_environments = loop.num_environments
    self.stack_size = loop.environment.stack_size
    self.horizon = loop.agent.update_horizon
    self.gamma = loop.agent.gamma
    self.num_steps = loop.replay.capacity // loop.num_environments
    self.steps: list[list[Row]] = []
    self._starts: tuple[int, list[tuple[int, int]]] = (0, [])

  def starts(self) -> list[tuple[int, int]]:
    """(step, environment) of what may be drawn, in the order of playing."""
    # All frames of a state are in the ring; of a stack of one, the row that is
    # next to be written over is left out.
    lost = max(self.stack_size - 1, 1)
    count = len(self.steps)
    if self._starts[0] != count:
      found = [
          (step, k)
          for step in range(
              max(0, count - self.num_steps + lost), count - self.horizon
          )
          for k in range(self.num_environments)
          if self._may_start(step, k)
      ]
      self._starts = (count, found)
    return self._starts[1]

  def _may_start(self, step: int, k: int) -> bool:
    for i in range(step, step + self.horizon):
      if self.steps[i][k].is_terminal:
        return True
      if self.steps[i][k].is_end:
        return False
    return True

  def state(self, step: int, k: int) -> np.ndarray:
    """Frames up to a step's, zeros before its episode."""
    frames = [self.steps[step][k].frame]
    while len(frames) < self.stack_size:
      step -= 1
      if step < 0 or self.steps[step][k].is_end:
        break
      frames.insert(0, self.steps[step][k].frame)
    zeros = [np.zeros_like(frames[0])] * (self.stack_size - len(frames))
    return np.stack(zeros + frames, axis=-1)

  def batch(self, places: list[tuple[int, int]]) -> types.Batch:
    """The transitions that start there."""
    rows = [self._transition(*x) for x in places]
    columns = [np.stack(x) for x in zip(*rows, strict=True)]
    state, action, reward, next_state, is_terminal = columns
    return types.Batch(
        state,
        action.astype(np.int32),
        reward.astype(np.float32),
        next_state,
        is_terminal.astype(np.float32),
    )

  def _transition(self, step: int, k: int) -> tuple[Any, ...]:
    reward = 0.0
    for i in range(self.horizon):
      row = self.steps[step + i][k]
      reward += self.gamma**i * row.reward
      if row.is_terminal:
        state = self.state(step, k)
        return state, self.steps[step][k].action, reward, 0 * state, True
    following = self.state(step + self.horizon, k)
    action = self.steps[step][k].action
    return self.state(step, k), action, reward, following, False


class PlainPriorities:
  """The draws of a prioritised replay, over a list that is kept here."""

  def __init__(self) -> None:
    self.of: dict[tuple[int, int], float] = {}
    self.largest = 1.0

  def draw(
      self, starts: list[tuple[int, int]], key: types.Array, size: int,
      row_of: Any, num_rows: int,
  ) -> tuple[list[tuple[int, int]], np.ndarray]:  # fmt: skip
    """Places, drawn by the tree of the package, and their weights."""
    for place in starts:
      self.of.setdefault(place, self.largest)
    leaves = np.zeros(num_rows, np.float32)
    place_of = {row_of(*place): place for place in starts}
    for row, place in place_of.items():
      leaves[row] = self.of[place]
    rows = np.asarray(_draw(leaves, key, size))
    chances = leaves[rows] / leaves.sum(dtype=np.float64)
    weights = 1 / np.sqrt(chances + 1e-10)
    return [place_of[int(x)] for x in rows], weights / weights.max()

  def note(self, places: list[tuple[int, int]], losses: np.ndarray) -> None:
    """The last loss of a place wins."""
    for place, loss in zip(places, losses, strict=True):
      self.of[place] = math.sqrt(float(loss) + 1e-10)
      self.largest = max(self.largest, self.of[place])


@functools.partial(jax.jit, static_argnames='size')
def _draw(leaves: types.Array, key: types.Array, size: int) -> types.Array:
  rows = jnp.arange(len(leaves))
  tree = priorities.assign(priorities.init(len(leaves)), rows, leaves)
  return priorities.sample(tree, key, size)[0]


class PlainLoop:
  """One seed's run.

  Attributes:
    train: parameters and what belongs to them.
    replay: all that was played.
    rows: of each iteration, what metrics.csv has of it.
  """

  def __init__(
      self, loop: online.OnlineLoop, seed: int, ratio: tuple[int, int]
  ):
    self.loop = loop
    self.seed = seed
    self.ratio = ratio
    self.replay = PlainReplay(loop)
    self.priorities = PlainPriorities()
    self.rows: list[dict[str, float]] = []
    params_rng, self.rng = jax.random.split(jax.random.key(seed))
    shape = (1, *loop.environment.observation_shape)
    self.train = loop.learner.init(params_rng, np.zeros(shape, np.float32))
    self.agent_steps = self.gradient_steps = self.target_updates = 0
    # Of the numerator of n, one is owed for each step after the warm-up.
    self.owed = 0
    self.is_target_due = False

  def iterate(self) -> None:
    """One iteration."""
    loop, num = self.loop, self.loop.num_environments
    self.losses: list[float] = []
    self.returns: list[float] = []
    self.environments = self._make(len(self.rows))
    last = self.agent_steps + loop.training_steps
    while self.agent_steps < last:
      actions = self._act()
      if loop.overlap:
        self._learn()
      self._step(actions, self.agent_steps + num >= last)
      for _ in range(num):
        self.agent_steps += 1
        self._count()
      if not loop.overlap:
        self._learn()
    self._learn()
    self.rows.append({
        'gradient_steps': self.gradient_steps,
        'environment_steps': self.agent_steps,
        'target_updates': self.target_updates,
        'epsilon': self._epsilon(),
        'train_episodes': len(self.returns),
        'train_return': float(np.mean(self.returns or [math.nan])),
        'loss': float(np.mean(self.losses or [math.nan])),
    })

  def _make(self, iteration: int) -> list[Any]:
    made = []
    self.frames, self.begins, self.sums = [], [], []
    for k in range(self.loop.num_environments):
      environment = gymnasium.make('CartPole-v1', max_episode_steps=18)
      seeds = np.random.default_rng((_PLAY, self.seed, iteration, k))
      frame, _ = environment.reset(
          seed=int(seeds.integers(2**31 - 1, endpoint=True))
      )
      made.append(environment)
      self.frames.append(frame)
      self.begins.append(True)
      self.sums.append(0.0)
    shape = (len(made), *self.loop.environment.observation_shape)
    self.stacks = np.zeros(shape, np.float32)
    return made

  def _epsilon(self) -> float:
    loop = self.loop
    decayed = (self.agent_steps - loop.min_replay_history) / (
        loop.epsilon_decay_period
    )
    share = min(max(decayed, 0.0), 1.0)
    return 1.0 + share * (loop.epsilon_train - 1.0)

  def _act(self) -> list[int]:
    for k, frame in enumerate(self.frames):
      if self.begins[k]:
        self.stacks[k] = 0
      self.stacks[k] = np.roll(self.stacks[k], -1, axis=-1)
      self.stacks[k][..., -1] = frame
    drawn = _exploration(self.rng, self.agent_steps, len(self.frames))
    coins, bits = (np.asarray(x) for x in drawn)
    q_values = np.asarray(
        _apply(self.loop.agent, self.train.params, self.stacks.copy())
    )
    count = q_values.shape[1]
    return [
        (int(bits[k]) * count) >> 32
        if coins[k] < np.float32(self._epsilon())
        else int(q_values[k].argmax())
        for k in range(len(self.frames))
    ]

  def _step(self, actions: list[int], is_last: bool) -> None:
    rows = []
    for k, environment in enumerate(self.environments):
      frame, reward, terminal, truncated, _ = environment.step(actions[k])
      self.sums[k] += reward
      over = terminal or truncated
      clip = self.loop.reward_clip
      kept = reward if clip is None else min(max(reward, -clip), clip)
      rows.append(
          Row(self.frames[k], actions[k], kept, terminal, over or is_last)
      )
      if over:
        self.returns.append(self.sums[k])
        self.sums[k] = 0.0
        frame, _ = environment.reset()
      self.frames[k] = frame
      self.begins[k] = over
    self.replay.steps.append(rows)

  def _count(self) -> None:
    """What one agent step makes due."""
    if self.agent_steps <= self.loop.min_replay_history:
      return
    self.owed += self.ratio[0]
    period = self.loop.learner.target_update_period
    by_steps = self.loop.target_update_clock == 'agent_steps'
    if by_steps and self.agent_steps % period == 0:
      self.is_target_due = True
      self.target_updates += 1

  def _learn(self) -> None:
    while self.owed >= self.ratio[1]:
      self.owed -= self.ratio[1]
      self._gradient_step()
    if self.is_target_due:
      self._update_target()
    self.is_target_due = False

  def _gradient_step(self) -> None:
    loop, replay = self.loop, self.replay
    key, bits = _batch_draw(
        self.rng, self.gradient_steps, loop.replay.batch_size
    )
    starts, size = replay.starts(), loop.replay.batch_size
    if loop.replay.prioritized:
      places, weights = self.priorities.draw(
          starts, key, size, self.row_of, loop.layout.num_rows
      )
      batch = replay.batch(places)._replace(weight=weights.astype(np.float32))
      losses = _losses(loop.agent, self.train, batch)
      self.priorities.note(places, np.asarray(losses))
    else:
      places = [
          starts[(int(x) * len(starts)) >> 32] for x in np.asarray(bits)
      ]
      batch = replay.batch(places)
    self.train, metrics = _learner_step(loop.learner, self.train, batch)
    self.losses.append(float(metrics['loss']))
    self.gradient_steps += 1
    by_gradients = loop.target_update_clock == 'gradient_steps'
    period = loop.learner.target_update_period
    if by_gradients and self.gradient_steps % period == 0:
      self._update_target()
      self.target_updates += 1

  def _update_target(self) -> None:
    self.train = self.train._replace(target_params=self.train.params)

  def row_of(self, step: int, k: int) -> int:
    """Where the package keeps that step."""
    num_steps = self.replay.num_steps
    block = (step + self.replay.stack_size - 1) % num_steps
    return block * self.replay.num_environments + k


@functools.partial(jax.jit, static_argnums=2)
def _exploration(rng: types.Array, step: int, count: int) -> Any:
  key = jax.random.fold_in(jax.random.fold_in(rng, 1), step)
  _, explore_key, action_key = jax.random.split(key, 3)
  coins = jax.random.uniform(explore_key, (count,))
  return coins, jax.random.bits(action_key, (count,), np.uint32)


@functools.partial(jax.jit, static_argnums=2)
def _batch_draw(rng: types.Array, step: int, size: int) -> Any:
  key = learner.sample_key(jax.random.fold_in(rng, 0), step)
  return key, jax.random.bits(key, (size,), np.uint32)


@functools.partial(jax.jit, static_argnums=0)
def _apply(agent: Any, params: types.Params, state: Any) -> types.Array:
  return agent.apply(params, state).q_values


@functools.partial(jax.jit, static_argnums=0)
def _losses(agent: Any, train: types.TrainState, batch: Any) -> types.Array:
  rng = jax.random.key(0)
  return agent.loss(train.params, train.target_params, batch, rng).losses


@functools.partial(jax.jit, static_argnums=0)
def _learner_step(
    plain: learner.Learner, train: types.TrainState, batch: types.Batch
) -> Any:
  # The target is this file's business.
  hyperparameters = plain.hyperparameters(1)._replace(
      target_update_period=jnp.int32(2**30)
  )
  return plain.step(train, batch, jax.random.key(0), hyperparameters)
