"""Tests of replay_logs and replay_logs_writer, against Dopamine's buffer."""

import gzip
import os
import pathlib
import pickle
import re
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import dopamine_shims
import numpy as np
from absl.testing import absltest, parameterized
from etils import epath
from hypothesis import example, given, settings
from hypothesis import strategies as st

from implicit_underparam.data import gzip_writer, replay_logs
from implicit_underparam.data.replay_logs_writer import ReplayLogWriter
from implicit_underparam.errors import UserError

FRAME = (6, 5)
ACTION = '$store$_action'


class Add(NamedTuple):
  observation: np.ndarray
  action: int
  reward: float
  is_terminal: bool
  episode_end: bool


def adds(seed: int, count: int, length: float = 12) -> list[Add]:
  """Random transitions, a third of whose episodes end by a time limit."""
  rng = np.random.default_rng(seed)
  ends = rng.random(count) < 1 / length
  terminals = ends & (rng.random(count) < 2 / 3)
  return [
      Add(rng.integers(1, 256, FRAME, np.uint8), int(rng.integers(18)),
          float(rng.normal()), bool(terminal), bool(end))
      for terminal, end in zip(terminals, ends, strict=True)
  ]  # fmt: skip


def terminal_adds(*lengths: int) -> list[Add]:
  """Episodes of the given lengths, each ending by a terminal."""
  zero = np.zeros(FRAME, np.uint8)
  last = [i == n - 1 for n in lengths for i in range(n)]
  return [Add(zero, 0, i + 1.0, end, end) for i, end in enumerate(last)]


def write(folder: Any, rows: list[Add], capacity: int, **options: Any) -> int:
  options = {'frame_shape': FRAME, **options}
  with ReplayLogWriter(folder, capacity, **options) as writer:
    for row in rows:
      writer.add(*row)
  return writer.add_count


def read(folder: Any) -> list[replay_logs.Checkpoint]:
  return [
      replay_logs.read_checkpoint(folder, suffix, FRAME)
      for suffix in replay_logs.suffixes(folder)
  ]


def dopamine_buffer(capacity: int, update_horizon: int) -> Any:
  module = dopamine_shims.circular_replay_buffer()
  buffer = module.OutOfGraphReplayBuffer(
      FRAME, 4, capacity, batch_size=1, update_horizon=update_horizon,
      gamma=0.97, checkpoint_duration=10**9,
  )
  # It begins with whatever lay in memory.
  for array in buffer._store.values():
    array.fill(0)
  return buffer


def write_with_dopamine(
    folder: pathlib.Path, rows: list[Add], capacity: int, update_horizon: int
) -> Any:
  """Logs as batch_rl's OutOfGraphLoggedReplayBuffer does."""
  folder.mkdir(parents=True)
  buffer = dopamine_buffer(capacity, update_horizon)
  count = 0
  for row in rows:
    buffer.add(*row[:4], episode_end=row.episode_end)
    if buffer.add_count % capacity == capacity - 1:
      buffer.save(str(folder), count)
      count += 1
  buffer.add_count = np.array(buffer.cursor())
  buffer.save(str(folder), count)
  return buffer


def payloads(folder: pathlib.Path) -> dict[str, bytes]:
  return {
      path.name: gzip.decompress(path.read_bytes())
      for path in folder.iterdir()
  }


class ReplayLogsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.log = self.folder / 'replay_logs'
    # The disks of tests are slow, and none of them loses power.
    self.enter_context(mock.patch.object(os, 'fsync'))


class AgainstDopamineTest(ReplayLogsTest):

  @parameterized.product(capacity=(9, 24, 61, 150), update_horizon=(1, 3))
  def test_the_payloads_are_the_same_bytes(self, capacity, update_horizon):
    for seed in range(3):
      rows = adds(seed, 3 * capacity + 7 * seed)
      theirs = self.folder / f'theirs_{seed}'
      buffer = write_with_dopamine(theirs, rows, capacity, update_horizon)
      ours = self.folder / f'ours_{seed}'
      count = write(
          ours, rows, capacity, update_horizon=update_horizon,
          dump_padded_boundaries=False,
      )
      self.assertEqual(payloads(ours), payloads(theirs))
      last = read(theirs)[-1]
      self.assertEqual(last.cursor, count % capacity)
      for name, array in buffer._store.items():
        np.testing.assert_array_equal(getattr(last, name), array)
      ends = sorted(buffer.episode_end_indices)
      self.assertEqual(last.episode_end_indices.tolist(), ends)

  @parameterized.product(
      logged_horizon=(1, 3), update_horizon=(1, 3, 11), episode_ends=(0, 1)
  )
  def test_dopamine_samples_the_same_of_what_we_write(
      self, logged_horizon, update_horizon, episode_ends
  ):
    compared = 0
    for capacity in (16, 75, 240):
      write(
          self.log / str(capacity), adds(capacity, 3 * capacity), capacity,
          update_horizon=logged_horizon, episode_ends=bool(episode_ends),
      )
      folder = self.log / str(capacity)
      for suffix, checkpoint in enumerate(read(folder)):
        buffer = dopamine_buffer(capacity, update_horizon)
        buffer.load(str(folder), suffix)
        compared += self.compare(buffer, checkpoint, update_horizon)
    self.assertGreater(compared, 300)  # Some thousands in all.

  def compare(self, buffer, checkpoint, update_horizon) -> int:
    slots = range(checkpoint.capacity)
    valid = [slot for slot in slots if buffer.is_valid_transition(slot)]
    found = replay_logs.valid_indices(checkpoint, update_horizon)
    self.assertEqual(found.tolist(), valid)
    ours = replay_logs.sample(checkpoint, found, update_horizon, gamma=0.97)
    theirs = buffer.sample_transition_batch(len(valid), valid)
    # state, action, reward, next state, next action, next reward, terminal
    for field, index in zip(ours, (0, 1, 2, 3, 6), strict=True):
      self.assertEqual(field.dtype, theirs[index].dtype)
      np.testing.assert_array_equal(field, theirs[index])
    return len(valid)


