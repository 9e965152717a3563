"""Tests of implicit_underparam.data.dopamine_replay."""

import pathlib
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import dopamine_shims
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import dopamine_replay, offline
from implicit_underparam.data.dopamine_replay import DopamineReplay
from implicit_underparam.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_FRAME = (5, 4)
_STACK = 4
_GAMMA = 0.9


def _dopamine() -> SimpleNamespace:
  return SimpleNamespace(**{
      part: dopamine_shims.load(f'dopamine.jax.replay_memory.{part}')
      for part in ('accumulator', 'elements', 'replay_buffer', 'samplers')
  })


def _stream(seed: int, steps: int, num_seeds: int = 1) -> list[Any]:
  """Arguments of `add`, with episodes that end and that are cut off."""
  rng = np.random.default_rng(seed)
  shape = (num_seeds, 1)
  stream = []
  for _ in range(steps):
    frames = rng.integers(1, 256, (*shape, *_FRAME)).astype(np.uint8)
    terminal = rng.uniform(size=shape) < 0.08
    cut = rng.uniform(size=shape) < 0.04
    actions = rng.integers(0, 4, shape).astype(np.int32)
    rewards = rng.choice([-1.0, 0.0, 1.0], shape).astype(np.float32)
    stream.append((frames, actions, rewards, terminal, terminal | cut))
  return stream


class _TestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    # First in this way: the names do not enter gin's registry.
    self.dopamine = _dopamine()

  def open(
      self, capacity=64, batch_size=8, prioritized=False, seeds=(3,),
      num_environments=1, update_horizon=1,
  ) -> dopamine_replay.DopamineBuffers:  # fmt: skip
    return DopamineReplay(capacity, batch_size, prioritized).open(
        seeds, num_environments, _FRAME, np.uint8, _STACK, update_horizon,
        _GAMMA,
    )  # fmt: skip

  def fill(self, buffers, steps=100, num_seeds=1, seed=0):
    for step in _stream(seed, steps, num_seeds):
      buffers.add(*step)
    return buffers


class DopaminesOwnTest(_TestCase):

  def peer(self, prioritized: bool, seed: int, update_horizon: int) -> Any:
    d = self.dopamine
    sampler = (
        d.samplers.PrioritizedSamplingDistribution(seed, max_capacity=70)
        if prioritized else d.samplers.UniformSamplingDistribution(seed)
    )  # fmt: skip
    return d.replay_buffer.ReplayBuffer(
        d.accumulator.TransitionAccumulator(_STACK, update_horizon, _GAMMA),
        sampler, batch_size=8, max_capacity=70,
    )  # fmt: skip

  @parameterized.product(prioritized=(False, True), update_horizon=(1, 3))
  def test_batches_and_priorities_are_those_of_its_buffer(
      self, prioritized, update_horizon
  ):
    seeds = (3, 11)
    buffers = self.open(70, 8, prioritized, seeds, 1, update_horizon)
    peers = [self.peer(prioritized, seed, update_horizon) for seed in seeds]
    losses = np.random.default_rng(1).exponential(size=(200, 2, 8))
    highest, weights = [1.0, 1.0], []
    for t, step in enumerate(_stream(0, 200, 2)):
      buffers.add(*step)
      for s, peer in enumerate(peers):
        frame, action, reward, terminal, end = (x[s, 0] for x in step)
        peer.add(
            self.dopamine.elements.TransitionElement(
                frame, action, reward, bool(terminal), bool(end)
            ),
            **({'priority': highest[s]} if prioritized else {}),
        )
      if t < 20:
        continue
      batch = buffers.sample()
      for s, peer in enumerate(peers):
        elements, metadata = peer.sample(with_sample_metadata=True)
        for name in ('state', 'next_state', 'action', 'reward', 'is_terminal'):
          np.testing.assert_allclose(
              getattr(batch, name)[s], getattr(elements, name), rtol=1e-6
          )
        np.testing.assert_array_equal(batch.indices[s], metadata.keys)
        if prioritized:
          # As in `_train_step` of Dopamine's Rainbow.
          weight = 1.0 / jnp.sqrt(metadata.probabilities + 1e-10)
          np.testing.assert_allclose(
              batch.weight[s], weight / jnp.max(weight), rtol=1e-5
          )
          weights.append(batch.weight[s])
          priorities = np.sqrt(losses[t, s] + 1e-10)
          peer.update(metadata.keys, priorities=priorities)
          highest[s] = max(highest[s], priorities.max())
      buffers.feedback(batch.indices, losses[t])
    self.assertEqual(buffers.num_transitions(), 70)
    self.assertEqual(batch.state.shape, (2, 8, *_FRAME, _STACK))
    if prioritized:
      self.assertGreater(max(highest), 1.5)
      self.assertLess(np.min(weights), 0.5)
    else:
      self.assertIsNone(batch.weight)

  def test_types_and_shapes(self):
    batch = self.fill(self.open(seeds=(0, 1, 2)), num_seeds=3).sample(5)
    self.assertEqual(batch.state.dtype, np.uint8)
    self.assertEqual(batch.action.dtype, np.int32)
    for array in (batch.reward, batch.is_terminal):
      self.assertEqual(array.dtype, np.float32)
    for array in (batch.action, batch.reward, batch.is_terminal):
      self.assertEqual(array.shape, (3, 5))
    self.assertIsNone(batch.target)

  def test_frames_may_be_overwritten_after_they_were_added(self):
    buffers, others = self.open(), self.open()
    shared = np.zeros((1, 1, *_FRAME), np.uint8)
    for frames, *rest in _stream(0, 60):
      others.add(frames, *rest)
      shared[:] = frames
      buffers.add(shared, *rest)
    np.testing.assert_array_equal(
        buffers.sample().state, others.sample().state
    )


