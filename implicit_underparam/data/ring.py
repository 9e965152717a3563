"""A ring of experience that holds each frame once, as pure functions.

Its rules are those of Dopamine's logs (`data.horizons` says them for whole
streams): the state of row i is frames i - stack_size + 1 .. i, zeros before
its episode's first; row i starts an n-step transition if these rows are in the
ring and either row i + n belongs to the episode or a terminal lies in
i .. i + n - 1. Logs put rows of zeros before an episode; here zeros are put
in when a window is read, so that every step of every environment is one row.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import types
from implicit_underparam.data import n_step, sampling
from implicit_underparam.errors import UserError


class Ring(NamedTuple):
  """One seed's experience; R rows, those of one step side by side.

  Attributes:
    frames: [R, ...] the newest frame of each observation; None where the host
      keeps them.
    actions: [R] uint8, taken there; or [R, k] float32.
    rewards: [R] float32, that came of them.
    terminals: [R] bool, the episode ended with it.
    ends: [R] bool, the next row of the environment is of another episode.
    starts: [R] int32, a ring of the rows that may start a transition.
    oldest: [] int32, where the first of these lies, counted without end.
    newest: [] int32, where the next one will lie.
  """

  frames: Any
  actions: types.Array
  rewards: types.Array
  terminals: types.Array
  ends: types.Array
  starts: types.Array
  oldest: types.Array
  newest: types.Array

  @property
  def num_starts(self) -> types.Array:
    """[] int32, how many rows may start a transition."""
    return self.newest - self.oldest


class Change(NamedTuple):
  """Which rows may now start a transition and which no longer may.

  Attributes:
    added: [K] int32.
    is_added: [K] bool, which of these are meant.
    removed: [K] int32.
    is_removed: [K] bool.
  """

  added: types.Array
  is_added: types.Array
  removed: types.Array
  is_removed: types.Array


class Result(NamedTuple):
  """What came of one step of K environments.

  Attributes:
    action: [K], or [K, k].
    reward: [K] float32.
    is_terminal: [K] bool.
    episode_end: [K] bool, by a terminal or not.
  """

  action: Any
  reward: Any
  is_terminal: Any
  episode_end: Any


@dataclasses.dataclass(frozen=True)
class RingBuffer:
  """The layout of a ring and what is done with it; holds no experience.

  Attributes:
    num_steps: T; the ring has R = T K rows.
    num_environments: K.
    stack_size: frames in a state.
    update_horizon: n.
    gamma: discount.
    action_size: k, numbers in an action; None where actions are counted.
  """

  num_steps: int
  num_environments: int
  stack_size: int
  update_horizon: int
  gamma: float
  action_size: int | None = None

  def __post_init__(self) -> None:
    least = self.stack_size + self.update_horizon + 1
    if self.num_steps < least:
      raise UserError(
          f'Replay.capacity gives {self.num_steps} steps an environment: make '
          f'it {least * self.num_environments} transitions or more'
      )
    if self.num_rows >= 2**31:
      raise UserError('Replay.capacity is 2^31 or more: make it smaller')

  @property
  def num_rows(self) -> int:
    """R."""
    return self.num_steps * self.num_environments

  def init(self, frame_shape: tuple[int, ...] | None, dtype: Any) -> Ring:
    """An empty ring; with `frame_shape` None, without frames."""
    rows = (self.num_rows,)
    frames = None
    if frame_shape is not None:
      frames = jnp.zeros((*rows, *frame_shape), dtype)
    actions = jnp.zeros(rows, jnp.uint8)
    if self.action_size is not None:
      actions = jnp.zeros((*rows, self.action_size), jnp.float32)
    return Ring(
        frames=frames,
        actions=actions,
        rewards=jnp.zeros(rows, jnp.float32),
        terminals=jnp.zeros(rows, bool),
        ends=jnp.zeros(rows, bool),
        starts=jnp.zeros(rows, jnp.int32),
        oldest=jnp.int32(0),
        newest=jnp.int32(0),
    )

  def first_row(self, step: Any) -> Any:
    """The row of environment 0 of the step-th step."""
    block = (step + self.stack_size - 1) % self.num_steps
    return block * self.num_environments

  def add(
      self, ring: Ring, step: types.Array, frames: Any, result: Result
  ) -> tuple[Ring, Change]:
    """Writes one step over the oldest.

    Args:
      ring: before.
      step: [] int32, steps added before; the same for all seeds.
      frames: [K, ...] the newest of the observations; None where the host
        keeps them.
      result: what came of the actions taken at them.

    Returns:
      The ring after, and what may start a transition with it.
    """
    row = self.first_row(step)

    def write(array: types.Array, values: types.Array) -> types.Array:
      values = jnp.asarray(values, array.dtype)
      return jax.lax.dynamic_update_slice_in_dim(array, values, row, axis=0)

    ring = ring._replace(
        frames=None if frames is None else write(ring.frames, frames),
        actions=write(ring.actions, result.action),
        rewards=write(ring.rewards, result.reward),
        terminals=write(ring.terminals, result.is_terminal),
        ends=write(ring.ends, result.episode_end),
    )
    change = self._change(ring, step)
    return self._apply(ring, change), change

  def draw(
      self, ring: Ring, rng: types.Array, num_rows: int
  ) -> types.Array:
    """Rows that start transitions, uniform with replacement: [num_rows]."""
    offset = sampling.uniform_indices(rng, num_rows, ring.num_starts)
    return ring.starts[(ring.oldest + offset) % self.num_rows]

  def window_rows(self, rows: Any) -> Any:
    """Rows of the frames around some rows: [..., stack_size + n]."""
    offsets = np.arange(1 - self.stack_size, self.update_horizon + 1)
    around = rows[..., None] + (offsets * self.num_environments).astype(
        rows.dtype
    )
    return around % self.num_rows

  def batch(
      self, ring: Ring, rows: types.Array, windows: types.Array | None = None
  ) -> types.Batch:
    """The transitions that start at some rows.

    Args:
      ring: where they lie.
      rows: [B], of `draw`.
      windows: [B, stack_size + n, ...] the frames of `window_rows`, where the
        ring has none.
    """
    around = self.window_rows(rows)
    if windows is None:
      windows = _take(ring.frames, around)
    past, steps = jnp.split(around, [self.stack_size - 1], axis=1)
    ends = _take(ring.ends, past)
    # A frame is kept if no episode ended between it and the row.
    ended = jnp.flip(jnp.cumsum(jnp.flip(ends, 1), axis=1), 1) > 0
    ended = jnp.pad(ended, ((0, 0), (0, self.update_horizon + 1)))
    ended = ended.reshape(*ended.shape, *(1,) * (windows.ndim - 2))
    windows = jnp.where(ended, jnp.zeros((), windows.dtype), windows)
    steps = steps[:, :-1]
    return n_step.batch_of(
        windows,
        _take(ring.actions, rows),
        _take(ring.rewards, steps),
        _take(ring.terminals, steps),
        self.stack_size,
        self.gamma,
    )._replace(
        next_action=n_step.number(_take(ring.actions, around[:, -1])),
        indices=rows,
    )

  def _rows(self, first: types.Array) -> types.Array:
    """The K rows from one on."""
    return (first + jnp.arange(self.num_environments)) % self.num_rows

  def _change(self, ring: Ring, step: types.Array) -> Change:
    """What the step that has just been written changes.

    Everything is judged by what the ring now holds: XLA copies an array that
    is read before it is written.
    """
    row, stride = self.first_row(step), self.num_environments
    # n steps of these are now known.
    added = self._rows(row - self.update_horizon * stride)
    # The stack of these has just lost its first frame; a stack of one would
    # with the next step.
    lost = max(self.stack_size - 1, 1)
    removed = self._rows(row + lost * stride)
    may_start = self._may_start(ring, jnp.stack([added, removed]))
    is_added = may_start[0] & (step >= self.update_horizon)
    is_removed = may_start[1] & (step >= self.num_steps - lost)
    return Change(added, is_added, removed, is_removed)

  def _may_start(self, ring: Ring, rows: types.Array) -> types.Array:
    """Whether n steps of one episode, or up to its terminal, follow each."""
    offsets = np.arange(self.update_horizon, dtype=np.int32)
    steps = rows[..., None] + offsets * self.num_environments
    ends = _take(ring.ends, steps % self.num_rows)
    terminals = _take(ring.terminals, steps % self.num_rows)
    ended = jnp.cumsum(ends, axis=-1) > ends
    return ~jnp.any(ends & ~terminals & ~ended, axis=-1)

  def _apply(self, ring: Ring, change: Change) -> Ring:
    count = jnp.cumsum(change.is_added)
    place = (ring.newest + count - 1) % self.num_rows
    # Out of bounds, and so dropped, where a row is not meant.
    place = jnp.where(change.is_added, place, self.num_rows)
    return ring._replace(
        starts=ring.starts.at[place].set(change.added, mode='drop'),
        oldest=ring.oldest + jnp.sum(change.is_removed, dtype=jnp.int32),
        newest=ring.newest + count[-1].astype(jnp.int32),
    )


def _take(array: types.Array, rows: types.Array) -> types.Array:
  return array.at[rows].get(mode='promise_in_bounds')
