"""Logs that were suspended, killed and resumed, against a ring in memory."""

import contextlib
import gzip
import io
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import time
from concurrent import futures
from typing import Any
from unittest import mock

import dopamine_shims
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import (
    gzip_writer,
    prepare,
    replay_logs,
    replay_logs_writer,
    sources,
)
from implicit_underparam.data.replay_logs_writer import ReplayLogWriter
from implicit_underparam.errors import UserError

FRAME = (3, 2)
ENDS = replay_logs.EPISODE_ENDS
Row = tuple[np.ndarray, int, float, bool, bool]


def rows_of(seed: int, count: int) -> list[Row]:
  """Random transitions; some episodes end by a time limit."""
  rng = np.random.default_rng(seed)
  ends = rng.random(count) < 0.08
  terminals = ends & (rng.random(count) < 0.6)
  return [
      (rng.integers(1, 256, FRAME, np.uint8), int(rng.integers(18)),
       float(np.float32(rng.normal())), bool(terminal), bool(end))
      for terminal, end in zip(terminals, ends, strict=True)
  ]  # fmt: skip


def ring_log(rows: list[Row], capacity: int) -> list[dict[str, Any]]:
  """The checkpoints of a log, from a ring that holds all of it."""
  names = replay_logs.NAMES[:4]
  ring = {
      name: np.zeros(
          (capacity, *(FRAME if 'observation' in name else ())),
          replay_logs.DTYPES[name],
      )
      for name in names
  }
  ends: set[int] = set()
  found: list[dict[str, Any]] = []
  stream: list[Row] = []
  padding: Row = (np.zeros(FRAME, np.uint8), 0, 0.0, False, False)
  for before, row in zip([None, *rows], rows, strict=False):
    stream += [padding] * 3 if before is None or before[4] else []
    stream.append(row)
  for count, row in enumerate(stream, 1):
    slot = (count - 1) % capacity
    for name, value in zip(names, row, strict=False):
      ring[name][slot] = value
    (ends.add if row[4] else ends.discard)(slot)
    is_full = count % capacity == capacity - 1
    if is_full or count == len(stream):
      cursor = count % capacity
      found.append({name: array.copy() for name, array in ring.items()})
      found[-1] |= {
          'add_count': np.array(count if is_full else cursor),
          'invalid_range': (cursor - 1 + np.arange(5)) % capacity,
          ENDS: sorted(ends),
      }
  return found


def load(folder: pathlib.Path) -> list[dict[str, Any]]:
  """What the files hold, by Python's gzip and numpy alone."""
  found = []
  while (folder / f'add_count_ckpt.{len(found)}.gz').exists():
    data = {
        name: gzip.decompress(
            (folder / f'{name}_ckpt.{len(found)}.gz').read_bytes()
        )
        for name in (*replay_logs.NAMES, ENDS)
    }
    ends = sorted(int(slot) for slot in pickle.loads(data.pop(ENDS)))
    arrays = {name: np.load(io.BytesIO(x)) for name, x in data.items()}
    found.append({**arrays, ENDS: ends})
  return found


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait(writer: ReplayLogWriter) -> None:
  """Until a writer that is dropped does nothing more, as a killed one."""
  futures.wait([writer._job])


class ResumeTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.log = self.folder / 'replay_logs'
    # A kill of a process loses no page; the disks of tests are slow.
    self.enter_context(mock.patch.object(os, 'fsync'))

  def assert_log_is(self, rows: list[Row], capacity: int, folder=None) -> None:
    found, expected = load(folder or self.log), ring_log(rows, capacity)
    self.assertEqual(len(found), len(expected))
    for ours, theirs in zip(found, expected, strict=True):
      self.assertEqual(ours.keys(), theirs.keys())
      for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], name)

  def assert_refused(self, message: str, state: bytes, **options: Any) -> None:
    before = contents(self.log)
    options = {'capacity': 20, 'frame_shape': FRAME, **options}
    with self.assertRaisesRegex(UserError, message) as caught:
      ReplayLogWriter.resume(self.log, state, **options)
    self.assertNotIn('\n', str(caught.exception))
    self.assertEqual(contents(self.log), before)