class FeedbackTest(_TestCase):

  def test_changes_what_is_drawn(self):
    buffers = self.fill(self.open(prioritized=True, batch_size=32))
    indices = np.full((1, 1), buffers.sample().indices[0, 0])
    share = lambda: np.mean([
        buffers.sample().indices == indices for _ in range(40)
    ])
    self.assertLess(share(), 0.1)
    buffers.feedback(indices, np.full((1, 1), 1e6))
    # 1000 beside 63 of priority 1.
    self.assertGreater(share(), 0.85)
    buffers.feedback(indices, np.zeros((1, 1)))
    self.assertEqual(share(), 0)

  def test_of_transitions_that_are_gone_and_of_stopped_seeds(self):
    buffers = self.fill(self.open(prioritized=True, batch_size=64))
    batch = buffers.sample()
    self.fill(buffers, steps=200, seed=1)
    before = buffers.save()
    buffers.feedback(batch.indices, np.ones((1, 64)))
    batch = buffers.sample()
    for loss in (np.nan, np.inf):
      buffers.feedback(batch.indices, np.full((1, 64), loss))
    buffers.load(before)
    expected = buffers.sample()
    np.testing.assert_array_equal(batch.indices, expected.indices)

  def test_changes_nothing_where_sampling_is_uniform(self):
    buffers = self.fill(self.open())
    before = buffers.save()
    buffers.feedback(np.zeros((1, 8), np.int32), np.ones((1, 8)))
    self.assertEqual(buffers.save(), before)


class SaveTest(_TestCase):

  @parameterized.product(prioritized=(False, True), steps=(0, 1, 40, 200))
  def test_goes_on_with_the_same_numbers(self, prioritized, steps):
    def go_on(buffers):
      batches = []
      for t, step in enumerate(_stream(9, 60, 2)):
        buffers.add(*step)
        if t > 30:
          batches.append(buffers.sample())
          losses = 9 * np.abs(batches[-1].reward) + 0.1
          buffers.feedback(batches[-1].indices, losses)
      return batches

    buffers = self.open(prioritized=prioritized, seeds=(0, 1))
    self.fill(buffers, steps, 2)
    if steps >= 40:
      # The highest priority lasts only as a number: the leaf is set again.
      indices = buffers.sample().indices
      buffers.feedback(indices, np.full((2, 8), 400.0))
      buffers.feedback(indices, np.full((2, 8), 0.5))
    saved = buffers.save()
    self.assertTrue(all(type(piece) is bytes for piece in saved))
    other = self.open(prioritized=prioritized, seeds=(5, 6))
    other.load(saved)
    self.assertEqual(other.num_transitions(), buffers.num_transitions())
    for batch, expected in zip(go_on(other), go_on(buffers), strict=True):
      for x, y in zip(batch, expected, strict=True):
        np.testing.assert_array_equal(x, y)
    self.assertEqual(other.save(), buffers.save())

  @parameterized.parameters(
      (dict(capacity=65), 'capacity = 64, .* 65'),
      (dict(prioritized=True), 'prioritized = False, .* True'),
      (dict(update_horizon=3), 'update_horizon = 1, .* 3'),
  )
  def test_of_other_settings(self, changed, message):
    saved = self.fill(self.open()).save()
    with self.assertRaisesRegex(UserError, message):
      self.open(**changed).load(saved)


