"""A prepared set of made-up frames that compress as those of a game."""

import pathlib

import numpy as np

from implicit_underparam.data import frame_store

NUM_ACTIONS = 6
_CHUNK = 5000
_PADDING = 3


def prepared_set(
    path: pathlib.Path, num_frames: int, episode: int = 800, seed: int = 0
) -> frame_store.FrameStore:
  """Writes a set of one stream and opens it.

  Args:
    path: a folder that is not there.
    num_frames: N, padding included.
    episode: rows of an episode, padding included.
    seed: of the actions and the rewards.
  """
  rng = np.random.default_rng(seed)
  with frame_store.FrameStoreWriter(path, {'num_frames': num_frames}) as writer:
    for first in range(0, num_frames, _CHUNK):
      rows = np.arange(first, min(first + _CHUNK, num_frames))
      padding = rows % episode < _PADDING
      writer.append(
          _frames(rows, padding),
          np.where(padding, 0, rng.integers(0, NUM_ACTIONS, len(rows))),
          np.where(padding, 0, rng.integers(-1, 2, len(rows))),
          rows % episode == episode - 1,
          rows == 0,
          ~padding,
      )
    writer.commit(num_frames)
    writer.finish({'game': 'Pong', 'num_actions': NUM_ACTIONS})
  return frame_store.FrameStore.open(path)


def _frames(rows: np.ndarray, padding: np.ndarray) -> np.ndarray:
  """Two paddles and a ball on a plain ground: [len(rows), 84, 84]."""
  frames = np.full((len(rows), 84, 84), 87, np.uint8)
  frames[:, 12] = frames[:, 80] = 236
  every = np.arange(len(rows))[:, None]
  for column, speed in ((10, 1), (73, 3)):
    height = 14 + rows[:, None] * speed % 56 + np.arange(8)
    frames[every, height, column] = 147
  ball = 14 + rows[:, None] * 2 % 64
  frames[every, ball, 12 + rows[:, None] * 3 % 60 + np.arange(2)] = 236
  frames[padding] = 0
  return frames
