"""Environments of gymnasium with continuous actions, such as MuJoCo's.

An action is k numbers in [-1, 1], which are stretched to the bounds that the
environment has. Observations are float32, which is what networks compute with.
"""

import dataclasses
import functools
import warnings
from typing import Any

import gin
import numpy as np

from implicit_underparam.envs import gymnasium_env, gymnasium_registry, vector
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
    with warnings.catch_warnings():
      # The paper's dimensions are those of the old versions.
      warnings.filterwarnings('ignore', '.*is out of date.*')
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
    return stretched(array, self.spaces.action)


def stretched(actions: np.ndarray, bounds: Any) -> np.ndarray:
  """Actions [..., k] in [-1, 1] as numbers between the bounds of a Box."""
  middle = 0.5 * (bounds.high + bounds.low)
  half = 0.5 * (bounds.high - bounds.low)
  native = middle + half * actions
  return np.clip(native, bounds.low, bounds.high).astype(bounds.dtype)


def shrunk(actions: np.ndarray, bounds: Any) -> np.ndarray:
  """Actions [..., k] between the bounds of a Box as numbers in [-1, 1]."""
  middle = 0.5 * (bounds.high + bounds.low)
  half = 0.5 * (bounds.high - bounds.low)
  return np.clip((actions - middle) / half, -1.0, 1.0).astype(np.float32)


@gin.register
def action_size(id: str) -> int:
  """k, numbers in an action of an environment.

  Args:
    id: as in `ContinuousEnvironment`.

  Raises:
    UserError: there is no such environment, or its actions are counted.
  """
  return ContinuousEnvironment(id).action_size


class _Float32(gymnasium_registry.Bare):
  """Observations as float32, and a clear line where they are not numbers."""

  def __init__(self, env: gymnasium_registry.Env):
    super().__init__(env)
    space: Any = env.observation_space
    self._bounds = space

  def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    observation, info = self.env.reset(**options)
    return observation.astype(np.float32), info

  def step(
      self, action: Any
  ) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
    observation, *rest = self.env.step(action)
    if not np.isfinite(observation).all():
      spec = self.env.spec
      raise UserError(
          f'{spec.id if spec else self.env} shows NaN or infinite numbers: '
          'the simulation has broken down'
      )
    return observation.astype(np.float32), *rest
