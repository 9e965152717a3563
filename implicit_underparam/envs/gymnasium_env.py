"""Any environment of gymnasium that has discrete actions, and K of them.

An observation is what the environment gives, as it gives it (not scaled, not
resized), behind the `stack_size` - 1 before it; an episode begins with frames
of zeros.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import gin
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from implicit_underparam.envs import gymnasium_registry
from implicit_underparam.envs.gymnasium_registry import num_actions
from implicit_underparam.envs.vector import (
  Episodes,
  Integers,
  InTwoHalves,
  Step,
  check_actions,
  check_numbers,
  check_seeds,
)
from implicit_underparam.errors import UserError

__all__ = ('GymnasiumEnvironment', 'GymnasiumVector', 'num_actions')


@gin.register
@dataclasses.dataclass(frozen=True)
class GymnasiumEnvironment:
  """An environment by its id; made once here, to see what it is.

  Attributes:
    id: as gymnasium.make takes it, with its version: 'CartPole-v1', or
      'module:id' for one that the import of a module registers.
    stack_size: frames in an observation.
    max_episode_steps: agent steps after which an episode is truncated; None is
      what the environment was registered with.
    arguments: further ones of gymnasium.make, by name.
  """

  id: str
  stack_size: int = 1
  max_episode_steps: int | None = None
  arguments: Mapping[str, Any] = dataclasses.field(
      default_factory=dict, hash=False
  )

  def __post_init__(self) -> None:
    for name in ('stack_size', 'max_episode_steps'):
      number = getattr(self, name)
      if number is None and name == 'max_episode_steps':
        continue
      if not isinstance(number, int) or number < 1:
        raise UserError(
            f'GymnasiumEnvironment.{name} is {number!r}: give a whole number, '
            'at least 1'
        )
    gymnasium_registry.check_known(self.id)
    _ = self.spaces

  @functools.cached_property
  def spaces(self) -> gymnasium_registry.Spaces:
    """The spaces of one environment.

    Raises:
      UserError: it cannot be made, or they are not a Box and a Discrete.
    """
    return gymnasium_registry.spaces(self.id, self.make_one())

  @property
  def name(self) -> str:
    """The id."""
    return self.id

  @property
  def num_actions(self) -> int:
    """Actions, counted from 0 whatever the environment's first is."""
    return int(self.spaces.action.n)

  @property
  def frame_shape(self) -> tuple[int, ...]:
    """Shape of the environment's own observations."""
    return self.spaces.observation.shape

  @property
  def frame_dtype(self) -> np.dtype:
    """Type of the environment's own observations."""
    return np.dtype(self.spaces.observation.dtype)

  @property
  def observation_shape(self) -> tuple[int, ...]:
    """(*frame_shape, stack_size)."""
    return (*self.frame_shape, self.stack_size)

  def make_one(self) -> gymnasium_registry.Env:
    """The environment itself.

    Raises:
      UserError: gymnasium cannot make it, as something is not installed or
        the arguments are not the environment's.
    """
    return gymnasium_registry.make(
        self.id, self.max_episode_steps, self.arguments
    )

  def native_actions(
      self, actions: Integers, num_environments: int
  ) -> np.ndarray:
    """Actions as the environments themselves take them.

    Args:
      actions: K numbers in [0, num_actions).
      num_environments: K.

    Raises:
      UserError: an action that there is not.
    """
    array = check_actions(actions, num_environments, self.num_actions, self.id)
    space = self.spaces.action
    return (array + space.start).astype(space.dtype)

  def make(
      self, num_environments: int, num_threads: int = 0
  ) -> 'GymnasiumVector':
    """K environments, behind one call.

    Args:
      num_environments: K.
      num_threads: not used; they step one after another.
    """
    return GymnasiumVector(self, num_environments, num_threads)


