"""The gridworld, one step at a time, for code that speaks gymnasium."""

from typing import Any

import gymnasium
import numpy as np

from implicit_underparam.envs.gridworld import GridMDP, make_grid
from implicit_underparam.errors import UserError

_PIXELS = 16  # Along each side of a cell.
_FREE = (255, 255, 255)
_WALL = (64, 64, 64)
_GOAL = (46, 160, 67)
_AGENT = (31, 111, 235)


class GridworldEnv(gymnasium.Env[np.ndarray, np.int64]):
  """Rollouts of a `GridMDP`.

  A step pays r(s) of the state in which the action is taken. Episodes never
  terminate and are truncated after the horizon, as returns are counted.
  `info` holds 'state', the number of the state, and 'cell', its (x, y).
  """

  metadata = {'render_modes': ['ansi', 'rgb_array'], 'render_fps': 8}

  def __init__(
      self,
      mdp: GridMDP | None = None,
      render_mode: str | None = None,
      **grid_options: Any,
  ) -> None:
    """Binds a process, or builds one.

    Args:
      mdp: the process; None builds one by `gridworld.make_grid`.
      render_mode: 'ansi' for text, 'rgb_array' for [H, W, 3] uint8, or None.
      **grid_options: arguments of `gridworld.make_grid`.

    Raises:
      UserError: an unknown render mode, or a process together with options.
    """
    if mdp is not None and grid_options:
      raise UserError('GridworldEnv got an mdp and also '
                      f'{", ".join(grid_options)}; give one or the other')
    if render_mode not in (None, *self.metadata['render_modes']):
      raise UserError(f'render_mode is {render_mode!r}; give ansi, rgb_array '
                      'or None')
    self.mdp = make_grid(**grid_options) if mdp is None else mdp
    self.render_mode = render_mode
    observations = self.mdp.observations
    self.observation_space = gymnasium.spaces.Box(
        observations.min(axis=0), observations.max(axis=0), dtype=np.float32)
    self.action_space = gymnasium.spaces.Discrete(self.mdp.num_actions)
    cumulative = np.cumsum(self.mdp.transition_matrix, axis=-1)
    # Rounding may leave the last entry under 1, where no draw may fall.
    self._cumulative = cumulative / cumulative[..., -1:]
    self._state = self.mdp.initial_state
    self._steps: int | None = None

  def reset(
      self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[np.ndarray, dict[str, Any]]:
    """Puts the agent on the start; options are not used."""
    super().reset(seed=seed)
    self._state, self._steps = self.mdp.initial_state, 0
    return self._observation(), self._info()

  def step(
      self, action: np.int64
  ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    """Takes one of stay, up, down, left, right.

    Args:
      action: 0 to 4, in that order.

    Returns:
      observation [d] float32, reward, terminated (never), truncated, info.

    Raises:
      UserError: there is no such action.
      gymnasium.error.ResetNeeded: no episode was started.
    """
    if self._steps is None:
      raise gymnasium.error.ResetNeeded('call reset() before step()')
    if not self.action_space.contains(action):
      raise UserError(f'action is {action!r}; give an integer from 0 to '
                      f'{self.mdp.num_actions - 1}')
    reward = float(self.mdp.rewards[self._state])
    self._state = int(np.searchsorted(
        self._cumulative[self._state, action], self.np_random.random(),
        side='right'))
    self._steps += 1
    truncated = self._steps >= self.mdp.horizon
    return self._observation(), reward, False, truncated, self._info()

  def render(self) -> Any:
    """The grid with walls #, goal G and agent A, as text or as pixels."""
    if self.render_mode == 'ansi':
      return '\n'.join(map(''.join, self._draw('.', '#', 'G', 'A'))) + '\n'
    if self.render_mode == 'rgb_array':
      picture = self._draw(_FREE, _WALL, _GOAL, _AGENT)
      cells = np.array(picture, dtype=np.uint8)
      return cells.repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)
    return None

  def _draw(self, free: Any, wall: Any, goal: Any, agent: Any) -> list[Any]:
    """Rows of y from the top, each with what is at x."""
    rows = [[free] * self.mdp.size for _ in range(self.mdp.size)]
    places = [(cell, wall) for cell in self.mdp.walls]
    places += [(self.mdp.goal, goal), (self.mdp.cell(self._state), agent)]
    for (x, y), mark in places:
      rows[y][x] = mark
    return rows

  def _observation(self) -> np.ndarray:
    # A copy: what is handed out may be written to.
    return self.mdp.observations[self._state].copy()

  def _info(self) -> dict[str, Any]:
    return {'state': self._state, 'cell': self.mdp.cell(self._state)}
