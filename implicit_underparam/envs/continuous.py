"""Environments of gymnasium with continuous actions, such as MuJoCo's.

An action is k numbers in [-1, 1], which are stretched to the bounds that the
environment has. Observations are float32, which is what networks compute with.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import gin
import gymnasium
import numpy as np

from implicit_underparam.envs import (
    bounds,
    gymnasium_env,
    gymnasium_registry,
    vector,
)
from implicit_underparam.errors import UserError


@gin.register
@dataclasses.dataclass(frozen=True)
class ContinuousEnvironment(gymnasium_env.GymnasiumEnvironment):
  """An environment by its id, with a Box of bounded actions.

  Its options are those of `GymnasiumEnvironment`.
  """

  @functools.cached_property
  def spaces(self) -> gymnasium_registry.Spaces:
    """The spaces of one environment.

    Raises:
      UserError: it cannot be made, or they are not two Boxes.
    """
    return gymnasium_registry.continuous_spaces(self.id, self.make_one())

  @property
  def num_actions(self) -> int:
    """There is no such number."""
    raise AttributeError(f'{self.id} has continuous actions')

  @property
  def action_size(self) -> int:
    """k, numbers in an action."""
    return int(self.spaces.action.shape[0])

  @property
  def frame_dtype(self) -> np.dtype:
    """Of observations."""
    return np.dtype(np.float32)

  def make_one(self) -> gymnasium_registry.Env:
    """The environment itself.

    Raises:
      UserError: gymnasium cannot make it, as something is not installed or
        the arguments are not the environment's.
    """
    with _known_faults_unsaid(self.id):
      return _Float32(super().make_one())

  def native_actions(
      self, actions: Any, num_environments: int
  ) -> np.ndarray:
    """Actions as the environments themselves take them.

    Args:
      actions: [K, k] in [-1, 1].
      num_environments: K.

    Raises:
      UserError: another shape, or a number outside of that.
    """
    array = vector.check_action_vectors(
        actions, num_environments, self.action_size, self.id
    )
    return bounds.stretched(array, self.spaces.action)


@gin.register
def action_size(id: str) -> int:
  """k, numbers in an action of an environment.

  Args:
    id: as in `ContinuousEnvironment`.

  Raises:
    UserError: there is no such environment, or its actions are counted.
  """
  return ContinuousEnvironment(id).action_size


@contextlib.contextmanager
def _known_faults_unsaid(id: str) -> Iterator[None]:
  """Without the lines about what is old in gymnasium's own environments.

  The paper's dimensions are those of versions that are out of date, and
  HalfCheetah's file says something that MuJoCo 4 calls deprecated, on the
  screen and in a file in the working directory.
  """
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', '.*is out of date.*')
    made_by = str(gymnasium.registry[id.rpartition(':')[2]].entry_point)
    if 'mujoco' in made_by and importlib.util.find_spec('mujoco'):
      with _deprecations_unsaid(importlib.import_module('mujoco')):
        yield
    else:
      yield


@contextlib.contextmanager
def _deprecations_unsaid(mujoco: Any) -> Iterator[None]:
  """Without those that MuJoCo's compiler prints; other lines are printed."""
  before = mujoco.get_mju_user_warning()
  mujoco.set_mju_user_warning(_say_unless_deprecated)
  try:
    yield
  finally:
    mujoco.set_mju_user_warning(before)


def _say_unless_deprecated(message: str) -> None:
  if 'is deprecated' not in message:
    print(f'WARNING: {message}', file=sys.stderr, flush=True)


class _Float32(gymnasium_registry.Bare):
  """Observations as float32, and a clear line where they are not numbers."""

  def __init__(self, env: gymnasium_registry.Env):
    super().__init__(env)
    shown = env.observation_space
    if isinstance(shown, gymnasium.spaces.Box):
      # Whoever gathers those of several takes the type from here.
      self.observation_space = gymnasium.spaces.Box(
          -np.inf, np.inf, shown.shape, np.float32
      )

  def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    observation, info = self.env.reset(**options)
    return observation.astype(np.float32), info

  def step(
      self, action: Any
  ) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
    observation, reward, is_terminal, over, info = self.env.step(action)
    if not np.isfinite(observation).all():
      spec = self.env.spec
      raise UserError(
          f'{spec.id if spec else self.env} shows NaN or infinite numbers: '
          'the simulation has broken down'
      )
    return observation.astype(np.float32), reward, is_terminal, over, info
