"""Tests of implicit_underparam.data.replay."""

import dataclasses
import functools
import math
from typing import Any
from unittest import mock

import compiling
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import (
    lanes,
    learner,
    networks,
    online,
    online_functions,
)
from implicit_underparam.agents import dqn
from implicit_underparam.data import offline, replay, ring
from implicit_underparam.errors import UserError

BATCH = 16


def results(
    num_steps: int, num_environments: int, seed: int = 0
) -> tuple[np.ndarray, ring.Result]:
  """Frames [S, K, 2] and what came of random steps [S, K]."""
  rng = np.random.default_rng(seed)
  shape = (num_steps, num_environments)
  terminals = rng.uniform(size=shape) < 0.08
  frames = rng.integers(1, 256, (*shape, 2)).astype(np.uint8)
  return frames, ring.Result(
      rng.integers(0, 6, shape),
      rng.normal(size=shape).astype(np.float32),
      terminals,
      terminals | (rng.uniform(size=shape) < 0.08),
  )


def starts(kept: ring.Ring) -> np.ndarray:
  places = np.arange(kept.oldest, kept.newest) % len(kept.starts)
  return np.asarray(kept.starts)[places]


def at(tree: Any, index: Any) -> Any:
  return jax.tree.map(lambda x: x[index], tree)


REPLAY = replay.Replay(30, BATCH, prioritized=True)
LAYOUT = REPLAY.layout(2, 4, 3, 0.99)
add = jax.jit(functools.partial(REPLAY.add, LAYOUT))
draw = jax.jit(functools.partial(REPLAY.draw, LAYOUT))
feedback = jax.jit(REPLAY.feedback)


def play(num_steps: int) -> replay.Contents:
  frames, result = results(num_steps, 2)
  contents = REPLAY.init(LAYOUT, (2,), jnp.uint8)
  for t in range(num_steps):
    contents = add(contents, np.int32(t), frames[t], at(result, t))
  return contents


