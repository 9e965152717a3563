"""Writes replay_logs as Dopamine's logger does."""

import contextlib
import gzip
import os
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from implicit_underparam.data import replay_logs
from implicit_underparam.errors import UserError

# Level 9, gzip's default, takes 4 to 7 times as long for 8 to 19% less.
_COMPRESSION_LEVEL = 6


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise UserError(
        f'{path} could not be written: {error.strerror or error}; put this '
        'right and write the log to an empty folder'
    ) from error


def _make_empty_folder(folder: pathlib.Path) -> None:
  with _writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
      raise UserError(
          f'{folder} is not empty: name a new folder for the log, or empty it'
      )


def _write_gzip(path: pathlib.Path, value: np.ndarray | set[np.int64]) -> None:
  # No name and no time in the header: the same log is the same bytes.
  with open(path, 'wb') as raw:
    with gzip.GzipFile(
        filename='', mode='wb', compresslevel=_COMPRESSION_LEVEL, fileobj=raw,
        mtime=0,
    ) as file:
      if isinstance(value, np.ndarray):
        np.save(file, value, allow_pickle=False)
      else:
        pickle.dump(value, file)
    raw.flush()
    os.fsync(raw.fileno())


def _write_together(
    values: dict[pathlib.Path, np.ndarray | set[np.int64]],
) -> None:
  """Writes files such that none is ever seen in part."""
  temporary = {path: path.with_name(f'.{path.name}.tmp') for path in values}
  try:
    for path, value in values.items():
      with _writing(path):
        _write_gzip(temporary[path], value)
    for path in values:
      with _writing(path):
        os.replace(temporary[path], path)
  finally:
    for path in temporary.values():
      with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


class ReplayLogWriter:
  """Logs transitions to replay_logs, as a context manager.

  Keeps one ring in memory (7 GB for a million frames of 84 x 84, as Dopamine
  does) and writes checkpoint N each time that all slots but the last have
  been written anew.

  Attributes:
    add_count: slots written so far, padding included.
    checkpoints: files' numbers used so far.
  """

  def __init__(
      self,
      folder: str | os.PathLike[str],
      capacity: int = 1_000_000,
      update_horizon: int = 1,
      frame_shape: tuple[int, ...] = (84, 84),
      stack_size: int = replay_logs.STACK_SIZE,
      dump_padded_boundaries: bool = True,
      episode_ends: bool = True,
  ):
    """Makes the folder.

    Args:
      folder: where the files go: new or empty.
      capacity: slots in the ring.
      update_horizon: n, noted in `invalid_range`.
      frame_shape: of one frame.
      stack_size: frames in a state; one less are added before each episode.
      dump_padded_boundaries: whether to write a checkpoint that falls due
        within padding. Dopamine does not, and loses that ring.
      episode_ends: whether to write episode_end_indices, as newer Dopamine
        does; without them a time limit cannot be told from going on.

    Raises:
      UserError: the folder is not empty or cannot be made, or the capacity is
        too small for one transition.
    """
    if capacity < update_horizon + stack_size:
      raise UserError(
          f'a log of capacity {capacity} holds no transition: make it at least '
          f'{update_horizon + stack_size}'
      )
    self._folder = pathlib.Path(folder)
    _make_empty_folder(self._folder)
    self.add_count = 0
    self.checkpoints = 0
    self._capacity = capacity
    self._update_horizon = update_horizon
    self._stack_size = stack_size
    self._dump_padded_boundaries = dump_padded_boundaries
    self._with_ends = episode_ends
    shapes: dict[str, tuple[int, ...]] = {replay_logs.NAMES[0]: frame_shape}
    self._store = {
        name: np.zeros((capacity, *shapes.get(name, ())), dtype)
        for name, dtype in list(replay_logs.DTYPES.items())[:4]
    }
    self._zero_frame = np.zeros(frame_shape, np.uint8)
    # numpy integers: the pickle of a set of them is Dopamine's, byte for byte.
    self._ends: set[np.int64] = set()
    self._starts_episode = True
    self._has_news = False
    self._is_closed = False

  def add(
      self,
      observation: np.ndarray,
      action: int,
      reward: float,
      is_terminal: bool,
      episode_end: bool | None = None,
  ) -> None:
    """Adds one transition, and padding before the first of an episode.

    Args:
      observation: [*frame_shape] uint8, the newest frame alone.
      action: taken at it.
      reward: what came of it, clipped if the log is to be as the public ones.
      is_terminal: whether the action ended the episode.
      episode_end: whether the next transition begins an episode; a terminal
        always does, a time limit does too.

    Raises:
      UserError: the frame does not fit, or a file could not be written.
    """
    if self._is_closed:
      raise ValueError('the log is closed')
    frame = np.asarray(observation)
    if (frame.shape, frame.dtype) != (self._zero_frame.shape, np.uint8):
      raise UserError(
          f'a frame of the log is {frame.dtype}{list(frame.shape)}: give uint8'
          f'{list(self._zero_frame.shape)}'
      )
    if self._starts_episode:
      for _ in range(self._stack_size - 1):
        self._put(self._zero_frame, 0, 0.0, False, False)
        if self._dump_padded_boundaries:
          self._dump_if_due()
    self._starts_episode = bool(is_terminal or episode_end)
    self._put(frame, action, reward, is_terminal, self._starts_episode)
    self._dump_if_due()

  def close(self) -> None:
    """Writes what no checkpoint holds yet, as the partial file of the end.

    Its add_count is the cursor, as Dopamine's; its slots from the cursor on
    are those of the ring before. Nothing is written if there is nothing new.

    Raises:
      UserError: a file could not be written.
    """
    if self._has_news and not self._is_closed:
      self._dump(self._cursor)
    self._is_closed = True

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  @property
  def _cursor(self) -> int:
    return self.add_count % self._capacity

  def _put(
      self, frame: np.ndarray, action: int, reward: float, is_terminal: bool,
      is_end: bool,
  ) -> None:
    slot = self._cursor
    row = (frame, action, reward, is_terminal)
    for array, value in zip(self._store.values(), row, strict=True):
      array[slot] = value
    note = self._ends.add if is_end else self._ends.discard
    note(np.int64(slot))
    self.add_count += 1
    self._has_news = True

  def _dump_if_due(self) -> None:
    if self._cursor == self._capacity - 1:
      self._dump(self.add_count)

  def _dump(self, add_count: int) -> None:
    around = np.arange(self._stack_size + self._update_horizon)
    values: dict[str, Any] = {
        **self._store,
        'add_count': np.array(add_count, '<i8'),
        'invalid_range': (
            (self._cursor - self._update_horizon + around) % self._capacity
        ).astype('<i8'),
    }
    if self._with_ends:
      values[replay_logs.EPISODE_ENDS] = self._ends
    # A log that could not be written must not look as if it went on.
    self._is_closed = True
    _write_together({
        replay_logs.array_path(self._folder, name, self.checkpoints): value
        for name, value in values.items()
    })
    self._is_closed = False
    self.checkpoints += 1
    self._has_news = False
