"""Arrays written to .npy files piece by piece, with their CRC-32."""

import io
import os
import pathlib
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

# The polynomial of CRC-32 as zlib stores it: the lowest power is the top bit.
_CRC_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X_TO_THE_8 = 1 << 23
_CHUNK = 1 << 24


def header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
  """The bytes before the data of a .npy file.

  Its length is the same for every number of rows, so that it can be written
  again when that number is known.

  Args:
    dtype: of the elements.
    shape: of the array, rows first.

  Returns:
    Magic, version and description, format 1.0.
  """
  stream = io.BytesIO()
  description: dict[str, Any] = {
      'descr': np.lib.format.dtype_to_descr(dtype),
      'fortran_order': False,
      'shape': shape,
  }
  np.lib.format.write_array_header_1_0(stream, description)
  return stream.getvalue()


def _multiply(a: int, b: int) -> int:
  """The product of two polynomials over GF(2), modulo CRC-32's."""
  product = 0
  for bit in range(31, -1, -1):
    if a >> bit & 1:
      product ^= b
    b = b >> 1 ^ (_CRC_POLYNOMIAL if b & 1 else 0)
  return product


def combine_crc32(first: int, second: int, length: int) -> int:
  """The CRC-32 of A + B from those of A and of B.

  Appending n bytes multiplies A's remainder by x^(8n) modulo the polynomial.

  Args:
    first: CRC-32 of A.
    second: CRC-32 of B.
    length: of B, in bytes.

  Returns:
    CRC-32 of A followed by B.
  """
  return _shift(first, length) ^ second


def change_crc32(total: int, change: bytes, length: int) -> int:
  """The CRC-32 of a file of which some bytes were changed.

  CRC-32 is affine: the changed bits alone, and where they are, say how it
  changes.

  Args:
    total: CRC-32 of the file as it was.
    change: old bytes XOR new bytes of the changed part.
    length: of what follows that part, in bytes.

  Returns:
    CRC-32 of the file as it is.
  """
  linear = zlib.crc32(change) ^ zlib.crc32(bytes(len(change)))
  return total ^ _shift(linear, length)


def _shift(remainder: int, length: int) -> int:
  """Multiplies by x^(8 length) modulo the polynomial."""
  power, square = _ONE, _X_TO_THE_8
  while length:
    if length & 1:
      power = _multiply(power, square)
    square = _multiply(square, square)
    length >>= 1
  return _multiply(remainder, power)


def crc32(path: pathlib.Path) -> int:
  """The CRC-32 of a file's bytes, read in chunks of 16 MiB."""
  total = 0
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK):
      total = zlib.crc32(chunk, total)
  return total


def write(
    path: pathlib.Path,
    dtype: np.dtype,
    rows: int,
    chunks: Iterable[np.ndarray],
) -> int:
  """Writes a column that need not fit in memory, durably.

  Args:
    path: the file, replaced if there.
    dtype: of the elements; the chunks are cast to it.
    rows: of all chunks together.
    chunks: arrays [k], one after another.

  Returns:
    The CRC-32 of the file.
  """
  with open(path, 'wb') as file:
    data = header(dtype, (rows,))
    total = zlib.crc32(data)
    file.write(data)
    for chunk in chunks:
      data = chunk.astype(dtype).tobytes()
      total = zlib.crc32(data, total)
      file.write(data)
    file.flush()
    os.fsync(file.fileno())
  return total