class OrderTest(ReplayLogsTest):

  def test_a_boundary_within_padding_loses_a_ring_unless_it_is_written(self):
    # Slots 18..20 are padding: it makes the 19th add, where a file is due.
    rows = terminal_adds(15, 30, 30)
    write(self.log, rows, 20, dump_padded_boundaries=False)
    lossy = read(self.log)
    self.assertEqual([x.add_count for x in lossy], [39, 59, 79, 4])
    whole = self.folder / 'whole'
    write(whole, rows, 20)
    checkpoints = read(whole)
    self.assertEqual([x.add_count for x in checkpoints], [19, 39, 59, 79, 4])
    for a, b in zip(checkpoints, checkpoints[1:], strict=False):
      self.assertTrue(replay_logs.continues(a, b))
    self.assertFalse(replay_logs.continues(checkpoints[0], checkpoints[2]))
    self.assertFalse(replay_logs.continues(checkpoints[2], checkpoints[4]))

  def test_slots_in_the_order_of_time(self):
    write(self.log, terminal_adds(100), 20)
    first, second, *_, last = read(self.log)
    slots = replay_logs.chronological_slots
    self.assertEqual(slots(first).tolist(), list(range(19)))
    self.assertEqual(slots(second).tolist(), [19, *range(19)])
    self.assertEqual(slots(second, first).tolist(), [19, *range(19)])
    self.assertEqual((last.add_count, last.cursor), (3, 3))
    self.assertEqual(slots(last).tolist(), [0, 1, 2])
    *_, before, _ = read(self.log)
    self.assertEqual(slots(last, before).tolist(), [19, 0, 1, 2])

  def test_a_last_file_that_repeats_the_one_before_adds_nothing(self):
    # Dopamine's logger writes it if training ends where a file is due.
    write(self.log, terminal_adds(36), 20)
    _, before = read(self.log)
    last = before._replace(add_count=19)
    self.assertEmpty(replay_logs.chronological_slots(last, before))
    self.assertTrue(replay_logs.continues(before, last))

  def test_what_an_unwritten_ring_left_in_the_last_file_is_found(self):
    # 15 + 3 adds, 3 of padding over the first boundary, 4 more: 25 adds.
    write(self.log, [*terminal_adds(15), *terminal_adds(12)[:4]], 20,
          dump_padded_boundaries=False)
    # One file, of 25 - 20 adds by its count: what is older cannot be known.
    only, = read(self.log)
    found = replay_logs.chronological_slots(only)
    self.assertEqual(found.tolist(), [0, 1, 2, 3, 4])
    # 19 adds are written; the 39th is padding and the ring is lost, up to
    # what the 42nd has not overwritten.
    rows = [*terminal_adds(16 + 19), *terminal_adds(1)]
    write(self.folder / 'b', rows, 20, dump_padded_boundaries=False)
    first, last = read(self.folder / 'b')
    self.assertEqual((first.add_count, last.add_count), (19, 2))
    self.assertFalse(replay_logs.continues(first, last))
    found = replay_logs.chronological_slots(last, first)
    self.assertEqual(found.tolist(), [*range(2, 20), 0, 1])
    expected = [*range(20, 36), 0, 0, 0, 1]
    self.assertEqual(last.reward[found].tolist(), expected)

  @settings(deadline=None, max_examples=60)
  @given(
      st.integers(8, 40),
      st.lists(st.integers(1, 30), min_size=1, max_size=12),
      st.booleans(),
  )
  @example(8, [1, 8], False)  # One file, full, and a ring lost before it.
  def test_the_files_one_after_another_are_the_stream(
      self, capacity, lengths, padded
  ):
    rows = terminal_adds(*lengths)
    stream: list[float] = []
    starts = True
    for row in rows:
      stream += [0.0] * 3 * starts + [row.reward]
      starts = row.is_terminal
    with tempfile.TemporaryDirectory() as folder:
      options = {'dump_padded_boundaries': padded}
      self.assertEqual(write(folder, rows, capacity, **options), len(stream))
      checkpoints = read(folder)
    counts = [x.add_count for x in checkpoints[:-1]]
    self.assertEqual({x % capacity for x in counts} - {capacity - 1}, set())
    pieces = list(self.pieces(checkpoints, len(stream)))
    for begin, end, rewards, _, _ in pieces:
      self.assertEqual(rewards, stream[begin:end])
    for (_, end, *_), (begin, _, _, joined, sure) in zip(
        pieces, pieces[1:], strict=False
    ):
      self.assertGreaterEqual(begin, end)
      if sure:
        self.assertEqual(joined, begin == end)
    if padded:
      self.assertEqual(sum([x[2] for x in pieces], []), stream)

  def pieces(
      self, checkpoints: list[replay_logs.Checkpoint], total: int
  ) -> Iterator[tuple[int, int, list[float], bool, bool]]:
    """What each checkpoint adds: its place in the stream, and its rewards."""
    previous = None
    for checkpoint in checkpoints:
      slots = replay_logs.chronological_slots(checkpoint, previous)
      is_last = checkpoint is checkpoints[-1]
      end = total if is_last else checkpoint.add_count
      joined = previous is None or replay_logs.continues(previous, checkpoint)
      # Padding cannot be told from padding: the last file may have only that.
      untouched = checkpoint.reward[checkpoint.cursor:-1]
      sure = not is_last or bool(untouched.any())
      rewards = checkpoint.reward[slots].tolist()
      yield end - len(slots), end, rewards, joined, sure
      previous = checkpoint

  def test_checkpoints_of_two_logs_are_refused(self):
    write(self.log, terminal_adds(100), 20)
    write(self.folder / 'b', terminal_adds(100), 25)
    a, b = read(self.log), read(self.folder / 'b')
    for pair in ((a[0], b[1]), (a[2], a[1]), (a[-1], a[-1])):
      with self.assertRaisesRegex(UserError, 'not of one log'):
        replay_logs.continues(*pair)


