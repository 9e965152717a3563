"""Checkpoints of any tree of arrays, written with Orbax and verified."""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import pathlib
import re
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from implicit_underparam import serialization
from implicit_underparam.errors import UserError
from implicit_underparam.run_folder import writing
from implicit_underparam.serialization import Leaf

# What Orbax, TensorStore and the JSON reader raise on damaged files.
_READ_ERRORS = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
    ArithmeticError, MemoryError,
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps Orbax off the screen; what goes wrong there is raised as well."""
  # absl's logger passes no filters, so that the level has to be turned.
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.CRITICAL + 1)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      yield
  finally:
    logger.setLevel(level)


@functools.cache
def _orbax_checkpointer() -> Any:
  # Deferred: the import takes half a second.
  import orbax.checkpoint as ocp

  return ocp.Checkpointer(ocp.ArrayCheckpointHandler())


def _write_array(folder: pathlib.Path, array: np.ndarray) -> None:
  """Saves one array with Orbax; OSError, with its number, if that fails."""
  with _quiet():
    import orbax.checkpoint as ocp

    try:
      _orbax_checkpointer().save(folder, args=ocp.args.ArraySave(array))
    except (ValueError, RuntimeError) as error:
      # TensorStore hides the system's answer in the text of a ValueError.
      code = re.search(r"os_error_code='(\d+)'", str(error))
      if code is None:
        raise OSError(f'{error}'.splitlines()[0]) from error
      number = int(code.group(1))
      raise OSError(number, os.strerror(number)) from error


def _read_array(folder: pathlib.Path) -> np.ndarray:
  with _quiet():
    import orbax.checkpoint as ocp

    return _orbax_checkpointer().restore(folder, args=ocp.args.ArrayRestore())


def _crc32(table: Sequence[Mapping[str, Any]]) -> int:
  return zlib.crc32(json.dumps(table).encode())


def _write_table(path: pathlib.Path, leaves: Sequence[Leaf]) -> None:
  table = [dataclasses.asdict(leaf) for leaf in leaves]
  text = json.dumps({'crc32': _crc32(table), 'leaves': table})
  path.write_text(text, encoding='utf-8')


def _read_table(path: pathlib.Path) -> list[Leaf]:
  content = json.loads(path.read_text(encoding='utf-8'))
  if _crc32(content['leaves']) != content['crc32']:
    raise ValueError(f'{path.name} is not what was written')
  return [Leaf(**leaf) for leaf in content['leaves']]


class Checkpointer:
  """Keeps the last checkpoints of a run in one folder.

  A checkpoint is the folder <iteration>/ with leaves.json (path, type, shape
  and CRC-32 of every leaf, and plain Python values) and a folder by Orbax for
  every array of bytes. It gets its name by one rename after all of it is
  written, so a kill at any moment leaves the earlier ones as they were.
  """

  def __init__(self, directory: str | os.PathLike[str], keep: int = 2):
    """Names the folder; it is made by the first save.

    Args:
      directory: the folder of the checkpoints.
      keep: how many are kept, at least 1.
    """
    if keep < 1:
      raise ValueError(f'keep is {keep}: at least one checkpoint is kept')
    self._directory = pathlib.Path(directory).absolute()
    self._keep = keep

  def iterations(self) -> list[int]:
    """Lists the iterations that have a complete checkpoint, in order."""
    if not self._directory.is_dir():
      return []
    names = (entry.name for entry in self._directory.iterdir())
    return sorted(int(name) for name in names if name.isdecimal())

  def save(self, iteration: int, tree: Any) -> None:
    """Writes a checkpoint, then removes all but the last `keep`.

    Args:
      iteration: later than that of every checkpoint there is.
      tree: arrays of JAX and NumPy, typed PRNG keys and Python's int, float,
        bool, str and bytes of any length, in any pytree.

    Raises:
      UserError: the checkpoint could not be written; the earlier ones are as
        they were.
    """
    if iteration <= max(self.iterations(), default=-1):
      raise ValueError(f'{iteration} is not after {self.iterations()}')
    self._write(self._directory / str(iteration), tree)
    with writing(self._directory):
      self._prune()

  def restore(
      self, template: Any, iteration: int | None = None
  ) -> tuple[int, Any] | None:
    """Reads a checkpoint back into the structure of a tree, bit for bit.

    Args:
      template: a tree of the structure, shapes and types that was saved;
        bytes may be of another length.
      iteration: which checkpoint; the last if None.

    Returns:
      (iteration, tree), with NumPy arrays where the template has them or a
      ShapeDtypeStruct and JAX arrays on the default device elsewhere; None
      where there is none.

    Raises:
      UserError: the checkpoint is damaged, or does not fit the template.
    """
    if iteration is None:
      there = self.iterations()
      if not there:
        return None
      iteration = there[-1]
    leaves, values = self._read(iteration)
    difference = serialization.find_mismatch(leaves, template)
    if difference:
      raise UserError(
          f'checkpoint {self._directory / str(iteration)} does not fit: '
          f'{difference}; use the configuration it was made with, or name '
          'another --base_dir'
      )
    return iteration, serialization.rebuild(template, values)

  def load(self, iteration: int) -> Any:
    """Reads a checkpoint without knowing its structure.

    Args:
      iteration: which checkpoint.

    Returns:
      Nested dicts of NumPy arrays and plain values; their keys are the names
      of dict entries and fields and, as text, the positions in sequences.
      PRNG keys come as their words, uint32.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    return serialization.nest(*self._read(iteration))

  def _write(self, final: pathlib.Path, tree: Any) -> None:
    leaves, arrays = serialization.pack(tree)
    partial = final.with_name(f'.partial-{final.name}')
    with writing(final):
      self._sweep()
      partial.mkdir(parents=True)
      try:
        _write_table(partial / 'leaves.json', leaves)
        # One by one: where an array fails beside others, those print
        # tracebacks from threads.
        for name, array in arrays.items():
          _write_array(partial / name, array)
        os.rename(partial, final)
      finally:
        shutil.rmtree(partial, ignore_errors=True)

  def _prune(self) -> None:
    for iteration in self.iterations()[:-self._keep]:
      # Renamed first: a kill must not leave half a checkpoint under its name.
      folder = self._directory / str(iteration)
      os.rename(folder, folder.with_name(f'.removed-{iteration}'))
    self._sweep()

  def _sweep(self) -> None:
    """Removes what a kill has left behind."""
    for kind in ('partial', 'removed'):
      for folder in self._directory.glob(f'.{kind}-*'):
        shutil.rmtree(folder)

  def _read(self, iteration: int) -> tuple[list[Leaf], list[Any]]:
    there = self.iterations()
    folder = self._directory / str(iteration)
    if iteration not in there:
      raise UserError(f'{folder} is missing: choose one of {there}')
    try:
      leaves = _read_table(folder / 'leaves.json')
      names = sorted({leaf.array for leaf in leaves if leaf.array})
      arrays = {name: _read_array(folder / name) for name in names}
      return leaves, [serialization.unpack(leaf, arrays) for leaf in leaves]
    except _READ_ERRORS as error:
      earlier = there[:there.index(iteration)]
      remedy = (
          f'to go on from the checkpoint of iteration {earlier[-1]}' if earlier
          else 'and start anew in another --base_dir: there is no earlier one'
      )
      reason = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
      raise UserError(
          f'checkpoint {folder} is damaged ({reason}): remove it {remedy}'
      ) from error
