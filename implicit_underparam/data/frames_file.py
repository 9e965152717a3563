"""frames.npy while it grows: appended to, corrected, and its CRC-32 known."""

import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from implicit_underparam.data import npy_files
from implicit_underparam.errors import UserError

_BYTE = np.dtype('u1')


class FramesFile:
  """An array uint8 [rows, *frame_shape] in a .npy file, written as it comes.

  OSErrors are the caller's to catch.

  Attributes:
    rows: frames appended.
    crc: CRC-32 of their bytes.
  """

  def __init__(
      self, path: pathlib.Path, frame_shape: Sequence[int], rows: int, crc: int
  ):
    """Opens the file after its first `rows` frames, dropping what follows.

    Args:
      path: made if there are to be no rows.
      frame_shape: of one frame.
      rows: frames that are there.
      crc: CRC-32 of their bytes.

    Raises:
      UserError: the file has less.
    """
    self._shape = tuple(frame_shape)
    self._frame_bytes = int(np.prod(self._shape, dtype=np.int64))
    self._offset = len(npy_files.header(_BYTE, (0, *self._shape)))
    self.rows, self.crc = rows, crc
    self._file = open_at(path, self._position(rows), must_exist=rows > 0)

  def append(self, frames: np.ndarray) -> None:
    """Appends uint8 [k, *frame_shape]."""
    data = np.ascontiguousarray(frames).reshape(-1).data
    self._file.write(data)
    self.crc = zlib.crc32(data, self.crc)
    self.rows += len(frames)

  def replace(self, row: int, frames: np.ndarray) -> None:
    """Puts uint8 [k, *frame_shape] in the place of rows from `row` on."""
    new = np.ascontiguousarray(frames).reshape(-1)
    self._file.seek(self._position(row))
    old = np.frombuffer(self._file.read(len(new)), np.uint8)
    self._file.seek(self._position(row))
    self._file.write(new.data)
    self._file.seek(self._position(self.rows))
    after = (self.rows - row - len(frames)) * self._frame_bytes
    self.crc = npy_files.change_crc32(self.crc, (old ^ new).tobytes(), after)

  def rollback(self, rows: int, crc: int) -> None:
    """Drops the frames after the first `rows`, whose CRC-32 is `crc`."""
    self.rows, self.crc = rows, crc
    self._file.seek(self._position(rows))
    self._file.truncate()

  def sync(self) -> None:
    """Makes what was written durable."""
    self._file.flush()
    os.fsync(self._file.fileno())

  def complete(self, tail: int) -> int:
    """Appends so many zero frames and writes the header.

    Returns:
      The CRC-32 of the whole file.
    """
    self.append(np.zeros((tail, *self._shape), np.uint8))
    head = npy_files.header(_BYTE, (self.rows, *self._shape))
    self._file.seek(0)
    self._file.write(head)
    self.sync()
    size = self.rows * self._frame_bytes
    return npy_files.combine_crc32(zlib.crc32(head), self.crc, size)

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

  def _position(self, row: int) -> int:
    return self._offset + row * self._frame_bytes


def open_at(path: pathlib.Path, size: int, must_exist: bool) -> BinaryIO:
  """Opens a file to append after `size` bytes, dropping what follows.

  Args:
    path: the file.
    size: bytes that stay.
    must_exist: whether they have to be there already.

  Raises:
    UserError: they are not.
  """
  found = path.stat().st_size if path.exists() else 0
  if must_exist and found < size:
    raise UserError(
        f'{path} holds {found} bytes where {size} were written: remove '
        f'{path.parent} and start again'
    )
  file = open(path, 'r+b' if path.exists() else 'w+b')
  file.truncate(size)
  file.seek(size)
  return file