class PrioritizedTest(parameterized.TestCase):

  def assert_weights(self, drawn: replay.Drawn, known: dict[int, float]):
    """1 / sqrt(p + 1e-10), over their largest; p of Schaul et al."""
    total = sum(known.values())
    chances = [known[row] / total for row in np.asarray(drawn.rows)]
    weights = np.array([1 / math.sqrt(p + 1e-10) for p in chances])
    np.testing.assert_allclose(
        drawn.weight, weights / weights.max(), rtol=1e-5
    )

  def test_what_may_start_has_a_priority_and_nothing_else(self):
    """Against a dictionary, over rounds of the ring with losses between."""
    frames, result = results(150, 2)
    rng = np.random.default_rng(1)
    contents = REPLAY.init(LAYOUT, (2,), jnp.uint8)
    known: dict[int, float] = {}
    largest, drawn_rows = 1.0, set()
    for t in range(150):
      contents = add(contents, np.int32(t), frames[t], at(result, t))
      rows = set(starts(contents.ring).tolist())
      known = {row: known.get(row, largest) for row in rows}
      leaves = np.asarray(contents.priorities.levels[0])
      self.assertEqual(set(np.flatnonzero(leaves)), rows)
      for row in rows:
        self.assertAlmostEqual(
            leaves[row] / np.float32(known[row]), 1, delta=1e-6
        )
      if rows and t % 2:
        drawn = draw(contents, jax.random.key(t))
        self.assertContainsSubset(np.asarray(drawn.rows), rows)
        self.assert_weights(drawn, known)
        losses = rng.exponential(size=BATCH).astype(np.float32) ** 4
        tree = feedback(contents.priorities, drawn.rows, losses)
        contents = contents._replace(priorities=tree)
        for row, loss in zip(np.asarray(drawn.rows), losses, strict=True):
          known[row] = math.sqrt(float(loss) + 1e-10)
          largest = max(largest, known[row])
          drawn_rows.add(int(row))
    # What a new transition gets has grown, and most rows have been drawn.
    self.assertGreater(largest, 4)
    self.assertGreater(len(drawn_rows), 25)

  def test_a_loss_of_zero_leaves_a_chance(self):
    contents = play(40)
    rows = draw(contents, jax.random.key(0)).rows
    tree = feedback(contents.priorities, rows, np.zeros(BATCH, np.float32))
    leaves = np.asarray(tree.levels[0])
    np.testing.assert_allclose(leaves[np.asarray(rows)], 1e-5, rtol=1e-5)

  def test_the_exponent_of_the_weights(self):
    """1 undoes what the priorities do to the chances."""
    whole = dataclasses.replace(REPLAY, importance_exponent=1.0)
    contents = play(40)
    rows = draw(contents, jax.random.key(0)).rows
    losses = np.arange(1, 1 + BATCH, dtype=np.float32)
    tree = feedback(contents.priorities, rows, losses)
    drawn = jax.jit(functools.partial(whole.draw, LAYOUT))(
        contents._replace(priorities=tree), jax.random.key(1)
    )
    chances = np.asarray(tree.levels[0])[np.asarray(drawn.rows)]
    self.assertGreater(chances.max(), 2 * chances.min())
    np.testing.assert_allclose(
        drawn.weight * chances, np.full(BATCH, chances.min()), rtol=1e-5
    )

  def test_uniform_draws_have_no_weights(self):
    uniform = dataclasses.replace(REPLAY, prioritized=False)
    kept = play(40).ring
    drawn = jax.jit(functools.partial(uniform.draw, LAYOUT))(
        replay.Contents(kept, None), jax.random.key(0)
    )
    self.assertIsNone(drawn.weight)
    self.assertContainsSubset(np.asarray(drawn.rows), starts(kept))
    self.assertIsNone(uniform.feedback(None, drawn.rows, jnp.zeros(BATCH)))

  def test_vectorised_over_seeds_as_each_alone(self):
    given = [results(40, 2, seed) for seed in range(2)]
    together = jax.tree.map(lambda *x: np.stack(x), *given)

    def learn(contents, step, frames, result, key):
      contents = REPLAY.add(LAYOUT, contents, step, frames, result)
      drawn = REPLAY.draw(LAYOUT, contents, key)
      losses = jnp.abs(LAYOUT.batch(contents.ring, drawn.rows).reward)
      tree = REPLAY.feedback(contents.priorities, drawn.rows, losses)
      return contents._replace(priorities=tree), drawn

    empty = jax.device_get(REPLAY.init(LAYOUT, (2,), jnp.uint8))
    several = jax.tree.map(lambda x: np.stack([x, x]), empty)
    all_seeds = jax.jit(jax.vmap(learn, in_axes=(0, None, 0, 0, 0)))
    alone, one_seed = [empty, empty], jax.jit(learn)
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0))))
    for t in range(40):
      step = np.int32(t)
      now = at(together, (slice(None), t))
      several, drawn = jax.device_get(all_seeds(several, step, *now, keys + t))
      for seed in range(2):
        alone[seed], expected = one_seed(
            alone[seed], step, *at(given[seed], t), keys[seed] + t
        )
        jax.tree.map(
            np.testing.assert_array_equal, at(drawn, seed), expected
        )
    for seed in range(2):
      jax.tree.map(
          np.testing.assert_array_equal, at(several, seed), alone[seed]
      )


@dataclasses.dataclass(frozen=True)
class Screen:
  """An environment, as far as a replay needs one."""

  name: str = 'none'
  num_actions: int = 4
  frame_shape: tuple[int, ...] = (8, 8)
  frame_dtype: Any = np.uint8
  stack_size: int = 4

  @property
  def observation_shape(self) -> tuple[int, ...]:
    return (*self.frame_shape, self.stack_size)

  def make(self, num_environments: int, num_threads: int = 0) -> Any:
    raise NotImplementedError


