"""Reads replay_logs: the DQN Replay data, and what Dopamine's buffer saves.

A checkpoint N is one gzipped array a file, NAME_ckpt.N.gz: a ring of
`capacity` slots and where its cursor stands. A slot holds one frame, the
action taken at it, the reward and whether that action ended the episode;
`stack_size - 1` slots of zeros precede each episode.
"""

import gzip
import io
import pickle
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicit_underparam.data.gz_arrays import (
    GzArrayReader,
    Shape,
    read_array,
)
from implicit_underparam.data.gzip_stream import (
    DamagedFile,
    as_path,
    open_file,
)
from implicit_underparam.data.replay_checkpoints import (
    STACK_SIZE,
    Checkpoint,
    Sample,
    chronological_slots,
    continues,
    sample,
    valid_indices,
)
from implicit_underparam.errors import UserError

__all__ = (
    'DTYPES', 'EPISODE_ENDS', 'NAMES', 'STACK_SIZE', 'Checkpoint',
    'DamagedFile', 'GzArrayReader', 'Sample', 'array_path',
    'chronological_slots', 'continues', 'open_array', 'read_array',
    'read_checkpoint', 'sample', 'suffixes', 'valid_indices',
)

# What every checkpoint has, by the name of its file.
DTYPES: dict[str, np.dtype[Any]] = {
    '$store$_observation': np.dtype('u1'),
    '$store$_action': np.dtype('<i4'),
    '$store$_reward': np.dtype('<f4'),
    '$store$_terminal': np.dtype('u1'),
    'add_count': np.dtype('<i8'),
    'invalid_range': np.dtype('<i8'),
}
NAMES = tuple(DTYPES)
EPISODE_ENDS = 'episode_end_indices'  # Of newer Dopamine only; a pickled set.

_NO_PICKLE = (
    pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError,
    KeyError, OverflowError, TypeError, ValueError,
)
_FILE = re.compile(r'(.+)_ckpt\.(0|[1-9]\d*)\.gz')


def array_path(folder: Any, name: str, suffix: int) -> Any:
  """Names the file of one array of one checkpoint.

  Args:
    folder: text or a path object, remote ones too.
    name: one of NAMES, or EPISODE_ENDS.
    suffix: the number of the checkpoint; 0 is one like any other.

  Returns:
    A path object.
  """
  return as_path(folder) / f'{name}_ckpt.{suffix}.gz'


def suffixes(folder: Any) -> tuple[int, ...]:
  """Lists the checkpoints of a log, in the order of their numbers.

  Args:
    folder: text or a path object, remote ones too.

  Returns:
    The numbers for which at least one file is there; none may be.

  Raises:
    UserError: the folder is missing or cannot be listed.
  """
  try:
    names = [path.name for path in as_path(folder).iterdir()]
  except OSError as error:
    raise UserError(
        f'{folder} cannot be listed: {error.strerror or error}; name the '
        'folder that holds the *_ckpt.*.gz files'
    ) from error
  found = [match for name in names if (match := _FILE.fullmatch(name))]
  return tuple(sorted({int(match[2]) for match in found if match[1] in NAMES}))


def open_array(
    folder: Any, name: str, suffix: int, shape: Shape
) -> GzArrayReader:
  """Opens one array of one checkpoint for streaming.

  Args:
    folder: text or a path object, remote ones too.
    name: one of NAMES.
    suffix: the number of the checkpoint.
    shape: what the shape must be; None allows any size.

  Returns:
    A reader, to be closed.

  Raises:
    DamagedFile: the file is not what it should be.
    UserError: the file cannot be opened.
  """
  return GzArrayReader(array_path(folder, name, suffix), DTYPES[name], shape)


def read_checkpoint(
    folder: Any,
    suffix: int,
    frame_shape: Sequence[int] = (84, 84),
    observations: bool = True,
) -> Checkpoint:
  """Reads one checkpoint and checks that its parts fit together.

  Args:
    folder: text or a path object, remote ones too.
    suffix: the number of the checkpoint.
    frame_shape: of one frame.
    observations: whether to read the frames, which are nearly all of it.

  Raises:
    DamagedFile: a file is missing, damaged, or does not fit the others.
    UserError: a file cannot be read.
  """
  def read(name: str, *shape: int | None) -> np.ndarray:
    path = array_path(folder, name, suffix)
    return read_array(path, DTYPES[name], shape)

  action = read('$store$_action', None)
  capacity = len(action)
  add_count = int(read('add_count'))
  invalid_range = read('invalid_range', None)
  fits = len(invalid_range) > 1 and _are_slots(invalid_range, capacity)
  for name, right in (('add_count', add_count >= 0), ('invalid_range', fits)):
    if not right or not capacity:
      raise DamagedFile(
          array_path(folder, name, suffix), 'corrupt',
          f'cannot be of a log with {capacity} slots'
      )
  return Checkpoint(
      observation=(
          read('$store$_observation', capacity, *frame_shape)
          if observations else None
      ),
      action=action,
      reward=read('$store$_reward', capacity),
      terminal=read('$store$_terminal', capacity),
      add_count=add_count,
      invalid_range=invalid_range,
      episode_end_indices=_read_episode_ends(folder, suffix, capacity),
  )


def _are_slots(values: np.ndarray, capacity: int) -> bool:
  return bool(np.all((values >= 0) & (values < capacity)))


class _SlotUnpickler(pickle.Unpickler):
  """Makes nothing but sets of integers: a pickle may not run a program."""

  def find_class(self, module: str, name: str) -> Any:
    allowed = {
        ('builtins', 'set'),
        ('numpy', 'dtype'),
        ('numpy.core.multiarray', 'scalar'),
        ('numpy._core.multiarray', 'scalar'),
    }
    if (module, name) not in allowed:
      raise pickle.UnpicklingError(f'{module}.{name} is not allowed')
    return super().find_class(module, name)


def _read_episode_ends(
    folder: Any, suffix: int, capacity: int
) -> np.ndarray | None:
  path = array_path(folder, EPISODE_ENDS, suffix)
  try:
    raw = open_file(path)
  except DamagedFile:
    return None  # The public logs have none: all their ends are terminal.
  try:
    with raw, gzip.GzipFile(fileobj=raw) as file:
      data = file.read()
  except EOFError as error:
    raise DamagedFile(path, 'truncated', 'is cut short') from error
  except (OSError, zlib.error) as error:
    raise DamagedFile(path, 'corrupt', f'is corrupt ({error})') from error
  try:
    ends = [int(slot) for slot in _SlotUnpickler(io.BytesIO(data)).load()]
  except _NO_PICKLE as error:
    raise DamagedFile(path, 'corrupt', 'holds no set of slots') from error
  slots = np.array(sorted(ends), np.int64)
  if not _are_slots(slots, capacity):
    raise DamagedFile(
        path, 'corrupt', f'cannot be of a log with {capacity} slots'
    )
  return slots
