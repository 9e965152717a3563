"""One pass over the frames of a log: the planned rows into a prepared set."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from implicit_underparam.data import log_scan, plans, replay_logs
from implicit_underparam.data.frame_store import FrameStoreWriter

# About what stays in a core's cache on the way from inflating to the disk.
_CHUNK_BYTES = 1 << 21


class Options(NamedTuple):
  """How the pass is made.

  Fields:
    verify_all: decompress every file to its end, where its CRC-32 is.
    skip_damaged: leave out a checkpoint whose frames prove damaged.
    progress: is told of bytes that were decompressed.
  """

  verify_all: bool = False
  skip_damaged: bool = False
  progress: Callable[[int], None] = lambda count: None


def copy(
    log: log_scan.Log,
    plan: plans.Plan,
    writer: FrameStoreWriter,
    options: Options,
) -> dict[str, Any]:
  """Copies what the writer does not have yet, with a commit a checkpoint.

  Args:
    log: where from.
    plan: what; of the same log.
    writer: where to; its position is a result of this function, or None.
    options: see there.

  Returns:
    {'checkpoints': how many were done, 'rows': of each, 'skipped': as
    Log.skipped, those found in this pass}.

  Raises:
    DamagedFile: frames are damaged, and skip_damaged is False.
    UserError: something cannot be read or written.
  """
  done: dict[str, Any] = writer.position or {
      'checkpoints': 0, 'rows': [], 'skipped': [],
  }
  for j in range(done['checkpoints'], len(log.entries)):
    lost = [skip['suffix'] for skip in done['skipped']]
    goes_on = j > 0 and log.entries[j - 1].suffix not in lost
    rows, skipped = 0, list(done['skipped'])
    try:
      rows = _copy_checkpoint(log, plan, j, goes_on, writer, options)
    except replay_logs.DamagedFile as error:
      if not options.skip_damaged:
        raise
      writer.rollback()
      suffix = log.entries[j].suffix
      skipped.append({'suffix': suffix, 'reason': log_scan.reason(error)})
    done = {
        'checkpoints': j + 1,
        'rows': [*done['rows'], rows],
        'skipped': skipped,
    }
    writer.commit(done)
  return done


def bytes_to_read(
    log: log_scan.Log, plan: plans.Plan, first: int, verify_all: bool
) -> int:
  """Bytes of frames that a pass from checkpoint `first` on decompresses."""
  frame_bytes = int(np.prod(log.frame_shape, dtype=np.int64))
  rows = 0
  for j in range(first, len(log.entries)):
    slots = _slots(log.stream, plan, j)[1]
    end = int(slots.max(initial=-1)) + 1
    rows += log.stream.capacity if verify_all else end
  return rows * frame_bytes


def _slots(
    stream: plans.Stream, plan: plans.Plan, j: int
) -> tuple[np.ndarray, np.ndarray, int]:
  """The taken rows of a checkpoint, their slots, and how many come late.

  Rows are in the order in which they were written. The first of them may
  stand in the last slots of the ring, and so at the end of the file.
  """
  first, last = stream.offsets[j], stream.offsets[j + 1]
  rows = np.flatnonzero(plan.take[first:last])
  positions = stream.first_slots[j] + rows
  late = int(np.count_nonzero(positions < stream.capacity))
  if stream.first_slots[j] + last - first <= stream.capacity:
    late = 0
  return rows + first, positions % stream.capacity, late


def _copy_checkpoint(
    log: log_scan.Log,
    plan: plans.Plan,
    j: int,
    goes_on: bool,
    writer: FrameStoreWriter,
    options: Options,
) -> int:
  rows, slots, late = _slots(log.stream, plan, j)
  suffix = log.entries[j].suffix
  if not len(rows) and not options.verify_all:
    return 0
  checkpoint = replay_logs.read_checkpoint(
      log.folder, suffix, observations=False
  )
  starts = plan.starts[rows]
  if not goes_on:
    starts[:1] = True
  columns = {
      'actions': checkpoint.action[slots],
      'rewards': checkpoint.reward[slots],
      'terminals': checkpoint.terminal[slots],
      'starts': starts,
      'allowed': plan.allowed[rows],
  }
  sink = _Sink(writer, columns, late)
  order = np.concatenate([slots[late:], slots[:late]])
  with replay_logs.open_array(
      log.folder,
      log_scan.OBSERVATION,
      suffix,
      (checkpoint.capacity, *log.frame_shape),
  ) as reader:
    sink.reserve(log.frame_shape)
    for frames in _selected(reader, order, options):
      sink.put(frames)
  return len(rows)


def _selected(
    reader: replay_logs.GzArrayReader, order: np.ndarray, options: Options
) -> Iterator[np.ndarray]:
  """Yields the frames of increasing slots, some at a time."""
  frame_bytes = int(np.prod(reader.shape[1:], dtype=np.int64))
  size = max(1, _CHUNK_BYTES // max(1, frame_bytes))
  end = int(order.max(initial=-1)) + 1
  if options.verify_all:
    end = reader.rows
  done = 0
  while reader.position < end:
    first = reader.position
    wanted = int(order[done]) if done < len(order) else end
    if wanted - first >= size:
      reader.skip(min(wanted - first, 8 * size))
    else:
      frames = reader.read(min(size, end - first))
      stop = int(np.searchsorted(order, reader.position))
      if stop - done == len(frames):
        yield frames
      elif stop > done:
        yield frames[order[done:stop] - first]
      done = stop
    options.progress((reader.position - first) * frame_bytes)


class _Sink:
  """Puts frames of a checkpoint, in the order of its slots, into a set.

  Those which were written first and stand last in the file have rows of zeros
  reserved, which are replaced when they come.
  """

  def __init__(
      self,
      writer: FrameStoreWriter,
      columns: dict[str, np.ndarray],
      late: int,
  ):
    self._writer = writer
    self._columns = columns
    self._first_row = writer.rows
    self._late = late
    self._rows = len(columns['actions'])
    self._next = late

  def reserve(self, frame_shape: tuple[int, ...]) -> None:
    size = max(1, _CHUNK_BYTES // int(np.prod(frame_shape, dtype=np.int64)))
    for first in range(0, self._late, size):
      count = min(size, self._late - first)
      self._append(first, np.zeros((count, *frame_shape), np.uint8))

  def put(self, frames: np.ndarray) -> None:
    room = max(0, self._rows - self._next)
    if room:
      self._append(self._next, frames[:room])
    rest = frames[room:]
    if len(rest):
      row = self._first_row + self._next + room - self._rows
      self._writer.replace(row, rest)
    self._next += len(frames)

  def _append(self, first: int, frames: np.ndarray) -> None:
    rows = slice(first, first + len(frames))
    self._writer.append(
        frames, **{name: x[rows] for name, x in self._columns.items()}
    )
