"""Writes a prepared set so that a kill at any moment loses little."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from implicit_underparam import run_folder
from implicit_underparam.data import frames_file, horizons, row_columns
from implicit_underparam.errors import UserError

VERSION = 1
FILES = (
    'frames.npy',
    'actions.npy',
    'rewards.npy',
    'terminals.npy',
    'valid.npy',
    'segments.npy',
)
# Until the end, what is known of each row but its frame stands here.
_ROWS = 'rows.part'
_PROGRESS = 'progress.json'


class FrameStoreWriter:
  """Appends rows to a prepared set and, in the end, completes it.

  What was appended up to the last `commit` survives a kill; a new writer of
  the same folder goes on from there, and the files become the same to the
  byte. Frames are written as they come; nothing but a buffer is in memory.

  Attributes:
    path: the folder.
    rows: how many rows are durable.
    position: what the last commit was given; None in a new folder.
  """

  def __init__(
      self,
      out: str | os.PathLike[str],
      fingerprint: Mapping[str, Any],
      frame_shape: Sequence[int] = (84, 84),
      max_horizon: int = 20,
      stack_size: int = horizons.STACK_SIZE,
  ):
    """Makes the folder, or goes on with an unfinished one, and locks it.

    Args:
      out: the folder.
      fingerprint: JSON values that say what the rows come from and how they
        are chosen; a folder is gone on with only if they are the same.
      frame_shape: of one frame.
      max_horizon: the largest n that `valid` can tell, 1 to 255.
      stack_size: frames in a state.

    Raises:
      UserError: the folder is complete, in use, made with other settings,
        damaged, or cannot be written.
    """
    if not 1 <= max_horizon <= 255:
      raise UserError(f'max_horizon = {max_horizon}: give 1 to 255')
    self.path = pathlib.Path(out)
    self.rows = 0
    self.position: Any = None
    self._shape = tuple(int(size) for size in frame_shape)
    self._max_horizon = max_horizon
    self._stack_size = stack_size
    self._fingerprint = json.loads(
        json.dumps({
            **fingerprint,
            'frame_shape': self._shape,
            'max_horizon': max_horizon,
            'stack_size': stack_size,
        })
    )
    self._crc = 0
    self._refuse_complete()
    self._folder = run_folder.RunFolder(self.path, flag='--out')
    self._folder.__enter__()
    try:
      self._refuse_complete()
      self._resume()
      self._open_files()
    except BaseException:
      self._folder.__exit__()
      raise

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  def close(self) -> None:
    """Gives the folder free; rows after the last commit are lost."""
    self._frames.close()
    self._rows_file.close()
    self._folder.__exit__()

  def append(
      self,
      frames: np.ndarray,
      actions: np.ndarray,
      rewards: np.ndarray,
      terminals: np.ndarray,
      starts: np.ndarray,
      allowed: np.ndarray,
  ) -> None:
    """Appends k rows.

    Args:
      frames: uint8 [k, *frame_shape].
      actions: integers [k] within 0..255.
      rewards: numbers [k].
      terminals: bool [k]; the action ended the episode (no time limit).
      starts: bool [k]; a new segment begins at this row.
      allowed: bool [k]; may start a transition as far as the source knows;
        padding and what the store finds by itself need no False here.

    Raises:
      UserError: the folder cannot be written.
    """
    count = len(frames)
    if frames.shape[1:] != self._shape or frames.dtype != np.uint8:
      raise ValueError(f'{frames.dtype} {frames.shape} are no {self._shape}')
    rows = np.zeros(count, row_columns.ROW)
    columns = (rewards, actions, terminals, starts, allowed)
    names = ('reward', 'action', 'terminal', 'start', 'allowed')
    for name, column in zip(names, columns, strict=True):
      if np.shape(column) != (count,):
        raise ValueError(f'{name}s {np.shape(column)} for {count} frames')
      rows[name] = column
    if count and not self._frames.rows:
      rows['start'][0] = 1
    with run_folder.writing(self.path):
      self._frames.append(frames)
      self._rows_file.write(rows.tobytes())

  def replace(self, row: int, frames: np.ndarray) -> None:
    """Puts frames in the place of ones that were appended, not committed.

    For a source that tells a frame later than those which follow it.

    Args:
      row: the first, counted from the beginning of the set.
      frames: uint8 [k, *frame_shape].

    Raises:
      UserError: the folder cannot be written.
    """
    if not self.rows <= row <= row + len(frames) <= self._frames.rows:
      raise ValueError(f'rows from {row} on are not there or are committed')
    with run_folder.writing(self.path):
      self._frames.replace(row, frames)

  def rollback(self) -> None:
    """Drops the rows that were appended after the last commit."""
    with run_folder.writing(self.path):
      self._frames.rollback(self.rows, self._crc)
      self._rows_file.seek(self.rows * row_columns.ROW.itemsize)
      self._rows_file.truncate()

  def commit(self, position: Any) -> None:
    """Makes what was appended durable.

    Args:
      position: a JSON value that says where in the source the next row is.

    Raises:
      UserError: the folder cannot be written.
    """
    with run_folder.writing(self.path):
      self._frames.sync()
      self._rows_file.flush()
      os.fsync(self._rows_file.fileno())
    self.rows, self._crc = self._frames.rows, self._frames.crc
    self.position = position
    self._write_progress()

  def finish(self, meta: Mapping[str, Any]) -> None:
    """Writes the rest of the files, meta.json last, and gives the folder free.

    Args:
      meta: JSON values; version, stack_size, frame_shape, max_horizon, counts
        and checksums are added.

    Raises:
      UserError: the folder cannot be written; the same command goes on.
    """
    if self._frames.rows != self.rows:
      raise ValueError('rows were appended after the last commit')
    with run_folder.writing(self.path):
      frames_crc = self._frames.complete(self._max_horizon)
      counts, checksums = row_columns.write(
          self.path, self._recorded(), self._max_horizon, self._stack_size
      )
    checksums = {'frames.npy': frames_crc, **checksums}
    record = {
        'version': VERSION,
        **meta,
        'stack_size': self._stack_size,
        'frame_shape': list(self._shape),
        'max_horizon': self._max_horizon,
        'counts': counts,
        'checksums': {name: f'{crc:08x}' for name, crc in checksums.items()},
    }
    text = json.dumps(record, indent=2) + '\n'
    run_folder.write_atomically(self.path / 'meta.json', text)
    _remove_leftovers(self.path)
    self.close()

  def _refuse_complete(self) -> None:
    if (self.path / 'meta.json').exists():
      raise UserError(
          f'--out {self.path} holds a complete set: name another --out, or '
          'remove it'
      )

  def _resume(self) -> None:
    progress = self._read_progress()
    if progress is None:
      self._write_progress()
    else:
      self.rows, self._crc = progress['rows'], progress['crc']
      self.position = progress['position']

  def _open_files(self) -> None:
    with run_folder.writing(self.path):
      self._frames = frames_file.FramesFile(
          self.path / 'frames.npy', self._shape, self.rows, self._crc
      )
      self._rows_file = frames_file.open_at(
          self.path / _ROWS,
          self.rows * row_columns.ROW.itemsize,
          must_exist=self.rows > 0,
      )

  def _read_progress(self) -> dict[str, Any] | None:
    path = self.path / _PROGRESS
    try:
      progress = json.loads(path.read_text(encoding='utf-8'))
      before = progress['fingerprint']
    except FileNotFoundError:
      self._refuse_foreign()
      return None
    except (OSError, ValueError, TypeError, KeyError) as error:
      raise UserError(
          f'{path} cannot be read ({error}): remove {self.path} and start again'
      ) from error
    for name in [*self._fingerprint, *before]:
      old, new = before.get(name), self._fingerprint.get(name)
      if old != new:
        raise UserError(
            f'--out {self.path} was begun with {name} = {_short(old)}, and it '
            f'is {_short(new)} now: give the old value, or name another --out'
        )
    return progress

  def _refuse_foreign(self) -> None:
    for name in (*FILES, _ROWS):
      if (self.path / name).exists():
        raise UserError(
            f'--out {self.path} holds {name}, which no prepare command left '
            'unfinished: name another --out'
        )

  def _write_progress(self) -> None:
    progress = {
        'fingerprint': self._fingerprint,
        'rows': self.rows,
        'crc': self._crc,
        'position': self.position,
    }
    run_folder.write_atomically(self.path / _PROGRESS, json.dumps(progress))

  def _recorded(self) -> np.ndarray:
    if not self.rows:
      return np.zeros(0, row_columns.ROW)
    path = self.path / _ROWS
    return np.memmap(path, row_columns.ROW, 'r', shape=(self.rows,))


def _remove_leftovers(path: pathlib.Path) -> None:
  for name in (_ROWS, _PROGRESS, '.lock'):
    (path / name).unlink(missing_ok=True)


def _short(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 60 else f'{text[:57]}...'
