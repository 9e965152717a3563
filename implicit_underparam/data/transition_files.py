"""Transitions of continuous control in HDF5 files, laid out as D4RL's.

| key | what |
|---|---|
| observations | float32 [N, ...] |
| actions | float32 [N, k], as the environment takes them |
| rewards | float32 [N] |
| next_observations | float32 [N, ...], also where an episode ended |
| terminals | bool [N], the action ended the episode |
| timeouts | bool [N], the episode was cut |
"""

import importlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from implicit_underparam.errors import UserError

COLUMNS = (
    'observations', 'actions', 'rewards', 'next_observations', 'terminals',
    'timeouts',
)  # fmt: skip
_NEEDED = COLUMNS[:5]
_VECTORS = ('observations', 'actions', 'next_observations')
_FLAGS = ('terminals', 'timeouts')
_PART = re.compile(r'part_(\d{5})\.hdf5')


def h5py() -> Any:
  """The module, which comes with the extra `mujoco`.

  Raises:
    UserError: it is not installed.
  """
  try:
    return importlib.import_module('h5py')
  except ImportError as error:
    raise UserError(
        'HDF5 files need h5py: pip install "implicit_underparam[mujoco]"'
    ) from error


def part(folder: pathlib.Path, number: int) -> pathlib.Path:
  """The file of a log's number-th part."""
  return folder / f'part_{number:05d}.hdf5'


def parts(folder: pathlib.Path) -> list[pathlib.Path]:
  """The parts of a log that are there, in order."""
  return sorted(x for x in folder.glob('*.hdf5') if _PART.fullmatch(x.name))


def write(
    path: pathlib.Path,
    columns: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
) -> None:
  """Writes a file in one piece: it is whole, or it is not there.

  Args:
    path: of the file, whose folder is there.
    columns: all of `COLUMNS`.
    attributes: of the file.

  Raises:
    UserError: it cannot be written.
  """
  unfinished = path.with_suffix('.unfinished')
  try:
    with h5py().File(unfinished, 'w') as file:
      for name in COLUMNS:
        file.create_dataset(name, data=columns[name])
      file.attrs.update(attributes)
    with open(unfinished, 'rb+') as raw:
      os.fsync(raw.fileno())
    os.replace(unfinished, path)
  except OSError as error:
    reason = ' '.join(str(error).split())
    raise UserError(f'{path} cannot be written ({reason})') from error


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The columns of one file; `timeouts` may be missing.

  Args:
    path: of the file.

  Raises:
    UserError: it is not there or cut short, it lacks a column, or one is not
      what `COLUMNS` are.
  """
  module = h5py()
  if not path.is_file():
    raise UserError(f'{path}: there is no such file or folder')
  try:
    with module.File(path, 'r') as file:
      missing = [x for x in _NEEDED if x not in file]
      if missing:
        raise UserError(
            f'{path} has no {missing[0]} (of {", ".join(sorted(file))}): give '
            'transitions with next observations, such as those of D4RL v2'
        )
      groups = [x for x in COLUMNS if isinstance(file.get(x), module.Group)]
      if groups:
        raise UserError(
            f'{path} has {groups[0]} as a group, not as an array: give a file '
            'of the layout of D4RL, or minari:ID'
        )
      found = {name: file[name][()] for name in COLUMNS if name in file}
  except OSError as error:
    reason = ' '.join(str(error).split())
    raise UserError(f'{path} cannot be read as HDF5 ({reason})') from error
  for name, column in found.items():
    _check_column(path, name, np.asarray(column))
  _check_lengths(path, found)
  return found


def environments(path: pathlib.Path) -> list[str]:
  """The environments that a file, or the parts of a log, say they are of.

  Args:
    path: of a file, or of a folder with parts; they can be read.

  Returns:
    Each once; none where nothing is said, as in D4RL's files.
  """
  found = []
  for file_path in parts(path) if path.is_dir() else [path]:
    with h5py().File(file_path, 'r') as file:
      found.append(str(file.attrs.get('environment', '')))
  return sorted({*found} - {''})


def read_log(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """All parts of a log, one after another.

  Args:
    folder: with its part_00000.hdf5, ...

  Raises:
    UserError: there are none, one is missing, or one cannot be read.
  """
  there = parts(folder)
  if not there:
    raise UserError(
        f'{folder} has no part_00000.hdf5: name the folder `transitions` of a '
        "seed that an online run with Runner.log_replay = True left, or a "
        'file'
    )
  wanted = [part(folder, i) for i in range(len(there))]
  if there != wanted:
    gap = next(x for x in wanted if x not in there)
    raise UserError(f'{gap} is missing, and later parts are there')
  read_parts = [read(x) for x in there]
  for path, columns in zip(there, read_parts, strict=True):
    here, first = _shapes(columns), _shapes(read_parts[0])
    if here != first:
      raise UserError(
          f'{path} has columns of shapes {here}, and {there[0]} {first}: they '
          'are not parts of one log'
      )
  return {
      name: np.concatenate([x[name] for x in read_parts])
      for name in read_parts[0]
  }


def _shapes(columns: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
  """Of a row of each."""
  return {name: list(x.shape[1:]) for name, x in columns.items()}


def _check_column(path: pathlib.Path, name: str, column: np.ndarray) -> None:
  has_vectors = name in _VECTORS
  if column.dtype.kind not in 'biuf' or (
      column.ndim < 2 if has_vectors else column.ndim != 1
  ):
    wanted = '[N, ...]' if has_vectors else '[N]'
    raise UserError(
        f'{path} has {name} of shape {list(column.shape)} and type '
        f'{column.dtype}: give numbers {wanted}, one row a transition'
    )
  if name in _FLAGS and not np.isin(column, (0, 1)).all():
    raise UserError(f'{path} has {name} that are neither 0 nor 1: give flags')


def _check_lengths(
    path: pathlib.Path, columns: Mapping[str, np.ndarray]
) -> None:
  sizes = {name: len(x) for name, x in columns.items()}
  if len(set(sizes.values())) > 1:
    shown = ', '.join(f'{name} {size}' for name, size in sizes.items())
    raise UserError(f'{path} has columns of different lengths: {shown}')
  if not all(sizes.values()):
    raise UserError(f'{path} has no transitions: give a file with some')
