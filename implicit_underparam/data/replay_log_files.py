"""The files of a replay log while they grow, one ring after the other.

In the order of its slots a full checkpoint holds this ring's rows up to the
last but one slot, and in the last slot the row of the ring before. So each
column is a stream with one row kept back, and no ring is in memory.
"""

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from implicit_underparam.data import replay_logs
from implicit_underparam.data.gzip_writer import GzipWriter
from implicit_underparam.data.replay_log_state import Progress
from implicit_underparam.errors import UserError

COLUMNS = replay_logs.NAMES[:4]


class ReplayLogFiles:
  """Takes rows in blocks and makes checkpoints of them.

  Files that grow have hidden names, and get their own when a checkpoint is
  complete.
  """

  def __init__(
      self,
      folder: pathlib.Path,
      capacity: int,
      frame_shape: tuple[int, ...],
      progress: Progress | None = None,
  ):
    """Opens the files that are not complete, if there are any.

    Args:
      folder: is there.
      capacity: slots in the ring.
      frame_shape: of one frame.
      progress: where to go on, in a folder that was taken back to it.

    Raises:
      UserError: a file cannot be opened.
    """
    shapes: dict[str, tuple[int, ...]] = {COLUMNS[0]: frame_shape}
    self._zeros = {
        name: np.zeros(shapes.get(name, ()), replay_logs.DTYPES[name])
        for name in COLUMNS
    }
    # What was suspended will be gone on with: its files then stay.
    self._is_resumable = progress is not None
    progress = progress or Progress()
    self._folder = folder
    self._capacity = capacity
    self._add_count = progress.add_count
    self._number = progress.number
    self._kept = progress.kept or {
        name: zero.tobytes() for name, zero in self._zeros.items()
    }
    self._sizes = list(progress.sizes)
    self._before: dict[str, pathlib.Path] = {}
    if self._number:
      self._before = self._paths(COLUMNS, self._number - 1)
    self._streams: dict[str, GzipWriter] = {}
    for name, position in progress.positions.items():
      with self._writing(name):
        path = temporary_path(folder, name, self._number)
        self._streams[name] = GzipWriter(path, position)

  def append(self, rows: Mapping[str, np.ndarray]) -> None:
    """Adds rows, in the order of time.

    Args:
      rows: column -> [M, ...], of the columns' dtypes.

    Raises:
      UserError: a file could not be written.
    """
    count, done = len(rows[COLUMNS[1]]), 0
    while done < count:
      slot = self._add_count % self._capacity
      if slot == self._capacity - 1:
        end = done + 1
        self._kept = {name: x[done].tobytes() for name, x in rows.items()}
      else:
        if not slot:
          self._begin_ring()
        end = min(count, done + self._capacity - 1 - slot)
        for name, x in rows.items():
          with self._writing(name):
            self._streams[name].write(x[done:end])
      self._add_count += end - done
      done = end

  def complete(self, small: Mapping[str, bytes]) -> None:
    """Makes a checkpoint of the ring as it is now.

    Slots that this ring did not reach hold the rows of the ring before, as
    Dopamine's do: they are copied from its files.

    Args:
      small: name -> what else the checkpoint holds.

    Raises:
      UserError: a file could not be written, or one of the ring before is
        damaged.
    """
    rows = self._add_count % self._capacity
    if not self._streams or not rows:
      self._begin_ring()
      rows = 0
    self._fill_up(rows)
    for name, data in small.items():
      with self._writing(name):
        path = temporary_path(self._folder, name, self._number)
        self._streams[name] = GzipWriter(path)
        self._streams[name].write(data)
    for name, stream in self._streams.items():
      with self._writing(name):
        stream.finish()
    self._publish()

  def suspend(self) -> Progress:
    """Makes all rows durable, and tells what it takes to go on with them.

    Raises:
      UserError: a file could not be written.
    """
    self._is_resumable = True
    positions = {}
    for name, stream in self._streams.items():
      with self._writing(name):
        positions[name] = stream.flush()
    with self._writing(COLUMNS[0]):
      _sync(self._folder)
    return Progress(
        add_count=self._add_count,
        number=self._number,
        kept=self._kept,
        positions=positions,
        sizes=list(self._sizes),
    )

  def discard(self) -> None:
    """Gives up after a failure; only what can be gone on with stays."""
    for stream in self._streams.values():
      with contextlib.suppress(OSError):
        stream.close()
    if self._is_resumable:
      return
    with contextlib.suppress(OSError):
      for name, stream in self._streams.items():
        stream.path.unlink(missing_ok=True)
        path = replay_logs.array_path(self._folder, name, self._number)
        path.unlink(missing_ok=True)
      self._remove_lost_ring()

  def _publish(self) -> None:
    """Gives the files their names, and turns to the next checkpoint."""
    paths = self._paths(tuple(self._streams), self._number)
    sizes = []
    for name, path in paths.items():
      with self._writing(name):
        os.replace(self._streams[name].path, path)
        sizes.append(path.stat().st_size)
    self._remove_lost_ring()
    self._sizes.append(sizes)
    self._before = {name: paths[name] for name in COLUMNS}
    self._streams = {}
    self._number += 1

  def _begin_ring(self) -> None:
    if self._streams:
      self._set_lost_ring_aside()
    for name, zero in self._zeros.items():
      with self._writing(name):
        path = temporary_path(self._folder, name, self._number)
        self._streams[name] = GzipWriter(path)
        self._streams[name].write(
            _npy_header((self._capacity, *zero.shape), zero.dtype)
        )

  def _set_lost_ring_aside(self) -> None:
    """Keeps a ring that got no checkpoint until it is overwritten."""
    for name, stream in self._streams.items():
      with self._writing(name):
        stream.write(self._kept[name])
        stream.finish()
        self._before[name] = self._lost_path(name)
        os.replace(stream.path, self._before[name])

  def _remove_lost_ring(self) -> None:
    for name in COLUMNS:
      with self._writing(name):
        self._lost_path(name).unlink(missing_ok=True)

  def _fill_up(self, slot: int) -> None:
    """Writes the slots from one on as the ring before left them."""
    left = self._capacity - 1 - slot
    for name, stream in self._streams.items():
      with self._writing(name):
        if name not in self._before:
          stream.write_zeros(left * self._zeros[name].nbytes)
        elif left:
          for rows in self._rows_before(name, slot):
            stream.write(rows)
        stream.write(self._kept[name])

  def _rows_before(self, name: str, slot: int) -> Iterator[np.ndarray]:
    """The rows from a slot to the last but one, of the ring before."""
    zero = self._zeros[name]
    shape = (self._capacity, *zero.shape)
    path = self._before[name]
    with replay_logs.GzArrayReader(path, zero.dtype, shape) as reader:
      reader.skip(slot)
      yield from reader.chunks(self._capacity - 1 - slot)
      reader.skip(1)  # To the checksum.

  def _paths(
      self, names: tuple[str, ...], number: int
  ) -> dict[str, pathlib.Path]:
    return {
        name: replay_logs.array_path(self._folder, name, number)
        for name in names
    }

  def _lost_path(self, name: str) -> pathlib.Path:
    path = temporary_path(self._folder, name, self._number)
    return path.with_suffix('.lost')

  @contextlib.contextmanager
  def _writing(self, name: str) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      path = replay_logs.array_path(self._folder, name, self._number)
      how = (
          'start the same command again' if self._is_resumable
          else 'write the log to an empty folder'
      )
      raise UserError(
          f'{path} could not be written: {error.strerror or error}; put this '
          f'right and {how}'
      ) from error


def temporary_path(
    folder: pathlib.Path, name: str, number: int
) -> pathlib.Path:
  """Where a file of a checkpoint grows."""
  path: pathlib.Path = replay_logs.array_path(folder, name, number)
  return path.with_name(f'.{path.name}.tmp')


def _npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
  buffer = io.BytesIO()
  np.lib.format.write_array_header_1_0(buffer, {
      'descr': np.lib.format.dtype_to_descr(dtype),
      'fortran_order': False,
      'shape': shape,
  })
  return buffer.getvalue()


def _sync(folder: pathlib.Path) -> None:
  """Makes the names in a folder durable."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
