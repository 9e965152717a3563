"""Priorities of a replay as a sum tree; pure functions of one seed.

The leaves are priorities; every node above is the sum of its `_FAN_OUT`
children, so that a million leaves are four levels: few kernels, and rows that
a CPU reads at once. A parent is always summed anew from its children:
differences added in float32 would drift, and leave mass over leaves of 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from implicit_underparam.types import Array

_FAN_OUT = 32
_SMALLEST = float(jnp.finfo(jnp.float32).tiny)
# Uniform float32 numbers are multiples of this.
_TICK = 2.0**-23


class Priorities(NamedTuple):
  """A sum tree.

  Attributes:
    levels: float32 arrays from the leaves to the root, [1]; all but the root
      are padded with zeros to a multiple of the fan-out.
    max_seen: [] float32, the largest priority that was ever set, at least 1;
      what new leaves get (Dopamine's rule).
  """

  levels: tuple[Array, ...]
  max_seen: Array


def init(num_leaves: int) -> Priorities:
  """A tree in which every priority is 0.

  Args:
    num_leaves: how many leaves there are, at least 1; static.

  Returns:
    The tree, of 4.13 bytes a leaf.

  Raises:
    ValueError: there is no leaf.
  """
  if num_leaves < 1:
    raise ValueError(f'num_leaves is {num_leaves}: give at least 1')
  size = num_leaves
  levels: list[Array] = []
  while not levels or size > 1:
    size = -(-size // _FAN_OUT)
    levels.append(jnp.zeros(size * _FAN_OUT, jnp.float32))
  return Priorities((*levels, jnp.zeros(1, jnp.float32)), jnp.float32(1.0))


def assign(
    tree: Priorities, indices: Array, values: Array, mask: Array | None = None
) -> Priorities:
  """Sets priorities; of a leaf that is given twice the last value wins.

  That holds on every device: of equal indices only the last is written. The
  comparison of all pairs makes this a function for batches, not for a whole
  replay at once.

  Args:
    tree: the priorities; donate them, and nothing is copied.
    indices: [B] int32, which leaves.
    values: [B] float32, at least 0. What is below the smallest normal number
      counts as 0; what is not finite changes nothing, like a masked entry.
    mask: [B] bool, False where nothing shall change; None is all True.

  Returns:
    The tree with these priorities; `max_seen` is no less than any of them.
  """
  values = values.astype(jnp.float32)
  valid = jnp.isfinite(values)
  if mask is not None:
    valid = valid & mask
  values = jnp.where(values >= _SMALLEST, values, 0.0)
  indices = _after(tree.levels[-1], indices)
  largest = jnp.max(values, initial=0.0, where=valid)
  return Priorities(
      _write(tree.levels, indices, values, _last_of_each(indices, valid)),
      jnp.maximum(tree.max_seen, largest),
  )


def add_new(
    tree: Priorities, indices: Array, mask: Array | None = None
) -> Priorities:
  """Gives leaves the largest priority seen so far (Dopamine's rule).

  Args:
    tree: the priorities.
    indices: [B] int32, leaves of new transitions.
    mask: [B] bool, see `assign`.
  """
  values = jnp.broadcast_to(tree.max_seen, indices.shape)
  return assign(tree, indices, values, mask)


def clear(
    tree: Priorities, indices: Array, mask: Array | None = None
) -> Priorities:
  """Sets priorities to 0, so that these leaves are never drawn.

  Args:
    tree: the priorities.
    indices: [B] int32, leaves whose transitions are gone.
    mask: [B] bool, see `assign`.
  """
  return assign(tree, indices, jnp.zeros(indices.shape, jnp.float32), mask)


def sample(
    tree: Priorities, rng: Array, num_samples: int, stratified: bool = True
) -> tuple[Array, Array]:
  """Draws leaves with probability p_i / sum_j p_j, never one of priority 0.

  Stratified as in appendix B.2.1 of Schaul et al. (2016): draw k of B is
  uniform in segment k of B equal segments of the total.

  Args:
    tree: the priorities, of which at least one must be above 0: where all are
      0, what comes back are leaves 0 with probabilities 0.
    rng: a key.
    num_samples: B; static.
    stratified: whether to draw one in every segment; else independently.

  Returns:
    (leaves [B] int32, their probabilities [B] float32).
  """
  shape = (len(tree.levels) - 1, num_samples)
  # The middle of every tick: neither 0 nor, after rounding, 1.
  uniforms = jax.random.uniform(rng, shape, jnp.float32) + 0.5 * _TICK
  positions = uniforms[0]
  if stratified:
    first = jnp.arange(num_samples, dtype=jnp.float32)
    positions = (first + positions) / num_samples
  indices = find(tree, positions, uniforms[1:])
  total = tree.levels[-1][0]
  chosen = tree.levels[0][indices]
  probabilities = chosen / jnp.where(total > 0, total, 1.0)
  return _after(chosen, indices), probabilities


def find(tree: Priorities, positions: Array, dither: Array) -> Array:
  """The leaf in which a position lies, as a fraction of the total.

  The leaf i with sum_{j<i} p_j <= position * sum_j p_j < sum_{j<=i} p_j, the
  sums rounded to float32. What is left of a rounded position under a child is
  too coarse to tell the child's own children apart without bias: at every
  level a random part of the rounding step is put back.

  Args:
    tree: the priorities.
    positions: [B], in [0, 1].
    dither: [number of levels - 2, B], uniform in [0, 1]; 0.5 puts nothing
      back.

  Returns:
    [B] int32; a leaf above 0 wherever there is one.
  """
  order = jnp.arange(_FAN_OUT, dtype=jnp.int32)[None]
  node = jnp.zeros(positions.shape, jnp.int32)
  total = tree.levels[-1][0]
  target, rounded = positions * total, total
  for depth, level in enumerate(reversed(tree.levels[:-1])):
    children = level.reshape(-1, _FAN_OUT)[node]
    before = _sums_before(children)
    # The last of these is the one; the first above 0 is always among them.
    reached = (children > 0) & (before <= target[:, None])
    child = jnp.max(jnp.where(reached, order, 0), axis=1)
    target = target - jnp.max(jnp.where(reached, before, 0.0), axis=1)
    if depth < dither.shape[0]:
      step = _TICK * rounded
      target = jnp.abs(target + step * (dither[depth] - 0.5))
      rounded = target
    node = node * _FAN_OUT + child
  return node


def importance_weights(probabilities: Array, exponent: float = 0.5) -> Array:
  """Weights p^-exponent over their largest, with Dopamine's 1e-10 beside p.

  Schaul et al. (2016), section 3.4; Dopamine's Rainbow has an exponent of 0.5.

  Args:
    probabilities: [B], with which the transitions were drawn.
    exponent: the paper's beta; 1 corrects for the sampling in full.

  Returns:
    [B], the largest of them 1.
  """
  weights = (probabilities + 1e-10) ** -exponent
  return weights / jnp.max(weights)


def _after(read: Array, indices: Array) -> Array:
  """The same indices, which the compiler cannot have before `read`, of >= 0.

  A write that is not ordered after what an earlier step reads makes XLA copy
  all leaves, even of a tree that is donated: 100 times the cost of the write.
  `jax.lax.optimization_barrier` is taken away before that is decided.
  """
  return jnp.where(read >= 0, indices, 0)


def _last_of_each(indices: Array, valid: Array) -> Array:
  """[B] bool: valid, and no later valid entry has the same index."""
  order = jnp.arange(indices.shape[0])
  later = (order[:, None] < order[None]) & valid[None]
  return valid & ~jnp.any((indices[:, None] == indices[None]) & later, axis=1)


def _write(
    levels: tuple[Array, ...], indices: Array, values: Array, mask: Array
) -> tuple[Array, ...]:
  """Sets leaves, no two of them the same, then sums what lies above."""
  written = []
  for level in levels[:-1]:
    # Past the end, where a scatter drops what is not wanted.
    at = jnp.where(mask, indices, level.shape[0])
    written.append(level.at[at].set(values, mode='drop'))
    indices = indices // _FAN_OUT
    rows = written[-1].reshape(-1, _FAN_OUT)
    values = jnp.sum(rows.at[indices].get(mode='clip'), axis=1)
  at = jnp.where(mask, 0, 1)
  return (*written, levels[-1].at[at].set(values, mode='drop'))


def _sums_before(children: Array) -> Array:
  """[B, fan-out]: of every child, the sum of those to its left."""
  order = jnp.arange(_FAN_OUT)
  left = (order[:, None] < order[None]).astype(jnp.float32)
  # As a product, for it is the quickest of the ways to sum on a CPU.
  return jnp.matmul(children, left, precision=jax.lax.Precision.HIGHEST)