class BadInputTest(_TestCase):

  @parameterized.parameters((4, 8), (8, 0), (1e6, 8), (100, 2.0))
  def test_sizes(self, capacity, batch_size):
    with self.assertRaisesRegex(UserError, 'capacity is .* give whole numbers'):
      DopamineReplay(capacity, batch_size)

  def test_several_environments(self):
    with self.assertRaisesRegex(UserError, '1 environment .* the run has 2'):
      self.open(num_environments=2)

  def test_nothing_to_draw_from(self):
    with self.assertRaisesRegex(UserError, 'empty: .* min_replay_history'):
      self.open().sample()

  def test_frames_of_another_kind(self):
    (frames, *rest), = _stream(0, 1)
    for wrong in (frames[0], frames.astype(np.float32), frames[..., :3]):
      with self.assertRaisesRegex(ValueError, 'is not'):
        self.open().add(wrong, *rest)

  @parameterized.parameters('dopamine.jax.serialization', 'msgpack')
  def test_dopamine_is_missing(self, name):
    with mock.patch.dict(sys.modules, {name: None}):
      with self.assertRaisesRegex(
          UserError, rf"{name} is missing\): pip install 'impl.*\[dopamine\]'$"
      ):
        self.open()

  @parameterized.parameters(32, 64)
  def test_a_capacity_that_is_a_power_of_two(self, capacity):
    buffers = self.fill(self.open(capacity, prioritized=True), steps=150)
    self.assertEqual(buffers.num_transitions(), capacity)
    self.assertGreater(buffers.sample().indices.min(), 150 - capacity - 40)


