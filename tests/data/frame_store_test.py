import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors
from implicit_underparam.data import frame_store, horizons

_SHAPE = (3, 2)
_FINGERPRINT = {'source': 'somewhere', 'fraction': 0.5}


def _stream(
    seed: int, rows: int, rewards: tuple[float, ...] = (-1, 0, 1)
) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
      'frames': rng.integers(0, 256, (rows, *_SHAPE), np.uint8),
      'actions': rng.integers(0, 18, rows),
      'rewards': rng.choice(rewards, rows),
      'terminals': rng.random(rows) < 0.1,
      'starts': rng.random(rows) < 0.05,
      'allowed': rng.random(rows) < 0.9,
  }


def _pieces(
    stream: dict[str, np.ndarray], size: int, first: int = 0
) -> Iterator[dict[str, np.ndarray]]:
  for i in range(first, len(stream['actions']), size):
    yield {name: x[i : i + size] for name, x in stream.items()}


def _write(
    out: pathlib.Path,
    stream: dict[str, np.ndarray],
    size: int = 17,
    max_horizon: int = 6,
) -> None:
  with frame_store.FrameStoreWriter(
      out, _FINGERPRINT, _SHAPE, max_horizon
  ) as writer:
    for piece in _pieces(stream, size, writer.position or 0):
      writer.append(**piece)
      writer.commit((writer.position or 0) + len(piece['actions']))
    writer.finish({'game': 'Pong'})


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {x.name: x.read_bytes() for x in sorted(folder.iterdir())}


def _is_valid(stream: dict[str, np.ndarray], i: int, n: int) -> bool:
  """By the definition, row by row."""
  terminals, starts = stream['terminals'], stream['starts'].copy()
  starts[0] = True
  segment = np.cumsum(starts)
  if i < 3 or not stream['allowed'][i] or segment[i - 3] != segment[i]:
    return False
  if terminals[i - 3 : i].any():
    return False
  for k in range(n):
    if i + k >= len(terminals) or segment[i + k] != segment[i]:
      return False
    if terminals[i + k]:
      return True
  return i + n < len(terminals) and segment[i + n] == segment[i]


def _largest(stream: dict[str, np.ndarray], i: int, max_horizon: int) -> int:
  valid = [n for n in range(1, max_horizon + 1) if _is_valid(stream, i, n)]
  assert valid == list(range(1, len(valid) + 1)), 'not monotone'
  return len(valid)


class HorizonsTest(parameterized.TestCase):

  @parameterized.product(seed=(0, 1, 2, 3), rows=(1, 2, 3, 5, 300))
  def test_agrees_with_the_definition(self, seed, rows):
    stream = _stream(seed, rows)
    found = horizons.largest_horizons(
        stream['terminals'], stream['starts'], stream['allowed'], 6
    )
    expected = [_largest(stream, i, 6) for i in range(rows)]
    np.testing.assert_array_equal(found, expected)
    self.assertEqual(found.dtype, np.uint8)

  def test_an_episode_by_hand(self):
    # Three rows of padding, four steps, and again; the log ends in step 2.
    terminals = np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    starts = np.zeros(12)
    found = horizons.largest_horizons(terminals, starts, np.ones(12), 20)
    np.testing.assert_array_equal(
        found, [0, 0, 0, 20, 20, 20, 20, 0, 0, 0, 1, 0]
    )


