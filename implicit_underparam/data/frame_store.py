"""A prepared set: a folder of .npy files with each frame of a stream once.

Row i stands for what the agent saw, did and got at one step. Its state is
frames i-3..i, oldest first; its n-step next state is frames i+n-3..i+n; its
return is sum_k gamma^k rewards[i + k] up to and including the first terminal.
`valid` says for which n that is all there.

| file | content |
|---|---|
| frames.npy | uint8 [N, *frame_shape] |
| actions.npy | uint8 [N] |
| rewards.npy | int8 [N] if all are whole and within [-127, 127], else float32 |
| terminals.npy | uint8 [N]; 1 where the action ended the episode |
| valid.npy | uint8 [N]; see `horizons.largest_horizons` |
| segments.npy | int64 [M]; first row of each contiguous piece of the stream |
| meta.json | where the rows come from; its presence means "complete" |

N is counts.rows of meta.json plus max_horizon rows of zeros, so that no window
i-3..i+n of a valid row leaves the arrays.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from implicit_underparam.data import npy_files
from implicit_underparam.data.frame_store_writer import (
    FILES,
    VERSION,
    FrameStoreWriter,
)
from implicit_underparam.errors import UserError

__all__ = ('FILES', 'FrameStore', 'FrameStoreWriter')

_KEYS = frozenset(
    ('version', 'counts', 'max_horizon', 'frame_shape', 'checksums')
)


class FrameStore(NamedTuple):
  """A complete prepared set, opened for reading.

  Fields:
    frames: uint8 [N, *frame_shape], memory-mapped, read-only.
    actions: uint8 [N].
    rewards: int8 or float32 [N].
    terminals: uint8 [N].
    valid: uint8 [N], the largest update horizon of each row.
    segments: int64 [M], the first row of each contiguous piece.
    meta: what meta.json holds.
    path: the folder.
  """

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  terminals: np.ndarray
  valid: np.ndarray
  segments: np.ndarray
  meta: Mapping[str, Any]
  path: pathlib.Path

  @classmethod
  def open(cls, path: str | os.PathLike[str], verify: bool = False) -> Self:
    """Opens a folder that `FrameStoreWriter.finish` completed.

    Args:
      path: the folder.
      verify: also compares every file's CRC-32, which reads all of it.

    Raises:
      UserError: the folder is missing, incomplete or damaged.
    """
    folder = pathlib.Path(path)
    meta = _read_meta(folder)
    if verify:
      _verify(folder, meta)
    arrays = {
        name.removesuffix('.npy'): _load(
            folder / name, 'r' if name == 'frames.npy' else None
        )
        for name in FILES
    }
    store = cls(meta=meta, path=folder, **arrays)
    store._check_sizes()
    return store

  def starts(self, update_horizon: int) -> np.ndarray:
    """The rows that may start a transition of so many steps.

    Args:
      update_horizon: n, at least 1.

    Returns:
      int64, increasing.

    Raises:
      UserError: n is larger than the set was prepared for.
    """
    largest = int(self.meta['max_horizon'])
    if not 1 <= update_horizon <= largest:
      raise UserError(
          f'update_horizon = {update_horizon}, and {self.path} was prepared '
          f'for 1 to {largest}: prepare again with a larger --max_horizon'
      )
    return np.flatnonzero(self.valid >= update_horizon)

  def _check_sizes(self) -> None:
    rows = int(self.meta['counts']['rows']) + int(self.meta['max_horizon'])
    shape = (rows, *self.meta['frame_shape'])
    if self.frames.shape != shape or self.frames.dtype != np.uint8:
      raise _damaged(
          self.path / 'frames.npy',
          f'holds {self.frames.dtype} {self.frames.shape}, not uint8 {shape}',
      )
    for name in ('actions', 'rewards', 'terminals', 'valid'):
      column = getattr(self, name)
      if column.shape != (rows,):
        raise _damaged(
            self.path / f'{name}.npy',
            f'has shape {column.shape}, not ({rows},)',
        )


def checksums(store: FrameStore) -> bytes:
  """What differs between sets that differ."""
  return json.dumps(store.meta['checksums'], sort_keys=True).encode()


def _damaged(path: pathlib.Path, why: str) -> UserError:
  return UserError(
      f'{path} {why}: remove {path.parent} and run the prepare command again'
  )


def _load(path: pathlib.Path, mmap_mode: Any) -> np.ndarray:
  try:
    return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
  except FileNotFoundError as error:
    raise _damaged(path, 'is missing') from error
  except (OSError, ValueError, EOFError) as error:
    raise _damaged(path, f'cannot be read ({error})') from error


def _read_meta(folder: pathlib.Path) -> dict[str, Any]:
  path = folder / 'meta.json'
  if not folder.is_dir():
    raise UserError(
        f'{folder}: there is no such folder; make it with '
        'python -m implicit_underparam.data.prepare'
    )
  try:
    meta = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError as error:
    raise UserError(
        f'{folder} is no complete prepared set (no meta.json): make one with '
        'python -m implicit_underparam.data.prepare; if that was stopped, the '
        'same prepare command goes on with it'
    ) from error
  except (OSError, ValueError) as error:
    raise _damaged(path, f'cannot be read ({error})') from error
  if not isinstance(meta, dict) or not _KEYS <= meta.keys():
    raise _damaged(path, 'does not describe a prepared set')
  if meta['version'] != VERSION:
    raise _damaged(
        path, f'is of version {meta["version"]}, and this reads {VERSION}'
    )
  return meta


def _verify(folder: pathlib.Path, meta: Mapping[str, Any]) -> None:
  for name in FILES:
    try:
      found = f'{npy_files.crc32(folder / name):08x}'
    except OSError as error:
      raise _damaged(folder / name, f'cannot be read ({error})') from error
    wanted = meta['checksums'].get(name)
    if found != wanted:
      raise _damaged(
          folder / name, f'has CRC-32 {found}, and meta.json says {wanted}'
      )
