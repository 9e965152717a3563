"""Which rows of a stream may start an n-step transition, and for which n."""

from collections.abc import Iterator

import numpy as np

STACK_SIZE = 4
_CHUNK = 1 << 20


def largest_horizons(
    terminals: np.ndarray,
    starts: np.ndarray,
    allowed: np.ndarray,
    max_horizon: int,
    stack_size: int = STACK_SIZE,
) -> np.ndarray:
  """The largest n for which each row may start an n-step transition.

  Row i may for n if the rows of its stack, i-3..i, lie in one segment, no
  terminal lies in i-3..i-1, and either row i+n lies in the same segment or a
  terminal of that segment lies in i..i+n-1: what follows a terminal is
  masked. This is monotone in n. Padding needs no flag: it follows a terminal
  or a segment's start.

  Args:
    terminals: bool [N]; the action of this row ended the episode.
    starts: bool [N]; a segment begins at this row. Row 0 always begins one.
    allowed: bool [N]; False rows get 0.
    max_horizon: what n is capped at, at most 255.
    stack_size: frames in a state.

  Returns:
    uint8 [N]; 0 where a row may start no transition.
  """
  terminals, starts = terminals.astype(bool), starts.astype(bool)
  last_of_segment = np.append(starts[1:], True)
  horizons = np.zeros(len(terminals), np.uint8)
  for _ in range(max_horizon):
    following = np.minimum(np.append(horizons[1:], 0), max_horizon - 1)
    horizons = np.where(last_of_segment, 0, following + 1).astype(np.uint8)
    horizons[terminals] = max_horizon
  startable = allowed.astype(bool)
  for back in range(1, stack_size):
    startable[:back] = False
    startable[back:] &= ~terminals[:-back]
    # Row i-back+1 must not begin a segment.
    startable[back - 1 :] &= ~starts[: len(starts) - back + 1]
  return np.where(startable, horizons, 0).astype(np.uint8)


def in_chunks(
    terminals: np.ndarray,
    starts: np.ndarray,
    allowed: np.ndarray,
    max_horizon: int,
    stack_size: int = STACK_SIZE,
) -> Iterator[np.ndarray]:
  """Yields `largest_horizons` of a long stream, a million rows at a time.

  Args:
    terminals: as there; may be memory-mapped, as the next two.
    starts: as there.
    allowed: as there.
    max_horizon: as there.
    stack_size: as there.
  """
  for first in range(0, len(terminals), _CHUNK):
    # What the windows of these rows reach beyond them.
    before = min(first, stack_size)
    seen = slice(first - before, first + _CHUNK + max_horizon + 1)
    found = largest_horizons(
        terminals[seen], starts[seen], allowed[seen], max_horizon, stack_size
    )
    yield found[before : before + _CHUNK]
