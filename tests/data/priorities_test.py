"""Tests of implicit_underparam.data.priorities."""

import functools

import compiling
import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from implicit_underparam.data import priorities

_FAN_OUT = 32  # Above which a second level begins.


def _tree(values: np.ndarray) -> priorities.Priorities:
  """By the definition of the levels, in float64."""
  levels, sums = [], np.asarray(values, np.float32).astype(np.float64)
  while not levels or len(sums) > 1:
    sums = np.pad(sums, (0, -len(sums) % _FAN_OUT))
    levels.append(jnp.asarray(sums, jnp.float32))
    sums = sums.reshape(-1, _FAN_OUT).sum(axis=1)
  levels.append(jnp.asarray(sums, jnp.float32))
  return priorities.Priorities(tuple(levels), jnp.float32(1))


def _find(tree: priorities.Priorities, positions: np.ndarray) -> np.ndarray:
  positions = jnp.asarray(positions, jnp.float32)
  dither = jnp.full((len(tree.levels) - 2, len(positions)), 0.5)
  return np.asarray(jax.jit(priorities.find)(tree, positions, dither))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _draws(tree, rng, num_samples, stratified=True):
  return priorities.sample(tree, rng, num_samples, stratified)


def _many(tree, num_batches, stratified=True):
  keys = jax.random.split(jax.random.key(5), num_batches)
  return np.concatenate([_draws(tree, key, 50, stratified)[0] for key in keys])


