"""What a run measures, as rows of metrics.csv and as TensorBoard scalars."""

import contextlib
import operator
import os
import pathlib
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from implicit_underparam.errors import UserError
from implicit_underparam.run_folder import writing

COLUMNS = ('seed', 'iteration', 'gradient_steps', 'environment_steps')


class _AppendedFile:
  """A file that grows by whole blocks, one system call each."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._pending: list[bytes] = []
    with writing(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      self._file = open(path, 'ab', buffering=0)

  def add(self, block: bytes) -> None:
    self._pending.append(block)

  def flush(self) -> None:
    # Forgotten first: after a failed write nothing may be written twice.
    rest, self._pending = memoryview(b''.join(self._pending)), []
    with writing(self._path):
      while rest:
        rest = rest[self._file.write(rest):]

  def close(self) -> None:
    try:
      self.flush()
    finally:
      self._file.close()


class _EventFile(_AppendedFile):
  """TensorBoard events of one seed: one event per row, all values in it.

  tensorboardX's own writer hands events to a thread; when the disk is full
  that thread dies and the queue before it blocks for ever. Its protocol
  buffers and its checksum are used here, without the thread.
  """

  def __init__(self, folder: pathlib.Path, purge_step: int):
    with _without_torch():
      from tensorboardX.proto import event_pb2, summary_pb2
      from tensorboardX.record_writer import masked_crc32c

    self._event = event_pb2.Event
    self._summary = summary_pb2.Summary
    self._checksum = masked_crc32c
    # TensorBoard reads the files of a folder in the order of their names.
    now = time.time_ns()
    name = f'events.out.tfevents.{now // 10**9:010d}.{socket.gethostname()}'
    super().__init__(folder / f'{name}.{now % 10**9:09d}')
    self._add_event(file_version='brain.Event:2')
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._add_event(step=purge_step, session_log=start)

  def add_scalars(self, step: int, scalars: Mapping[str, int | float]) -> None:
    values = [
        self._summary.Value(tag=name, simple_value=value)
        for name, value in scalars.items()
    ]
    self._add_event(step=step, summary=self._summary(value=values))

  def _add_event(self, **fields: Any) -> None:
    event = self._event(wall_time=time.time(), **fields).SerializeToString()
    length = struct.pack('<Q', len(event))
    self.add(length + struct.pack('<I', self._checksum(length)))
    self.add(event + struct.pack('<I', self._checksum(event)))


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
  """Spares a run the 3 s of a torch that tensorboardX can do without."""
  if 'torch' in sys.modules:
    yield
    return
  # What Python takes for a module that is not installed.
  sys.modules['torch'] = None  # type: ignore[assignment]
  try:
    yield
  finally:
    del sys.modules['torch']


def _number(name: str, value: Any) -> int | float:
  """Makes a Python number of a metric, exactly."""
  array = np.asarray(value)
  if array.ndim or array.dtype.kind in 'OSUcmM':
    raise UserError(
        f'metric {name} is {array.dtype}{list(array.shape)} where one number '
        'is needed: reduce it to a scalar'
    )
  return int(array) if array.dtype.kind in 'biu' else float(array)


def _check_names(names: Sequence[str]) -> None:
  for name in names:
    if not name or name in COLUMNS or set(name) & set(',"\r\n'):
      raise UserError(f'{name!r} cannot name a metric: rename it')


def _differing(expected: Sequence[str], found: Sequence[str]) -> str:
  """Says which names are missing and which are new; '' if they are the same."""
  missing = [name for name in expected if name not in found]
  new = [name for name in found if name not in expected]
  parts = [('without', missing), ('with', new)]
  return ' and '.join(f'{word} {", ".join(n)}' for word, n in parts if n)


def _read_header(path: pathlib.Path, line: bytes) -> tuple[str, ...]:
  names = tuple(line.decode('utf-8', 'replace').rstrip('\n').split(','))
  if names[:len(COLUMNS)] != COLUMNS:
    raise UserError(
        f'{path} begins with {",".join(names[:4])!r} and not with '
        f'{",".join(COLUMNS)!r}: it is of no run; name another --base_dir'
    )
  return names[len(COLUMNS):]


def _read_iteration(path: pathlib.Path, number: int, line: bytes) -> int:
  try:
    return int(line.split(b',', 2)[1])
  except (ValueError, IndexError) as error:
    raise UserError(
        f'line {number} of {path} is not a row of a run: take the line out'
    ) from error


def _find_resumption(
    path: pathlib.Path, resume_at: int, first_checkpoint: int | None
) -> tuple[int, tuple[str, ...] | None]:
  """Finds how much of metrics.csv stays.

  Args:
    path: an existing metrics.csv; its last line may be cut short.
    resume_at: the first iteration whose rows do not stay.
    first_checkpoint: an iteration that no row reaches before a checkpoint.

  Returns:
    The length in bytes of what stays, and the metrics the header names (None
    where nothing stays).
  """
  offset, names, previous, kept = 0, None, -1, -1
  with open(path, 'rb') as file:
    for number, line in enumerate(file, 1):
      if not line.endswith(b'\n'):
        break
      if number == 1:
        names = _read_header(path, line)
        offset += len(line)
        continue
      iteration = _read_iteration(path, number, line)
      if iteration < previous:
        raise UserError(
            f'line {number} of {path} goes back from iteration {previous} to '
            f'{iteration}: restore the file, or name another --base_dir'
        )
      previous = iteration
      if iteration < resume_at:
        offset, kept = offset + len(line), iteration
  if kept != resume_at - 1:
    raise UserError(
        f'{path} ends at iteration {kept} but the checkpoint is of iteration '
        f'{resume_at}: restore the rows between, or name another --base_dir'
    )
  if not resume_at and first_checkpoint and previous >= first_checkpoint:
    raise UserError(
        f'{path} has rows up to iteration {previous} but there is no '
        'checkpoint to go on from: restore checkpoints/, or name another '
        '--base_dir'
    )
  return (offset, names) if resume_at else (0, None)


def _prepare(
    path: pathlib.Path, resume_at: int, first_checkpoint: int | None
) -> tuple[str, ...] | None:
  """Drops the rows that will be written again; returns the metrics named."""
  if not path.exists():
    if resume_at:
      raise UserError(
          f'{path} is missing though the run goes on at iteration {resume_at}: '
          'put it back, or name another --base_dir'
      )
    return None
  with writing(path):
    length, names = _find_resumption(path, resume_at, first_checkpoint)
    # One system call: a kill leaves the whole file or the shortened one.
    os.truncate(path, length)
  return names


class MetricWriter:
  """Appends rows to DIR/metrics.csv and the same numbers to DIR/tensorboard.

  A run that is stopped anywhere and resumed leaves the metrics.csv that the
  uninterrupted run leaves, byte for byte.
  """

  def __init__(
      self,
      directory: str | os.PathLike[str],
      resume_at: int = 0,
      tensorboard: bool = True,
      first_checkpoint: int | None = None,
  ):
    """Opens the files; rows of iterations from `resume_at` on are dropped.

    Args:
      directory: the folder of the run, DIR.
      resume_at: the first iteration that will be written now.
      tensorboard: whether to write DIR/tensorboard/seed_<k> too.
      first_checkpoint: if `resume_at` is 0, rows that reach this iteration
        are a sign that the checkpoints were lost, and are not dropped.

    Raises:
      UserError: metrics.csv is missing, damaged or cannot be written.
    """
    self._directory = pathlib.Path(directory)
    self._resume_at = resume_at
    self._tensorboard = tensorboard
    path = self._directory / 'metrics.csv'
    self._names = _prepare(path, resume_at, first_checkpoint)
    self._csv = _AppendedFile(path)
    self._events: dict[int, _EventFile] = {}

  def write_row(
      self,
      seed: int,
      iteration: int,
      gradient_steps: int,
      environment_steps: int,
      metrics: Mapping[str, Any],
  ) -> None:
    """Takes one row; it is on disk after the next `flush`.

    Args:
      seed: the seed of the run.
      iteration: counted from 0; never less than that of the row before.
      gradient_steps: taken so far.
      environment_steps: taken so far, in agent steps.
      metrics: {name: one number}; the first row fixes names and order.

    Raises:
      UserError: the names differ from those of the first row, or a value is
        not one number.
    """
    counts = tuple(
        operator.index(count)
        for count in (seed, iteration, gradient_steps, environment_steps)
    )
    names = self._names_for(metrics)
    numbers = {name: _number(name, metrics[name]) for name in names}
    row = map(repr, (*counts, *numbers.values()))
    self._csv.add((','.join(row) + '\n').encode())
    if self._tensorboard:
      self._event_file(counts[0]).add_scalars(counts[1], numbers)

  def flush(self) -> None:
    """Hands all rows to the operating system: a kill cannot take them back.

    Raises:
      UserError: a file could not be written.
    """
    for file in (self._csv, *self._events.values()):
      file.flush()

  def close(self) -> None:
    """Flushes and closes all files.

    Raises:
      UserError: a file could not be written.
    """
    for file in (self._csv, *self._events.values()):
      file.close()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()

  def _names_for(self, metrics: Mapping[str, Any]) -> tuple[str, ...]:
    if self._names is None:
      _check_names(tuple(metrics))
      self._names = tuple(metrics)
      self._csv.add((','.join((*COLUMNS, *metrics)) + '\n').encode())
    difference = _differing(self._names, tuple(metrics))
    if difference:
      raise UserError(
          f'this row comes {difference}, unlike the header of '
          f'{self._directory / "metrics.csv"}: measure the same in every row, '
          'or name another --base_dir'
      )
    return self._names

  def _event_file(self, seed: int) -> _EventFile:
    if seed not in self._events:
      folder = self._directory / 'tensorboard' / f'seed_{seed}'
      self._events[seed] = _EventFile(folder, self._resume_at)
    return self._events[seed]
