"""A prepared set as the learner sees it: which rows, and what they become.

Frames are the bulk. They lie on the device where they fit, and batches are
then gathered there; else they stay on disk, memory-mapped, and the rows of
many steps at a time are gathered on the host. Both ways draw the same rows.
"""

import dataclasses
import os
import pathlib
from typing import Any, NamedTuple, Protocol

import gin
import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import types
from implicit_underparam.data import frame_store, n_step, returns, sampling
from implicit_underparam.errors import UserError

PLACEMENTS = ('auto', 'device', 'host')
_SEED = '{seed}'
# Of the returns; with fewer, what is learnt is how episodes end.
_LEAST_KNOWN = 0.2
_GIGABYTE = 1e9
# For networks, activations and one batch, beside the frames.
_RESERVE = 2 * _GIGABYTE


class Columns(NamedTuple):
  """All but the frames; on every device.

  Attributes:
    starts: [V] int32, rows that may start a transition.
    actions: [N] uint8, or [N, k] float32.
    rewards: [N], int8 or float32.
    terminals: [N] uint8.
    returns: [N] float32, Monte-Carlo returns, where they were asked for.
    policy_actions: [N] uint8, what the evaluated policy does in each row's
      state, where it is not the data's own action.
    num_starts: [] int32, how many of `starts` count; None for all.
  """

  starts: Any
  actions: Any
  rewards: Any
  terminals: Any
  returns: Any = None
  policy_actions: Any = None
  num_starts: Any = None


class Gathered(NamedTuple):
  """What one dispatch trains on, where the frames are not on the device.

  Attributes:
    windows: [T, B, stack + n, ...] frames of T steps.
    rows: [T, B] int32, their rows.
  """

  windows: Any
  rows: Any


class Policy(Protocol):
  """A fixed policy whose value is to be learnt."""

  def actions(self, store: frame_store.FrameStore) -> np.ndarray:
    """uint8 [N], its action in the state of each row that has one."""


@gin.register
@dataclasses.dataclass(frozen=True)
class OfflineData:
  """Where the transitions come from, and how batches of them are drawn.

  Attributes:
    path: a folder that `data.prepare` made. With '{seed}' in it, each seed
      of a run reads the folder of its number.
    game: the game that it has to be of; None takes any.
    fraction: of the logs that it has to hold; None takes any.
    batch_size: B, transitions a gradient step, uniform with replacement.
    placement: 'device' or 'host', where the frames are kept; 'auto' chooses
      by the memory that is free, and says what it chose.
    policy: whose next action fitted Q evaluation takes; None is the data's.
    return_tail: Monte-Carlo returns of episodes that the data cuts off are
      used where what may be missing, gamma^k / (1 - gamma) for k steps to the
      cut and rewards of at most 1, is no more than this.
  """

  path: str | None = None
  game: str | None = None
  fraction: float | None = None
  batch_size: int = 32
  placement: str = 'auto'
  policy: Policy | None = None
  return_tail: float = 0.01

  def __post_init__(self) -> None:
    if not self.path:
      raise UserError(
          'OfflineData.path is missing: name a prepared set, with '
          '--gin_bindings="OfflineData.path = \'DIR\'"'
      )
    if not isinstance(self.batch_size, int) or self.batch_size < 1:
      raise UserError(
          f'{type(self).__name__}.batch_size is {self.batch_size!r}: give a '
          'whole number, at least 1'
      )
    if self.placement not in PLACEMENTS:
      raise UserError(
          f'{type(self).__name__}.placement is {self.placement!r}: use one of '
          f'{", ".join(PLACEMENTS)}'
      )
    if self.policy is not None and not hasattr(self.policy, 'actions'):
      raise UserError(
          f'OfflineData.policy is {self.policy!r}: bind it to '
          '@NetworkPolicy(), or leave it out for the next action of the data'
      )

  @property
  def by_seed(self) -> bool:
    """Whether each seed reads a set of its own."""
    return self.path is not None and _SEED in self.path

  def open(self, seed: int = 0) -> frame_store.FrameStore:
    """A seed's set, checked to be of the game.

    Args:
      seed: which, if each has one of its own.

    Raises:
      UserError: it is not there, damaged, or of another game.
    """
    assert self.path is not None
    path = self.path.replace(_SEED, str(seed))
    store = frame_store.FrameStore.open(path)
    found = store.meta.get('game')
    if self.game is not None and found is None:
      raise UserError(
          f'OfflineData.path = {path!r} does not say which game it is of, '
          f'and the run is of {self.game}: prepare it with --game'
      )
    if self.game is not None and found != self.game:
      raise UserError(
          f'OfflineData.path = {path!r} holds {found}, and the run is of '
          f'{self.game}: name another set, or bind the game'
      )
    found = store.meta.get('fraction')
    if self.fraction is not None and found != self.fraction:
      raise UserError(
          f'OfflineData.path = {path!r} holds a fraction of {found}, and '
          f'OfflineData.fraction is {self.fraction}: name another set'
      )
    return store

  def columns(
      self,
      store: frame_store.FrameStore,
      update_horizon: int,
      gamma: float,
      needs_returns: bool,
  ) -> Columns:
    """The small arrays, on the host.

    Args:
      store: the set.
      update_horizon: n.
      gamma: discount of the Monte-Carlo returns.
      needs_returns: whether to compute these.

    Raises:
      UserError: there are fewer transitions than in a batch.
    """
    starts = store.starts(update_horizon)
    monte_carlo = None
    if needs_returns:
      monte_carlo, known = returns.monte_carlo_returns(
          store, gamma, self.return_tail
      )
      before = len(starts)
      starts = starts[known[starts]]
      # Few are left where the data has short pieces: those near an end.
      print(
          f'Monte-Carlo returns: known for {len(starts)} of {before} '
          f'transitions (cut-off at most {self.return_tail:g})',
          flush=True,
      )
      if len(starts) < _LEAST_KNOWN * before:
        raise UserError(
            f"OfflineData.path = '{store.path}' has the Monte-Carlo return of "
            f'{len(starts)} of {before} transitions, those near an end: '
            'prepare it in one piece (--mode=prefix) or in whole episodes '
            '(--mode=trajectories), or raise OfflineData.return_tail'
        )
    if len(starts) < self.batch_size:
      kind = type(self).__name__
      returns_too = ' with a known return' if needs_returns else ''
      advice = (
          'prepare whole episodes (--mode=trajectories), or raise '
          'OfflineData.return_tail'
          if needs_returns
          else f'take a larger fraction, or lower {kind}.batch_size'
      )
      raise UserError(
          f"{kind}.path = '{store.path}' has {len(starts)} transitions"
          f'{returns_too}, fewer than a batch of {self.batch_size}: {advice}'
      )
    return Columns(
        starts.astype(np.int32),
        store.actions,
        store.rewards,
        store.terminals,
        monte_carlo,
        None if self.policy is None else self.policy.actions(store),
    )

  def place(self, num_bytes: int, device: jax.Device) -> tuple[str, str]:
    """Where the frames go: ('device' or 'host', why, as a line to print).

    Args:
      num_bytes: of the frames that go to a device.
      device: where they are wanted.

    Raises:
      UserError: 'device' was asked for and they do not fit.
    """
    needed = num_bytes + _RESERVE
    free = free_memory(device)
    size = f'frames: {num_bytes / _GIGABYTE:.2f} GB'
    fits = needed <= free
    memory = f'{free / _GIGABYTE:.1f} GB free, {needed / _GIGABYTE:.1f} needed'
    if device.platform == 'gpu' and not fits:
      memory += '; JAX takes XLA_PYTHON_CLIENT_MEM_FRACTION = 0.75 of the card'
    if self.placement == 'device' and not fits:
      raise UserError(
          f"OfflineData.placement is 'device', and there is too little memory "
          f"on {device.device_kind}: {memory}; use 'auto' or 'host'"
      )
    if self.placement == 'host' or not fits:
      return 'host', f'{size}, streamed from disk ({memory} on the device)'
    return 'device', f'{size}, on {device.device_kind} ({memory})'