class FindTest(parameterized.TestCase):

  @parameterized.parameters(1, _FAN_OUT, _FAN_OUT + 1, 1100)
  def test_every_unit_of_mass_as_in_dopamine_and_a_sum_of_float64(self, size):
    values = np.random.default_rng(size).integers(0, 10, size)
    values[size // 2] = 3
    total = int(values.sum())
    units = np.arange(total)
    positions = (units + 0.5) / total
    found = _find(_tree(values), positions)
    expected = np.searchsorted(np.cumsum(values), units, side='right')
    np.testing.assert_array_equal(found, expected)

    module = dopamine_shims.load('dopamine.jax.replay_memory.sum_tree')
    peer = module.SumTree(size)
    peer.set(np.arange(size), values.astype(np.float64))
    np.testing.assert_array_equal(found, peer.query(positions * total))

  def test_as_in_the_tree_of_dopamine_for_tensorflow(self):
    values = np.random.default_rng(0).integers(0, 5, 100)
    module = dopamine_shims.load('dopamine.tf.replay_memory.sum_tree')
    peer = module.SumTree(100)
    for i, value in enumerate(values):
      peer.set(i, float(value))
    positions = (np.arange(values.sum()) + 0.5) / values.sum()
    expected = [peer.sample(x) for x in positions]
    np.testing.assert_array_equal(_find(_tree(values), positions), expected)

  @parameterized.parameters(20, 1100)
  def test_differs_from_float64_by_rounding_only(self, size):
    rng = np.random.default_rng(size)
    values = (rng.exponential(size=size) ** 4).astype(np.float32)
    positions = rng.uniform(size=20_000).astype(np.float32)
    found = _find(_tree(values), positions)
    ends = np.cumsum(values.astype(np.float64))
    targets = positions.astype(np.float64) * ends[-1]
    tolerance = 1e-6 * ends[-1]
    self.assertTrue(np.all(targets < ends[found] + tolerance))
    self.assertTrue(np.all(targets >= (ends - values)[found] - tolerance))
    exact = np.searchsorted(ends, targets, side='right')
    self.assertGreater(np.mean(found == exact), 0.99)

  def test_the_rounding_of_a_position_starves_no_leaf(self):
    values = np.ones(2**20)
    values[:1024] = 1e-6
    tree = _tree(values)
    # The first position that is drawn stands for 2^-23 of the total.
    num_draws = 400_000
    dither = jax.random.uniform(
        jax.random.key(0), (len(tree.levels) - 2, num_draws)
    )
    positions = jnp.full(num_draws, 2.0**-24)
    found = np.asarray(jax.jit(priorities.find)(tree, positions, dither))
    hits = np.sum(found < 1024)
    expected = num_draws * 1024e-6 / (float(tree.levels[-1][0]) * 2.0**-23)
    self.assertLess(abs(hits - expected), 4 * np.sqrt(expected))
    counts = np.bincount(found[found < 1024] // 64, minlength=16)
    # Chi-squared with 15 degrees of freedom: above 44 once in 10,000 seeds.
    statistic = np.sum((counts - hits / 16) ** 2 / (hits / 16))
    self.assertLess(statistic, 44)


class SampleTest(parameterized.TestCase):

  @parameterized.product(size=(20, 1100), stratified=(True, False))
  def test_frequencies(self, size, stratified):
    values = np.random.default_rng(size).uniform(0, 1, size).astype(np.float32)
    values[::7] = 0
    found = _many(_tree(values), 2000, stratified)
    counts = np.bincount(found, minlength=size)
    expected = 100_000 * values.astype(np.float64) / values.sum(dtype=float)
    self.assertTrue(np.all(counts[values == 0] == 0))
    there = values > 0
    statistic = np.sum((counts - expected)[there] ** 2 / expected[there])
    degrees = there.sum() - 1
    # 4 standard deviations of chi-squared.
    self.assertLess(statistic, degrees + 4 * np.sqrt(2 * degrees))

  def test_one_draw_in_every_segment(self):
    tree = _tree(np.ones(1100))
    keys = jax.random.split(jax.random.key(0), 40)
    found = np.stack([_draws(tree, key, 50)[0] for key in keys])
    segments = np.broadcast_to(np.arange(50), found.shape)
    np.testing.assert_array_equal(found // 22, segments)
    self.assertAlmostEqual(np.mean(found % 22), 10.5, delta=0.5)
    self.assertAlmostEqual(np.std(found % 22), 6.3, delta=0.4)
    free = _draws(tree, keys[0], 50, False)[0]
    self.assertFalse(np.array_equal(free // 22, segments[0]))

  @parameterized.parameters(True, False)
  def test_probabilities(self, stratified):
    values = np.random.default_rng(0).uniform(0, 1, 1100).astype(np.float32)
    tree = _tree(values)
    found, probabilities = _draws(tree, jax.random.key(0), 50, stratified)
    expected = values[found] / values.sum(dtype=np.float64)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)

  @parameterized.product(
      size=(1, 1100), place=(0.0, 0.4, 1.0),
      value=(2e-38, 1e-10, 1e30),
  )
  def test_a_single_leaf_above_zero(self, size, place, value):
    index = int(place * (size - 1))
    tree = jax.jit(priorities.assign)(
        priorities.init(size), jnp.array([index]), jnp.array([value])
    )
    found, probabilities = _draws(tree, jax.random.key(size), 50)
    np.testing.assert_array_equal(found, np.full(50, index))
    np.testing.assert_array_equal(probabilities, np.ones(50))
    edges = [0.0, 1e-30, 0.5, 1 - 2.0**-24, 1.0]
    np.testing.assert_array_equal(_find(tree, edges), np.full(5, index))

  def test_leaves_of_zero_are_never_drawn(self):
    rng = np.random.default_rng(0)
    scales = np.array([0, 0, 0, 1e-37, 1e-10, 1e-3, 1, 1e3, 1e10])
    edges = np.concatenate([
        np.linspace(0, 1, 4000), 1 - np.arange(50) * 2.0**-24,
        np.arange(50) * 2.0**-24,
    ])
    for size in (33, 1100):
      for case in range(12):
        values = rng.choice(scales[:4 + case % 6], size)
        values *= rng.uniform(0.5, 1, size)
        values[rng.integers(size)] = 1e-10
        if case % 3 == 0:
          values[size // 2:] = 0
        if case % 3 == 1:
          values[:-1] = 0
          values[-1] = 1e3
          values[0] = 1e-10
        tree = _tree(values)
        for found in (_find(tree, edges), _many(tree, 40)):
          self.assertTrue(np.all(found < size))
          self.assertTrue(np.all(values[found] > 0), (size, case))

  def test_an_empty_tree(self):
    found, probabilities = _draws(priorities.init(20), jax.random.key(0), 50)
    np.testing.assert_array_equal(found, np.zeros(50))
    np.testing.assert_array_equal(probabilities, np.zeros(50))


_SIZE, _BATCH = 1100, 6


class AssignTest(parameterized.TestCase):

  def assert_holds(self, tree, leaves):
    levels = [np.asarray(level, np.float64) for level in tree.levels]
    np.testing.assert_array_equal(levels[0][:len(leaves)], leaves)
    np.testing.assert_array_equal(levels[0][len(leaves):], 0)
    for below, level in zip(levels, levels[1:], strict=False):
      sums = below.reshape(-1, _FAN_OUT).sum(axis=1)
      np.testing.assert_allclose(level[:len(sums)], sums, rtol=1e-6)
      np.testing.assert_array_equal(level[len(sums):], 0)
    self.assertLen(levels[-1], 1)

  @settings(max_examples=60, deadline=None, derandomize=True)
  @given(st.lists(st.tuples(
      st.sampled_from(['assign', 'add_new', 'clear']),
      st.lists(
          st.tuples(
              st.sampled_from([0, 1, 31, 32, 1023, 1024, 1098, _SIZE - 1]),
              st.sampled_from([0.0, 1e-10, 0.1, 3.0, 2.5e4]),
              st.booleans(),
          ),
          min_size=_BATCH, max_size=_BATCH,
      ),
  ), max_size=12))  # fmt: skip
  def test_any_sequence(self, operations):
    tree, leaves, max_seen = priorities.init(_SIZE), np.zeros(_SIZE), 1.0
    leaves = leaves.astype(np.float32)
    for name, entries in operations:
      indices, values, mask = (np.array(x) for x in zip(*entries, strict=True))
      values = values.astype(np.float32)
      given_values = {
          'assign': values, 'add_new': np.full(_BATCH, max_seen, np.float32),
          'clear': np.zeros(_BATCH, np.float32),
      }[name]  # fmt: skip
      for i, value, wanted in zip(indices, given_values, mask, strict=True):
        if wanted:
          leaves[i] = value
          max_seen = max(max_seen, value)
      more = (values,) if name == 'assign' else ()
      step = jax.jit(getattr(priorities, name))
      tree = step(tree, *jax.tree.map(jnp.asarray, (indices, *more, mask)))
      self.assert_holds(tree, leaves)
      self.assertEqual(tree.max_seen, np.float32(max_seen))

  def test_the_last_of_equal_indices_wins(self):
    indices = jnp.array([5, 7, 5, 5, 7, 40])
    values = jnp.array([9.0, 2.0, 1.0, 3.0, 8.0, 4.0])
    mask = jnp.array([True, True, True, True, False, True])
    tree = priorities.assign(priorities.init(64), indices, values, mask)
    leaves = np.zeros(64)
    leaves[[5, 7, 40]] = 3, 2, 4
    self.assert_holds(tree, leaves)
    # Dopamine's rule: what was given counts, whether or not it was kept.
    self.assertEqual(tree.max_seen, 9)
    # Where writes have no order, as on a GPU, only these may be made.
    written = priorities._last_of_each(indices, mask)
    np.testing.assert_array_equal(written, [0, 1, 0, 1, 0, 1])

  def test_what_is_no_priority(self):
    tree = _tree(np.arange(1.0, 41.0))._replace(max_seen=jnp.float32(40))
    tree = priorities.assign(
        tree, jnp.arange(6),
        jnp.array([jnp.nan, jnp.inf, -jnp.inf, -1.0, 1e-40, 0.0]),
    )  # fmt: skip
    leaves = np.arange(1.0, 41.0)
    leaves[3:6] = 0
    self.assert_holds(tree, leaves)
    self.assertEqual(tree.max_seen, 40)
    with self.assertRaisesRegex(ValueError, 'num_leaves is 0'):
      priorities.init(0)

  def test_nothing_remains_after_many_changes(self):
    size, batch = 5000, 32

    def change(k, tree):
      keys = jax.random.split(jax.random.key(k), 3)
      indices = jax.random.randint(keys[0], (batch,), 0, size)
      exponents = jax.random.uniform(keys[1], (batch,), minval=-6, maxval=6)
      mask = jax.random.bernoulli(keys[2], 0.9, (batch,))
      return priorities.assign(tree, indices, 10.0**exponents, mask)

    tree = jax.lax.fori_loop(0, 5000, change, priorities.init(size))
    leaves = np.asarray(tree.levels[0][:size])
    self.assertGreater(np.sum(leaves > 0), 0.9 * size)
    self.assert_holds(tree, leaves)
    step = jax.jit(priorities.clear)
    for first in range(0, size, 1000):
      tree = step(tree, jnp.arange(first, first + 1000))
    self.assert_holds(tree, np.zeros(size))

  def test_vectorised_over_seeds_as_in_a_loop(self):
    rng = np.random.default_rng(0)
    indices = jnp.asarray(rng.integers(0, 1100, (3, 2, 40)), jnp.int32)
    values = jnp.asarray(rng.integers(0, 9, (3, 2, 40)), jnp.float32)
    mask = jnp.asarray(rng.uniform(size=(3, 2, 40)) < 0.8)

    def run(indices, values, mask, key):
      tree = priorities.init(1100)
      for k in range(2):
        tree = priorities.assign(tree, indices[k], values[k], mask[k])
      return tree, *priorities.sample(tree, key, 50)

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(indices, values, mask, keys)
    alone = jax.jit(run)
    for s in range(3):
      jax.tree.map(
          np.testing.assert_array_equal,
          jax.tree.map(lambda x, s=s: x[s], together),
          alone(indices[s], values[s], mask[s], keys[s]),
      )

  @parameterized.parameters(0, 2)
  def test_a_donated_tree_is_not_copied(self, num_seeds):
    compiling.as_a_run_does(self)
    size = 2**17

    def step(tree, rng):
      rows = jnp.arange(3, dtype=jnp.int32)
      tree = priorities.add_new(tree, rows)
      tree = priorities.clear(tree, rows + 3)
      indices, probabilities = priorities.sample(tree, rng, 8)
      tree = priorities.assign(tree, indices, jnp.ones(8))
      again = priorities.sample(tree, rng, 8)
      return priorities.clear(tree, again[0]), probabilities, again[1]

    tree, rng = priorities.init(size), jax.random.key(0)
    if num_seeds:
      step, rng = jax.vmap(step), jax.random.split(rng, num_seeds)
      tree = jax.tree.map(lambda x: jnp.stack([x] * num_seeds), tree)
    program = jax.jit(step, donate_argnums=0).lower(tree, rng).compile()
    memory = program.memory_analysis()
    self.assertLess(memory.temp_size_in_bytes, size)
    self.assertGreaterEqual(memory.alias_size_in_bytes, 4 * size)


class ImportanceWeightsTest(parameterized.TestCase):

  @parameterized.parameters((0.5,), (1.0,), (0.0,))
  def test_formula(self, exponent):
    probabilities = np.array([0.5, 1e-3, 1e-7, 1e-12])
    expected = (probabilities + 1e-10) ** -exponent
    found = priorities.importance_weights(jnp.asarray(probabilities), exponent)
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-5)

  def test_default_is_that_of_dopamine(self):
    probabilities = jnp.array([0.5, 1e-3, 1e-7])
    weights = 1.0 / jnp.sqrt(probabilities + 1e-10)
    np.testing.assert_allclose(
        priorities.importance_weights(probabilities),
        weights / jnp.max(weights), rtol=1e-6,
    )  # fmt: skip


if __name__ == '__main__':
  absltest.main()