class FrameStoreTest(parameterized.TestCase):

  def _folder(self) -> pathlib.Path:
    return pathlib.Path(self.create_tempdir().full_path) / 'set'

  @parameterized.parameters(7, 1 << 20)
  def test_holds_what_was_appended(self, chunk):
    out, stream = self._folder(), _stream(0, 200)
    with mock.patch.object(horizons, '_CHUNK', chunk):
      _write(out, stream)
    store = frame_store.FrameStore.open(out, verify=True)
    self.assertIsInstance(store.frames, np.memmap)
    self.assertFalse(store.frames.flags.writeable)
    for name in ('frames', 'actions', 'rewards', 'terminals'):
      np.testing.assert_array_equal(getattr(store, name)[:200], stream[name])
      np.testing.assert_array_equal(getattr(store, name)[200:], 0)
    expected = [_largest(stream, i, 6) for i in range(200)] + [0] * 6
    np.testing.assert_array_equal(store.valid, expected)
    starts = stream['starts'].copy()
    starts[0] = True
    np.testing.assert_array_equal(store.segments, np.flatnonzero(starts))
    self.assertEqual(store.rewards.dtype, np.int8)
    for n in (1, 3, 6):
      rows = [i for i in range(200) if _is_valid(stream, i, n)]
      np.testing.assert_array_equal(store.starts(n), rows)

  def test_meta(self):
    out, stream = self._folder(), _stream(1, 50)
    _write(out, stream)
    meta = json.loads((out / 'meta.json').read_text())
    self.assertEqual(
        {k: x for k, x in meta.items() if k not in ('counts', 'checksums')},
        {
            'version': 1,
            'game': 'Pong',
            'stack_size': 4,
            'frame_shape': [3, 2],
            'max_horizon': 6,
        },
    )
    largest = [_largest(stream, i, 6) for i in range(50)]
    self.assertEqual(
        meta['counts'],
        {
            'rows': 50,
            'valid': sum(x > 0 for x in largest),
            'terminals': int(stream['terminals'].sum()),
            'segments': int(stream['starts'][1:].sum()) + 1,
        },
    )
    contents = _contents(out)
    self.assertEqual(
        meta['checksums'],
        {
            name: f'{zlib.crc32(data):08x}'
            for name, data in contents.items()
            if name != 'meta.json'
        },
    )
    self.assertCountEqual(contents, [*frame_store.FILES, 'meta.json'])

  @parameterized.parameters(0.5, 200.0)
  def test_other_rewards_stay_what_they_are(self, reward):
    out, stream = self._folder(), _stream(2, 40, (0.0, reward))
    _write(out, stream)
    store = frame_store.FrameStore.open(out)
    self.assertEqual(store.rewards.dtype, np.float32)
    np.testing.assert_array_equal(store.rewards[:40], stream['rewards'])

  def test_a_set_without_rows(self):
    out = self._folder()
    _write(out, _stream(0, 0))
    store = frame_store.FrameStore.open(out, verify=True)
    self.assertEqual(store.frames.shape, (6, *_SHAPE))
    self.assertEmpty(store.starts(1))

  def test_pieces_do_not_matter(self):
    one, other = self._folder(), self._folder()
    stream = _stream(3, 100)
    _write(one, stream, size=100)
    _write(other, stream, size=9)
    self.assertEqual(_contents(one), _contents(other))

  def test_a_failure_after_an_append_is_gone_on_from(self):
    plain, resumed = self._folder(), self._folder()
    stream = _stream(4, 100)
    _write(plain, stream)
    for stop in (0, 1, 4):
      with frame_store.FrameStoreWriter(
          resumed, _FINGERPRINT, _SHAPE, 6
      ) as writer:
        pieces = _pieces(stream, 10, writer.position or 0)
        for k, piece in enumerate(pieces):
          writer.append(**piece)
          if k == stop:
            break
          writer.commit((writer.position or 0) + 10)
    _write(resumed, stream)
    self.assertEqual(_contents(plain), _contents(resumed))

  def test_frames_that_come_late(self):
    plain, other = self._folder(), self._folder()
    stream = _stream(8, 60)
    _write(plain, stream)
    with frame_store.FrameStoreWriter(
        other, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      writer.append(**{k: x[:20] for k, x in stream.items()})
      writer.commit(None)
      rest = {k: x[20:] for k, x in stream.items()}
      late = rest['frames'].copy()
      late[5:18] = 0
      writer.append(**{**rest, 'frames': late})
      writer.replace(25, stream['frames'][25:31])
      writer.replace(31, stream['frames'][31:38])
      for row, count in ((19, 1), (59, 2)):
        with self.assertRaises(ValueError):
          writer.replace(row, stream['frames'][:count])
      writer.commit(None)
      writer.finish({'game': 'Pong'})
    self.assertEqual(_contents(plain), _contents(other))

  def test_rollback(self):
    plain, other = self._folder(), self._folder()
    stream = _stream(9, 60)
    _write(plain, stream)
    with frame_store.FrameStoreWriter(
        other, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      for first in (0, 20, 40):
        writer.append(**{k: x[first : first + 33] for k, x in stream.items()})
        writer.rollback()
        writer.append(**{k: x[first : first + 20] for k, x in stream.items()})
        writer.commit(None)
      writer.finish({'game': 'Pong'})
    self.assertEqual(_contents(plain), _contents(other))

  @parameterized.parameters(
      'frames_file.os.fsync', 'row_columns.write', 'npy_files.write',
      'frame_store_writer.run_folder.write_atomically',
  )
  def test_killed_while_finishing(self, where):
    plain, resumed = self._folder(), self._folder()
    stream = _stream(5, 60)
    _write(plain, stream)
    module = 'implicit_underparam.data'
    with frame_store.FrameStoreWriter(
        resumed, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      writer.append(**stream)
      writer.commit(60)
      with mock.patch(f'{module}.{where}', side_effect=KeyboardInterrupt):
        with self.assertRaises(KeyboardInterrupt):
          writer.finish({'game': 'Pong'})
    with self.assertRaisesRegex(errors.UserError, 'same prepare command'):
      frame_store.FrameStore.open(resumed)
    _write(resumed, stream)
    self.assertEqual(_contents(plain), _contents(resumed))

  def test_kill_9(self):
    plain, resumed = self._folder(), self._folder()
    stream = _stream(6, 100)
    _write(plain, stream)
    np.savez(resumed.with_suffix('.npz'), **stream)
    script = textwrap.dedent(f"""
        import numpy as np
        from implicit_underparam.data import frame_store
        stream = dict(np.load({str(resumed.with_suffix('.npz'))!r}))
        writer = frame_store.FrameStoreWriter(
            {str(resumed)!r}, {_FINGERPRINT!r}, {_SHAPE}, 6)
        writer.append(**{{k: x[:34] for k, x in stream.items()}})
        writer.commit(34)
        writer.append(**{{k: x[34:51] for k, x in stream.items()}})
        print('ready', flush=True)
        input()
    """)
    process = subprocess.Popen(
        [sys.executable, '-c', script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    )
    self.assertEqual(process.stdout.readline(), b'ready\n')
    with self.assertRaisesRegex(
        errors.UserError, f'--out .* in use by process {process.pid}'
    ):
      frame_store.FrameStoreWriter(resumed, _FINGERPRINT, _SHAPE, 6)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with frame_store.FrameStoreWriter(
        resumed, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      self.assertEqual((writer.rows, writer.position), (34, 34))
    _write(resumed, stream)
    self.assertEqual(_contents(plain), _contents(resumed))

  def test_other_settings_are_refused(self):
    out = self._folder()
    with frame_store.FrameStoreWriter(out, _FINGERPRINT, _SHAPE, 6):
      pass
    for changed, what in (
        ((out, {**_FINGERPRINT, 'fraction': 0.1}, _SHAPE, 6), 'fraction = 0.5'),
        ((out, {'source': 'somewhere'}, _SHAPE, 6), 'fraction = 0.5'),
        ((out, _FINGERPRINT, (4, 4), 6), r'frame_shape = \[3, 2\]'),
        ((out, _FINGERPRINT, _SHAPE, 7), 'max_horizon = 6'),
    ):
      with self.assertRaisesRegex(errors.UserError, what):
        frame_store.FrameStoreWriter(*changed)
    _write(out, _stream(0, 10))

  def test_a_complete_set_is_not_written_over(self):
    out = self._folder()
    _write(out, _stream(0, 10))
    before = _contents(out)
    with self.assertRaisesRegex(errors.UserError, 'complete set'):
      _write(out, _stream(0, 10))
    self.assertEqual(_contents(out), before)

  def test_foreign_files_are_not_written_over(self):
    out = self._folder()
    out.mkdir()
    (out / 'actions.npy').write_bytes(b'mine')
    with self.assertRaisesRegex(errors.UserError, 'holds actions.npy'):
      _write(out, _stream(0, 10))
    self.assertEqual((out / 'actions.npy').read_bytes(), b'mine')

  def test_lost_rows_are_named(self):
    out, stream = self._folder(), _stream(0, 40)
    with frame_store.FrameStoreWriter(
        out, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      writer.append(**stream)
      writer.commit(40)
    os.truncate(out / 'frames.npy', 200)
    with self.assertRaisesRegex(errors.UserError, 'holds 200 bytes'):
      _write(out, stream)

  def test_a_full_disk_is_one_line(self):
    out, stream = self._folder(), _stream(0, 40)
    with frame_store.FrameStoreWriter(
        out, _FINGERPRINT, _SHAPE, 6
    ) as writer:
      writer.append(**stream)
      with mock.patch('os.fsync', side_effect=OSError(28, 'No space left')):
        with self.assertRaisesRegex(errors.UserError, 'free space'):
          writer.commit(1)

  def test_rows_that_were_not_committed_are_not_finished(self):
    with frame_store.FrameStoreWriter(
        self._folder(), _FINGERPRINT, _SHAPE, 6
    ) as writer:
      writer.append(**_stream(0, 40))
      with self.assertRaises(ValueError):
        writer.finish({})

  def test_missing_and_incomplete(self):
    out = self._folder()
    with self.assertRaisesRegex(errors.UserError, 'no such folder'):
      frame_store.FrameStore.open(out)
    out.mkdir()
    with self.assertRaisesRegex(errors.UserError, 'no complete prepared set'):
      frame_store.FrameStore.open(out)

  @parameterized.parameters(*frame_store.FILES, 'meta.json')
  def test_damage_is_named(self, name):
    out = self._folder()
    _write(out, _stream(0, 40))
    data = bytearray((out / name).read_bytes())
    (out / name).write_bytes(data[: len(data) - 40])
    with self.assertRaisesRegex(errors.UserError, name):
      frame_store.FrameStore.open(out)
    (out / name).unlink()
    with self.assertRaisesRegex(errors.UserError, name):
      frame_store.FrameStore.open(out)
    if name != 'meta.json':
      data[-1] ^= 1
      (out / name).write_bytes(data)
      with self.assertRaisesRegex(errors.UserError, f'{name} has CRC-32'):
        frame_store.FrameStore.open(out, verify=True)

  def test_a_horizon_beyond_the_largest(self):
    out = self._folder()
    _write(out, _stream(0, 40))
    with self.assertRaisesRegex(errors.UserError, '--max_horizon'):
      frame_store.FrameStore.open(out).starts(7)


if __name__ == '__main__':
  absltest.main()
