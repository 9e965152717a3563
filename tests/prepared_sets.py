"""Small prepared sets for the tests, with the stream that they came from."""

import pathlib

import numpy as np

from implicit_underparam.data.frame_store import FrameStore, FrameStoreWriter


def make(
    out: pathlib.Path | str,
    num_rows: int = 400,
    seed: int = 0,
    frame_shape: tuple[int, ...] = (84, 84),
    num_actions: int = 6,
    game: str = 'Pong',
    episode: int = 30,
    fraction: float = 1.0,
) -> FrameStore:
  """Random episodes of half to once `episode` steps, each behind padding."""
  rng = np.random.default_rng(seed)
  frames = rng.integers(1, 255, (num_rows, *frame_shape), dtype=np.uint8)
  terminals = np.zeros(num_rows, np.uint8)
  padding = np.zeros(num_rows, bool)
  begin = 0
  while begin < num_rows:
    padding[begin : begin + 3] = True
    end = begin + 2 + int(rng.integers(episode // 2, episode))
    if end < num_rows:
      terminals[end] = 1
    begin = end + 1
  rewards = rng.choice([-1.0, 0.0, 1.0], num_rows).astype(np.float32)
  actions = rng.integers(0, num_actions, num_rows).astype(np.uint8)
  for array in (frames, rewards, actions):
    array[padding] = 0
  starts = np.arange(num_rows) == 0
  writer = FrameStoreWriter(out, {'seed': seed}, frame_shape=frame_shape)
  writer.append(frames, actions, rewards, terminals, starts, ~padding)
  writer.commit(num_rows)
  writer.finish({
      'game': game, 'run': 1, 'num_actions': num_actions, 'source': 'a test',
      'mode': 'prefix', 'fraction': fraction, 'seed': seed, 'files': [],
      'skipped': [], 'notes': [],
  })  # fmt: skip
  return FrameStore.open(out)