def make_loop(
    capacity: int, prioritized: bool, num_environments: int = 1, n: int = 3
) -> online.OnlineLoop:
  network = networks.MLPNetwork(4, (8,), flatten=True)
  return online.OnlineLoop(
      learner.Learner(
          dqn.DQNAgent(network, update_horizon=n),
          learner.adam(),
          target_update_period=100,
      ),
      Screen(),
      replay.Replay(capacity, 32, prioritized),
      num_environments=num_environments,
  )


class InPlaceTest(parameterized.TestCase):
  """A large replay is written where it lies, by the programs of `OnlineLoop`.

  Memory is that of a million transitions: 64 MB of small frames, 4 MB of
  priorities, 1 MB for each flag.
  """

  def setUp(self):
    super().setUp()
    compiling.as_a_run_does(self)

  def shapes(self, loop: online.OnlineLoop, num_seeds: int) -> Any:
    """Of (train, contents, a key); nothing is allocated."""

    def init(seed):
      state = loop.init(jax.random.key(seed))
      return state.train, loop.empty_replay(True), state.rng

    seeds = jax.ShapeDtypeStruct((num_seeds,) if num_seeds > 1 else (), int)
    return jax.eval_shape(lanes.over_seeds(init, (0,), num_seeds), seeds)

  def step(self, loop: online.OnlineLoop, num_seeds: int) -> Any:
    """Frames and results of one step."""
    count = loop.num_environments
    shape = (num_seeds, count) if num_seeds > 1 else (count,)
    return np.ones((*shape, 8, 8), np.uint8), ring.Result(
        np.zeros(shape, np.int32), np.zeros(shape, np.float32),
        np.zeros(shape, bool), np.zeros(shape, bool),
    )  # fmt: skip

  def extra_bytes(self, function: Any, *arguments: Any) -> int:
    """What a compiled program takes beside its arguments and results."""
    memory = function.lower(*arguments).compile().memory_analysis()
    return memory.temp_size_in_bytes

  @parameterized.parameters((False, 1, 1), (True, 1, 1), (True, 2, 2))
  def test_adding_takes_no_memory(
      self, prioritized, num_seeds, num_environments
  ):
    loop = make_loop(1_000_000, prioritized, num_environments)
    _, contents, _ = self.shapes(loop, num_seeds)
    functions = online_functions.Functions(loop, num_seeds)
    extra = self.extra_bytes(
        functions.add, contents, np.int32(0), *self.step(loop, num_seeds)
    )
    self.assertLess(extra, 20_000)

  @parameterized.parameters((False, 2), (True, 1))
  def test_the_same_memory_after_adding(self, prioritized, num_seeds):
    """While a program that reads it may still be under way, too."""
    loop = make_loop(50_000, prioritized)
    functions = online_functions.Functions(loop, num_seeds)
    shapes = self.shapes(loop, num_seeds)[1]
    contents = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    read = jax.jit(lambda contents: jnp.sum(contents.ring.frames))
    pointers = lambda: [
        x.unsafe_buffer_pointer() for x in jax.tree.leaves(contents)
    ]
    before = pointers()
    for t in range(5):
      total = read(contents)
      contents = functions.add(
          contents, np.int32(t), *self.step(loop, num_seeds)
      )
      self.assertEqual(pointers(), before)
      self.assertEqual(total, num_seeds * t * 64)

  @parameterized.parameters(1, 2)
  def test_gradient_steps_copy_neither_ring_nor_priorities(self, num_seeds):
    loop = make_loop(1_000_000, True)
    train, contents, rng = self.shapes(loop, num_seeds)
    totals = jax.eval_shape(
        lanes.over_seeds(loop.totals, (0,), num_seeds), train
    )
    functions = online_functions.Functions(loop, num_seeds)
    extra = self.extra_bytes(
        functions.update(2), online.Learning(train, totals),
        contents.priorities, contents.ring, rng, np.int32(0),
    )  # fmt: skip
    self.assertLess(extra, 900_000)

  def test_measuring_does_not_copy_the_ring(self):
    loop = make_loop(1_000_000, False)
    train, contents, rng = self.shapes(loop, 1)
    functions = online_functions.Functions(loop, 1)
    draw_rows, measure = functions.probe_rows, functions.measure
    rows = np.zeros(loop.probe_size, np.int32)
    extra = self.extra_bytes(draw_rows, contents.ring, rng, np.int32(0))
    self.assertLess(extra, 100_000)
    extra = self.extra_bytes(measure, train, contents.ring, (rows, None))
    # Those of a piece of the probe.
    self.assertLess(extra, 5_000_000)


