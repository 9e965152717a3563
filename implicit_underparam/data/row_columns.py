"""What is known of each row but its frame, as one file and as columns."""

import pathlib
from collections.abc import Iterator

import numpy as np

from implicit_underparam.data import horizons, npy_files

ROW = np.dtype([
    ('reward', '<f4'),
    ('action', 'u1'),
    ('terminal', 'u1'),
    ('start', 'u1'),
    ('allowed', 'u1'),
])
_CHUNK = 1 << 20
_BYTE = np.dtype('u1')


def write(
    folder: pathlib.Path, rows: np.ndarray, max_horizon: int, stack_size: int
) -> tuple[dict[str, int], dict[str, int]]:
  """Writes actions, rewards, terminals, valid and segments.npy.

  Args:
    folder: where to.
    rows: ROW [N], may be memory-mapped; read a million at a time.
    max_horizon: how many rows of zeros follow in all but segments.npy, and
      the cap of valid.
    stack_size: frames in a state.

  Returns:
    Counts (rows, valid, terminals, segments), and the files' CRC-32.
  """
  counts = {'rows': len(rows), 'valid': 0, 'terminals': 0, 'segments': 0}
  columns = {
      'actions.npy': (_BYTE, _field(rows, 'action')),
      'rewards.npy': (_reward_dtype(rows), _field(rows, 'reward')),
      'terminals.npy': (
          _BYTE,
          _counted(_field(rows, 'terminal'), counts, 'terminals'),
      ),
      'valid.npy': (
          _BYTE,
          _counted(_valid(rows, max_horizon, stack_size), counts, 'valid'),
      ),
  }
  checksums = {
      name: npy_files.write(
          folder / name, dtype, len(rows) + max_horizon,
          _padded(chunks, max_horizon),
      )
      for name, (dtype, chunks) in columns.items()
  }
  starts = [
      np.flatnonzero(x) + i * _CHUNK
      for i, x in enumerate(_field(rows, 'start'))
  ]
  segments = np.concatenate([np.zeros(0, np.int64), *starts])
  counts['segments'] = len(segments)
  checksums['segments.npy'] = npy_files.write(
      folder / 'segments.npy', np.dtype('<i8'), len(segments), [segments]
  )
  return counts, checksums


def _field(rows: np.ndarray, name: str) -> Iterator[np.ndarray]:
  for first in range(0, len(rows), _CHUNK):
    yield rows[name][first : first + _CHUNK]


def _padded(chunks: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
  yield from chunks
  yield np.zeros(count, np.uint8)


def _counted(
    chunks: Iterator[np.ndarray], counts: dict[str, int], name: str
) -> Iterator[np.ndarray]:
  for chunk in chunks:
    counts[name] += int(np.count_nonzero(chunk))
    yield chunk


def _reward_dtype(rows: np.ndarray) -> np.dtype:
  whole = all(
      bool(np.all((x == np.rint(x)) & (np.abs(x) <= 127)))
      for x in _field(rows, 'reward')
  )
  return np.dtype('i1') if whole else np.dtype('<f4')


def _valid(
    rows: np.ndarray, max_horizon: int, stack_size: int
) -> Iterator[np.ndarray]:
  return horizons.in_chunks(
      rows['terminal'],
      rows['start'],
      rows['allowed'],
      max_horizon,
      stack_size,
  )
