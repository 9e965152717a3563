"""Reads one gzipped .npy file row by row, and tells what is wrong with it."""

import io
import os
import tokenize
import warnings
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from implicit_underparam.data.gzip_stream import (
    OUTPUT_BYTES,
    DamagedFile,
    Inflater,
    as_path,
    open_file,
)

Shape = tuple[int | EllipsisType | None, ...]

_CHUNK_BYTES = 1 << 24
_HEADER_BYTES = 1 << 14
_HEADER_READERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


class GzArrayReader:
  """Streams the rows of a gzipped .npy file, as a context manager.

  Only what is asked for is decompressed, besides what lies before it. When
  the last row has been read, the CRC-32 of the whole file has been checked.

  Attributes:
    path: the file.
    dtype: of its elements.
    shape: of the whole array, rows first.
    position: rows read or skipped so far.
  """

  def __init__(self, path: Any, dtype: npt.DTypeLike, shape: Shape):
    """Opens the file and checks its header, and its length where it can.

    Args:
      path: text, or an object with `open('rb')` such as an epath.Path.
      dtype: what the elements must be.
      shape: what the shape must be; None allows any size.

    Raises:
      DamagedFile: the file is missing, is no gzipped .npy file, holds another
        dtype or shape, or a trailer that does not fit the header.
      UserError: the file cannot be opened or read.
    """
    self.path = as_path(path)
    self.dtype = np.dtype(dtype)
    self.position = 0
    self._file = open_file(self.path)
    try:
      self._inflater = Inflater(self.path, self._file)
      self.shape, header_bytes = self._read_header(shape)
      self._check_trailer(header_bytes + self._row_bytes * self.rows)
    except BaseException:
      self._file.close()
      raise

  @property
  def rows(self) -> int:
    """Size of the first axis; 1 where there is none."""
    return self.shape[0] if self.shape else 1

  def read(self, count: int | None = None) -> np.ndarray:
    """Reads the next rows.

    Args:
      count: how many at most; None means all that are left.

    Returns:
      A new array [<= count, ...]; [] (0-d) where the file's array is.

    Raises:
      DamagedFile: the data is truncated or corrupt.
    """
    count = self._clip(count)
    out = np.empty((count, *self.shape[1:]), self.dtype)
    if out.nbytes:
      self._inflater.fill(out.reshape(-1).view(np.uint8).data)
    self._advance(count)
    return out if self.shape else out.reshape(())

  def skip(self, count: int) -> None:
    """Passes over rows, in constant memory.

    Args:
      count: how many at most.

    Raises:
      DamagedFile: the data is truncated or corrupt.
    """
    count = self._clip(count)
    left = count * self._row_bytes
    scratch = memoryview(bytearray(min(left, OUTPUT_BYTES)))
    while left:
      self._inflater.fill(scratch[:left])
      left -= len(scratch[:left])
    self._advance(count)

  def chunks(
      self, count: int | None = None, rows: int | None = None
  ) -> Iterator[np.ndarray]:
    """Reads the next rows in pieces.

    Args:
      count: how many rows in all; None means all that are left.
      rows: rows a piece; None means about 16 MB.

    Yields:
      New arrays [<= rows, ...].

    Raises:
      DamagedFile: the data is truncated or corrupt.
    """
    end = self.position + self._clip(count)
    rows = rows or max(1, _CHUNK_BYTES // max(1, self._row_bytes))
    while self.position < end:
      yield self.read(min(rows, end - self.position))

  def close(self) -> None:
    """Closes the file; nothing more can be read."""
    self._file.close()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  @property
  def _row_bytes(self) -> int:
    return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

  def _clip(self, count: int | None) -> int:
    left = self.rows - self.position
    return left if count is None else min(max(count, 0), left)

  def _advance(self, count: int) -> None:
    self.position += count
    if count and self.position == self.rows:
      self._inflater.finish()

  def _take_exactly(self, count: int) -> bytes:
    data = bytearray(count)
    self._inflater.fill(memoryview(data))
    return bytes(data)

  def _read_header(self, expected: Shape) -> tuple[tuple[int, ...], int]:
    """Returns the shape of the array and the length of the .npy header."""
    try:
      magic = self._take_exactly(8)
      version = np.lib.format.read_magic(io.BytesIO(magic))
      width, parse = _HEADER_READERS[version]
      size = self._take_exactly(width)
      text = self._take_exactly(_header_length(size))
      with warnings.catch_warnings():
        # Headers of Python 2 ('10L') are read well, with a warning.
        warnings.simplefilter('ignore', UserWarning)
        shape, fortran, dtype = parse(io.BytesIO(size + text))
    except (ValueError, KeyError, tokenize.TokenError) as error:
      raise DamagedFile(self.path, 'not npy', 'holds no .npy array') from error
    if dtype != self.dtype:
      raise DamagedFile(
          self.path, 'wrong dtype', f'holds {dtype} where {self.dtype} belongs'
      )
    if not _fits(shape, expected) or (fortran and len(shape) > 1):
      raise DamagedFile(
          self.path, 'wrong shape',
          f'holds an array {_words(shape, fortran)} where '
          f'{_words(expected, False)} belongs'
      )
    return shape, len(magic) + len(size) + len(text)

  def _check_trailer(self, expected: int) -> None:
    """Compares the gzip trailer's length (modulo 2^32) with the header's."""
    if not self._file.seekable():
      return
    here = self._file.tell()
    self._file.seek(-4, os.SEEK_END)
    length = int.from_bytes(self._file.read(4), 'little')
    self._file.seek(here)
    if length != expected % 2**32:
      raise DamagedFile(
          self.path, 'truncated',
          'does not end as its header says, it is cut short or altered'
      )


def _header_length(size: bytes) -> int:
  length = int.from_bytes(size, 'little')
  if length > _HEADER_BYTES:
    raise ValueError(f'{length} bytes are too long for a header')
  return length


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
  if expected and expected[-1] is ...:
    known = len(expected) - 1
    return len(shape) >= known and _fits(shape[:known], expected[:-1])
  return len(shape) == len(expected) and all(
      want in (None, size) for size, want in zip(shape, expected, strict=True)
  )


def _words(shape: Shape, fortran: bool) -> str:
  words: dict[Any, str] = {None: 'any', ...: '...'}
  sizes = ', '.join(str(words.get(size, size)) for size in shape)
  return f'[{sizes}]' + (' in column order' if fortran else '')


def read_array(path: Any, dtype: npt.DTypeLike, shape: Shape) -> np.ndarray:
  """Reads a whole gzipped .npy file and checks its CRC-32.

  Args:
    path: text, or an object with `open('rb')`.
    dtype: what the elements must be.
    shape: what the shape must be; None allows any size.

  Returns:
    The array.

  Raises:
    DamagedFile: as GzArrayReader.
    UserError: the file cannot be opened or read.
  """
  with GzArrayReader(path, dtype, shape) as reader:
    return reader.read()
