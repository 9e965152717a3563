"""Writes one gzip file piece by piece; another process can go on with it."""

import os
import pathlib
import zlib
from typing import Any, NamedTuple

# Level 9, gzip's default, takes 4 to 7 times as long for 8 to 19% less.
_LEVEL = 6
# No name and no time: the same data is the same bytes.
_HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
_RAW = -zlib.MAX_WBITS
_ZEROS = bytes(1 << 20)


class Position(NamedTuple):
  """How far a file has come; what it takes to go on with it.

  Fields:
    size: bytes of the file.
    length: bytes that they hold.
    crc: CRC-32 of what they hold.
  """

  size: int
  length: int
  crc: int


class GzipWriter:
  """A gzip file of one member, however often it was flushed or gone on with.

  A flush ends a deflate block such that no later one refers to what lies
  before it (RFC 1951; zlib's full flush). CRC-32 and length, which the end of
  the file needs, are in the position. A file that was cut at a position and
  gone on with is a plain gzip file, that all readers read.
  """

  def __init__(self, path: pathlib.Path, position: Position | None = None):
    """Makes the file, or cuts it at a position to go on from there.

    Args:
      path: of the file.
      position: as `flush` returned it; None for a new file.

    Raises:
      OSError: the system's.
    """
    self.path = path
    self._deflate = _deflater()
    # Unbuffered: a writer that was dropped must not write any more.
    if position is None:
      self._file = open(path, 'wb', buffering=0)
      self.length = self._crc = 0
      self._put(_HEADER)
    else:
      self._file = open(path, 'r+b', buffering=0)
      self._file.truncate(position.size)
      self._file.seek(position.size)
      self.length, self._crc = position.length, position.crc

  def write(self, data: Any) -> None:
    """Appends bytes, or the bytes of an array in C order."""
    self._crc = zlib.crc32(data, self._crc)
    self.length += memoryview(data).nbytes
    self._put(self._deflate.compress(data))

  def write_zeros(self, count: int) -> None:
    """Appends bytes of zero, gigabytes of them in seconds."""
    self._cut()
    deflate = _deflater()
    block = deflate.compress(_ZEROS) + deflate.flush(zlib.Z_FULL_FLUSH)
    for _ in range(count // len(_ZEROS)):
      self._crc = zlib.crc32(_ZEROS, self._crc)
      self.length += len(_ZEROS)
      self._put(block)
    self.write(_ZEROS[:count % len(_ZEROS)])

  def flush(self) -> Position:
    """Makes all that was written durable, and tells how far that is."""
    self._cut()
    os.fsync(self._file.fileno())
    return Position(self._file.tell(), self.length, self._crc)

  def finish(self) -> None:
    """Ends the file, makes it durable and closes it."""
    self._put(self._deflate.flush())
    for number in (self._crc, self.length):
      self._put((number % 2**32).to_bytes(4, 'little'))
    os.fsync(self._file.fileno())
    self._file.close()

  def close(self) -> None:
    """Closes the file as it is."""
    self._file.close()

  def _cut(self) -> None:
    self._put(self._deflate.flush(zlib.Z_FULL_FLUSH))
    # As a process does that goes on from here: so the bytes are the same.
    self._deflate = _deflater()

  def _put(self, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
      rest = rest[self._file.write(rest):]


def _deflater() -> Any:
  return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)


def reaches(path: pathlib.Path, position: Position) -> bool:
  """Whether a file begins with what it held at a position.

  Args:
    path: of the file, which is read and inflated at once.
    position: as `GzipWriter.flush` returned it.

  Raises:
    OSError: the system's.
  """
  with open(path, 'rb') as file:
    data = file.read(position.size)
  if len(data) < position.size or not data.startswith(_HEADER):
    return False
  try:
    held = zlib.decompressobj(_RAW).decompress(data[len(_HEADER):])
  except zlib.error:
    return False
  return (len(held), zlib.crc32(held)) == position[1:]
