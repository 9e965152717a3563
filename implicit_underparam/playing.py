"""The hot loop of online training: act, step, learn, keep."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import numpy as np

from implicit_underparam import lanes, replay_drivers
from implicit_underparam.data import ring
from implicit_underparam.envs import vector

if TYPE_CHECKING:
  from implicit_underparam import online
  from implicit_underparam.online_functions import Functions

_STREAM = 0x706C6179  # Tells these random numbers from others of the seed.


class Recorder(Protocol):
  """Logs what is played."""

  def add(
      self, frames: np.ndarray, result: ring.Result, step: vector.Step
  ) -> None:
    """Notes a step: frames and results [S, K, ...], and all that came of it."""

  def suspend(self) -> list[bytes]:
    """Makes the logs durable; from what it gives they can go on."""

  def resume(self, states: Sequence[bytes]) -> None:
    """Goes on from there; what was logged since is logged anew."""

  def close(self) -> None:
    """Writes what is not written yet."""


class RunningLane(NamedTuple):
  """Some seeds, what runs them and where their experience is.

  Attributes:
    lane: which seeds, and their device.
    functions: compiled.
    driver: their replay.
  """

  lane: lanes.Lane
  functions: 'Functions'
  driver: replay_drivers.Driver


class Player:
  """Plays one iteration of all seeds and takes the gradient steps due in it.

  The environments begin anew, with seeds that follow from the iteration: what
  an emulator is in cannot be saved, and so an iteration can be repeated.

  Args:
    loop: the experiment.
    running: its lanes.
    state: of each lane.
    learning: of each lane; consumed and replaced.
    environments: all seeds', seed by seed.
    recorder: notes what is played; None for nobody.

  Attributes:
    learning: of each lane.
    returns: of each seed, those of the episodes that ended.
  """

  def __init__(
      self,
      loop: 'online.OnlineLoop',
      running: Sequence[RunningLane],
      state: Sequence[Any],
      learning: Sequence[Any],
      environments: vector.VectorEnvironment,
      recorder: Recorder | None,
  ):
    self.learning = list(learning)
    seeds = [seed for x in running for seed in x.lane.seeds]
    self.returns: list[list[float]] = [[] for _ in seeds]
    self._loop = loop
    self._running = running
    self._rngs = [x.rng for x in state]
    self._environments = environments
    self._recorder = recorder
    self._steps = int(np.ravel(state[0].steps)[0])
    self._last = self._steps + loop.training_steps
    self._updates = loop.updates_by(self._steps)
    self._target_updates = loop.target_updates_by(self._steps)
    self._by_updates = loop.target_update_clock == 'gradient_steps'
    self._period = loop.learner.target_update_period or 1
    self._is_checked = False
    self._shape = (len(seeds), loop.num_environments)
    iteration = self._steps // loop.training_steps
    self._observation = environments.reset(
        [
            _environment_seed(seed, iteration, k)
            for seed in seeds
            for k in range(loop.num_environments)
        ]
    )
    self._begins = np.ones(self._shape, bool)
    self._stacks = [self._empty_stack(x) for x in running]

  def step(self) -> None:
    """One agent step of every environment."""
    frames = self._by_seed(self._observation[..., -1])
    here = [
        jax.device_put(x.lane.part(frames), x.lane.device)
        for x in self._running
    ]
    chosen = self._act(here)
    actions = self._flat(chosen)
    self._environments.send(actions)
    if self._loop.overlap:
      self.update()
    step = self._environments.receive()
    self._keep(frames, here, self._by_seed(actions), chosen, step)
    if not self._loop.overlap:
      self.update()

  def update(self) -> None:
    """The gradient steps that are due by now, and the target updates."""
    due = self._loop.updates_by(self._steps)
    targets_due = self._loop.target_updates_by(self._steps)
    if self._updates < due and not self._is_checked:
      for x in self._running:
        x.driver.check_drawable()
      self._is_checked = True
    while self._updates < due:
      count = min(due - self._updates, self._until_target_update())
      for i, x in enumerate(self._running):
        self.learning[i] = x.driver.update(
            self.learning[i], self._rngs[i], self._updates, count
        )
      self._updates += count
      # Where the target moves with each step, the steps have seen to it.
      moved = self._loop.moves_target_always
      if self._by_updates and not moved and not self._updates % self._period:
        self._update_targets()
    if not self._by_updates and targets_due > self._target_updates:
      self._update_targets()
    self._target_updates = targets_due

  def _until_target_update(self) -> int:
    """Gradient steps that no target update falls between."""
    if not self._by_updates or self._loop.moves_target_always:
      return max(1, self._loop.updates_by(self._last))
    return self._period - self._updates % self._period

  def _update_targets(self) -> None:
    for i, x in enumerate(self._running):
      self.learning[i] = x.functions.update_target(self.learning[i])

  def _act(self, here: Sequence[Any]) -> list[Any]:
    """Each lane's actions, where they are computed."""
    step = np.int32(self._steps)
    epsilon = np.float32(self._loop.epsilon(self._steps))
    chosen = []
    for i, x in enumerate(self._running):
      self._stacks[i], actions = x.functions.act(
          self.learning[i].train.params,
          self._stacks[i],
          here[i],
          x.lane.part(self._begins),
          self._rngs[i],
          step,
          epsilon,
      )
      chosen.append(actions)
    return chosen

  def _keep(
      self,
      frames: np.ndarray,
      here: Sequence[Any],
      actions: np.ndarray,
      chosen: Sequence[Any],
      step: vector.Step,
  ) -> None:
    """Puts what came of the actions into the replay, and into the log."""
    clip = self._loop.reward_clip
    reward = step.reward if clip is None else np.clip(step.reward, -clip, clip)
    is_terminal = self._by_seed(step.is_terminal)
    ended = self._by_seed(step.episode_end)
    # The environments begin anew with the next iteration.
    is_last = self._steps + self._loop.num_environments >= self._last
    result = ring.Result(
        actions, self._by_seed(reward), is_terminal, ended | is_last
    )
    row = self._steps // self._loop.num_environments
    for i, x in enumerate(self._running):
      mine = ring.Result(chosen[i], *(x.lane.part(y) for y in result[1:]))
      x.driver.add(row, here[i], x.lane.part(frames), mine)
    if self._recorder is not None:
      self._recorder.add(frames, result, step)
    if ended.any():
      self._note_returns(self._by_seed(step.episode_return), ended)
    self._begins = ended
    self._observation = step.observation
    self._steps += self._loop.num_environments

  def _note_returns(self, returns: np.ndarray, ended: np.ndarray) -> None:
    for found, values, flags in zip(self.returns, returns, ended, strict=True):
      found.extend(values[flags].tolist())

  def _flat(self, chosen: Sequence[Any]) -> np.ndarray:
    """Actions of all lanes, as the environments take them: [S K, ...]."""
    size = vector.action_size(self._loop.environment)
    shape = (-1,) if size is None else (-1, size)
    return np.concatenate([np.asarray(x).reshape(shape) for x in chosen])

  def _by_seed(self, array: np.ndarray) -> np.ndarray:
    """[S K, ...] as [S, K, ...]."""
    return array.reshape(*self._shape, *array.shape[1:])

  def _empty_stack(self, running: RunningLane) -> Any:
    environment = self._loop.environment
    shape = (*self._shape, *environment.observation_shape)
    empty = np.zeros(shape, environment.frame_dtype)
    return jax.device_put(running.lane.part(empty), running.lane.device)


def _environment_seed(seed: int, iteration: int, environment: int) -> int:
  rng = np.random.default_rng((_STREAM, seed, iteration, environment))
  return int(rng.integers(vector.MAX_SEED, endpoint=True))