class ReadingTest(ReplayLogsTest):

  def test_suffixes_are_numbers_and_zero_is_one(self):
    self.log.mkdir()
    for name in (
        f'{ACTION}_ckpt.10.gz', f'{ACTION}_ckpt.9.gz', 'add_count_ckpt.0.gz',
        'other_ckpt.3.gz', f'{ACTION}_ckpt.x.gz', f'.{ACTION}_ckpt.4.gz.tmp',
    ):
      (self.log / name).touch()
    self.assertEqual(replay_logs.suffixes(self.log), (0, 9, 10))
    self.assertEqual(replay_logs.suffixes(str(self.log)), (0, 9, 10))
    with self.assertRaisesRegex(UserError, 'none cannot be listed'):
      replay_logs.suffixes(self.folder / 'none')

  def test_a_remote_path_is_read_as_a_local_one(self):
    write(self.log, adds(0, 50), 20)  # 50 adds and padding.
    path = epath.Path(self.log)
    self.assertEqual(replay_logs.suffixes(path), (0, 1, 2, 3))
    there = replay_logs.read_checkpoint(path, 2, FRAME, observations=False)
    here = replay_logs.read_checkpoint(str(self.log), 2, FRAME)
    self.assertIsNone(there.observation)
    for a, b in zip(there[1:], here[1:], strict=True):
      np.testing.assert_array_equal(a, b)
    frames = replay_logs.open_array(
        path, '$store$_observation', 1, (20, *FRAME)
    )
    with frames:
      self.assertEqual(frames.read(3).shape, (3, *FRAME))

  @parameterized.parameters(*replay_logs.NAMES)
  def test_each_file_is_needed_and_checked(self, name):
    write(self.log, adds(0, 30), 20)
    path = replay_logs.array_path(self.log, name, 0)
    good = path.read_bytes()
    float16 = gzip.compress(b'\x93NUMPY' + gzip.decompress(good)[6:].replace(
        replay_logs.DTYPES[name].str.encode(), b'<f2'))
    for kind, data in (
        ('truncated', good[:-6]), ('not gzip', b'text'),
        ('not npy', gzip.compress(b'a text, and no array')),
        ('wrong dtype', float16), ('missing', None),
    ):  # fmt: skip
      path.unlink() if data is None else path.write_bytes(data)
      with self.assertRaises(replay_logs.DamagedFile) as caught:
        replay_logs.read_checkpoint(self.log, 0, FRAME)
      self.assertEqual(caught.exception.kind, kind)
      self.assertEqual(caught.exception.path, str(path))

  def test_parts_must_fit_together(self):
    write(self.log, adds(0, 60), 20)
    write(self.folder / 'b', adds(0, 60), 25)
    for name in replay_logs.NAMES:
      if name in (ACTION, 'add_count'):
        continue
      path = replay_logs.array_path(self.log, name, 0)
      good = path.read_bytes()
      other = replay_logs.array_path(self.folder / 'b', name, 0)
      path.write_bytes(other.read_bytes())
      named = re.escape(path.name)
      with self.assertRaisesRegex(replay_logs.DamagedFile, named):
        replay_logs.read_checkpoint(self.log, 0, FRAME)
      path.write_bytes(good)
    with self.assertRaisesRegex(UserError, r'\[20, 6, 5\].*\[20, 84, 84\]'):
      replay_logs.read_checkpoint(self.log, 0)

  def test_episode_ends_may_be_absent_but_not_damaged(self):
    write(self.log, adds(0, 30), 20)
    path = replay_logs.array_path(self.log, replay_logs.EPISODE_ENDS, 0)
    good = path.read_bytes()
    made = self.folder / 'made'
    for kind, data in (
        ('truncated', good[:-9]), ('corrupt', b'text'),
        ('corrupt', gzip.compress(b'text')),
        ('corrupt', gzip.compress(pickle.dumps({3, 20}))),
        ('corrupt', gzip.compress(pickle.dumps(Add))),
        ('corrupt', gzip.compress(f'cos\nmkdir\n(V{made}\ntR.'.encode())),
    ):  # fmt: skip
      path.write_bytes(data)
      with self.assertRaises(replay_logs.DamagedFile) as caught:
        replay_logs.read_checkpoint(self.log, 0, FRAME)
      self.assertEqual(caught.exception.kind, kind)
    self.assertFalse(made.exists())
    path.write_bytes(gzip.compress(pickle.dumps({9, 3})))
    checkpoint = replay_logs.read_checkpoint(self.log, 0, FRAME)
    self.assertEqual(checkpoint.episode_end_indices.tolist(), [3, 9])
    path.unlink()
    checkpoint = replay_logs.read_checkpoint(self.log, 0, FRAME)
    self.assertIsNone(checkpoint.episode_end_indices)


