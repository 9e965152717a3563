import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Any
from unittest import mock

import numpy as np
import small_logs
from absl.testing import absltest, parameterized

from implicit_underparam.data import (
    frame_store,
    log_copy,
    prepare,
)
from implicit_underparam.errors import UserError


class ResumeTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.source = self.folder / 'replay_logs'
    small_logs.write_log(self.source)

  @parameterized.parameters(
      ('append', 1), ('append', 30), ('replace', 2), ('commit', 1),
      ('commit', 4), ('finish', 1),
  )
  def test_stopped_at_any_moment(self, method, when):
    options = prepare.Options(verify_all=True)
    with mock.patch.object(log_copy, '_CHUNK_BYTES', 7 * 6):
      prepare.prepare(self.source, self.folder / 'plain', options)
      original = getattr(frame_store.FrameStoreWriter, method)
      calls = iter(range(1, 1000))

      def stopping(*args: Any, **columns: Any) -> None:
        if next(calls) == when:
          raise KeyboardInterrupt
        original(*args, **columns)

      with mock.patch.object(
          frame_store.FrameStoreWriter, method, stopping
      ), self.assertRaises(KeyboardInterrupt):
        prepare.prepare(self.source, self.folder / 'resumed', options)
      prepare.prepare(self.source, self.folder / 'resumed', options)
    self.assertEqual(
        small_logs.contents(self.folder / 'plain'),
        small_logs.contents(self.folder / 'resumed'),
    )

  def test_kill_9_of_the_command(self):
    script = textwrap.dedent(f"""
        import os, signal
        from implicit_underparam.data import frame_store, log_copy, prepare
        log_copy._CHUNK_BYTES = 42
        append, left = frame_store.FrameStoreWriter.append, [70]
        def stopping(*args, **columns):
          append(*args, **columns)
          left[0] -= 1
          if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        frame_store.FrameStoreWriter.append = stopping
        prepare.prepare({str(self.source)!r}, {str(self.folder / 'out')!r})
    """)
    result = subprocess.run(
        [sys.executable, '-c', script],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        check=False,
    )
    self.assertEqual(result.returncode, -signal.SIGKILL)
    position = json.loads((self.folder / 'out/progress.json').read_text())
    self.assertBetween(position['position']['checkpoints'], 1, 5)
    for name in ('out', 'plain'):
      prepare.prepare(self.source, self.folder / name)
    self.assertEqual(
        small_logs.contents(self.folder / 'plain'),
        small_logs.contents(self.folder / 'out'),
    )

  def test_another_choice_is_refused(self):
    out = self.folder / 'out'
    with mock.patch.object(
        frame_store.FrameStoreWriter, 'finish', side_effect=KeyboardInterrupt
    ), self.assertRaises(KeyboardInterrupt):
      prepare.prepare(self.source, out)
    for options, what in (
        (prepare.Options(fraction=0.5), 'fraction = 1.0, and it is 0.5 now'),
        (prepare.Options(max_horizon=5), 'max_horizon = 20'),
        (prepare.Options(mode='blocks', block_size=9), 'mode = "prefix"'),
    ):
      with self.assertRaisesRegex(UserError, what):
        prepare.prepare(self.source, out, options)
    prepare.prepare(self.source, out)

  def test_another_source_is_refused(self):
    out = self.folder / 'out'
    with mock.patch.object(
        frame_store.FrameStoreWriter, 'finish', side_effect=KeyboardInterrupt
    ), self.assertRaises(KeyboardInterrupt):
      prepare.prepare(self.source, out)
    small_logs.write_log(self.folder / 'other/replay_logs', seed=5)
    with self.assertRaisesRegex(UserError, 'checkpoints = '):
      prepare.prepare(self.folder / 'other', out)


class DamageTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.source = self.folder / 'replay_logs'
    self.out = self.folder / 'out'
    self.truth = small_logs.write_log(self.source)

  def _damage(self, how: str, name: str) -> None:
    path = self.source / f'{name}_ckpt.2.gz'
    if how == 'missing':
      path.unlink()
    elif how == 'truncated':
      os.truncate(path, path.stat().st_size - 20)
    elif how == 'corrupt':
      small_logs.corrupt(path)
    elif how == 'shape':
      shutil.copy(
          self.source / '$store$_terminal_ckpt.2.gz'
          if 'observation' in name
          else self.source / '$store$_observation_ckpt.2.gz',
          path,
      )

  @parameterized.product(
      how=('missing', 'truncated', 'corrupt', 'shape'),
      name=('$store$_observation', '$store$_action', '$store$_terminal'),
  )
  def test_is_named_and_may_be_left_out(self, how, name):
    self._damage(how, name)
    with self.assertRaises(UserError) as raised:
      prepare.prepare(self.source, self.out)
    self.assertIn(f'{name}_ckpt.2.gz', str(raised.exception))
    self.assertIn('--skip_damaged', str(raised.exception))
    self.assertNotIn('\n', str(raised.exception))
    options = prepare.Options(skip_damaged=True)
    report = prepare.prepare(self.source, self.folder / 'other', options)
    store = frame_store.FrameStore.open(report.path, verify=True)
    expected = self.truth.held(ignored=(2,))
    if how == 'corrupt' and 'observation' in name:
      # Found when its frames were read: what it alone tells of others is lost.
      expected = [t for t in self.truth.held() if not 399 <= t < 599]
    np.testing.assert_array_equal(small_logs.adds_of(store), expected)
    rows = len(expected)
    np.testing.assert_array_equal(
        store.frames[:rows], self.truth.frames[expected]
    )
    self.assertEqual([x['suffix'] for x in store.meta['skipped']], [2])
    self.assertIn(f'{name}_ckpt.2.gz', store.meta['skipped'][0]['reason'])
    for i in store.starts(1):
      self.assertTrue(
          self.truth.is_valid(expected[i], 1, set(expected)), expected[i]
      )
    self.assertIn('left out: checkpoint 2', prepare.summary(report))

  def test_skipping_survives_a_stop(self):
    self._damage('corrupt', '$store$_observation')
    options = prepare.Options(skip_damaged=True)
    prepare.prepare(self.source, self.out, options)
    commit = frame_store.FrameStoreWriter.commit

    def stopping(writer: Any, position: Any) -> None:
      if position['checkpoints'] == 5:
        raise KeyboardInterrupt
      commit(writer, position)

    other = self.folder / 'other'
    with mock.patch.object(
        frame_store.FrameStoreWriter, 'commit', stopping
    ), self.assertRaises(KeyboardInterrupt):
      prepare.prepare(self.source, other, options)
    prepare.prepare(self.source, other, options)
    self.assertEqual(small_logs.contents(self.out), small_logs.contents(other))

  def test_all_damaged(self):
    for path in self.source.glob('add_count*'):
      path.write_bytes(b'')
    with self.assertRaisesRegex(UserError, 'every checkpoint'):
      prepare.prepare(
          self.source, self.out, prepare.Options(skip_damaged=True)
      )


if __name__ == '__main__':
  absltest.main()
