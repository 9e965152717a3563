"""One Atari game, one step at a time, for code that speaks gymnasium."""

from typing import Any

import gymnasium
import numpy as np

from implicit_underparam.envs import atari


class AtariEnv(gymnasium.Env[np.ndarray, np.int64]):
  """An `AtariVector` of one environment.

  Observations are [84, 84, stack_size] uint8, the oldest frame first. `info`
  holds 'episode_return' and 'episode_length' so far.
  """

  metadata = {'render_modes': []}

  def __init__(self, render_mode: None = None, **protocol: Any):
    """Makes the emulator.

    Args:
      render_mode: None; nothing is drawn.
      **protocol: arguments of `atari.AtariEnvironment`, `game` at least.

    Raises:
      UserError: no such game, or numbers that make no protocol.
    """
    self.environment = atari.AtariEnvironment(**protocol)
    self.render_mode = render_mode
    self.observation_space = gymnasium.spaces.Box(
        0, 255, self.environment.observation_shape, np.uint8
    )
    self.action_space = gymnasium.spaces.Discrete(self.environment.num_actions)
    self._emulator = self.environment.make(1)
    # The first observation of an episode that the emulator has begun.
    self._begun: np.ndarray | None = None
    self._seeded = False

  def reset(
      self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[np.ndarray, dict[str, Any]]:
    """Begins an episode; options are not used.

    Args:
      seed: starts the random numbers anew; they go on where it is None.
      options: not used.
    """
    super().reset(seed=seed)
    if seed is not None or not self._seeded:
      seeds = self.np_random.integers(atari.MAX_SEED, size=1, endpoint=True)
      observation = self._emulator.reset(seeds)[0]
      self._seeded = True
    elif self._begun is not None:
      observation = self._begun
    else:
      observation = self._emulator.restart()[0]
    self._begun = None
    return observation, {'episode_return': 0.0, 'episode_length': 0}

  def step(
      self, action: np.int64
  ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    """Takes one agent step.

    Args:
      action: 0 to the game's number of actions - 1.

    Returns:
      observation, reward (unclipped), terminated, truncated, info.

    Raises:
      UserError: the game has no such action.
      gymnasium.error.ResetNeeded: no episode was started.
    """
    if not self._seeded or self._begun is not None:
      raise gymnasium.error.ResetNeeded('call reset() before step()')
    step = self._emulator.step(np.array([action]))
    observation = step.observation[0]
    if step.final_observation is not None:
      self._begun, observation = observation, step.final_observation[0]
    info = {
        'episode_return': float(step.episode_return[0]),
        'episode_length': int(step.episode_length[0]),
    }
    terminated, truncated = bool(step.is_terminal[0]), bool(step.truncated[0])
    return observation, float(step.reward[0]), terminated, truncated, info
