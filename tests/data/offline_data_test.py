"""Tests of implicit_underparam.data.offline and .returns."""

import json
import mmap
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import prepared_sets
from absl.testing import absltest, parameterized

from implicit_underparam import errors
from implicit_underparam.data import frame_store, offline, returns

GAMMA = 0.9


def by_hand(store: frame_store.FrameStore, row: int, n: int) -> dict:
  """One transition, read off the stream step by step."""
  reward, discount, terminal = 0.0, 1.0, 0.0
  for k in range(n):
    reward += discount * float(store.rewards[row + k])
    discount *= GAMMA
    if store.terminals[row + k]:
      terminal = 1.0
      break
  stack = lambda last: np.stack(
      [store.frames[i] for i in range(last - 3, last + 1)], axis=-1
  )
  return {
      'state': stack(row), 'next_state': stack(row + n), 'reward': reward,
      'is_terminal': terminal, 'action': int(store.actions[row]),
      'next_action': int(store.actions[row + n]),
  }  # fmt: skip


class OfflineDataTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'set'
    self.store = prepared_sets.make(self.path, frame_shape=(5, 3))

  def data(self, **kwargs) -> offline.OfflineData:
    return offline.OfflineData(str(self.path), **kwargs)

  @parameterized.parameters(1, 2, 5)
  def test_transitions_are_those_of_the_stream(self, n):
    columns = self.data().columns(self.store, n, GAMMA, False)
    rows = jnp.asarray(columns.starts)
    windows = offline.gather_windows(
        jnp.asarray(self.store.frames), rows, 4 + n, 4
    )
    np.testing.assert_array_equal(
        windows,
        offline.to_host_windows(self.store.frames, columns.starts, 4 + n, 4),
    )
    batch = offline.transitions(
        jax.tree.map(jnp.asarray, columns), windows, rows, 4, n, GAMMA
    )
    self.assertGreater(len(rows), 100)
    self.assertBetween(int(batch.is_terminal.sum()), 5, len(rows) - 5)
    for i, row in enumerate(np.asarray(rows)):
      expected = by_hand(self.store, int(row), n)
      for name in ('state', 'action', 'is_terminal'):
        np.testing.assert_array_equal(getattr(batch, name)[i], expected[name])
      self.assertAlmostEqual(
          float(batch.reward[i]), expected['reward'], places=5
      )
      if not expected['is_terminal']:
        for name in ('next_state', 'next_action'):
          np.testing.assert_array_equal(
              getattr(batch, name)[i], expected[name]
          )

  def test_draws_every_start_and_nothing_else(self):
    columns = self.data().columns(self.store, 1, GAMMA, False)
    drawn = offline.draw(
        jax.tree.map(jnp.asarray, columns), jax.random.key(0), 20_000
    )
    self.assertSameElements(np.asarray(drawn), columns.starts)

  def test_the_policy_replaces_the_next_action(self):
    class Policy:

      def actions(self, store):
        return ((np.arange(len(store.actions)) * 7) % 5).astype(np.uint8)

    columns = self.data(policy=Policy()).columns(self.store, 3, GAMMA, False)
    rows = jnp.asarray(columns.starts[:50])
    windows = offline.gather_windows(
        jnp.asarray(self.store.frames), rows, 7, 4
    )
    batch = offline.transitions(
        jax.tree.map(jnp.asarray, columns), windows, rows, 4, 3, GAMMA
    )
    np.testing.assert_array_equal(batch.next_action, (rows + 3) * 7 % 5)
    np.testing.assert_array_equal(
        batch.action, self.store.actions[np.asarray(rows)]
    )

  @parameterized.parameters(
      ({'batch_size': 0}, 'OfflineData.batch_size is 0'),
      ({'placement': 'disk'}, "OfflineData.placement is 'disk'"),
      ({'policy': 3}, 'OfflineData.policy is 3'),
  )
  def test_bad_options_are_named(self, kwargs, message):
    with self.assertRaisesRegex(errors.UserError, message):
      self.data(**kwargs)

  def test_another_game_is_refused(self):
    with self.assertRaisesRegex(errors.UserError, 'holds Pong, and the run is'):
      self.data(game='Qbert').open()
    self.data(game='Pong').open()

  def test_another_fraction_is_refused(self):
    with self.assertRaisesRegex(errors.UserError, 'fraction of 1.0'):
      self.data(fraction=0.05).open()

  def test_too_few_transitions_are_refused(self):
    with self.assertRaisesRegex(errors.UserError, 'fewer than a batch of 1000'):
      self.data(batch_size=1000).columns(self.store, 1, GAMMA, False)

  def test_frames_go_where_there_is_room(self):
    class Device:
      platform = 'gpu'
      device_kind = 'a card'

      def __init__(self, limit):
        self.limit = limit

      def memory_stats(self):
        return {'bytes_limit': self.limit, 'bytes_in_use': 0}

    large, small = Device(4e9), Device(1e9)
    size = self.store.frames.nbytes
    self.assertEqual(self.data().place(size, large)[0], 'device')
    self.assertEqual(
        self.data(placement='host').place(size, large)[0], 'host'
    )
    where, why = self.data().place(size, small)
    self.assertEqual(where, 'host')
    self.assertIn('1.0 GB free, 2.0 needed', why)
    with self.assertRaisesRegex(errors.UserError, 'little memory on a card'):
      self.data(placement='device').place(size, small)

  def test_gathers_beyond_two_to_the_31_elements(self):
    """The same rows from either side of the limit, of 2.3 GB of frames."""
    rows = 330_000
    # Of whole pages, so that JAX reads it in place; those that nobody writes
    # take no memory.
    pages = mmap.mmap(-1, rows * 84 * 84)
    frames = np.frombuffer(pages, np.uint8).reshape(rows, 84, 84)
    self.assertGreater(frames.size, 2**31 + 10**8)
    index = np.array([10, 304_000, 304_351, 304_352, rows - 3])
    for i in index:
      # Every frame of a window gets a mark of its own.
      for offset in range(-3, 2):
        frames[i + offset] = 1 + (i + 7 * offset) % 251
    on_device = jax.device_put(frames, may_alias=True)
    gathered = np.asarray(
        jax.jit(offline.gather_windows, static_argnums=(2, 3))(
            on_device, jnp.asarray(index, jnp.int32), 5, 4
        )
    )
    for i, window in zip(index, gathered, strict=True):
      np.testing.assert_array_equal(window, frames[i - 3 : i + 2])


class ReturnsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'set'
    self.store = prepared_sets.make(self.path, frame_shape=(2, 2))

  def by_hand(self, row: int) -> tuple[float, bool]:
    total, discount = 0.0, 1.0
    for i in range(row, int(self.store.meta['counts']['rows'])):
      total += discount * float(self.store.rewards[i])
      discount *= GAMMA
      if self.store.terminals[i]:
        return total, True
    return total, discount / (1 - GAMMA) <= 0.5

  def test_every_return_is_the_sum_to_the_end_of_its_episode(self):
    values, known = returns.monte_carlo_returns(self.store, GAMMA, tail=0.5)
    starts = self.store.starts(1)
    self.assertGreater(len(starts), 300)
    for row in starts:
      total, is_known = self.by_hand(int(row))
      self.assertAlmostEqual(float(values[row]), total, places=4)
      self.assertEqual(bool(known[row]), is_known)
    # The last episode is cut, and short: the test sees both cases.
    self.assertFalse(known[starts].all())

  def test_a_cut_hides_nothing_that_matters(self):
    for gamma, tail in ((0.9, 0.5), (0.99, 0.01), (0.5, 3.0)):
      steps = returns.steps_hidden(gamma, tail)
      self.assertLessEqual(gamma**steps / (1 - gamma), tail)
      if steps:
        self.assertGreater(gamma ** (steps - 1) / (1 - gamma), tail)

  def test_columns_use_known_returns_only(self):
    data = offline.OfflineData(str(self.path), return_tail=0.5)
    columns = data.columns(self.store, 1, GAMMA, True)
    for row in columns.starts:
      total, is_known = self.by_hand(int(row))
      self.assertTrue(is_known)
      self.assertAlmostEqual(float(columns.returns[row]), total, places=4)
    self.assertLess(len(columns.starts), len(self.store.starts(1)))

  def test_pieces_do_not_add_up(self):
    """A reward of the next piece is not part of this one's returns."""
    meta = json.loads((self.path / 'meta.json').read_text())
    rows = meta['counts']['rows']
    quiet = self.store._replace(
        rewards=np.where(np.arange(len(self.store.rewards)) < 200, 0, 1),
        terminals=np.zeros_like(self.store.terminals),
        segments=np.array([0, 200]),
    )
    values, _ = returns.monte_carlo_returns(quiet, GAMMA, 0.5)
    np.testing.assert_array_equal(values[:200], 0)
    np.testing.assert_array_less(0, values[200:rows])


if __name__ == '__main__':
  absltest.main()
