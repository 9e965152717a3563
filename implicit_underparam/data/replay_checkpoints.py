"""A checkpoint of a replay log in memory: order, validity, transitions.

The rules are those of Dopamine's OutOfGraphReplayBuffer, so that what is
sampled here is what is sampled there.
"""

import math
from typing import NamedTuple

import numpy as np

from implicit_underparam.errors import UserError

STACK_SIZE = 4


class Checkpoint(NamedTuple):
  """One checkpoint of a log.

  Attributes:
    observation: [capacity, ...] uint8; None where it was not asked for.
    action: [capacity] int32.
    reward: [capacity] float32.
    terminal: [capacity] uint8, 1 where the action ended the episode.
    add_count: slots written since the log began, padding included; those of
      the last ring only in the file written at the end of a log.
    invalid_range: [stack_size + n] int64, slots around the cursor.
    episode_end_indices: sorted int64 slots of the episodes' last frames,
      time limits included; None where the log does not say.
  """

  observation: np.ndarray | None
  action: np.ndarray
  reward: np.ndarray
  terminal: np.ndarray
  add_count: int
  invalid_range: np.ndarray
  episode_end_indices: np.ndarray | None = None

  @property
  def capacity(self) -> int:
    """Slots in the ring."""
    return len(self.action)

  @property
  def cursor(self) -> int:
    """The slot that would have been written next."""
    return self.add_count % self.capacity

  @property
  def is_full(self) -> bool:
    """Whether every slot counts, by Dopamine's rule."""
    return self.add_count >= self.capacity

  @property
  def update_horizon(self) -> int:
    """The n of the buffer that wrote this, if it stacked 4 frames."""
    return len(self.invalid_range) - STACK_SIZE


class Sample(NamedTuple):
  """B transitions.

  Attributes:
    state: [B, ..., stack_size] uint8, oldest frame first.
    action: [B] int32.
    reward: [B] float32, discounted sum up to the first terminal.
    next_state: [B, ..., stack_size] uint8; of no meaning after a terminal.
    is_terminal: [B] uint8.
  """

  state: np.ndarray
  action: np.ndarray
  reward: np.ndarray
  next_state: np.ndarray
  is_terminal: np.ndarray


def _adds_between(previous: Checkpoint, checkpoint: Checkpoint) -> int:
  """Counts the adds from one checkpoint to the next (at least so many)."""
  capacity = checkpoint.capacity
  adds = checkpoint.add_count - previous.add_count
  if adds > 0 and previous.capacity == capacity:
    return adds
  # Only the last file of a log may count less: it counts within its ring.
  may_be_last = not checkpoint.is_full and previous.add_count >= capacity - 1
  if previous.capacity != capacity or not may_be_last:
    raise UserError(
        f'checkpoints after {previous.add_count} and {checkpoint.add_count} '
        f'adds, of {previous.capacity} and {capacity} slots, are not of one '
        'log: put each log in a folder of its own'
    )
  adds = (checkpoint.cursor - previous.cursor) % capacity
  untouched = np.ones(capacity, bool)
  untouched[(previous.cursor + np.arange(adds)) % capacity] = False
  same = all(
      np.array_equal(old[untouched], new[untouched])
      for old, new in zip(previous[1:4], checkpoint[1:4], strict=True)
  )
  return adds if same else adds + capacity


def continues(previous: Checkpoint, checkpoint: Checkpoint) -> bool:
  """Tells whether nothing was lost between two checkpoints.

  Dopamine writes no checkpoint where the add that completes a ring is
  padding; the next one then counts two rings more. The last file of a log
  has no such count: slots that it did not reach are compared instead.

  Args:
    previous: the checkpoint before; frames are not needed.
    checkpoint: the one after.

  Raises:
    UserError: they cannot be of one log.
  """
  return _adds_between(previous, checkpoint) <= checkpoint.capacity


