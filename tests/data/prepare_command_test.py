import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import small_logs
from absl.testing import absltest, parameterized

from implicit_underparam.data import (
    frame_store,
    prepare,
    sources,
)
from implicit_underparam.errors import UserError


class InputTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.source = self.folder / 'Pong/3/replay_logs'
    self.out = self.folder / 'out'

  def _fails(self, regex: str, source: Any = None, **options: Any) -> None:
    with self.assertRaisesRegex(UserError, regex) as raised:
      prepare.prepare(
          source or self.source, self.out, prepare.Options(**options)
      )
    self.assertNotIn('\n', str(raised.exception))
    self.assertFalse(self.out.exists())

  @parameterized.parameters(
      ({'fraction': 0.0}, '--fraction=0: give more than 0'),
      ({'fraction': 1.5}, '--fraction=1.5'),
      ({'fraction': float('nan')}, '--fraction=nan'),
      ({'mode': 'random'}, '--mode=random: give one of prefix, blocks'),
      ({'update_horizon': 0}, '--update_horizon=0'),
      ({'update_horizon': 21}, '--update_horizon=21'),
      ({'max_horizon': 300}, '--max_horizon=300'),
      ({'block_size': 0}, '--block_size=0'),
      ({'seed': -1}, '--seed=-1'),
      ({'mode': 'blocks'}, '--block_size=1000 is more than the 200'),
      ({'fraction': 0.01}, 'not one transition'),
      ({'game': 'Pung'}, '--game: .*Pong'),
      ({'game': 'ms_pacman'}, '--game: .*MsPacman'),
      ({'game': 'Freeway'}, 'holds action 5, and the game has actions 0 to 2'),
  )
  def test_options(self, options, regex):
    small_logs.write_log(self.source)
    self._fails(regex, **options)

  def test_no_source(self):
    self._fails('there is no such folder', self.folder / 'nowhere')
    self._fails('holds no log', self.folder)
    small_logs.write_log(self.source)
    self._fails(f'there are {self.source}', self.folder)
    self._fails('holds no log', self.source.parent.parent.parent)

  def test_the_game_of_the_path_is_unknown(self):
    source = self.folder / 'Pongo/1/replay_logs'
    small_logs.write_log(source)
    self._fails('--game: .*Pong', source)

  def test_out_is_the_source(self):
    small_logs.write_log(self.source)
    before = small_logs.contents(self.source)
    for source, out in (
        (self.source, self.source),
        (self.source.parent, self.source),
        (self.source.parent, self.source.parent),
    ):
      with self.assertRaisesRegex(UserError, 'is the source'):
        prepare.prepare(source, out)
    self.assertEqual(small_logs.contents(self.source), before)

  def test_out_is_a_bucket(self):
    small_logs.write_log(self.source)
    with self.assertRaisesRegex(UserError, 'name a folder here'):
      prepare.prepare(self.source, 'gs://bucket/set')

  def test_negative_actions(self):
    small_logs.write_log(self.source)
    path = self.source / '$store$_action_ckpt.1.gz'
    with gzip.open(path) as file:
      actions = np.load(file)
    actions[7] = -1
    with gzip.open(path, 'wb') as file:
      np.save(file, actions)
    self._fails(r'action_ckpt\.1\.gz holds action -1')

  def test_too_little_room(self):
    small_logs.write_log(self.source)
    with mock.patch.object(
        shutil, 'disk_usage', return_value=mock.Mock(free=1000)
    ):
      self._fails('needs 0.00 GB, and 0.00 GB are free: make room')

  def test_a_bucket_without_client(self):
    path = mock.MagicMock()
    path.is_dir.side_effect = ImportError('no gcsfs')
    with mock.patch.object(sources, 'open_path', return_value=path):
      self._fails('run "pip install gcsfs"', 'gs://bucket/dqn/Pong/1')

  def test_a_bucket_that_cannot_be_reached(self):
    class ClientError(Exception):
      pass

    path = mock.MagicMock()
    path.is_dir.side_effect = ClientError('no\nnetwork')
    with mock.patch.object(sources, 'open_path', return_value=path):
      self._fails(r'could not be read \(no\): look at', 'gs://bucket/dqn')

  @parameterized.parameters(
      ('gs://atari-replay-datasets/dqn/Qbert/2/replay_logs', ('Qbert', 2)),
      ('/data/MsPacman/5/', ('MsPacman', 5)),
      ('/data/pong/5', (None, None)),
      ('/data/Pong/replay_logs', (None, None)),
  )
  def test_game_and_run_of_a_path(self, path, expected):
    self.assertEqual(sources.game_and_run(path), expected)

  def test_meta(self):
    small_logs.write_log(self.source)
    report = prepare.prepare(
        self.source.parent, self.out,
        prepare.Options(mode='transitions', fraction=0.5, seed=4),
    )
    meta = report.meta
    expected = {
        'game': 'Pong', 'run': 3, 'num_actions': 6, 'mode': 'transitions',
        'fraction': 0.5, 'seed': 4, 'update_horizon': 1, 'max_horizon': 20,
        'source': str(self.source), 'skipped': [],
    }
    self.assertEqual(meta, {**meta, **expected})
    self.assertIn('atari-py', meta['notes'][0])
    self.assertEqual(
        [(x['suffix'], x['add_count']) for x in meta['files']][:2],
        [(0, 199), (1, 399)],
    )
    self.assertEqual(
        sum(x['rows'] for x in meta['files']), meta['counts']['rows']
    )

  def test_asterix_1_is_noted(self):
    small_logs.write_log(self.source)
    for run, notes in ((1, 2), (2, 1)):
      report = prepare.prepare(
          self.source, self.folder / str(run),
          prepare.Options(game='Asterix', run=run),
      )
      self.assertLen(report.meta['notes'], notes)

  def test_a_game_that_is_not_said(self):
    source = self.folder / 'mine'
    truth = small_logs.write_log(source)
    meta = prepare.prepare(source, self.out).meta
    self.assertIsNone(meta['game'])
    self.assertEqual(meta['num_actions'], truth.actions.max() + 1)

  def test_rlds_is_handed_over(self):
    source = self.folder / 'rlu_atari/Pong_run_1/1.1.0'
    source.mkdir(parents=True)
    (source / 'dataset_info.json').write_text('{}')

    def write(source: Any, out: Any, **options: Any) -> None:
      del source
      shape = small_logs.FRAME_SHAPE
      with frame_store.FrameStoreWriter(out, {}, shape) as writer:
        writer.commit(None)
        writer.finish({'options': options})

    with mock.patch(
        'implicit_underparam.data.rlds.prepare', side_effect=write
    ) as handed:
      report = prepare.prepare(
          self.folder, self.out, prepare.Options(fraction=0.3)
      )
    self.assertEqual(handed.call_args[0][0], source)
    self.assertEqual(report.meta['options']['fraction'], 0.3)
    (source.parent / '1.2.0').mkdir()
    (source.parent / '1.2.0/dataset_info.json').write_text('{}')
    with self.assertRaisesRegex(UserError, 'holds 2 data sets'):
      prepare.prepare(self.folder, self.folder / 'other')


class CommandTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _run(self, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'implicit_underparam.data.prepare', *flags],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )

  def test_prepares_and_says_how_to_train(self):
    small_logs.write_log(self.folder / 'replay_logs')
    out = self.folder / 'out'
    result = self._run(f'--source={self.folder}', f'--out={out}')
    self.assertEqual((result.returncode, result.stderr), (0, ''))
    self.assertIn(
        f'--gin_bindings="OfflineData.path = \'{out}\'"', result.stdout
    )
    again = self._run(f'--source={self.folder}', f'--out={out}')
    self.assertEqual(again.returncode, 1)
    self.assertEqual(again.stderr.count('\n'), 1)
    self.assertIn('complete set', again.stderr)

  def test_memory_does_not_grow_with_the_log(self):
    # Two checkpoints of 80 MB of frames, of which a window is not kept.
    source = self.folder / 'replay_logs'
    source.mkdir()
    for name, array in _large_log(11_000):
      with gzip.open(source / f'{name}.gz', 'wb', compresslevel=1) as file:
        np.save(file, array)
    script = textwrap.dedent(f"""
        import resource
        from implicit_underparam.data import prepare
        def peak():
          return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        prepare.prepare({str(source)!r}, {str(self.folder / 'out')!r})
        print(peak() - before)
    """)
    result = subprocess.run(
        [sys.executable, '-c', script],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )
    kibibytes = int(result.stdout)
    self.assertGreater((self.folder / 'out/frames.npy').stat().st_size, 1.5e8)
    self.assertLess(kibibytes, 40_000)


def _large_log(capacity: int) -> Iterator[tuple[str, np.ndarray]]:
  for k in range(2):
    count = (k + 1) * capacity - 1
    yield f'$store$_observation_ckpt.{k}', np.full(
        (capacity, 84, 84), 7, np.uint8
    )
    yield f'$store$_action_ckpt.{k}', np.zeros(capacity, '<i4')
    yield f'$store$_reward_ckpt.{k}', np.zeros(capacity, '<f4')
    yield f'$store$_terminal_ckpt.{k}', np.zeros(capacity, 'u1')
    yield f'add_count_ckpt.{k}', np.array(count, '<i8')
    cursor = count % capacity
    yield f'invalid_range_ckpt.{k}', np.arange(
        cursor - 1, cursor + 4, dtype='<i8'
    ) % capacity


if __name__ == '__main__':
  absltest.main()
