"""Atari 2600 games under the protocol of Dopamine and of the paper.

An agent step is `frame_skip` emulator frames with one action; each frame
repeats the action before instead with probability `sticky_actions` (Machado
et al., 2018, section 5). An observation is the pixelwise maximum of the last
two frames in grayscale, resized to 84 x 84 by area, behind the three before
it; an episode begins with three zero frames. There are no no-op starts, no
FIRE at the start and no end with a lost life; rewards are not clipped.
"""

import dataclasses

import gin
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from implicit_underparam.envs.atari_games import (
  known_games,
  num_actions,
  rom_id,
)
from implicit_underparam.envs.vector import (
  MAX_SEED,
  Episodes,
  Integers,
  InTwoHalves,
  Step,
  check_actions,
  check_numbers,
  check_seeds,
)
from implicit_underparam.errors import UserError

__all__ = (
    'FRAME_SHAPE', 'MAX_SEED', 'AtariEnvironment', 'AtariVector', 'Step',
    'known_games', 'num_actions', 'rom_id',
)

FRAME_SHAPE = (84, 84)


@gin.register
@dataclasses.dataclass(frozen=True)
class AtariEnvironment:
  """A game and its protocol; the defaults are the paper's.

  Attributes:
    game: one of `known_games()`.
    sticky_actions: probability that a frame repeats the action before.
    frame_skip: emulator frames an agent step.
    max_frames: emulator frames after which an episode is truncated.
    stack_size: frames in an observation.
    full_action_space: all 18 actions, not those that the game uses.
  """

  game: str
  sticky_actions: float = 0.25
  frame_skip: int = 4
  max_frames: int = 108_000
  stack_size: int = 4
  full_action_space: bool = False

  def __post_init__(self) -> None:
    rom_id(self.game)
    if not 0 <= self.sticky_actions <= 1:
      raise UserError(
          f'AtariEnvironment.sticky_actions is {self.sticky_actions}: give a '
          'probability'
      )
    for name in ('frame_skip', 'max_frames', 'stack_size'):
      if getattr(self, name) < 1:
        raise UserError(
            f'AtariEnvironment.{name} is {getattr(self, name)}: give 1 or more'
        )
    if self.max_frames % self.frame_skip:
      raise UserError(
          f'AtariEnvironment.max_frames is {self.max_frames}: give whole agent '
          f'steps, a multiple of frame_skip ({self.frame_skip})'
      )

  @property
  def num_actions(self) -> int:
    """Actions of the game."""
    return num_actions(self.game, self.full_action_space)

  @property
  def name(self) -> str:
    """The game."""
    return self.game

  @property
  def frame_shape(self) -> tuple[int, int]:
    """(84, 84)."""
    return FRAME_SHAPE

  @property
  def frame_dtype(self) -> np.dtype:
    """uint8."""
    return np.dtype(np.uint8)

  @property
  def observation_shape(self) -> tuple[int, int, int]:
    """(84, 84, stack_size)."""
    return (*FRAME_SHAPE, self.stack_size)

  def make(
      self, num_environments: int, num_threads: int = 0
  ) -> 'AtariVector':
    """K emulators of the game, behind one call.

    Each takes a fifth of a second of one core to make.

    Args:
      num_environments: K.
      num_threads: that the emulators share; 0 is one a core, K at most.
    """
    return AtariVector(self, num_environments, num_threads)


class AtariVector(InTwoHalves):
  """K emulators that step together, in threads of their own.

  What an environment does follows from its seed and its actions alone: not
  from K, nor from the threads, nor from what was played before `reset`.
  Only the seed starts the emulator's random numbers anew; they go on from one
  episode to the next.

  Observations are views, [K, 84, 84, stack_size], of memory that lies as
  [K, stack_size, 84, 84] and is not written again. Nothing is copied, so the
  newest frame `observation[..., -1]` is contiguous; jax.device_put takes the
  view as it is, a third of the time of a contiguous copy by numpy.

  A step's rewards are the unclipped sum over its frames; an episode is
  truncated at `max_frames`. The last frame that the emulator drew may be
  missing in `Step.final_observation`.
  """

  def __init__(
      self,
      environment: AtariEnvironment,
      num_environments: int,
      num_threads: int = 0,
  ):
    check_numbers(num_environments, num_threads)
    self.environment = environment
    self.num_environments = num_environments
    self._emulators = AtariVectorEnv(
        rom_id(environment.game),
        num_environments,
        num_threads=num_threads,
        max_num_frames_per_episode=environment.max_frames,
        repeat_action_probability=environment.sticky_actions,
        full_action_space=environment.full_action_space,
        stack_num=environment.stack_size,
        frameskip=environment.frame_skip,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    self.num_actions = environment.num_actions
    self._episodes: Episodes | None = None

  def reset(self, seeds: Integers) -> np.ndarray:
    """Begins an episode in each environment, as if it had just been made.

    Takes a fifth of a second of one core for each environment, since the
    emulator is built anew; `restart` takes four milliseconds.

    Args:
      seeds: K numbers in [0, 2^31).

    Returns:
      [K, 84, 84, stack_size] uint8.

    Raises:
      UserError: another number of seeds, or one out of range.
    """
    array = check_seeds(seeds, self.num_environments)
    observation: np.ndarray
    observation, _ = self._emulators.reset(seed=array)
    return self._begin(observation)

  def restart(self) -> np.ndarray:
    """Gives up the episodes and begins new ones; the random numbers go on.

    Returns:
      [K, 84, 84, stack_size] uint8.
    """
    observation: np.ndarray
    observation, _ = self._emulators.reset()
    return self._begin(observation)

  def _begin(self, observation: np.ndarray) -> np.ndarray:
    self._episodes = Episodes(self.num_environments)
    return np.moveaxis(observation, 1, -1)

  def send(self, actions: Integers) -> None:
    """The first half of `step`: the emulators start and the caller goes on.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that the game does not have.
    """
    if self._episodes is None:
      raise ValueError('reset() comes before a step')
    # The emulators' threads would wait for ever on what they do not accept.
    array = check_actions(
        actions,
        self.num_environments,
        self.num_actions,
        self.environment.game,
    )
    self._emulators.send(array)

  def receive(self) -> Step:
    """The second half of `step`: waits for every environment."""
    assert self._episodes is not None
    observation, reward, is_terminal, truncated, info = self._emulators.recv()
    episode_return, episode_length = self._episodes.add(
        reward, is_terminal | truncated
    )
    final = info.get('final_obs')
    return Step(
        observation=np.moveaxis(observation, 1, -1),
        reward=reward.astype(np.float32),
        is_terminal=is_terminal,
        truncated=truncated,
        episode_return=episode_return,
        episode_length=episode_length,
        final_observation=None if final is None else np.moveaxis(final, 1, -1),
    )