class WritingTest(ReplayLogsTest):

  def test_the_same_log_is_the_same_files(self):
    write(self.folder / 'a', adds(0, 50), 20)
    write(self.folder / 'b', adds(0, 50), 20)
    for path in (self.folder / 'a').iterdir():
      twin = self.folder / 'b' / path.name
      self.assertEqual(path.read_bytes(), twin.read_bytes())

  def test_nothing_new_is_not_written_again(self):
    write(self.log, terminal_adds(36), 20)
    self.assertEqual([x.add_count for x in read(self.log)], [19, 39])
    write(self.folder / 'none', [], 20)
    self.assertEqual(replay_logs.suffixes(self.folder / 'none'), ())

  def test_a_failure_leaves_whole_checkpoints_only(self):
    finish = gzip_writer.GzipWriter.finish

    def fail(file: gzip_writer.GzipWriter) -> None:
      if 'terminal_ckpt.1' in file.path.name:
        raise OSError(28, 'No space left on device')
      finish(file)

    with mock.patch.object(gzip_writer.GzipWriter, 'finish', fail):
      with self.assertRaisesRegex(UserError, 'terminal_ckpt.1.*No space left'):
        write(self.log, adds(0, 60), 20)
    names = {path.name.rpartition('_ckpt')[2] for path in self.log.iterdir()}
    self.assertEqual(names, {'.0.gz'})
    self.assertLen(read(self.log), 1)

  def test_refuses_what_cannot_be_a_log(self):
    write(self.log, adds(0, 30), 20)
    with self.assertRaisesRegex(UserError, 'is not empty'):
      ReplayLogWriter(self.log)
    with self.assertRaisesRegex(UserError, 'could not be written'):
      ReplayLogWriter(self.log / 'add_count_ckpt.0.gz')
    with self.assertRaisesRegex(UserError, 'at least 7'):
      ReplayLogWriter(self.folder / 'b', 6, update_horizon=3)
    with ReplayLogWriter(self.folder / 'c', 20) as writer:
      for frame in (np.zeros(FRAME, np.uint8), np.zeros((84, 84))):
        with self.assertRaisesRegex(UserError, r'give uint8\[84, 84\]'):
          writer.add(frame, 0, 0.0, False)
    with self.assertRaisesRegex(ValueError, 'closed'):
      writer.add(np.zeros((84, 84), np.uint8), 0, 0.0, False)


if __name__ == '__main__':
  absltest.main()