class KillTest(ResumeTest):

  def unbroken(self, rows, capacity, suspensions) -> dict[str, bytes]:
    """The files of a writer that was suspended, and never resumed."""
    folder = self.folder / 'unbroken'
    writer = ReplayLogWriter(folder, capacity, frame_shape=FRAME)
    for count, row in enumerate(rows):
      for _ in range(suspensions.count(count)):
        writer.suspend()
      writer.add(*row)
    for _ in range(suspensions.count(len(rows))):
      writer.suspend()
    writer.close()
    return contents(folder)

  @parameterized.parameters(*range(24))
  def test_kills_at_random_leave_the_files_of_a_log_without(self, seed):
    rng = np.random.default_rng(seed)
    capacity = int(rng.integers(9, 60))
    rows = rows_of(seed, int(rng.integers(2, 6) * capacity))
    options = {'capacity': capacity, 'frame_shape': FRAME}
    block = int(rng.integers(1, 12))
    undone = 0
    with mock.patch.object(replay_logs_writer, '_BLOCK_ROWS', block):
      writer = ReplayLogWriter.resume(self.log, None, **options)
      count, kills = 0, 0
      states = [(0, writer.suspend())]
      while count < len(rows) or kills < 12:
        for row in rows[count:count + int(rng.integers(capacity))]:
          writer.add(*row)
          count += 1
        if rng.random() < 0.5:
          states.append((count, writer.suspend()))
        if rng.random() < 0.4 or count == len(rows):
          if rng.random() < 0.5:
            writer.close()
          wait(writer)
          # The last state, or one of those before it.
          for _ in range(int(rng.choice([0, 0, 1, 3]))):
            del states[1:][-1:], states[max(1, len(states) - 1):]
          before = len(replay_logs.suffixes(self.log))
          count, state = states[-1]
          self.assertLess(len(state), 3000)
          writer = ReplayLogWriter.resume(self.log, state, **options)
          undone += before - len(replay_logs.suffixes(self.log))
          kills += 1
          if kills >= 12:
            break
      for row in rows[count:]:
        writer.add(*row)
      writer.close()
    self.assertGreater(undone, 2)
    self.assert_log_is(rows, capacity)
    suspensions = [count for count, _ in states]
    expected = self.unbroken(rows, capacity, suspensions)
    self.assertEqual(contents(self.log), expected)

  def test_a_kill_while_it_is_taken_back_does_no_harm(self):
    rows = rows_of(1, 90)
    options = {'capacity': 20, 'frame_shape': FRAME}
    writer = ReplayLogWriter(self.log, **options)
    for row in rows[:30]:
      writer.add(*row)
    state = writer.suspend()
    for row in rows_of(2, 60):
      writer.add(*row)
    wait(writer)
    steps = 0
    for kill_at in range(100):
      folder = self.folder / str(kill_at)
      shutil.copytree(self.log, folder)
      steps = 0
      with self.killing(kill_at):
        try:
          ReplayLogWriter.resume(folder, state, **options)
          break
        except KeyboardInterrupt:
          steps += 1
      writer = ReplayLogWriter.resume(folder, state, **options)
      for row in rows[30:]:
        writer.add(*row)
      writer.close()
      self.assert_log_is(rows, 20, folder)
    self.assertGreater(kill_at, 20)

  def killing(self, at: int) -> Any:
    """Interrupts before the change of a folder that has this number."""
    left = [at]

    def count(change: Any) -> Any:
      def changed(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
          raise KeyboardInterrupt
        return change(*arguments, **options)

      return changed

    stack = contextlib.ExitStack()
    for owner, name in ((os, 'replace'), (pathlib.Path, 'unlink')):
      changed = count(getattr(owner, name))
      stack.enter_context(mock.patch.object(owner, name, changed))
    return stack

  def test_kill_9(self):
    done = self.folder / 'state'
    command = [sys.executable, __file__, str(self.log), str(done)]
    paths = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    for target in (700, 2500):
      process = subprocess.Popen(command, env=paths)
      deadline = time.monotonic() + 60
      while time.monotonic() < deadline and process.poll() is None:
        if done.exists() and int(done.read_bytes().split()[0]) > target:
          break
        time.sleep(0.002)
      process.kill()
      self.assertLess(process.wait(), 0, 'it ended before it was killed')
    subprocess.run(command, check=True, timeout=60, env=paths)
    self.assert_log_is(rows_of(0, KILLED_ROWS), KILLED_CAPACITY)


KILLED_ROWS, KILLED_CAPACITY = 6000, 450


def log_to_be_killed(log: str, done: str) -> None:
  """Goes on from the state in a file, and leaves states there."""
  path = pathlib.Path(done)
  data = path.read_bytes() if path.exists() else None
  first, _, state = (data or b'0').partition(b' ')
  writer = ReplayLogWriter.resume(
      log, state if data else None, capacity=KILLED_CAPACITY, frame_shape=FRAME
  )
  for count, row in enumerate(rows_of(0, KILLED_ROWS)):
    if count < int(first):
      continue
    if count % 100 == 0:
      temporary = path.with_suffix('.tmp')
      temporary.write_bytes(b'%d ' % count + writer.suspend())
      temporary.replace(path)
    writer.add(*row)
    time.sleep(1e-4)
  writer.close()


class ReadingTest(ResumeTest):

  def write(self, folder: pathlib.Path, rows: list[Row]) -> None:
    """With a suspension and a kill every seventeen rows."""
    options = {'capacity': 40, 'frame_shape': FRAME}
    writer = ReplayLogWriter(folder, **options)
    for count, row in enumerate(rows):
      if count % 17 == 0:
        state = writer.suspend()
        for _ in range(9):
          writer.add(*rows[0])
        wait(writer)
        writer = ReplayLogWriter.resume(folder, state, **options)
      writer.add(*row)
    writer.close()

  def test_dopamine_and_we_read_it(self):
    rows = rows_of(3, 130)
    self.write(self.log, rows)
    module = dopamine_shims.circular_replay_buffer()
    compared = 0
    for suffix, truth in enumerate(ring_log(rows, 40)):
      buffer = module.OutOfGraphReplayBuffer(
          FRAME, 4, 40, batch_size=1, checkpoint_duration=10**9
      )
      buffer.load(str(self.log), suffix)
      ours = replay_logs.read_checkpoint(self.log, suffix, FRAME)
      self.assertEqual(ours.episode_end_indices.tolist(), truth[ENDS])
      for name, array in buffer._store.items():
        expected = truth[f'$store$_{name}']
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(getattr(ours, name), expected)
      valid = [slot for slot in range(40) if buffer.is_valid_transition(slot)]
      found = replay_logs.valid_indices(ours)
      self.assertEqual(found.tolist(), valid)
      theirs = buffer.sample_transition_batch(len(valid), valid)
      transitions = replay_logs.sample(ours, found)
      np.testing.assert_array_equal(transitions.state, theirs[0])
      np.testing.assert_array_equal(transitions.next_state, theirs[3])
      compared += len(valid)
    self.assertGreater(compared, 60)

  def test_prepare_takes_game_and_seed_from_the_folders(self):
    rows = rows_of(4, 130)
    seed = self.folder / 'replay' / 'Pong' / '0'
    # Actions of Pong.
    self.write(seed / 'replay_logs', [(x[0], x[1] % 6, *x[2:]) for x in rows])
    for number, source in enumerate((seed, seed / 'replay_logs')):
      out = self.folder / f'set_{number}'
      meta = prepare.prepare(source, out).meta
      self.assertEqual((meta['game'], meta['run']), ('Pong', 0))
      self.assertEqual(meta['num_actions'], 6)
      padding = 3 * (1 + sum(x[4] for x in rows[:-1]))
      self.assertEqual(meta['counts']['rows'], len(rows) + padding)

  def test_a_log_that_grows_shows_whole_checkpoints_only(self):
    writer = ReplayLogWriter(self.log, 20, frame_shape=FRAME)
    for row in rows_of(5, 49):
      writer.add(*row)
    writer.suspend()
    found = sources.find(str(self.folder))
    self.assertEqual(found.suffixes, tuple(range(writer.checkpoints)))
    self.assertGreater(len(list(self.log.iterdir())), 7 * writer.checkpoints)
    writer.close()


class RefusalTest(ResumeTest):

  def setUp(self):
    super().setUp()
    writer = ReplayLogWriter(self.log, 20, frame_shape=FRAME)
    for row in rows_of(0, 45):
      writer.add(*row)
    self.state = writer.suspend()
    self.grown = self.log / f'.$store$_action_ckpt.{writer.checkpoints}.gz.tmp'
    self.writer = writer

  def test_missing_short_or_other_files_are_named(self):
    frames = self.grown.with_name(
        self.grown.name.replace('action', 'observation')
    )
    whole = self.log / '$store$_reward_ckpt.0.gz'
    for path, named in (
        (self.grown, self.grown.name[1:-4]), (frames, frames.name[1:-4]),
        (whole, whole.name),
    ):  # fmt: skip
      good = path.read_bytes()
      path.write_bytes(good[:-1])
      self.assert_refused(f'has {len(good) - 1} bytes, and had', self.state)
      path.unlink()
      with self.assertRaises(UserError) as caught:
        ReplayLogWriter.resume(
            self.log, self.state, capacity=20, frame_shape=FRAME
        )
      self.assertIn(f'{named} is missing', str(caught.exception))
      path.write_bytes(good)
    shutil.rmtree(self.log)
    with self.assertRaisesRegex(UserError, 'ckpt.0.gz is missing'):
      ReplayLogWriter.resume(
          self.log, self.state, capacity=20, frame_shape=FRAME
      )

  def test_the_folder_of_another_log_is_not_changed(self):
    rows = [(*row[:3], False, False) for row in rows_of(9, 15)]
    other = self.folder / 'other'
    with ReplayLogWriter(other, 20, frame_shape=FRAME) as writer:
      for row in rows:
        writer.add(*row)
      state = writer.suspend()
    # As frames and files go it might be the same.
    rows[7] = (rows[7][0], rows[7][1] + 1, *rows[7][2:])
    shutil.rmtree(self.log)
    with ReplayLogWriter(self.log, 20, frame_shape=FRAME) as writer:
      for row in rows:
        writer.add(*row)
    self.assert_refused('action.* had others when the run was saved', state)

  @parameterized.parameters(b'', b'{}', b'[]', b'text', b'{"version": 9}')
  def test_what_is_no_state(self, state):
    self.assert_refused('state of the log cannot be read', state)

  @parameterized.parameters(
      {'capacity': 21}, {'update_horizon': 3}, {'episode_ends': False},
      {'frame_shape': (2, 3)}, {'stack_size': 2},
  )  # fmt: skip
  def test_other_options(self, **options):
    name, = options
    self.assert_refused(f'was begun with {name}', self.state, **options)

  def test_begins_anew_without_a_state(self):
    writer = ReplayLogWriter.resume(
        self.log, None, capacity=20, frame_shape=FRAME
    )
    self.assertEmpty(list(self.log.iterdir()))
    for row in rows_of(7, 30):
      writer.add(*row)
    writer.close()
    self.assert_log_is(rows_of(7, 30), 20)
    (self.log / 'notes.txt').touch()
    with self.assertRaisesRegex(UserError, 'is not empty'):
      ReplayLogWriter.resume(self.log, None, capacity=20, frame_shape=FRAME)
    self.assertEqual([x.name for x in self.log.iterdir()], ['notes.txt'])

  def test_a_log_that_leaves_out_rings_is_not_suspended(self):
    writer = ReplayLogWriter(
        self.folder / 'b', 20, frame_shape=FRAME, dump_padded_boundaries=False
    )
    with self.assertRaisesRegex(ValueError, 'cannot be suspended'):
      writer.suspend()
    writer.close()
    with self.assertRaisesRegex(ValueError, 'closed'):
      writer.suspend()

  def test_a_full_disk_loses_nothing_that_was_suspended(self):
    full = OSError(28, 'No space left on device')
    with mock.patch.object(gzip_writer.GzipWriter, '_put', side_effect=full):
      with self.assertRaisesRegex(
          UserError, 'No space left on device; .* start the same command again'
      ) as caught:
        for row in rows_of(1, 600):
          self.writer.add(*row)
    self.assertNotIn('\n', str(caught.exception))
    with self.assertRaisesRegex(ValueError, 'closed'):
      self.writer.add(*rows_of(1, 1)[0])
    self.writer.close()
    writer = ReplayLogWriter.resume(
        self.log, self.state, capacity=20, frame_shape=FRAME
    )
    writer.close()
    self.assert_log_is(rows_of(0, 45), 20)


if __name__ == '__main__':
  if len(sys.argv) == 3:
    log_to_be_killed(*sys.argv[1:])
  else:
    absltest.main()
