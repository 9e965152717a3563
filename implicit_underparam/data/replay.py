"""The replay of online runs: how much is kept, where, and what is drawn."""

import dataclasses
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import types
from implicit_underparam.data import offline, priorities, ring
from implicit_underparam.errors import UserError

# At most, beside the frame: action, reward, two flags, its place among those
# that may be drawn, its priority.
_ROW_BYTES = 16
# Of the memory that is free; the rest is for networks and batches.
_SHARE = 0.9
_GIGABYTE = 1e9


class Contents(NamedTuple):
  """One seed's replay.

  Attributes:
    ring: the experience.
    priorities: of its rows; None where they are drawn uniformly.
  """

  ring: ring.Ring
  priorities: priorities.Priorities | None


class Drawn(NamedTuple):
  """Rows for a batch.

  Attributes:
    rows: [B] int32.
    weight: [B] float32 importance weights; None where they are all one.
  """

  rows: types.Array
  weight: types.Array | None


@gin.register
@dataclasses.dataclass(frozen=True)
class Replay:
  """A ring of the latest transitions of each seed.

  Attributes:
    capacity: transitions that are kept, of all environments of a seed.
    batch_size: B, transitions a gradient step.
    prioritized: draw with probability proportional to the root of the last
      loss, and weigh with its inverse root (Schaul et al., 2016, as Dopamine's
      Rainbow has it); else uniformly with replacement.
    importance_exponent: of these weights.
    placement: 'device' or 'host', where the frames are kept; 'auto' chooses
      by the memory that is free, and says what it chose.
  """

  capacity: int = 1_000_000
  batch_size: int = 32
  prioritized: bool = False
  importance_exponent: float = 0.5
  placement: str = 'auto'

  def __post_init__(self) -> None:
    for name in ('capacity', 'batch_size'):
      number = getattr(self, name)
      if not isinstance(number, int) or number < 1:
        raise UserError(
            f'Replay.{name} is {number!r}: give a whole number, at least 1'
        )
    if self.capacity < self.batch_size:
      raise UserError(
          f'Replay.capacity is {self.capacity}, fewer than a batch of '
          f'{self.batch_size}: raise it, or lower Replay.batch_size'
      )
    if not isinstance(self.prioritized, bool):
      raise UserError(
          f'Replay.prioritized is {self.prioritized!r}: use True or False'
      )
    exponent = self.importance_exponent
    if not isinstance(exponent, (int, float)) or not 0 <= exponent <= 1:
      raise UserError(
          f'Replay.importance_exponent is {exponent!r}: give a number from 0 '
          'to 1'
      )
    if self.placement not in offline.PLACEMENTS:
      raise UserError(
          f'Replay.placement is {self.placement!r}: use one of '
          f'{", ".join(offline.PLACEMENTS)}'
      )

  def layout(
      self,
      num_environments: int,
      stack_size: int,
      update_horizon: int,
      gamma: float,
      action_size: int | None = None,
  ) -> ring.RingBuffer:
    """How a seed's experience lies in memory."""
    return ring.RingBuffer(
        self.capacity // num_environments,
        num_environments,
        stack_size,
        update_horizon,
        gamma,
        action_size,
    )

  def init(
      self,
      layout: ring.RingBuffer,
      frame_shape: tuple[int, ...] | None,
      dtype: Any,
  ) -> Contents:
    """An empty replay of one seed, without frames if their shape is None."""
    tree = priorities.init(layout.num_rows) if self.prioritized else None
    return Contents(layout.init(frame_shape, dtype), tree)

  def add(
      self,
      layout: ring.RingBuffer,
      contents: Contents,
      step: types.Array,
      frames: Any,
      result: ring.Result,
  ) -> Contents:
    """Adds one step of K environments; see `RingBuffer.add`."""
    changed, change = layout.add(contents.ring, step, frames, result)
    tree = contents.priorities
    if tree is not None:
      tree = priorities.clear(tree, change.removed, change.is_removed)
      # Its loss is not known yet: drawn soon, as the largest one.
      tree = priorities.add_new(tree, change.added, change.is_added)
    return Contents(changed, tree)

  def draw(
      self, layout: ring.RingBuffer, contents: Contents, rng: types.Array
  ) -> Drawn:
    """The rows of a batch."""
    if contents.priorities is None:
      return Drawn(layout.draw(contents.ring, rng, self.batch_size), None)
    rows, chances = priorities.sample(contents.priorities, rng, self.batch_size)
    weight = priorities.importance_weights(chances, self.importance_exponent)
    return Drawn(rows, weight)

  def feedback(
      self,
      tree: priorities.Priorities | None,
      rows: types.Array,
      losses: types.Array,
  ) -> priorities.Priorities | None:
    """The priorities after a step: the roots of its losses [B]."""
    if tree is None:
      return None
    # Dopamine's: a loss of 0 may be drawn again.
    return priorities.assign(tree, rows, jnp.sqrt(losses + 1e-10))

  def place(
      self, frame_bytes: int, num_seeds: int, device: jax.Device
  ) -> tuple[str, str]:
    """Where the frames go: ('device' or 'host', why, as a line to print).

    Args:
      frame_bytes: of one frame.
      num_seeds: that share the device.
      device: where they train.

    Raises:
      UserError: they fit nowhere, or not where they were asked to be.
    """
    frames = num_seeds * self.capacity * frame_bytes / _GIGABYTE
    rest = num_seeds * self.capacity * _ROW_BYTES / _GIGABYTE
    free = _memory_for_frames(device) / _GIGABYTE
    size = f'replay: {frames + rest:.2f} GB for {num_seeds} seeds'
    where = f'{free:.1f} GB free on {device.device_kind}'
    if self.placement != 'host' and frames + rest <= free:
      return 'device', f'{size}, on {device.device_kind} ({where})'
    on_host = _memory_for_frames(jax.devices('cpu')[0]) / _GIGABYTE
    # A CPU's own memory is no second place, unless it is asked for.
    other = device.platform != 'cpu' or self.placement == 'host'
    fits_there = other and frames <= on_host
    if self.placement != 'device' and fits_there:
      return 'host', f'{size}, frames in main memory ({where})'
    advice = ", or bind Replay.placement = 'host'" if fits_there else ''
    raise UserError(
        f'Replay.capacity is {self.capacity}: {size} do not fit ({where}, '
        f'{on_host:.1f} GB in main memory): lower it, or run fewer seeds'
        f'{advice}'
    )


