"""What code that plays asks of an environment, whichever kind it is.

An `Environment` says what is played and makes a `VectorEnvironment`, K copies
that step together. `atari` and `gymnasium_env` have one of each.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from implicit_underparam.errors import UserError

# Of the Atari emulator, which takes an int32 and reads -1 as "any".
MAX_SEED = 2**31 - 1

Integers = Sequence[int] | np.ndarray


class Step(NamedTuple):
  """What one agent step in each of K environments gives.

  Where an episode ends, `observation` is already the first of the next one,
  so that every step is one that an agent takes.

  Attributes:
    observation: [K, *frame, stack_size], the oldest frame first; what the next
      action is chosen on. Frames before an episode's first are zeros.
    reward: [K] float32, as the environment pays it.
    is_terminal: [K] bool, the episode reached its end.
    truncated: [K] bool, the episode was cut, by a limit of steps for example,
      in a state that is not terminal.
    episode_return: [K] float64, sum of rewards of the episode, this step's
      included.
    episode_length: [K] int64, its agent steps so far, this one included.
    final_observation: as observation, of the state in which the episode
      ended; rows of other environments mean nothing, and it is None where no
      episode ended.
  """

  observation: np.ndarray
  reward: np.ndarray
  is_terminal: np.ndarray
  truncated: np.ndarray
  episode_return: np.ndarray
  episode_length: np.ndarray
  final_observation: np.ndarray | None

  @property
  def episode_end(self) -> np.ndarray:
    """[K] bool, for either reason."""
    return self.is_terminal | self.truncated


class VectorEnvironment(Protocol):
  """K environments that step together.

  What each does follows from its seed and its actions since `reset` alone.
  What was handed out is not written again.
  """

  @property
  def num_environments(self) -> int:
    """K."""

  @property
  def num_actions(self) -> int:
    """Actions are 0 to `num_actions` - 1."""

  def reset(self, seeds: Integers) -> np.ndarray:
    """Begins an episode in each environment, as if it had just been made.

    Args:
      seeds: K numbers in [0, 2^31).

    Returns:
      [K, *frame, stack_size].

    Raises:
      UserError: another number of seeds, or one out of range.
    """

  def restart(self) -> np.ndarray:
    """Gives up the episodes and begins new ones; the random numbers go on.

    Returns:
      [K, *frame, stack_size].
    """

  def step(self, actions: Integers) -> Step:
    """Takes one agent step in every environment.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that there is not.
    """

  def send(self, actions: Integers) -> None:
    """The first half of `step`; the environments may go on by themselves.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that there is not.
    """

  def receive(self) -> Step:
    """The second half of `step`: waits for every environment."""


class InTwoHalves:
  """Gives what can `send` and `receive` its `step`."""

  def step(self: VectorEnvironment, actions: Integers) -> Step:
    """Takes one agent step in every environment.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that the environment does not have.
    """
    self.send(actions)
    return self.receive()


class Described(Protocol):
  """What is played, and how it is observed.

  With continuous actions it has `action_size`, k, in the place of
  `num_actions`: an action is k numbers in [-1, 1].
  """

  @property
  def name(self) -> str:
    """The game, or the id."""

  @property
  def num_actions(self) -> int:
    """Actions are 0 to `num_actions` - 1."""

  @property
  def frame_shape(self) -> tuple[int, ...]:
    """Of what one step shows."""

  @property
  def frame_dtype(self) -> np.dtype:
    """Of what one step shows, and of observations."""

  @property
  def stack_size(self) -> int:
    """Frames in an observation."""

  @property
  def observation_shape(self) -> tuple[int, ...]:
    """(*frame_shape, stack_size)."""


def action_size(environment: Described) -> int | None:
  """k of an environment whose actions are k numbers in [-1, 1], else None."""
  return getattr(environment, 'action_size', None)


class Environment(Described, Protocol):
  """What can be played, many copies side by side."""

  def make(
      self, num_environments: int, num_threads: int = 0
  ) -> VectorEnvironment:
    """K copies, behind one call.

    Args:
      num_environments: K.
      num_threads: that they share, where they have threads; 0 is one a core.
    """


class Episodes:
  """Returns and lengths of the episodes that K environments are in."""

  def __init__(self, num_environments: int):
    self._return = np.zeros(num_environments)
    self._length = np.zeros(num_environments, np.int64)

  def add(
      self, reward: np.ndarray, episode_end: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Counts a step; what ended begins at 0 again.

    Args:
      reward: [K].
      episode_end: [K] bool.

    Returns:
      Returns [K] float64 and lengths [K] int64, this step's included.
    """
    episode_return = self._return + reward
    episode_length = self._length + 1
    self._return = episode_return * ~episode_end
    self._length = episode_length * ~episode_end
    return episode_return, episode_length


def check_numbers(num_environments: int, num_threads: int) -> None:
  """There is something to make.

  Args:
    num_environments: K.
    num_threads: 0 or more.

  Raises:
    UserError: there is not.
  """
  if num_environments < 1 or num_threads < 0:
    raise UserError(
        f'num_environments is {num_environments} and num_threads '
        f'{num_threads}: give 1 or more, and 0 or more'
    )


def check_seeds(seeds: Integers, num_environments: int) -> np.ndarray:
  """One seed for each environment.

  Args:
    seeds: K numbers in [0, 2^31).
    num_environments: K.

  Returns:
    [K] int64.

  Raises:
    UserError: another number of seeds, or one out of range.
  """
  array = np.asarray(seeds, np.int64)
  if array.shape != (num_environments,) or not (
      0 <= array.min() and array.max() <= MAX_SEED
  ):
    raise UserError(
        f'seeds {array.tolist()} do not fit: give {num_environments} numbers '
        'from 0 to 2^31 - 1'
    )
  return array


def check_actions(
    actions: Integers, num_environments: int, num_actions: int, name: str
) -> np.ndarray:
  """One action for each environment.

  Args:
    actions: K integers.
    num_environments: K.
    num_actions: those that there are.
    name: of the environment.

  Returns:
    [K] int64.

  Raises:
    UserError: another number of actions, or one that there is not.
  """
  array = np.asarray(actions)
  if (
      array.shape != (num_environments,)
      or array.dtype.kind not in 'iu'
      or array.min() < 0
      or array.max() >= num_actions
  ):
    raise UserError(
        f'actions {array.tolist()} do not fit {name}: give {num_environments} '
        f'integers from 0 to {num_actions - 1}'
    )
  return array.astype(np.int64)


def check_action_vectors(
    actions: np.ndarray, num_environments: int, size: int, name: str
) -> np.ndarray:
  """One action of k numbers for each environment.

  Args:
    actions: [K, k].
    num_environments: K.
    size: k.
    name: of the environment.

  Returns:
    [K, k] float32.

  Raises:
    UserError: another shape, or a number that is NaN or outside [-1, 1].
  """
  array = np.asarray(actions, np.float32)
  if array.shape != (num_environments, size) or not (
      np.abs(array).max(initial=0.0) <= 1.0
  ):
    raise UserError(
        f'actions {array.tolist()} do not fit {name}: give {num_environments} '
        f'times {size} numbers from -1 to 1'
    )
  return array
