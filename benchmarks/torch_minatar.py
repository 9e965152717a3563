"""DQN on MinAtar as one would write it in PyTorch, for one core.

The same network, batch, optimiser, target period and exploration as the
package's configuration; the replay is a set of arrays in memory, and the
environment is the `minatar` package.
"""

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import minatar
import numpy as np
import torch

Run = Callable[[], int]
_BATCH = 32
_GAMMA = 0.99
_TARGET_PERIOD = 250
_EPSILON = 0.01
_ALPHA = 1e-3


class Network(torch.nn.Module):
  """16 kernels of 3 x 3, 128 units: Q-values [B, A] and features [B, 128]."""

  def __init__(self, num_channels: int, num_actions: int):
    super().__init__()
    self.convolution = torch.nn.Conv2d(num_channels, 16, 3)
    self.dense = torch.nn.Linear(16 * 8 * 8, 128)
    self.head = torch.nn.Linear(128, num_actions)

  def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States [B, C, 10, 10] of any type."""
    x = torch.relu(self.convolution(state.float()))
    features = torch.relu(self.dense(x.flatten(1)))
    return self.head(features), features


class Learner:
  """Adam on the TD error; PyTorch's own defaults where the paper says none."""

  def __init__(self, network: Network, penalty: bool = False):
    self.network = network
    self.target = copy.deepcopy(network)
    self._penalty = penalty
    self._steps = 0
    self._optimizer = torch.optim.Adam(
        network.parameters(), lr=2.5e-4, eps=3.125e-4
    )

  def step(self, batch: tuple[torch.Tensor, ...]) -> None:
    """One gradient step on states, actions, rewards, next states, terminals."""
    state, action, reward, next_state, terminal = batch
    with torch.no_grad():
      value = self.target(next_state)[0].max(1).values
      target = reward + _GAMMA * (1 - terminal) * value
    q_values, features = self.network(state)
    chosen = q_values.gather(1, action[:, None])[:, 0]
    loss = torch.nn.functional.mse_loss(chosen, target)
    if self._penalty:
      sigma = torch.linalg.svdvals(features)
      loss = loss + _ALPHA * (sigma[0] ** 2 - sigma[-1] ** 2)
    self._optimizer.zero_grad()
    loss.backward()
    self._optimizer.step()
    self._steps += 1
    if self._steps % _TARGET_PERIOD == 0:
      self.target.load_state_dict(self.network.state_dict())


@dataclasses.dataclass
class Replay:
  """A ring of the latest transitions.

  Attributes:
    columns: states, actions, rewards, next states, terminals.
    count: transitions that were ever added.
  """

  columns: tuple[torch.Tensor, ...]
  count: int = 0

  def add(self, *transition: Any) -> None:
    """A state [C, 10, 10], action, reward, next state, whether terminal."""
    place = self.count % len(self.columns[0])
    for column, value in zip(self.columns, transition, strict=True):
      column[place] = value
    self.count += 1

  def sample(self) -> tuple[torch.Tensor, ...]:
    """A batch, uniform with replacement."""
    size = min(self.count, len(self.columns[0]))
    index = torch.randint(0, size, (_BATCH,))
    return tuple(column[index] for column in self.columns)


class Player:
  """Plays epsilon-greedily, stores, and learns n times an agent step."""

  def __init__(self, game: str, capacity: int, penalty: bool = False):
    torch.set_num_threads(1)
    self._environment = minatar.Environment(_minatar_name(game))
    height, width, channels = self._environment.state_shape()
    self._num_actions = self._environment.num_actions()
    self.learner = Learner(Network(channels, self._num_actions), penalty)
    frames = (capacity, channels, height, width)
    self.replay = Replay(
        (
            torch.zeros(frames, dtype=torch.uint8),
            torch.zeros(capacity, dtype=torch.int64),
            torch.zeros(capacity),
            torch.zeros(frames, dtype=torch.uint8),
            torch.zeros(capacity),
        )
    )
    self._rng = np.random.default_rng(0)
    self._environment.reset()
    self._state = self._observe()
    self._due = 0.0

  def act(self, epsilon: float) -> None:
    """One agent step, kept."""
    if self._rng.random() < epsilon:
      action = int(self._rng.integers(self._num_actions))
    else:
      with torch.no_grad():
        q_values = self.learner.network(self._state[None])[0]
      action = int(q_values.argmax())
    reward, terminal = self._environment.act(action)
    following = self._observe()
    self.replay.add(self._state, action, reward, following, float(terminal))
    if terminal:
      self._environment.reset()
      following = self._observe()
    self._state = following

  def learn(self, ratio: float) -> None:
    """The gradient steps that an agent step makes due."""
    self._due += ratio
    while self._due >= 1:
      self.learner.step(self.replay.sample())
      self._due -= 1

  def _observe(self) -> torch.Tensor:
    frame = self._environment.state().astype(np.uint8)
    return torch.from_numpy(frame).permute(2, 0, 1)


def gradient_steps(
    game: str, transitions: int, steps: int, penalty: bool = False
) -> Run:
  """Gradient steps on transitions of random play, that many a call."""
  player = Player(game, transitions, penalty)
  for _ in range(transitions):
    player.act(epsilon=1.0)

  def run() -> int:
    for _ in range(steps):
      player.learner.step(player.replay.sample())
    return steps

  run()
  return run


def online(
    game: str, ratio: float, transitions: int, capacity: int, steps: int
) -> Run:
  """Agent steps with n gradient steps each, that many a call."""
  player = Player(game, capacity)
  for _ in range(transitions):
    player.act(epsilon=1.0)

  def run() -> int:
    for _ in range(steps):
      player.act(_EPSILON)
      player.learn(ratio)
    return steps

  run()
  return run


def _minatar_name(game: str) -> str:
  """'space_invaders' of 'SpaceInvaders'."""
  return re.sub('(?<!^)(?=[A-Z])', '_', game).lower()