def _memory_for_frames(device: jax.Device) -> float:
  """Bytes that a replay may take there.

  Of main memory that is less than half of what is free: a checkpoint is
  written from a copy, and read into one.
  """
  return _SHARE * offline.free_memory(device)


class HostFrames:
  """The frames of a ring of S seeds, in main memory.

  Attributes:
    frames: [S, R, ...].
  """

  def __init__(
      self,
      layout: ring.RingBuffer,
      num_seeds: int,
      frame_shape: tuple[int, ...],
      dtype: Any,
  ):
    self.frames = np.zeros((num_seeds, layout.num_rows, *frame_shape), dtype)
    self._layout = layout

  def add(self, step: int, frames: np.ndarray) -> None:
    """Writes the frames [S, K, ...] of one step."""
    row = self._layout.first_row(step)
    self.frames[:, row : row + self._layout.num_environments] = frames

  def windows(self, rows: np.ndarray) -> np.ndarray:
    """The frames around rows [S, B]: [S, B, stack_size + n, ...]."""
    around = self._layout.window_rows(rows.astype(np.int64))
    out = np.empty((*around.shape, *self.frames.shape[2:]), self.frames.dtype)
    for frames, index, to in zip(self.frames, around, out, strict=True):
      # One copy of each frame; without the mode another one is made.
      np.take(frames, index, axis=0, out=to, mode='clip')
    return out