class ConfiguredTest(absltest.TestCase):

  def test_is_opened_in_a_configured_run_without_tensorflow(self):
    code = """
import sys
import gin, numpy as np
from implicit_underparam.data import dopamine_replay
gin.parse_config('''
DopamineReplay.capacity = 8
DopamineReplay.batch_size = 2
DopamineReplay.prioritized = True
run.replay = @DopamineReplay()
''', skip_unknown=True)
gin.finalize()
make = gin.get_configurable('DopamineReplay')
buffers = make().open((0,), 1, (2,), np.uint8, 4, 1, 0.9)
for t in range(20):
  one = np.ones((1, 1))
  buffers.add(np.ones((1, 1, 2), np.uint8), one, one, 0 * one, 0 * one)
assert buffers.sample().state.shape == (1, 2, 2, 4)
assert gin.config_is_locked()
bound = [x for x in gin.operative_config_str().splitlines() if ' = ' in x]
assert all(x.startswith('DopamineReplay.') for x in bound), bound
assert len(bound) == 3, bound
assert 'tensorflow' not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=_ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    self.assertEqual((result.stdout, result.stderr), ('', ''))
    self.assertEqual(result.returncode, 0)


class EndOfEpisodeTest(_TestCase):
  """Which transitions an episode of T steps becomes, under either rule."""

  T = 7

  def episode(self) -> Any:
    """Frames, actions, rewards and terminals behind and before padding."""
    rng = np.random.default_rng(0)
    rows = (_STACK - 1, self.T, _STACK + 3)
    inside = np.repeat([False, True, False], rows)
    frames = rng.integers(1, 256, (len(inside), *_FRAME)).astype(np.uint8)
    actions = np.arange(1, 1 + len(inside))
    rewards = rng.uniform(1, 2, len(inside)).astype(np.float32)
    for array in (frames, actions, rewards):
      array[~inside] = 0
    terminals = np.zeros(len(inside), np.uint8)
    terminals[_STACK - 1 + self.T - 1] = 1
    return frames, actions.astype(np.uint8), rewards, terminals

  def raw_format(self, n: int) -> Any:
    """By the rule of prepared sets: every row of the episode starts one."""
    frames, *columns = self.episode()
    rows = np.arange(_STACK - 1, _STACK - 1 + self.T, dtype=np.int32)
    windows = offline.to_host_windows(frames, rows, _STACK + n, _STACK)
    columns = offline.Columns(rows, *map(jnp.asarray, columns))
    return offline.transitions(
        columns, jnp.asarray(windows), jnp.asarray(rows), _STACK, n, _GAMMA
    )

  def dopamine_format(self, n: int, terminal: bool = True) -> list[Any]:
    """What its buffer holds, in order."""
    buffers = self.open(update_horizon=n)
    frames, actions, rewards, terminals = (
        x[_STACK - 1:_STACK - 1 + self.T] for x in self.episode()
    )
    for t in range(self.T):
      end = terminals[t:t + 1, None]
      buffers.add(
          frames[None, t:t + 1], actions[t:t + 1, None], rewards[t:t + 1, None],
          end * terminal, end,
      )  # fmt: skip
    elements = buffers._buffers[0]._memory.values()
    return [element.unpack() for element in elements]

  def assert_same(self, element: Any, batch: Any, row: int) -> None:
    for name in ('state', 'action', 'reward', 'next_state', 'is_terminal'):
      np.testing.assert_allclose(
          getattr(element, name), getattr(batch, name)[row], rtol=1e-6
      )

  def test_one_step(self):
    raw, dopamine = self.raw_format(1), self.dopamine_format(1)
    last = self.T - 1
    np.testing.assert_array_equal(raw.is_terminal, np.arange(self.T) == last)
    # Alike up to the two last transitions.
    for t in range(last - 1):
      self.assert_same(dopamine[t], raw, t)
    # The last but one is Dopamine's terminal one; the raw format goes on.
    ending = dopamine[last - 1]
    np.testing.assert_array_equal(ending.state, raw.state[last - 1])
    np.testing.assert_array_equal(ending.next_state, raw.next_state[last - 1])
    self.assertEqual(ending.reward, raw.reward[last - 1])
    self.assertTrue(ending.is_terminal)
    # The last action and what it brought are in the raw format only.
    actions = [element.action for element in dopamine]
    self.assertNotIn(raw.action[last], actions)
    self.assertNotIn(raw.reward[last], [x.reward for x in dopamine])
    # Dopamine adds copies, of which the oldest frames are zeroed.
    copies = dopamine[last:]
    self.assertLen(copies, _STACK - 1)
    for k, copy in enumerate(copies, 1):
      np.testing.assert_array_equal(copy.state[..., :k], 0)
      np.testing.assert_array_equal(
          copy.state[..., k:], ending.state[..., k:]
      )
      self.assertEqual(copy.action, ending.action)
      self.assertEqual(copy.reward, ending.reward)
      self.assertTrue(copy.is_terminal)

  def test_three_steps(self):
    raw, dopamine = self.raw_format(3), self.dopamine_format(3)
    np.testing.assert_array_equal(
        raw.is_terminal, np.arange(self.T) >= self.T - 3
    )
    terminal = [bool(x.is_terminal) for x in dopamine]
    before = terminal.index(True)
    self.assertEqual(before, self.T - 4)
    for t in range(before):
      self.assert_same(dopamine[t], raw, t)
    # One bootstraps less, and its copies again.
    self.assertEqual(raw.is_terminal[before], 0)
    actions = [int(x.action) for x in dopamine[before:]]
    starts = np.asarray(raw.action)[before:]
    self.assertEqual(actions, [starts[0]] * _STACK + [starts[1], starts[2]])
    self.assertTrue(all(terminal[before:]))

  @parameterized.parameters(1, 3)
  def test_a_time_limit_is_alike(self, n):
    raw, dopamine = self.raw_format(n), self.dopamine_format(n, terminal=False)
    # Both leave out the starts whose n steps would leave the episode.
    self.assertLen(dopamine, self.T - n)
    for t, element in enumerate(dopamine):
      self.assert_same(element, raw, t)


if __name__ == '__main__':
  absltest.main()