class SizeTest(parameterized.TestCase):

  @parameterized.product(prioritized=(False, True), num_environments=(1, 4))
  def test_bytes_of_a_transition(self, prioritized, num_environments):
    """At most 7,300 for Atari, and no more than `place` counts on."""
    capacity = 2_000
    kept = replay.Replay(capacity, 32, prioritized)
    layout = kept.layout(num_environments, 4, 3, 0.99)
    contents = jax.eval_shape(lambda: kept.init(layout, (84, 84), jnp.uint8))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(contents))
    self.assertLess(size / capacity, 7_300)
    self.assertLess(size / capacity, 84 * 84 + 16)
    self.assertGreater(size / capacity, 84 * 84 + 8)

  def test_frames_elsewhere(self):
    kept = replay.Replay(2_000, 32, True)
    layout = kept.layout(2, 4, 3, 0.99)
    contents = jax.eval_shape(lambda: kept.init(layout, None, jnp.uint8))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(contents))
    self.assertLess(size / 2_000, 16)
    frames = replay.HostFrames(layout, 3, (84, 84), np.uint8)
    self.assertEqual(frames.frames.nbytes, 3 * 2_000 * 84 * 84)


class HostFramesTest(parameterized.TestCase):

  def test_batches_are_those_of_the_device(self, num_environments=2):
    kept = replay.Replay(24, BATCH)
    layout = kept.layout(num_environments, 4, 3, 0.99)
    given = [results(60, num_environments, seed) for seed in range(2)]
    on_host = replay.HostFrames(layout, 2, (2,), np.uint8)
    here = [kept.init(layout, (2,), jnp.uint8)] * 2
    there = [kept.init(layout, None, jnp.uint8)] * 2
    put = jax.jit(functools.partial(kept.add, layout))
    batch_of = jax.jit(layout.batch)
    rows = np.tile(np.arange(layout.num_rows, dtype=np.int32), (2, 1))
    for t in range(60):
      on_host.add(t, np.stack([frames[t] for frames, _ in given]))
      for seed, (frames, result) in enumerate(given):
        step, result = np.int32(t), at(result, t)
        here[seed] = put(here[seed], step, frames[t], result)
        there[seed] = put(there[seed], step, None, result)
    windows = on_host.windows(rows)
    self.assertEqual(windows.shape, (2, layout.num_rows, 7, 2))
    self.assertEqual(windows.dtype, np.uint8)
    for seed in range(2):
      frames = np.asarray(here[seed].ring.frames)
      np.testing.assert_array_equal(on_host.frames[seed], frames)
      np.testing.assert_array_equal(
          windows[seed], frames[layout.window_rows(rows[seed])]
      )
      jax.tree.map(
          np.testing.assert_array_equal,
          batch_of(there[seed].ring, rows[seed], windows[seed]),
          batch_of(here[seed].ring, rows[seed]),
      )


@dataclasses.dataclass(frozen=True)
class Device:
  """One that `mock_memory` knows."""

  platform: str = 'gpu'
  device_kind: str = 'a card'