class GymnasiumVector(InTwoHalves):
  """K environments that step one after another; a `VectorEnvironment`.

  Observations are views, [K, *frame, stack_size], of memory that lies as
  [K, stack_size, *frame] and is not written again.
  """

  def __init__(
      self,
      environment: GymnasiumEnvironment,
      num_environments: int,
      num_threads: int = 0,
  ):
    check_numbers(num_environments, num_threads)
    self.environment = environment
    self.num_environments = num_environments
    self._envs: SyncVectorEnv | None = None
    self._episodes = Episodes(num_environments)
    self._frames = np.empty(0)
    self._sent: np.ndarray | None = None

  @property
  def num_actions(self) -> int:
    """Of each environment."""
    return self.environment.num_actions

  def reset(self, seeds: Integers) -> np.ndarray:
    """Begins an episode in each environment, all of them made anew.

    An environment may keep more from one episode to the next than its random
    numbers, which a seed would not undo.

    Args:
      seeds: K numbers in [0, 2^31).

    Returns:
      [K, *frame, stack_size].

    Raises:
      UserError: another number of seeds, or one out of range.
    """
    array = check_seeds(seeds, self.num_environments)
    if self._envs is not None:
      self._envs.close()
    self._envs = SyncVectorEnv(
        [self.environment.make_one] * self.num_environments,
        copy=False,  # Frames are copied into stacks.
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    frame: np.ndarray
    frame, _ = self._envs.reset(seed=array.tolist())
    return self._begin(frame)

  def restart(self) -> np.ndarray:
    """Gives up the episodes and begins new ones; the random numbers go on.

    Returns:
      [K, *frame, stack_size].
    """
    frame: np.ndarray
    frame, _ = self._ready().reset()
    return self._begin(frame)

  def send(self, actions: Integers) -> None:
    """The first half of `step`, which only looks at the actions.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that the environment does not have.
    """
    self._ready()
    self._sent = self.environment.native_actions(actions, self.num_environments)

  def receive(self) -> Step:
    """The second half of `step`: the environments step."""
    if self._sent is None:
      raise ValueError('send() comes before receive()')
    actions, self._sent = self._sent, None
    # Gymnasium leaves the types of what a vector returns open.
    frame: np.ndarray
    reward: np.ndarray
    is_terminal: np.ndarray
    over: np.ndarray
    frame, reward, is_terminal, over, info = self._ready().step(actions)
    ended = is_terminal | over
    final = self._final(info['final_obs']) if ended.any() else None
    self._frames = self._pushed(frame, ended)
    episode_return, episode_length = self._episodes.add(reward, ended)
    return Step(
        observation=_stacked_last(self._frames),
        reward=reward.astype(np.float32),
        is_terminal=is_terminal,
        # A limit of steps may fall on a state that is terminal anyway.
        truncated=over & ~is_terminal,
        episode_return=episode_return,
        episode_length=episode_length,
        final_observation=final,
    )

  def _ready(self) -> SyncVectorEnv:
    if self._envs is None:
      raise ValueError('reset() comes before a step')
    return self._envs

  def _begin(self, frame: np.ndarray) -> np.ndarray:
    size = (self.num_environments, self.environment.stack_size)
    self._frames = np.zeros((*size, *frame.shape[1:]), frame.dtype)
    self._frames[:, -1] = frame
    self._episodes = Episodes(self.num_environments)
    self._sent = None
    return _stacked_last(self._frames)

  def _pushed(self, frame: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """The stacks [K, stack_size, *frame] with a frame more, or only that."""
    frames = np.empty_like(self._frames)
    frames[:, :-1] = self._frames[:, 1:]
    frames[begins] = 0
    frames[:, -1] = frame
    return frames

  def _final(self, last: np.ndarray) -> np.ndarray:
    """Stacks of where episodes ended, from [K] frames or None."""
    frame = np.zeros_like(self._frames[:, 0])
    for row, given in enumerate(last):
      if given is not None:
        frame[row] = given
    nothing = np.zeros(self.num_environments, np.bool_)
    return _stacked_last(self._pushed(frame, nothing))


def _stacked_last(frames: np.ndarray) -> np.ndarray:
  return np.moveaxis(frames, 1, -1)
