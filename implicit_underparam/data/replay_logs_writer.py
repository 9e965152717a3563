"""Writes replay_logs as Dopamine's logger does, without a ring in memory."""

import io
import os
import pathlib
import pickle
from collections.abc import Callable
from concurrent import futures
from typing import Any, Self

import numpy as np

from implicit_underparam.data import (
    replay_log_folder,
    replay_log_state,
    replay_logs,
)
from implicit_underparam.data.replay_log_files import COLUMNS, ReplayLogFiles
from implicit_underparam.data.replay_log_state import LogOptions, LogState
from implicit_underparam.errors import UserError

_BLOCK_ROWS = 256  # Some 2 MB of frames, compressed in 20 ms.


def _npy(array: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  np.save(buffer, array, allow_pickle=False)
  return buffer.getvalue()


class ReplayLogWriter:
  """Logs transitions to replay_logs, as a context manager.

  Writes checkpoint N each time that all slots of a ring but the last have been
  written anew. Rows are compressed as they come, by a thread of its own, some
  at a time; a few megabytes are in memory. What could not be written is
  therefore told by one of the calls that follow.

  A process that is to go on after a kill keeps what `suspend` returns with
  the rest of its state, and gives it to `resume`.

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
        within padding. Dopamine does not, and loses that ring; such a log
        cannot be suspended.
      episode_ends: whether to write episode_end_indices, as newer Dopamine
        does; without them a time limit cannot be told from going on.

    Raises:
      UserError: the folder is not empty or cannot be made, or the capacity is
        too small for one transition.
    """
    options = LogOptions(
        capacity, update_horizon, tuple(frame_shape), stack_size,
        dump_padded_boundaries, episode_ends,
    )
    options.check()
    replay_log_folder.make_empty(pathlib.Path(folder))
    self._begin(pathlib.Path(folder), options, None)

  @classmethod
  def resume(
      cls, folder: str | os.PathLike[str], state: bytes | None, **options: Any
  ) -> Self:
    """Goes on where a log was suspended; what came after that is undone.

    What is then written is what the log that was suspended would have
    written had it gone on, byte for byte. Every state of a log can be gone on
    with, not the last alone.

    Args:
      folder: of the log.
      state: as `suspend` returned it; None to begin anew, for a process that
        was killed before it kept one: whatever is there of the log is removed.
      **options: as the log was begun with.

    Raises:
      UserError: a file is missing or altered, the state cannot be read or has
        other options, or the folder cannot be changed.
    """
    given = LogOptions(**options)
    given.check()
    folder = pathlib.Path(folder)
    found = LogState()
    if state is not None:
      found = replay_log_state.decode(state, given)
    replay_log_folder.take_back(folder, found.progress)
    if state is None:
      replay_log_folder.make_empty(folder)
    writer = cls.__new__(cls)
    writer._begin(folder, given, found)
    return writer

  def _begin(
      self, folder: pathlib.Path, options: LogOptions, state: LogState | None
  ) -> None:
    self._options = options
    self._files = ReplayLogFiles(
        folder, options.capacity, options.frame_shape,
        state.progress if state else None,
    )
    state = state or LogState()
    self.add_count = self._handed_over = state.progress.add_count
    self.checkpoints = state.progress.number
    self._zero_frame = np.zeros(options.frame_shape, np.uint8)
    # One block is filled while the other is compressed.
    self._block, self._other_block = self._new_block(), self._new_block()
    # numpy integers: the pickle of a set of them is Dopamine's, byte for byte.
    self._ends: set[np.int64] = set(state.ends)
    self._starts_episode = state.starts_episode
    self._has_news = state.has_news
    self._is_closed = False
    # An interrupt comes to the main thread: it cannot leave half a row.
    self._thread = futures.ThreadPoolExecutor(1, 'replay_log')
    self._job: futures.Future[Any] = self._thread.submit(int)

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
    self._check_open()
    frame = np.asarray(observation)
    if (frame.shape, frame.dtype) != (self._zero_frame.shape, np.uint8):
      raise UserError(
          f'a frame of the log is {frame.dtype}{list(frame.shape)}: give uint8'
          f'{list(self._zero_frame.shape)}'
      )
    if self._starts_episode:
      for _ in range(self._options.stack_size - 1):
        self._put(self._zero_frame, 0, 0.0, False, False)
        if self._options.dump_padded_boundaries:
          self._dump_if_due()
    self._starts_episode = bool(is_terminal or episode_end)
    self._put(frame, action, reward, is_terminal, self._starts_episode)
    self._dump_if_due()

  def suspend(self) -> bytes:
    """Makes all that was added durable; the log goes on as if nothing was.

    Returns:
      What `resume` takes: some kilobytes.

    Raises:
      UserError: a file could not be written.
    """
    self._check_open()
    if not self._options.dump_padded_boundaries:
      raise ValueError('a log that leaves out rings cannot be suspended')
    ends = np.array(sorted(self._ends), np.int64)
    # Its order, and so its pickle, is then that of a log that was resumed.
    self._ends = set(ends)
    self._hand_over()
    self._do(self._files.suspend)
    state = LogState(self._wait(), ends, self._starts_episode, self._has_news)
    return replay_log_state.encode(state, self._options)

  def close(self) -> None:
    """Writes what no checkpoint holds yet, as the partial file of the end.

    Its add_count is the cursor, as Dopamine's; its slots from the cursor on
    are those of the ring before. Nothing is written if there is nothing new.

    Raises:
      UserError: a file could not be written.
    """
    if self._is_closed:
      return
    if self._has_news:
      self._dump(self._cursor)
    self._is_closed = True
    self._wait()
    self._thread.shutdown()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  @property
  def _cursor(self) -> int:
    return self.add_count % self._options.capacity

  def _check_open(self) -> None:
    if self._is_closed:
      raise ValueError('the log is closed')

  def _new_block(self) -> dict[str, np.ndarray]:
    shapes = {COLUMNS[0]: self._options.frame_shape}
    return {
        name: np.zeros(
            (_BLOCK_ROWS, *shapes.get(name, ())), replay_logs.DTYPES[name]
        )
        for name in COLUMNS
    }

  def _put(
      self, frame: np.ndarray, action: int, reward: float, is_terminal: bool,
      is_end: bool,
  ) -> None:
    if self.add_count - self._handed_over == _BLOCK_ROWS:
      self._hand_over()
    place = self.add_count - self._handed_over
    row = (frame, action, reward, is_terminal)
    for array, value in zip(self._block.values(), row, strict=True):
      array[place] = value
    note = self._ends.add if is_end else self._ends.discard
    note(np.int64(self._cursor))
    self.add_count += 1
    self._has_news = True

  def _dump_if_due(self) -> None:
    if self._cursor == self._options.capacity - 1:
      self._dump(self.add_count)

  def _dump(self, add_count: int) -> None:
    horizon = self._options.update_horizon
    around = self._cursor - horizon + np.arange(
        self._options.stack_size + horizon
    )
    small = {
        'add_count': _npy(np.array(add_count, '<i8')),
        'invalid_range': _npy((around % self._options.capacity).astype('<i8')),
    }
    if self._options.episode_ends:
      small[replay_logs.EPISODE_ENDS] = pickle.dumps(self._ends)
    self._hand_over()
    self._do(self._files.complete, small)
    self.checkpoints += 1
    self._has_news = False

  def _hand_over(self) -> None:
    count = self.add_count - self._handed_over
    if count:
      rows = {name: array[:count] for name, array in self._block.items()}
      self._do(self._files.append, rows)
      self._block, self._other_block = self._other_block, self._block
      self._handed_over = self.add_count

  def _do(self, work: Callable[..., Any], *arguments: Any) -> None:
    """Begins work on the files, once what was begun before is done."""
    self._wait()
    self._job = self._thread.submit(work, *arguments)

  def _wait(self) -> Any:
    try:
      return self._job.result()
    except Exception:
      # A log that could not be written must not look as if it went on.
      self._is_closed = True
      self._thread.shutdown()
      self._files.discard()
      raise