class PlaceTest(parameterized.TestCase):

  def place(
      self, card: float, main: float, platform: str = 'gpu', **options: Any
  ) -> tuple[str, str]:
    """With so many GB free; 7.07 GB are needed for each of two seeds.

    Of `main`, half is what is free of main memory: see `free_memory`.
    """

    def free_memory(device):
      return 1e9 * (card if device.platform == 'gpu' else main)

    with mock.patch.object(offline, 'free_memory', free_memory):
      return replay.Replay(**options).place(84 * 84, 2, Device(platform))

  def test_on_the_device_where_there_is_room(self):
    for options in ({}, {'placement': 'device'}):
      where, why = self.place(20, 0, **options)
      self.assertEqual(where, 'device')
      self.assertEqual(
          why, 'replay: 14.14 GB for 2 seeds, on a card (18.0 GB free on a '
          'card)',
      )  # fmt: skip

  def test_else_in_main_memory(self):
    where, why = self.place(15, 20)
    self.assertEqual(where, 'host')
    self.assertEqual(
        why, 'replay: 14.14 GB for 2 seeds, frames in main memory (13.5 GB '
        'free on a card)',
    )  # fmt: skip
    self.assertEqual(self.place(20, 20, placement='host')[0], 'host')

  def test_a_cpu_has_one_memory(self):
    self.assertEqual(self.place(0, 16, 'cpu')[0], 'device')
    self.assertEqual(self.place(0, 16, 'cpu', placement='host')[0], 'host')

  @parameterized.parameters(
      (15, 14, 'gpu', 'auto', r'13\.5 GB free on a card, 12\.6 GB in main '),
      (80, 14, 'gpu', 'host', r'72\.0 GB free on a card, 12\.6 GB in main '),
      (0, 14, 'cpu', 'auto', r'12\.6 GB free on a card, 12\.6 GB in main '),
      (0, 14, 'cpu', 'host', r'12\.6 GB free'),
  )  # fmt: skip
  def test_out_of_memory(self, card, main, platform, placement, message):
    with self.assertRaisesRegex(
        UserError,
        r'^Replay\.capacity is 1000000: replay: 14\.14 GB for 2 seeds do not '
        rf'fit \({message}.*: lower it, or run fewer seeds$',
    ):
      self.place(card, main, platform, placement=placement)

  def test_out_of_memory_on_a_device_that_was_asked_for(self):
    with self.assertRaisesRegex(
        UserError, r"fewer seeds, or bind Replay\.placement = 'host'$"
    ):
      self.place(15, 20, placement='device')
    with self.assertRaisesRegex(UserError, r'run fewer seeds$'):
      self.place(0, 14, 'cpu', placement='device')

  def test_says_what_this_machine_has(self):
    where, why = replay.Replay(1000).place(84 * 84, 1, jax.devices('cpu')[0])
    self.assertEqual(where, 'device')
    self.assertRegex(
        why, r'^replay: 0\.01 GB for 1 seeds, on cpu \(\d+\.\d GB free on cpu\)'
    )


class OptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'capacity': 0}, 'Replay.capacity is 0: give a whole number'),
      ({'capacity': 1e6}, 'Replay.capacity is 1000000.0: give a whole'),
      ({'batch_size': 0}, 'Replay.batch_size is 0: give a whole number'),
      ({'capacity': 20}, 'Replay.capacity is 20, fewer than a batch of 32'),
      ({'prioritized': 'yes'}, "Replay.prioritized is 'yes': use True or"),
      ({'importance_exponent': -1}, 'importance_exponent is -1: give a numb'),
      ({'importance_exponent': math.nan}, 'importance_exponent is nan: give'),
      ({'importance_exponent': None}, 'importance_exponent is None: give a'),
      ({'placement': 'disk'}, "Replay.placement is 'disk': use one of auto"),
  )  # fmt: skip
  def test_bad_ones_are_named(self, options, message):
    with self.assertRaisesRegex(UserError, message) as raised:
      replay.Replay(**options)
    self.assertNotIn('\n', str(raised.exception))

  def test_environments_share_the_capacity(self):
    layout = replay.Replay(103).layout(4, 4, 1, 0.99)
    self.assertEqual((layout.num_steps, layout.num_rows), (25, 100))
    with self.assertRaisesRegex(
        UserError, 'gives 5 steps an environment: make it 120 transitions'
    ):
      replay.Replay(103).layout(20, 4, 1, 0.99)


if __name__ == '__main__':
  absltest.main()
