"""Dopamine's protocol as a plain loop over one emulator, to compare with."""

import math
from collections.abc import Callable
from typing import NamedTuple

import ale_py
import numpy as np
from ale_py import roms


class PlainStep(NamedTuple):
  """What one agent step gives; `screen` is not resized yet."""

  screen: np.ndarray
  reward: int
  is_terminal: bool
  truncated: bool


class PlainAtari:
  """Four frames a step with one action, maximum of the last two screens."""

  def __init__(
      self, rom: str, seed: int, sticky: float = 0.25, max_frames: int = 108_000
  ):
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    self._ale = ale_py.ALEInterface()
    self._ale.setInt('random_seed', seed)
    self._ale.setFloat('repeat_action_probability', sticky)
    self._ale.loadROM(roms.get_rom_path(rom))
    self._actions = self._ale.getMinimalActionSet()
    self._max_frames = max_frames
    self._screens = np.zeros((2, *self._ale.getScreenDims()), np.uint8)
    self.num_actions = len(self._actions)

  def reset(self) -> np.ndarray:
    self._ale.reset_game()
    self._frames = 0
    self._ale.getScreenGrayscale(self._screens[0])
    self._screens[1] = 0
    return self._screens.max(axis=0)

  def step(self, action: int) -> PlainStep:
    reward = 0
    for frame in range(4):
      reward += self._ale.act(self._actions[action])
      self._frames += 1
      if self._ale.game_over(with_truncation=False):
        break
      if frame >= 2:
        self._ale.getScreenGrayscale(self._screens[frame - 2])
    over = self._ale.game_over(with_truncation=False)
    cut = self._frames >= self._max_frames and not over
    return PlainStep(self._screens.max(axis=0), reward, over, cut)


def _block_sums(rows: np.ndarray) -> np.ndarray:
  """[84, ...]: each row repeated until 84 blocks come out even, and summed."""
  common = math.lcm(len(rows), 84)
  finer = np.repeat(rows, common // len(rows), axis=0)
  return finer.reshape(84, common // 84, -1).sum(axis=1, dtype=np.int64)


def area_means(screen: np.ndarray) -> tuple[np.ndarray, int]:
  """Exact means over the area of each of 84 x 84 pixels: sums, and divisor."""
  sums = _block_sums(_block_sums(screen).T).T
  return sums, math.prod(math.lcm(size, 84) // 84 for size in screen.shape)


def is_area_mean(frame: np.ndarray, screen: np.ndarray) -> bool:
  """Whether a frame [84, 84] is the screen by area, rounded to nearest."""
  sums, divisor = area_means(screen)
  distance = abs(frame.astype(np.int64) * divisor - sums)
  return bool((2 * distance <= divisor).all())


def resize(screen: np.ndarray) -> np.ndarray:
  """[84, 84] by area; halves, which libraries round either way, go to even."""
  sums, divisor = area_means(screen)
  return np.rint(sums / divisor).astype(np.uint8)


def play_episode(
    game: PlainAtari, choose: Callable[[np.ndarray, int], int], step: int = 0
) -> tuple[float, int]:
  """One episode by choose(newest frame, step): its return and its length."""
  frame = resize(game.reset())
  total, length = 0.0, 0
  while True:
    result = game.step(choose(frame, step + length))
    total, length = total + result.reward, length + 1
    if result.is_terminal or result.truncated:
      return total, length
    frame = resize(result.screen)