def free_memory(device: jax.Device) -> float:
  """Bytes that a program may still take there."""
  if device.platform == 'cpu':
    # Half: the file's own pages take as much while it is read.
    return 0.5 * _available_memory()
  stats = device.memory_stats()
  if not stats:
    return float('inf')
  return float(stats['bytes_limit'] - stats['bytes_in_use'])


def _available_memory() -> float:
  """Bytes of main memory to be had, what caches hold included."""
  meminfo = pathlib.Path('/proc/meminfo')
  if meminfo.exists():
    for line in meminfo.read_text().splitlines():
      if line.startswith('MemAvailable:'):
        return 1024.0 * int(line.split()[1])
  return float(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))


def draw(columns: Columns, rng: types.Array, num_rows: int) -> types.Array:
  """Rows that start transitions, uniform with replacement: [num_rows]."""
  size = columns.num_starts
  if size is None:
    size = columns.starts.shape[0]
  return columns.starts[sampling.uniform_indices(rng, num_rows, size)]


def gather_windows(
    frames: types.Array, rows: types.Array, num_frames: int, stack_size: int
) -> types.Array:
  """Frames i-stack_size+1 .. of each row i, on the device.

  Args:
    frames: [N, ...]; may have more than 2^31 elements, since only rows are
      indexed.
    rows: [B] int32.
    num_frames: in a window.
    stack_size: of these, up to and with row i.

  Returns:
    [B, num_frames, ...].
  """
  offsets = jnp.arange(num_frames, dtype=rows.dtype) - (stack_size - 1)
  return frames.at[rows[:, None] + offsets].get(
      mode='promise_in_bounds', indices_are_sorted=False
  )


def transitions(
    columns: Columns,
    windows: types.Array,
    rows: types.Array,
    stack_size: int,
    update_horizon: int,
    gamma: float,
) -> types.Batch:
  """The n-step transitions that start at some rows.

  Args:
    columns: of the data.
    windows: [B, stack_size + n, ...] frames, see `gather_windows`.
    rows: [B].
    stack_size: frames in a state.
    update_horizon: n.
    gamma: discount.

  Returns:
    A batch; states [B, ..., stack_size], the oldest frame first.
  """
  steps = rows[:, None] + jnp.arange(update_horizon, dtype=rows.dtype)
  policy = (
      columns.actions
      if columns.policy_actions is None
      else columns.policy_actions
  )
  batch = n_step.batch_of(
      windows,
      columns.actions[rows],
      columns.rewards[steps],
      columns.terminals[steps],
      stack_size,
      gamma,
  )
  return batch._replace(
      target=None if columns.returns is None else columns.returns[rows],
      next_action=n_step.number(policy[rows + update_horizon]),
  )


def to_host_windows(
    frames: np.ndarray, rows: np.ndarray, num_frames: int, stack_size: int
) -> np.ndarray:
  """`gather_windows` on the host, for rows of any shape."""
  offsets = np.arange(num_frames) - (stack_size - 1)
  index = rows.astype(np.int64)[..., None] + offsets
  out = np.empty((*index.shape, *frames.shape[1:]), frames.dtype)
  # One copy of each frame, and no lock held while it is made.
  flat: Any = out.reshape(-1, *frames.shape[1:])
  np.take(frames, index.reshape(-1), axis=0, out=flat, mode='clip')
  return out
