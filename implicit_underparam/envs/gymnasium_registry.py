"""Which environments gymnasium has, and what each shows and takes."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import gin
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from implicit_underparam.errors import UserError

Env = gymnasium.Env[np.ndarray, np.integer]


class Spaces(NamedTuple):
  """What an environment shows and takes.

  Attributes:
    observation: arrays.
    action: a Discrete, or a Box of one axis with bounds.
  """

  observation: Box
  action: Any


def check_known(id: str) -> None:
  """The id is registered, after the import of what is before its colon.

  Args:
    id: 'CartPole-v1', with its version, or 'module:id'.

  Raises:
    UserError: it is not; lists the nearest ones.
  """
  module, _, name = id.rpartition(':')
  if module:
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise UserError(
          f'environment {id!r}: module {module} cannot be imported ({error}): '
          'write MODULE:ID with the module that registers it'
      ) from error
  if name not in gymnasium.registry:
    raise UserError(f'environment {id!r} is not known: {_nearest(name)}')


def make(
    id: str, max_episode_steps: int | None, arguments: Mapping[str, Any]
) -> Env:
  """One environment.

  Args:
    id: as in `check_known`.
    max_episode_steps: agent steps after which an episode is truncated; None is
      what the environment was registered with.
    arguments: further ones of gymnasium.make, by name.

  Raises:
    UserError: gymnasium cannot make it, as something is not installed or the
      arguments are not the environment's.
  """
  # An argument that it does not take is a TypeError of its constructor.
  bad_arguments = (TypeError,) if arguments else ()
  try:
    env: Env = gymnasium.make(
        id, max_episode_steps, disable_env_checker=True, **arguments
    )
  except (gymnasium.error.Error, ImportError, *bad_arguments) as error:
    reason = ' '.join(str(error).split())
    raise UserError(f'{id} cannot be made: {reason}') from error
  return Bare(env)


def spaces(id: str, env: Env) -> Spaces:
  """What an environment shows and takes; closes it.

  Args:
    id: its name in messages.
    env: not needed otherwise.

  Raises:
    UserError: not arrays, or not one of so many actions.
  """
  env.close()
  return Spaces(
      _checked_observations(id, env.observation_space),
      _checked_actions(id, env.action_space),
  )


def continuous_spaces(id: str, env: Env) -> Spaces:
  """`spaces`, of an environment whose actions are some numbers with bounds.

  Args:
    id: its name in messages.
    env: not needed otherwise.

  Raises:
    UserError: its actions are others.
  """
  env.close()
  action = env.action_space
  if not isinstance(action, Box):
    raise UserError(
        f'{id} has actions of a {type(action).__name__} space, and agents like '
        'SAC need continuous ones: give an environment with a Box action space'
    )
  if len(action.shape) != 1 or not action.is_bounded():
    raise UserError(
        f'{id} has actions {action}: give an environment whose actions are a '
        'vector of numbers with finite bounds'
    )
  return Spaces(_checked_observations(id, env.observation_space), action)


@gin.register('gymnasium_num_actions')
def num_actions(id: str, arguments: Mapping[str, Any] | None = None) -> int:
  """Actions of an environment.

  Args:
    id: as in `check_known`.
    arguments: as in `make`.

  Raises:
    UserError: there is no such environment, or its actions are not discrete.
  """
  check_known(id)
  return int(spaces(id, make(id, None, arguments or {})).action.n)


def _nearest(name: str) -> str:
  """Which ids may have been meant, as the end of a sentence."""
  plain = {known.lower(): known for known in gymnasium.registry}
  found = difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.6)
  if found:
    return f'the nearest are {", ".join(plain[x] for x in found)}'
  return (
      'give an id such as CartPole-v1, or MODULE:ID with the module that '
      'registers it'
  )


def _checked_actions(id: str, space: gymnasium.Space) -> Discrete:
  if isinstance(space, Discrete):
    return space
  if isinstance(space, Box):
    raise UserError(
        f'{id} has continuous actions, and agents like DQN need discrete '
        'ones: give an environment with a Discrete action space'
    )
  raise UserError(
      f'{id} has actions of a {type(space).__name__} space: give an '
      'environment with a Discrete one'
  )


def _checked_observations(id: str, space: gymnasium.Space) -> Box:
  if isinstance(space, Box):
    return space
  raise UserError(
      f'{id} is observed as {type(space).__name__}, not as an array: give an '
      'environment with a Box observation space (gymnasium.wrappers.'
      'FlattenObservation makes one)'
  )


class Bare(gymnasium.Wrapper[np.ndarray, np.integer, np.ndarray, np.integer]):
  """Observations in arrays of their own, and no infos.

  SyncVectorEnv holds the last observation of an episode while the environment
  begins the next, perhaps in the same array; and it fails on infos that are
  arrays of different shapes.
  """

  def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """A copy of the first observation."""
    observation, _ = self.env.reset(**options)
    return np.array(observation), {}

  def step(
      self, action: np.integer
  ) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
    """A step, with a copy of its observation."""
    observation, reward, is_terminal, truncated, _ = self.env.step(action)
    return np.array(observation), reward, is_terminal, truncated, {}
