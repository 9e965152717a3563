"""Monte-Carlo returns of a stored stream."""

import math

import numpy as np

from implicit_underparam.data import frame_store


def monte_carlo_returns(
    store: frame_store.FrameStore, gamma: float, tail: float
) -> tuple[np.ndarray, np.ndarray]:
  """sum_t gamma^t r_{i+t} to the end of row i's episode.

  Where the data cuts an episode off, the sum goes to the cut.

  Args:
    store: a prepared set.
    gamma: discount.
    tail: what a cut may hide, see `known_enough`.

  Returns:
    [N] float32 returns and [N] bool, which of them are known well enough.
  """
  ends = _episode_ends(store)
  rewards = np.asarray(store.rewards, np.float64)
  total = np.zeros(len(rewards))
  known = np.zeros(len(rewards), bool)
  begin = 0
  for end in ends:
    total[begin : end + 1] = discounted_sums(rewards[begin : end + 1], gamma)
    length = end + 1 - begin
    if store.terminals[end]:
      known[begin : end + 1] = True
    else:
      hidden = min(length, steps_hidden(gamma, tail))
      known[begin : end + 1 - hidden] = True
    begin = end + 1
  return total.astype(np.float32), known


def discounted_sums(rewards: np.ndarray, gamma: float) -> np.ndarray:
  """sum_t gamma^t r_{i+t} for every i of one episode, float64 [T]."""
  # Imported late; JAX brings it.
  from scipy import signal

  backwards = signal.lfilter([1.0], [1.0, -gamma], rewards[::-1])
  return np.asarray(backwards)[::-1]


def steps_hidden(gamma: float, tail: float) -> int:
  """The least k with gamma^k / (1 - gamma) <= tail, or a very large one.

  So many steps before a cut, rewards of at most 1 beyond it change the return
  by more than `tail`.
  """
  if gamma == 0:
    return 1
  if gamma == 1 or tail <= 0:
    return 2**62
  return max(0, math.ceil(math.log(tail * (1 - gamma)) / math.log(gamma)))


def _episode_ends(store: frame_store.FrameStore) -> np.ndarray:
  """Last rows of episodes or of the pieces that the data has of them."""
  rows = int(store.meta['counts']['rows'])
  last = np.zeros(rows, bool)
  last[np.asarray(store.segments[1:]) - 1] = True
  last |= np.asarray(store.terminals[:rows], bool)
  last[-1:] = True
  return np.flatnonzero(last)
