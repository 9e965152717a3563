"""Small logs whose every row is known, for the tests that prepare them."""

import dataclasses
import gzip
import pathlib
from typing import Any

import numpy as np

from implicit_underparam.data import frame_store, replay_logs_writer

FRAME_SHAPE = (3, 2)
CAPACITY = 200


@dataclasses.dataclass
class Truth:
  """The stream as it was logged, by number of add; what checkpoints hold."""

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  terminals: np.ndarray
  limits: np.ndarray  # An episode's last row, by a time limit.
  padding: np.ndarray
  dumps: list[int]  # Adds up to each checkpoint.

  def held(self, ignored: tuple[int, ...] = ()) -> list[int]:
    """Adds that are in a checkpoint."""
    spans = [
        range(max(0, end - CAPACITY), end)
        for k, end in enumerate(self.dumps)
        if k not in ignored
    ]
    return sorted(set().union(*spans))

  def may_follow(self, t: int) -> bool:
    """Whether row t + 1 goes on from row t."""
    return t + 1 < len(self.actions) and not self.limits[t]

  def is_valid(self, t: int, n: int, taken: set[int]) -> bool:
    """Whether row t may start n steps, if those rows are stored."""
    for k in range(t - 3, t):
      if k not in taken or self.terminals[k] or not self.may_follow(k):
        return False
    if t not in taken:
      return False
    for k in range(t, t + n):
      if self.terminals[k]:
        return True
      if not self.may_follow(k) or k + 1 not in taken:
        return False
    return True


def write_log(
    folder: pathlib.Path,
    steps: int = 1130,
    seed: int = 0,
    dump_padded: bool = True,
    limit: float = 0.01,
) -> Truth:
  """Writes a log of so many steps at random, and returns all of its stream."""
  rng = np.random.default_rng(seed)
  writer = replay_logs_writer.ReplayLogWriter(
      folder,
      CAPACITY,
      frame_shape=FRAME_SHAPE,
      dump_padded_boundaries=dump_padded,
  )
  rows: list[tuple[Any, ...]] = []
  dumps: list[int] = []
  begins = True
  for _ in range(steps):
    if begins:
      for _ in range(3):
        rows.append((np.zeros(FRAME_SHAPE, np.uint8), 0, 0.0, 0, 0, 1))
        if dump_padded and len(rows) % CAPACITY == CAPACITY - 1:
          dumps.append(len(rows))
    frame = rng.integers(1, 256, FRAME_SHAPE, np.uint8)
    frame.reshape(-1)[:2] = divmod(len(rows), 256)
    terminal = rng.random() < 0.04
    limited = not terminal and rng.random() < limit
    action, reward = int(rng.integers(6)), float(rng.integers(-1, 2))
    rows.append((frame, action, reward, terminal, limited, 0))
    begins = terminal or limited
    writer.add(frame, action, reward, terminal, begins)
    if len(rows) % CAPACITY == CAPACITY - 1:
      dumps.append(len(rows))
  writer.close()
  if dumps[-1:] != [len(rows)]:
    dumps.append(len(rows))
  return Truth(*(np.array(x) for x in zip(*rows, strict=True)), dumps)


def adds_of(store: frame_store.FrameStore) -> list[int]:
  """Which add each row is, from what its segment's frames say."""
  rows = store.meta['counts']['rows']
  found: list[int] = []
  for first, end in zip(
      store.segments, [*store.segments[1:], rows], strict=True
  ):
    numbers = store.frames[first:end].reshape(end - first, -1)
    # Padding alone can only stand after a time limit.
    number = found[-1] + 1 if found else 0
    for real in np.flatnonzero(numbers[:, 2])[:1]:
      number = 256 * int(numbers[real, 0]) + int(numbers[real, 1]) - int(real)
    found += range(number, number + end - first)
  return found


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  """The bytes of every file of a folder."""
  return {x.name: x.read_bytes() for x in sorted(folder.iterdir())}


def corrupt(path: pathlib.Path) -> None:
  """Changes a bit of the array without breaking header, trailer or stream."""
  data = bytearray(gzip.decompress(path.read_bytes()))
  trailer = path.read_bytes()[-8:]
  data[-1] ^= 1
  path.write_bytes(gzip.compress(bytes(data))[:-8] + trailer)
