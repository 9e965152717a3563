"""The prepared sets of several seeds: one that all share, or one each."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicit_underparam.data import frame_store
from implicit_underparam.data import offline as offline_data
from implicit_underparam.errors import UserError


class OfflineSets:
  """What the seeds of a run train on.

  Where `OfflineData.path` has '{seed}' in it, every array below has the seeds
  in front, and what one seed has less than another is filled up with zeros
  that are never drawn.

  Args:
    data: where the sets are.
    seeds: one run each.

  Attributes:
    by_seed: whether each seed has a set of its own.
    stores: the sets; one if they share it.

  Raises:
    UserError: a set is not there, or they differ in more than what happened.
  """

  def __init__(self, data: offline_data.OfflineData, seeds: Sequence[int]):
    self._data = data
    self.by_seed = data.by_seed
    each = seeds if self.by_seed else seeds[:1]
    self.stores = tuple(data.open(seed) for seed in each)
    for store in self.stores[1:]:
      _check_alike(self.stores[0], store)

  @property
  def stack_size(self) -> int:
    """Frames in a state."""
    return int(self.stores[0].meta['stack_size'])

  @property
  def frame_shape(self) -> tuple[int, ...]:
    """Of one frame."""
    return self.stores[0].frames.shape[1:]

  @property
  def frame_dtype(self) -> np.dtype:
    """Of a frame's elements."""
    return self.stores[0].frames.dtype

  @property
  def num_bytes(self) -> int:
    """Of all frames."""
    rows = max(len(x.frames) for x in self.stores)
    size = int(np.prod(self.frame_shape)) * self.frame_dtype.itemsize
    return len(self.stores) * rows * size

  def frames(self) -> np.ndarray:
    """[N, ...], memory-mapped; or [S, N, ...], in memory."""
    if not self.by_seed:
      return self.stores[0].frames
    return _stacked([x.frames for x in self.stores])

  def columns(
      self, update_horizon: int, gamma: float, needs_returns: bool
  ) -> offline_data.Columns:
    """The small arrays; see `OfflineData.columns`."""
    each = [
        self._data.columns(x, update_horizon, gamma, needs_returns)
        for x in self.stores
    ]
    if not self.by_seed:
      return each[0]
    counts = np.array([len(x.starts) for x in each], np.int32)
    fields = zip(*each, strict=True)
    stacked = offline_data.Columns(
        *(None if x[0] is None else _stacked(x) for x in fields)
    )
    return stacked._replace(num_starts=counts)

  def windows(self, rows: np.ndarray, num_frames: int) -> np.ndarray:
    """Windows around rows [S, ...] of all seeds, gathered on the host."""
    if not self.by_seed:
      return offline_data.to_host_windows(
          self.stores[0].frames, rows, num_frames, self.stack_size
      )
    return np.stack([
        offline_data.to_host_windows(
            store.frames, mine, num_frames, self.stack_size
        )
        for store, mine in zip(self.stores, rows, strict=True)
    ])

  def identity(self, columns: offline_data.Columns) -> int:
    """What tells this data from another: 32 bits of the files' checksums.

    Args:
      columns: with the actions of the evaluated policy, if there is one.
    """
    value = 0
    for store in self.stores:
      value = zlib.crc32(frame_store.checksums(store), value)
    if columns.policy_actions is not None:
      value = zlib.crc32(columns.policy_actions.tobytes(), value)
    return value


def _stacked(arrays: Sequence[Any]) -> np.ndarray:
  """[S, N, ...] of arrays [N_s, ...], with zeros at their ends."""
  rows = max(len(x) for x in arrays)
  dtype = np.result_type(*arrays)
  out = np.zeros((len(arrays), rows, *arrays[0].shape[1:]), dtype)
  for mine, array in zip(out, arrays, strict=True):
    mine[: len(array)] = array
  return out


def _check_alike(
    first: frame_store.FrameStore, other: frame_store.FrameStore
) -> None:
  for name in (
      'game', 'num_actions', 'action_size', 'frame_shape', 'stack_size'
  ):
    here, there = first.meta.get(name), other.meta.get(name)
    if here != there:
      raise UserError(
          f'{first.path} has {name} = {here}, and {other.path} {there}: name '
          'sets of one game in OfflineData.path'
      )
