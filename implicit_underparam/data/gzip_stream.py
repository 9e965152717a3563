"""Inflates one gzip file piece by piece, and says what is wrong with it."""

import pathlib
import zlib
from typing import Any, BinaryIO

from implicit_underparam.errors import UserError

_GZIP = 16 + zlib.MAX_WBITS  # zlib checks the gzip header, CRC and length.
# The fastest pair for frames; the rest of an input block is copied each time
# that the output block is full, so the input must not be much larger.
_INPUT_BYTES = 1 << 15
OUTPUT_BYTES = 1 << 18


class DamagedFile(UserError):
  """A file of a log is missing or cannot be what it should be.

  Attributes:
    path: the file, as text.
    kind: 'missing', 'truncated', 'corrupt', 'not gzip', 'not npy',
      'wrong dtype' or 'wrong shape'.
  """

  def __init__(self, path: Any, kind: str, reason: str):
    super().__init__(
        f'{path} {reason}: fetch or write this file again, or leave its '
        'checkpoint out'
    )
    self.path = str(path)
    self.kind = kind


def as_path(path: Any) -> Any:
  """Makes a pathlib.Path of text; path objects, remote ones too, stay."""
  return pathlib.Path(path) if isinstance(path, str) else path


def open_file(path: Any) -> BinaryIO:
  """Opens a file for reading.

  Args:
    path: an object with `open('rb')`.

  Raises:
    DamagedFile: there is no such file.
    UserError: it cannot be opened.
  """
  try:
    return path.open('rb')
  except FileNotFoundError as error:
    raise DamagedFile(path, 'missing', 'is missing') from error
  except OSError as error:
    raise UserError(
        f'{path} cannot be opened: {error.strerror or error}; make it readable'
    ) from error


class Inflater:
  """The decompressed bytes of one gzip stream, front to back."""

  def __init__(self, path: Any, file: BinaryIO):
    self._path = path
    self._file = file
    self._zlib = zlib.decompressobj(_GZIP)
    self._pending = self._read()
    if len(self._pending) < 2:
      raise DamagedFile(path, 'truncated', 'is empty')
    if self._pending[:2] != b'\x1f\x8b':
      raise DamagedFile(path, 'not gzip', 'is no gzip file')

  def take(self, limit: int) -> bytes:
    """Returns 1 to `limit` bytes; none only at the (checked) end."""
    while not self._zlib.eof:
      self._pending = self._pending or self._read()
      if not self._pending:
        raise DamagedFile(self._path, 'truncated', 'is cut short')
      try:
        piece = self._zlib.decompress(self._pending, limit)
      except zlib.error as error:
        raise DamagedFile(
            self._path, 'corrupt', f'is corrupt ({error})'
        ) from error
      self._pending = self._zlib.unconsumed_tail
      if piece:
        return piece
    return b''

  def fill(self, view: memoryview) -> None:
    """Fills all of `view`, in bytes."""
    position = 0
    while position < len(view):
      piece = self.take(min(len(view) - position, OUTPUT_BYTES))
      if not piece:
        raise DamagedFile(
            self._path, 'truncated', 'holds less data than its header says'
        )
      view[position:position + len(piece)] = piece
      position += len(piece)

  def finish(self) -> None:
    """Checks that the stream ends here and that its CRC-32 is right."""
    if self.take(1) or self._zlib.unused_data or self._read():
      raise DamagedFile(
          self._path, 'corrupt', 'goes on where its array should end'
      )

  def _read(self) -> bytes:
    try:
      return self._file.read(_INPUT_BYTES)
    except OSError as error:
      raise UserError(
          f'{self._path} cannot be read: {error.strerror or error}; try again'
      ) from error