def chronological_slots(
    checkpoint: Checkpoint, previous: Checkpoint | None = None
) -> np.ndarray:
  """Lists the slots in the order in which they were written.

  Args:
    checkpoint: a full one, or one that was filled up to its cursor: its
      slots from there on are stale, or were never written.
    previous: the checkpoint before. With it only what is new since then is
      listed, so that all the lists together are the stream, each row once;
      of the last file that is slot `capacity - 1` too, and the rest of a
      ring that was never written to a file.

  Returns:
    [M] int64 slots, M <= capacity.

  Raises:
    UserError: the two cannot be of one log.
  """
  count = min(checkpoint.add_count, checkpoint.capacity)
  if previous is not None:
    count = min(_adds_between(previous, checkpoint), checkpoint.capacity)
  first = checkpoint.cursor - count
  return np.arange(first, first + count) % checkpoint.capacity


def valid_indices(
    checkpoint: Checkpoint,
    update_horizon: int = 1,
    stack_size: int = STACK_SIZE,
) -> np.ndarray:
  """Lists the slots at which Dopamine lets an n-step transition begin.

  Slot i counts if it is in no `invalid_range`; if no terminal lies in
  i-3..i-1 (one at i is fine); if no episode ends in i..i+n-1 otherwise than
  by a terminal; and, in a ring that is not full, if 3 <= i < cursor - n.
  Like Dopamine's this takes the invalid range from the file: for an n above
  that of the log a few transitions reach across the cursor.

  Args:
    checkpoint: frames are not needed.
    update_horizon: n.
    stack_size: frames in a state.

  Returns:
    [M] int64, increasing.
  """
  ended = checkpoint.terminal.astype(bool)
  valid = np.ones(checkpoint.capacity, bool)
  valid[checkpoint.invalid_range] = False
  if not checkpoint.is_full:
    valid[:stack_size - 1] = False
    valid[max(checkpoint.cursor - update_horizon, 0):] = False
  for age in range(1, stack_size):
    valid &= ~np.roll(ended, age)
  if checkpoint.episode_end_indices is not None:
    cut = np.zeros(checkpoint.capacity, bool)
    cut[checkpoint.episode_end_indices] = True
    for step in range(update_horizon):
      valid &= ~np.roll(cut & ~ended, -step)
  return np.flatnonzero(valid)


def _stacks(
    frames: np.ndarray, indices: np.ndarray, stack_size: int
) -> np.ndarray:
  slots = indices[:, None] + np.arange(1 - stack_size, 1)
  return np.moveaxis(frames[slots % len(frames)], 1, -1)


def _discounted_sums(
    rewards: np.ndarray, lengths: np.ndarray, gamma: float
) -> np.ndarray:
  """Sums rewards [B, n] over the first `lengths` [B] steps, in float32."""
  steps = range(rewards.shape[1])
  discounts = np.array([math.pow(gamma, step) for step in steps], np.float32)
  sums = np.zeros(len(rewards), np.float32)
  # Rows of one length together: each is then rounded as if summed alone.
  for length in np.unique(lengths):
    rows = lengths == length
    sums[rows] = np.sum(discounts[:length] * rewards[rows, :length], axis=1)
  return sums


def sample(
    checkpoint: Checkpoint,
    indices: np.ndarray,
    update_horizon: int = 1,
    gamma: float = 0.99,
    stack_size: int = STACK_SIZE,
) -> Sample:
  """Gathers n-step transitions, equal to Dopamine's to the last bit.

  With m = n, or up to and including the first terminal in i..i+n-1:
  reward = sum_{k<m} gamma^k r_{i+k}, next state = frames i+m-3..i+m.

  Args:
    checkpoint: with frames.
    indices: [B] slots, of `valid_indices`.
    update_horizon: n.
    gamma: the discount of one step.
    stack_size: frames in a state.
  """
  if checkpoint.observation is None:
    raise ValueError('the checkpoint was read without its frames')
  indices = np.asarray(indices, np.int64)
  slots = (indices[:, None] + np.arange(update_horizon)) % checkpoint.capacity
  ended = checkpoint.terminal[slots].astype(bool)
  is_terminal = ended.any(1)
  lengths = np.where(is_terminal, ended.argmax(1) + 1, update_horizon)
  frames = checkpoint.observation
  return Sample(
      state=_stacks(frames, indices, stack_size),
      action=checkpoint.action[indices],
      reward=_discounted_sums(checkpoint.reward[slots], lengths, gamma),
      next_state=_stacks(frames, indices + lengths, stack_size),
      is_terminal=np.asarray(is_terminal, np.uint8),
  )
