"""Which rows of a log are taken, for each of the four ways to subsample.

Each plan sees the whole stream of the log as three bytes a row, in the order
in which the rows were written, and returns a mask of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from implicit_underparam.data import horizons
from implicit_underparam.errors import UserError

MODES = ('prefix', 'blocks', 'trajectories', 'transitions')


class Stream(NamedTuple):
  """What is known of T rows, checkpoint after checkpoint, without frames.

  Row t of checkpoint j, for offsets[j] <= t < offsets[j + 1], stands in slot
  (first_slots[j] + t - offsets[j]) mod capacity of its ring.

  Fields:
    terminals: bool [T], the action ended the episode.
    ends: bool [T], the episode ended, by a time limit too.
    gaps: bool [J], rows were lost before checkpoint j, or it is the first and
      the log may have begun before it.
    offsets: int64 [J + 1].
    first_slots: int64 [J].
    capacity: slots in the ring.
  """

  terminals: np.ndarray
  ends: np.ndarray
  gaps: np.ndarray
  offsets: np.ndarray
  first_slots: np.ndarray
  capacity: int

  @property
  def rows(self) -> int:
    """T."""
    return len(self.terminals)

  @property
  def sizes(self) -> np.ndarray:
    """Rows of each checkpoint, int64 [J]."""
    return np.diff(self.offsets)

  def starts(self) -> np.ndarray:
    """Where the stream does not go on: bool [T]."""
    starts = np.zeros(self.rows, bool)
    starts[:1] = True
    starts[1:] = self.ends[:-1] & ~self.terminals[:-1]
    first_rows = self.offsets[:-1][self.gaps & (self.sizes > 0)]
    starts[first_rows] = True
    return starts


class Plan(NamedTuple):
  """What is taken.

  Fields:
    take: bool [T], the row is stored.
    starts: bool [T], the row is stored and begins a segment.
    allowed: bool [T], the row may start a transition.
    chosen: of the units.
    available: units there are.
    unit: what was chosen: rows, blocks, episodes or transitions.
  """

  take: np.ndarray
  starts: np.ndarray
  allowed: np.ndarray
  chosen: int
  available: int
  unit: str


def prefix(stream: Stream, fraction: float) -> Plan:
  """The first round(fraction * capacity) slots of every ring.

  What `replay_capacity` does in public code that loads these logs, but for
  slots that hold nothing new; fraction 1 is the whole stream.

  Args:
    stream: of the log.
    fraction: within (0, 1].
  """
  count = _share(fraction, stream.capacity)
  take = np.zeros(stream.rows, bool)
  for j, first in enumerate(stream.first_slots):
    rows = slice(stream.offsets[j], stream.offsets[j + 1])
    slots = (first + np.arange(stream.sizes[j])) % stream.capacity
    take[rows] = slots < count
  return _plan(stream, take, None, int(take.sum()), stream.rows, 'rows')


def blocks(
    stream: Stream, fraction: float, block_size: int, rng: np.random.Generator
) -> Plan:
  """Random blocks of consecutive rows, evenly many from each checkpoint.

  The blocks of a checkpoint lie side by side from a random first row on, and
  are drawn without replacement.

  Args:
    stream: of the log.
    fraction: of the blocks, within (0, 1].
    block_size: rows of one.
    rng: draws.

  Raises:
    UserError: no checkpoint has so many rows.
  """
  available = stream.sizes // block_size
  if not available.sum():
    raise UserError(
        f'--block_size={block_size} is more than the {stream.sizes.max()} rows '
        'of a checkpoint: give a smaller one'
    )
  chosen = _share(fraction, int(available.sum()))
  counts = _spread(chosen, available)
  take = np.zeros(stream.rows, bool)
  for j, count in enumerate(counts):
    spare = stream.sizes[j] - available[j] * block_size
    first = stream.offsets[j] + rng.integers(spare + 1)
    drawn = rng.choice(available[j], count, replace=False)
    for block in drawn:
      start = first + block * block_size
      take[start : start + block_size] = True
  return _plan(
      stream, take, None, chosen, int(available.sum()), 'blocks'
  )


def trajectories(
    stream: Stream, fraction: float, rng: np.random.Generator
) -> Plan:
  """Whole episodes, with their padding, drawn without replacement.

  One that the log does not hold from its first to its last row is not drawn.

  Args:
    stream: of the log.
    fraction: of the episodes, within (0, 1].
    rng: draws.

  Raises:
    UserError: the log holds no whole episode.
  """
  starts = stream.starts()
  first_rows = np.flatnonzero(starts | _after(stream.terminals))
  last_rows = np.append(first_rows[1:], stream.rows) - 1
  cut = np.zeros(stream.rows, bool)
  cut[stream.offsets[:-1][stream.gaps & (stream.sizes > 0)]] = True
  whole = np.flatnonzero(~cut[first_rows] & stream.ends[last_rows])
  if not len(whole):
    raise UserError(
        '--mode=trajectories: the log holds no whole episode; take '
        '--mode=prefix or blocks'
    )
  chosen = _share(fraction, len(whole))
  is_taken = np.zeros(len(first_rows), bool)
  is_taken[rng.choice(whole, chosen, replace=False)] = True
  take = np.repeat(is_taken, last_rows - first_rows + 1)
  return _plan(stream, take, None, chosen, len(whole), 'episodes')


def transitions(
    stream: Stream,
    fraction: float,
    update_horizon: int,
    rng: np.random.Generator,
    stack_size: int = horizons.STACK_SIZE,
) -> Plan:
  """Transitions drawn i.i.d. without replacement from all valid ones.

  Stores the rows i-3..i+n of each drawn i, up to a terminal, once each.

  Args:
    stream: of the log.
    fraction: of the valid transitions, within (0, 1].
    update_horizon: n.
    rng: draws.
    stack_size: frames in a state, 4 above.

  Raises:
    UserError: the log holds no valid transition.
  """
  valid = _valid(stream, update_horizon, stack_size)
  available = int(valid.sum())
  if not available:
    raise UserError(
        f'--update_horizon={update_horizon}: the log holds no transition of so '
        'many steps'
    )
  chosen = _share(fraction, available)
  drawn = _draw(valid, chosen, stream.offsets, rng)
  del valid  # A byte a row, of 50 million.
  take = drawn.copy()
  for back in range(1, stack_size):
    take[:-back] |= drawn[back:]
  reached = drawn
  for _ in range(update_horizon):
    reached = _after(reached & ~stream.terminals)
    take |= reached
  return _plan(stream, take, drawn, chosen, available, 'transitions')


def _valid(
    stream: Stream, update_horizon: int, stack_size: int
) -> np.ndarray:
  """Which rows of the whole stream may start a transition: bool [T]."""
  chunks = horizons.in_chunks(
      stream.terminals,
      stream.starts(),
      np.broadcast_to(np.True_, stream.rows),
      update_horizon,
      stack_size,
  )
  found = [np.zeros(0, bool), *(x == update_horizon for x in chunks)]
  return np.concatenate(found)


def _draw(
    valid: np.ndarray,
    count: int,
    offsets: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
  """A uniform choice of True elements, checkpoint by checkpoint.

  How many fall on each is hypergeometric; so none of the choices is among
  more elements than one checkpoint has, which would take gigabytes.
  """
  counts = np.add.reduceat(np.append(valid, False), offsets[:-1], dtype=int)
  # reduceat gives the element itself for an empty checkpoint.
  counts[np.diff(offsets) == 0] = 0
  drawn = np.zeros(len(valid), bool)
  shares = rng.multivariate_hypergeometric(counts, count, method='marginals')
  for j, share in enumerate(shares):
    here = np.flatnonzero(valid[offsets[j] : offsets[j + 1]])
    drawn[offsets[j] + rng.choice(here, share, replace=False)] = True
  return drawn


def _plan(
    stream: Stream,
    take: np.ndarray,
    drawn: np.ndarray | None,
    chosen: int,
    available: int,
    unit: str,
) -> Plan:
  starts = take & (stream.starts() | ~_after(take))
  allowed = take if drawn is None else drawn
  return Plan(take, starts, allowed, chosen, available, unit)


def _after(mask: np.ndarray) -> np.ndarray:
  """Whether the row before is True."""
  return np.concatenate([np.zeros(min(1, len(mask)), bool), mask[:-1]])


def _share(fraction: float, count: int) -> int:
  """The nearest whole number, and at least one if there is any."""
  return min(count, max(1, round(fraction * count)))


def _spread(total: int, sizes: np.ndarray) -> np.ndarray:
  """Splits `total` in proportion to sizes, each part rounded up or down."""
  reached = np.cumsum(sizes) * (total / sizes.sum())
  return np.diff(np.floor(reached + 0.5).astype(np.int64), prepend=0)
