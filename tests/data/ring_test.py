"""Tests of implicit_underparam.data.ring."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import types
from implicit_underparam.data import horizons, ring
from implicit_underparam.errors import UserError

GAMMA = 0.9


class History(NamedTuple):
  """What K environments did: arrays [S, K, ...]."""

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  terminals: np.ndarray
  ends: np.ndarray

  def result(self) -> ring.Result:
    return ring.Result(*self[1:])


def history(
    num_steps: int,
    num_environments: int = 1,
    terminal: float = 0.1,
    truncation: float = 0.1,
    seed: int = 0,
    frame_shape: tuple[int, ...] = (),
) -> History:
  """Random episodes; no two steps show the same frame, none zeros.

  Frames are float32 where a shape is given, else two numbers of uint8.
  """
  rng = np.random.default_rng(seed)
  shape = (num_steps, num_environments)
  number = np.arange(num_steps * num_environments).reshape(shape)
  terminals = rng.uniform(size=shape) < terminal
  frames = np.stack([1 + number % 251, 1 + number // 251], -1).astype(np.uint8)
  if frame_shape:
    frames = rng.normal(size=(*shape, *frame_shape)).astype(np.float32)
  return History(
      frames,
      rng.integers(0, 18, shape),
      rng.normal(size=shape).astype(np.float32),
      terminals,
      terminals | (rng.uniform(size=shape) < truncation),
  )


def layout(num_steps: int, num_environments: int, stack: int, n: int):
  return ring.RingBuffer(num_steps, num_environments, stack, n, GAMMA)


@functools.partial(jax.jit, static_argnums=0)
def add(buffer, kept, step, past):
  return buffer.add(kept, step, past.frames, past.result())


batch_of = jax.jit(ring.RingBuffer.batch, static_argnums=0)
draw = jax.jit(ring.RingBuffer.draw, static_argnums=(0, 3))


def play(
    buffer: ring.RingBuffer, past: History
) -> Iterator[tuple[ring.Ring, ring.Change, types.Batch]]:
  """After each step: the ring, its change, a batch of all rows."""
  kept = buffer.init(past.frames.shape[2:], past.frames.dtype)
  rows = np.arange(buffer.num_rows, dtype=np.int32)
  for step in range(len(past.actions)):
    kept, change = add(buffer, kept, np.int32(step), at(past, step))
    yield jax.device_get((kept, change, batch_of(buffer, kept, rows)))


def starts(kept: ring.Ring) -> np.ndarray:
  """The rows between oldest and newest."""
  places = np.arange(kept.oldest, kept.newest)
  return kept.starts[places % len(kept.starts)]


def at(tree, step: int):
  return jax.tree.map(lambda x: x[step], tree)


def may_start(past: History, t: int, k: int, n: int) -> bool:
  """Whether n steps of one episode follow, or its terminal."""
  for u in range(t, t + n):
    if past.terminals[u, k]:
      return True
    if past.ends[u, k]:
      return False
  return True


def expected_starts(
    buffer: ring.RingBuffer, past: History, now: int
) -> list[tuple[int, int]]:
  """The (step, environment)s that may start a transition, oldest first."""
  held = range(now - buffer.num_steps + 1, now + 1)
  return [
      (t, k)
      for t in range(now - buffer.update_horizon + 1)
      for k in range(buffer.num_environments)
      # Steps before the first count as held until they are written over. Of
      # states of one frame, the one that is written over next is given up.
      if t - max(buffer.stack_size, 2) + 1 in held
      and may_start(past, t, k, buffer.update_horizon)
  ]


def stack(past: History, t: int, k: int, size: int) -> np.ndarray:
  """The state of a step, put together from the newest frame on."""
  frames, ended = [past.frames[t, k]], False
  for u in range(t - 1, t - size, -1):
    ended = ended or u < 0 or past.ends[u, k]
    frames.append(np.zeros_like(frames[0]) if ended else past.frames[u, k])
  return np.stack(frames[::-1], axis=-1)


def transition(past: History, t: int, k: int, size: int, n: int) -> types.Batch:
  """Step by step; behind a terminal the next state is zeros."""
  state = stack(past, t, k, size)
  reward, discount = 0.0, 1.0
  for u in range(t, t + n):
    reward += discount * float(past.rewards[u, k])
    discount *= GAMMA
    if past.terminals[u, k]:
      return types.Batch(
          state, past.actions[t, k], reward, np.zeros_like(state), 1.0,
          next_action=0,
      )  # fmt: skip
  return types.Batch(
      state, past.actions[t, k], reward, stack(past, t + n, k, size), 0.0,
      next_action=past.actions[t + n, k],
  )  # fmt: skip


def by_hand(buffer: ring.RingBuffer, past: History) -> types.Batch:
  """Of every (step, environment) with n steps after it: [S, K, ...]."""
  size, n = buffer.stack_size, buffer.update_horizon
  num_steps, num_environments = past.actions.shape
  found = [
      [transition(past, t, k, size, n) for k in range(num_environments)]
      for t in range(num_steps - n)
  ]
  # As a list of fields, each of which is an array.
  fields = [[[x[i] for x in row] for row in found] for i in (0, 1, 2, 3, 4, 7)]
  *first, next_action = [np.array(x) for x in fields]
  return types.Batch(*first, next_action=next_action)


class RingTest(parameterized.TestCase):

  def assert_same(self, batch: types.Batch, expected: types.Batch):
    for name in ('state', 'action', 'is_terminal'):
      np.testing.assert_array_equal(
          getattr(batch, name), getattr(expected, name), name
      )
    np.testing.assert_allclose(batch.reward, expected.reward, atol=1e-5)
    goes_on = expected.is_terminal == 0
    for name in ('next_state', 'next_action'):
      np.testing.assert_array_equal(
          getattr(batch, name)[goes_on], getattr(expected, name)[goes_on], name
      )

  def assert_holds(self, buffer: ring.RingBuffer, past: History) -> int:
    """After every step; returns how many transitions were compared."""
    expected = by_hand(buffer, past)
    compared, before = 0, set()
    for now, (kept, change, batch) in enumerate(play(buffer, past)):
      pairs = expected_starts(buffer, past, now)
      rows = [buffer.first_row(t) + k for t, k in pairs]
      self.assertEqual(starts(kept).tolist(), rows)
      self.assertEqual(kept.num_starts, len(rows))
      added = change.added[change.is_added].tolist()
      removed = change.removed[change.is_removed].tolist()
      self.assertCountEqual(added, set(rows) - before)
      self.assertCountEqual(removed, before - set(rows))
      before = set(rows)
      if rows:
        index = tuple(np.array(pairs).T)
        self.assert_same(at(batch, rows), at(expected, index))
        np.testing.assert_array_equal(batch.indices[rows], rows)
      compared += len(rows)
    return compared

  @parameterized.parameters(
      # K, n, stack, steps more than the least that a ring may have.
      (1, 1, 4, 0), (1, 1, 1, 1), (1, 2, 4, 3), (1, 5, 1, 0),
      (2, 3, 4, 0), (3, 1, 1, 0), (3, 2, 4, 8),
  )  # fmt: skip
  def test_is_what_all_steps_would_give(self, num_envs, n, size, more):
    buffer = layout(size + n + 1 + more, num_envs, size, n)
    frame_shape = (2, 3) if num_envs == 3 else ()
    num_steps = 5 * buffer.num_steps
    compared = 0
    for seed, terminal, truncation in (
        (0, 0.1, 0.1), (1, 0.0, 0.0), (2, 0.5, 0.0), (3, 0.0, 0.3),
        (4, 0.3, 0.3), (5, 0.5, 1.0),
    ):  # fmt: skip
      past = history(
          num_steps, num_envs, terminal, truncation, seed, frame_shape
      )
      compared += self.assert_holds(buffer, past)
    self.assertGreater(compared, num_steps)

  @parameterized.parameters((1, 1), (3, 2))
  def test_the_least_ring_holds_two_steps(self, n, num_envs):
    buffer = layout(4 + n + 1, num_envs, 4, n)
    played = list(play(buffer, history(30, num_envs, 0, 0)))
    for kept, _, _ in played[buffer.num_steps :]:
      self.assertEqual(kept.num_starts, 2 * num_envs)
    with self.assertRaisesRegex(
        UserError, rf'gives {n + 4} steps.*make it {(n + 5) * num_envs} trans'
    ):
      layout(4 + n, num_envs, 4, n)

  def test_more_rows_than_an_index_can_tell_are_refused(self):
    with self.assertRaisesRegex(UserError, r'Replay.capacity is 2\^31 or more'):
      layout(2**30, 2, 4, 1)

  def test_the_rows_of_a_prepared_set(self, n=3):
    """Of a stream of logs, with zeros before each episode."""
    past = history(300, 1, 0.08, 0.05)
    buffer = layout(400, 1, 4, n)
    kept = buffer.init((2,), jnp.uint8)
    for t in range(300):
      kept, _ = add(buffer, kept, np.int32(t), at(past, t))
    terminals, begins, steps = [], [], []
    for t in range(300):
      if t == 0 or past.ends[t - 1, 0]:
        terminals += [False] * 3
        begins += [t == 0 or not past.terminals[t - 1, 0], False, False]
        steps += [-1] * 3
      terminals.append(past.terminals[t, 0])
      begins.append(False)
      steps.append(t)
    largest = horizons.largest_horizons(
        np.array(terminals), np.array(begins), np.ones(len(steps), bool), n
    )
    found = np.array(steps)[largest >= n]
    # A log's last terminal may start one before n steps have followed it.
    found = found[found + n < 300]
    np.testing.assert_array_equal(
        buffer.first_row(found), starts(jax.device_get(kept))
    )
    self.assertGreater(len(found), 150)


class DrawTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.buffer = layout(30, 1, 4, 3)
    played = play(self.buffer, history(160, 1, 0.05, 0.05))
    self.kept = [kept for kept, _, _ in played]

  def test_every_start_is_as_likely(self):
    """Before the ring is full, and after it went round several times."""
    num_draws = 50_000
    for kept in (self.kept[25], self.kept[130]):
      rows = starts(kept)
      self.assertGreater(len(rows), 12)
      drawn = draw(self.buffer, kept, jax.random.key(0), num_draws)
      counts = np.bincount(drawn, minlength=self.buffer.num_rows)
      self.assertEqual(counts[rows].sum(), num_draws)
      mean, degrees = num_draws / len(rows), len(rows) - 1
      statistic = np.sum((counts[rows] - mean) ** 2 / mean)
      # 4 standard deviations of chi-squared.
      self.assertLess(statistic, degrees + 4 * np.sqrt(2 * degrees))

  def test_every_draw_is_of_what_may_start_just_then(self):
    checked = 0
    for now, kept in enumerate(self.kept):
      rows = starts(kept)
      if len(rows):
        drawn = draw(self.buffer, kept, jax.random.key(now), 64)
        self.assertContainsSubset(np.asarray(drawn), rows)
        checked += 1
    self.assertGreater(checked, 140)


class SeedsTest(parameterized.TestCase):

  def test_vectorised_over_seeds_as_each_alone(self):
    buffer = layout(8, 2, 4, 3)
    pasts = [history(40, 2, seed=seed) for seed in range(3)]
    together = jax.tree.map(lambda *x: np.stack(x), *pasts)
    empty = jax.device_get(buffer.init((2,), jnp.uint8))
    kept = jax.tree.map(lambda x: np.stack([x] * 3), empty)
    # As the loop does it: all seeds share the count of steps.
    step = jax.jit(jax.vmap(buffer.add, in_axes=(0, None, 0, 0)))
    for t in range(40):
      past = jax.tree.map(lambda x, t=t: x[:, t], together)
      kept, change = step(kept, np.int32(t), past.frames, past.result())
    rows = np.tile(np.arange(buffer.num_rows, dtype=np.int32), (3, 1))
    batch = jax.jit(jax.vmap(buffer.batch))(kept, rows)
    for seed, past in enumerate(pasts):
      *_, alone = play(buffer, past)
      found = at((kept, change, batch), seed)
      jax.tree.map(np.testing.assert_array_equal, found, alone)


class DopamineTest(parameterized.TestCase):
  """OutOfGraphReplayBuffer, fed the same steps, with as many rows.

  Its rows of zeros before an episode take room and count as steps, and its
  cursor bars one row more than the stack needs: the oldest and the newest
  usable step differ by that, and by nothing else. After a truncation its rows
  of zeros pass for states; here they do not exist.
  """

  def buffer(self, capacity: int, n: int):
    module = dopamine_shims.circular_replay_buffer()
    return module.OutOfGraphReplayBuffer(
        (2,), 4, capacity, 1, update_horizon=n, gamma=GAMMA
    )

  def usable(self, peer, slots: list[int]) -> tuple[set[int], set[int]]:
    """Which steps its valid rows are, and which rows of zeros are valid."""
    capacity = peer._replay_capacity
    first = max(0, len(slots) - capacity)
    valid = [
        i for i in range(first, len(slots))
        if peer.is_valid_transition(i % capacity)
    ]  # fmt: skip
    steps = {slots[i] for i in valid if slots[i] >= 0}
    return steps, {i for i in valid if slots[i] < 0}

  def zeros_that_pass(
      self, past: History, slots: list[int], n: int, window: range
  ) -> set[int]:
    """Rows of zeros behind a truncation that no truncation follows in time."""
    found = set()
    for i in window:
      if slots[i] >= 0:
        continue
      before = max([x for x in slots[:i]], default=-1)
      behind_truncation = before >= 0 and not past.terminals[before, 0]
      ahead = [x for x in slots[i : i + n] if x >= 0]
      cut = [x for x in ahead if past.ends[x, 0] and not past.terminals[x, 0]]
      if behind_truncation and not cut:
        found.add(i)
    return found

  @parameterized.product(n=(1, 3), truncation=(0.0, 0.08))
  def test_the_same_transitions(self, n, truncation):
    capacity = 30
    buffer, peer = layout(capacity, 1, 4, n), self.buffer(capacity, n)
    past = history(160, 1, 0.08, truncation, seed=n)
    slots: list[int] = []  # The step of each row added, -1 for zeros.
    compared = more_here = more_there = zeros = 0
    for now, (kept, _, batch) in enumerate(play(buffer, past)):
      if now == 0 or past.ends[now - 1, 0]:
        slots += [-1] * 3
      slots.append(now)
      peer.add(
          past.frames[now, 0], past.actions[now, 0], past.rewards[now, 0],
          past.terminals[now, 0], episode_end=past.ends[now, 0],
      )  # fmt: skip
      rows = starts(kept).tolist()
      here = {
          t for t in range(max(0, now - capacity + 4), now + 1)
          if buffer.first_row(t) in rows
      }  # fmt: skip
      self.assertLen(here, len(rows))
      # One row more than the stack's three is barred behind the cursor, once
      # the buffer is full.
      full = len(slots) >= capacity
      window = range(
          len(slots) - capacity + 4 if full else 3, len(slots) - n
      )
      usable_there = {slots[i] for i in window if slots[i] >= 0}
      usable_here = set(range(now - capacity + 4, now - n + 1))
      there, zeros_there = self.usable(peer, slots)
      self.assertContainsSubset(there, usable_there)
      self.assertContainsSubset(here, usable_here)
      self.assertEqual(here & usable_there, there & usable_here)
      self.assertEqual(
          zeros_there, self.zeros_that_pass(past, slots, n, window)
      )
      more_here += len(here - there)
      more_there += len(there - here)
      zeros += len(zeros_there)
      for t in here & there if now % 5 == 0 else ():
        self.assert_same(peer, slots.index(t), batch, buffer.first_row(t))
        compared += 1
    self.assertGreater(compared, 300)
    self.assertGreater(more_here, 300)
    # A terminal that rows of zeros already follow.
    self.assertEqual(more_there > 0, n > 1)
    self.assertEqual(zeros > 0, truncation > 0)

  def assert_same(self, peer, slot: int, batch, row: int):
    names = [x.name for x in peer.get_transition_elements()]
    index = [slot % peer._replay_capacity]
    arrays = peer.sample_transition_batch(batch_size=1, indices=index)
    other = dict(zip(names, (x[0] for x in arrays), strict=True))
    np.testing.assert_array_equal(batch.state[row], other['state'])
    self.assertEqual(batch.action[row], other['action'])
    self.assertAlmostEqual(batch.reward[row], other['reward'], places=5)
    self.assertEqual(batch.is_terminal[row], other['terminal'])
    if not other['terminal']:
      np.testing.assert_array_equal(batch.next_state[row], other['next_state'])
      self.assertEqual(batch.next_action[row], other['next_action'])


if __name__ == '__main__':
  absltest.main()
