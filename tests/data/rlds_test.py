"""RLDS data sets, made by tfds's own builder, against what went into them."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import NamedTuple
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import (
    export_rlds,
    prepare,
    rlds,
    rlds_episodes,
    rlds_rows,
)
from implicit_underparam.data.frame_store import FrameStore, FrameStoreWriter
from implicit_underparam.errors import UserError

_COLUMNS = ('frames', 'actions', 'rewards', 'terminals', 'valid', 'segments')


class Episode(NamedTuple):
  """What went into a shard."""

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  ended: bool

  @property
  def length(self) -> int:
    return len(self.actions)


def make_episode(rng: np.random.Generator, length: int, ended: bool) -> Episode:
  frames = np.zeros((length, 84, 84), np.uint8)
  frames[:, 40:44] = rng.integers(1, 256, (length, 4, 84))
  rewards = rng.integers(-1, 2, length).astype(np.float32)
  rewards[-1] = 1
  return Episode(frames, rng.integers(1, 6, length), rewards, ended)


@functools.cache
def checkpoints() -> tuple[tuple[Episode, ...], ...]:
  """Two checkpoints: short, long and cut episodes, one with its padding."""
  rng = np.random.default_rng(0)
  lengths = ((12, True), (1, True), (2, True), (9, False)), (
      (30, True), (5, True), (7, True),
  )  # fmt: skip
  made = [[make_episode(rng, *x) for x in split] for split in lengths]
  frames, actions, rewards, ended = made[1][1]
  padding = [np.zeros((3, *x.shape[1:]), x.dtype) for x in made[1][1][:3]]
  columns = zip(padding, (frames, actions, rewards), strict=True)
  made[1][1] = Episode(*map(np.concatenate, columns), ended)
  return tuple(map(tuple, made))


def rows_of(episode: Episode) -> Episode:
  """The episode as the raw log holds it: three zero rows, then its steps."""
  if not episode.frames[:3].any():
    return episode if episode.length > 3 else with_zeros(episode)
  return with_zeros(episode)


def with_zeros(episode: Episode) -> Episode:
  columns = [
      np.concatenate([np.zeros((3, *x.shape[1:]), x.dtype), x])
      for x in episode[:3]
  ]
  return Episode(*columns, episode.ended)


def write_shards(folder: pathlib.Path) -> None:
  """The checkpoints in the raw schema of rlu_atari_checkpoints_ordered."""
  import tensorflow as tf

  def feature(kind: str, values: object) -> tf.train.Feature:
    lists = {
        'bytes_list': tf.train.BytesList,
        'float_list': tf.train.FloatList,
        'int64_list': tf.train.Int64List,
    }
    return tf.train.Feature(**{kind: lists[kind](value=values)})

  def example(checkpoint: int, number: int, episode: Episode) -> bytes:
    discounts = np.ones(episode.length)
    discounts[-1] = 0.0 if episode.ended else 1.0
    images = [tf.io.encode_png(x[..., None]).numpy() for x in episode.frames]
    total = [episode.rewards.sum()]
    features = {
        'checkpoint_idx': feature('int64_list', [checkpoint]),
        'episode_idx': feature('int64_list', [number]),
        'episode_return': feature('float_list', total),
        'clipped_episode_return': feature('float_list', total),
        'observations': feature('bytes_list', images),
        'actions': feature('int64_list', episode.actions),
        'unclipped_rewards': feature('float_list', episode.rewards),
        'clipped_rewards': feature('float_list', episode.rewards),
        'discounts': feature('float_list', discounts),
    }
    wrapped = tf.train.Features(feature=features)
    return tf.train.Example(features=wrapped).SerializeToString()

  (folder / 'Pong').mkdir(parents=True)
  for i, episodes in enumerate(checkpoints()):
    shard = folder / 'Pong' / f'run_1-{i:05d}-of-00002'
    with tf.io.TFRecordWriter(str(shard), 'GZIP') as writer:
      for j, episode in enumerate(episodes):
        writer.write(example(i, j, episode))


@functools.cache
def datasets() -> dict[str, pathlib.Path]:
  """File format -> the data set that tfds's builder prepares."""
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.utils import gcs_utils
  from tensorflow_datasets.rl_unplugged import rlu_atari_checkpoints_ordered

  tfds.disable_progress_bar()
  root = pathlib.Path(tempfile.mkdtemp())
  unittest.addModuleCleanup(shutil.rmtree, root)
  unittest.addModuleCleanup(datasets.cache_clear)
  write_shards(root / 'raw')
  module = rlu_atari_checkpoints_ordered.rlu_atari_checkpoints_ordered
  builder_class = module.RluAtariCheckpointsOrdered
  found = {}
  with mock.patch.multiple(
      builder_class, _INPUT_FILE_PREFIX=str(root / 'raw'), _SHARDS=2
  ), mock.patch.object(gcs_utils, '_is_gcs_disabled', True):
    for file_format in ('array_record', 'tfrecord'):
      builder = builder_class(
          config='Pong_run_1',
          data_dir=str(root / file_format),
          file_format=file_format,
      )
      builder.download_and_prepare()
      found[file_format] = pathlib.Path(builder.data_dir)
  return found


class RldsTestCase(parameterized.TestCase):

  def folder(self) -> pathlib.Path:
    return pathlib.Path(self.create_tempdir().full_path)

  def prepare(self, source: pathlib.Path, **options) -> FrameStore:
    out = rlds.prepare(source, self.folder() / 'out', **options)
    return FrameStore.open(out, verify=True)

  def export(self, store: FrameStore, **options) -> pathlib.Path:
    return export_rlds.export(store.path, self.folder() / 'rlds', **options)

  def assert_holds(self, store: FrameStore, episodes: list[Episode]) -> None:
    """Row by row, and that what may start a transition is what can."""
    row, starts = 0, {1: [], 3: []}
    for episode in map(rows_of, episodes):
      here = slice(row, row + episode.length)
      np.testing.assert_array_equal(store.frames[here], episode.frames)
      np.testing.assert_array_equal(store.actions[here], episode.actions)
      np.testing.assert_array_equal(store.rewards[here], episode.rewards)
      terminals = np.zeros(episode.length)
      terminals[-1] = episode.ended
      np.testing.assert_array_equal(store.terminals[here], terminals)
      for n, found in starts.items():
        last = episode.length if episode.ended else episode.length - n
        found += range(row + 3, row + last)
      row += episode.length
    self.assertEqual(store.meta['counts']['rows'], row)
    for n, found in starts.items():
      np.testing.assert_array_equal(store.starts(n), found)

  def assert_same(self, store: FrameStore, other: FrameStore) -> None:
    for name in _COLUMNS:
      one, two = getattr(store, name), getattr(other, name)
      np.testing.assert_array_equal(one, two, name)
      self.assertEqual(one.dtype, two.dtype)


class PrepareTest(RldsTestCase):

  @parameterized.product(
      file_format=['array_record', 'tfrecord'], chunk=[4, 1024]
  )
  def test_rows_are_those_that_went_in(self, file_format, chunk):
    with mock.patch.object(rlds_episodes, '_CHUNK', chunk):
      store = self.prepare(datasets()[file_format])
    self.assert_holds(store, [x for split in checkpoints() for x in split])
    self.assertEqual(store.rewards.dtype, np.int8)
    # What follows the cut episode begins the second segment.
    first_rows = [rows_of(x).length for x in checkpoints()[0]]
    self.assertEqual(store.segments.tolist(), [0, sum(first_rows)])

  def test_meta_says_where_the_rows_come_from(self):
    meta = self.prepare(datasets()['array_record']).meta
    wanted = {
        'game': 'Pong', 'run': 1, 'num_actions': 6, 'mode': 'prefix',
        'fraction': 1.0, 'source': str(datasets()['array_record']),
    }  # fmt: skip
    self.assertEqual(wanted, {name: meta[name] for name in wanted})
    rows = [sum(rows_of(x).length for x in y) for y in checkpoints()]
    self.assertEqual(
        meta['files'],
        [
            {'name': 'checkpoint_00', 'episodes': 4, 'rows': rows[0]},
            {'name': 'checkpoint_01', 'episodes': 3, 'rows': rows[1]},
        ],
    )
    self.assertEqual(
        meta['chosen'], {'unit': 'episodes', 'count': 7, 'of': 7}
    )
    beginnings = ('rlu_atari was made', '6 of 6 ended', '1 episodes came with')
    for note, begins in zip(meta['notes'], beginnings, strict=True):
      self.assertStartsWith(note, begins)

  @parameterized.parameters('array_record', 'tfrecord')
  def test_prefix_is_the_first_episodes_of_each_split(self, file_format):
    store = self.prepare(datasets()[file_format], fraction=0.6)
    first, second = checkpoints()
    self.assert_holds(store, [first[0], first[1], second[0]])
    self.assertLen(store.segments, 2)

  @parameterized.parameters('array_record', 'tfrecord')
  def test_trajectories_are_an_exact_share(self, file_format):
    episodes = [x for split in checkpoints() for x in split]
    chosen = rlds.select_episodes([4, 3], 0.43, 'trajectories', 5)
    store = self.prepare(
        datasets()[file_format], fraction=0.43, mode='trajectories', seed=5
    )
    self.assert_holds(store, [episodes[i] for i in chosen])

  def test_choosing_episodes(self):
    choose = rlds.select_episodes
    prefix = choose([100, 10, 3], 0.29, 'prefix', 0)
    self.assertEqual(prefix.tolist(), [*range(29), 100, 101])
    one, two = (choose([60, 40], 0.2, 'trajectories', s) for s in (1, 2))
    for chosen in (one, two):
      self.assertLen(set(chosen.tolist()), 20)
      self.assertEqual(chosen.tolist(), sorted(chosen.tolist()))
      self.assertBetween(chosen.min(), 0, chosen.max())
      self.assertLess(chosen.max(), 100)
    self.assertNotEqual(one.tolist(), two.tolist())
    again = choose([60, 40], 0.2, 'trajectories', 1)
    self.assertEqual(one.tolist(), again.tolist())

  def test_splits_can_be_named(self):
    store = self.prepare(
        datasets()['array_record'], splits=['checkpoint_01']
    )
    self.assert_holds(store, list(checkpoints()[1]))

  @parameterized.parameters('array_record', 'tfrecord')
  def test_a_killed_run_goes_on_and_leaves_the_same_files(self, file_format):
    source, out = datasets()[file_format], self.folder() / 'out'
    append, calls = FrameStoreWriter.append, []

    def killed(*args):
      calls.append(args)
      if len(calls) == 4:
        raise KeyboardInterrupt
      append(*args)

    with mock.patch.object(rlds_rows, '_COMMIT_ROWS', 10):
      with mock.patch.object(FrameStoreWriter, 'append', killed):
        with self.assertRaises(KeyboardInterrupt):
          rlds.prepare(source, out)
      with self.assertRaisesRegex(UserError, 'begun with fraction = 1.0'):
        rlds.prepare(source, out, fraction=0.5)
      calls.clear()
      with mock.patch.object(FrameStoreWriter, 'append', autospec=True) as mine:
        mine.side_effect = append
        rlds.prepare(source, out)
    # Seven episodes; of the three before the kill one was committed.
    self.assertEqual(mine.call_count, 6)
    whole = self.prepare(source)
    self.assert_same(FrameStore.open(out, verify=True), whole)
    self.assertEqual(whole.meta, FrameStore.open(out).meta)


class ExportTest(RldsTestCase):

  def make_store(self, pieces: list[tuple[bool, Episode]]) -> FrameStore:
    """A prepared set of (whether it has its beginning, rows) pieces."""
    out = self.folder() / 'set'
    with FrameStoreWriter(out, {}) as writer:
      goes_on = False
      for is_whole, episode in pieces:
        rows = with_zeros(episode) if is_whole else episode
        terminals = np.zeros(rows.length, bool)
        terminals[-1] = rows.ended
        starts = np.zeros(rows.length, bool)
        starts[0] = not (goes_on and is_whole)
        everywhere = np.ones(rows.length, bool)
        writer.append(*rows[:3], terminals, starts, everywhere)
        goes_on = rows.ended
      writer.commit(None)
      files = [(0, 20), (4, 12), (7, writer.rows - 32)]
      writer.finish({
          'game': 'Pong', 'run': 1, 'mode': 'blocks',
          'files': [{'suffix': i, 'rows': rows} for i, rows in files],
      })  # fmt: skip
    return FrameStore.open(out)

  def mixed_store(self) -> FrameStore:
    """Whole episodes, one cut at its end, one at both, one at its start."""
    rng = np.random.default_rng(1)
    kinds = (
        (True, 11, True), (True, 1, True), (True, 6, False),
        (False, 5, False), (False, 2, False), (False, 8, True),
        (False, 4, True), (True, 9, True),
    )  # fmt: skip
    return self.make_store([
        (is_whole, make_episode(rng, length, ended))
        for is_whole, length, ended in kinds
    ])

  @parameterized.parameters(*export_rlds.FILE_FORMATS)
  def test_a_set_comes_back_as_it_was(self, file_format):
    store = self.mixed_store()
    out = self.export(store, file_format=file_format)
    again = self.prepare(out)
    self.assert_same(store, again)
    self.assertEqual((again.meta['game'], again.meta['run']), ('Pong', 1))

  def test_an_episode_is_in_the_split_where_it_begins(self):
    out = self.export(self.mixed_store(), file_format='array_record')
    # First rows, without padding: 3 17 | 21 27 | 32 34 42 49.
    self.assertEqual(
        rlds_episodes.EpisodeReader(out).lengths,
        {'checkpoint_00': 2, 'checkpoint_04': 2, 'checkpoint_07': 4},
    )

  def test_what_tfds_prepared_comes_back_as_it_was(self):
    store = self.prepare(datasets()['array_record'])
    out = self.export(store)
    self.assert_same(store, self.prepare(out))
    self.assertEqual(
        [x['name'] for x in self.prepare(out).meta['files']],
        ['checkpoint_00', 'checkpoint_01'],
    )

  def test_raw_logs_come_back_as_they_were(self):
    logs = pathlib.Path(__file__).parents[1] / 'fixtures/pong_replay_logs'
    options = prepare.Options(fraction=0.4, game='Pong', run=1)
    out = self.folder() / 'set'
    store = FrameStore.open(prepare.prepare(logs, out, options).path)
    self.assertGreater(store.meta['counts']['terminals'], 0)
    exported = self.export(store, file_format='array_record')
    again = FrameStore.open(
        prepare.prepare(exported, self.folder() / 'again').path
    )
    self.assert_same(store, again)
    rows = [x['rows'] for x in store.meta['files']]
    self.assertEqual(sum(rows), sum(x['rows'] for x in again.meta['files']))

  def test_it_is_what_the_builder_of_tfds_writes(self):
    """Feature by feature, of episodes that bring no padding of their own."""
    import tensorflow_datasets as tfds

    theirs = tfds.builder_from_directory(datasets()['array_record'])
    store = self.prepare(datasets()['array_record'])
    ours = tfds.builder_from_directory(
        self.export(store, file_format='array_record')
    )
    self.assertEqual(repr_of(ours.info), repr_of(theirs.info))
    pairs = zip(
        theirs.as_data_source('checkpoint_00'),
        ours.as_data_source('checkpoint_00'),
        strict=True,
    )
    for one, two in pairs:
      for name in ('checkpoint_id', 'episode_id', 'episode_return'):
        self.assertEqual(one[name], two[name], name)
      for step, other in zip(one['steps'], two['steps'], strict=True):
        self.assertEqual(step.keys(), other.keys())
        for name in step:
          np.testing.assert_array_equal(step[name], other[name], name)

  def test_rlds_reads_it_and_what_the_format_loses(self):
    import tensorflow_datasets as tfds

    package = rlds_episodes.import_rlds()
    rng = np.random.default_rng(2)
    lengths, n = (9, 12), 2
    episodes = [make_episode(rng, length, True) for length in lengths]
    store = self.make_store([(True, x) for x in episodes])
    builder = tfds.builder_from_directory(self.export(store))
    read = builder.as_dataset(
        split='checkpoint_00',
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    self.assertTrue(package.rlds_types.is_valid_rlds_dataset(read))
    found = list(read)
    self.assertLen(found, 2)
    for episode, loaded in zip(episodes, found, strict=True):
      steps = loaded[package.STEPS]
      length = package.transformations.episode_length(steps)
      self.assertEqual(int(length), episode.length)
      # As Dopamine's reader: four frames and n steps at a time.
      windows = list(tfds.as_numpy(package.transformations.batch(
          steps, size=4 + n, shift=1, drop_remainder=True
      )))
      actions = [w['action'][3] for w in windows]
      ends = [w['is_terminal'][4 : 4 + n].any() for w in windows]
      rewards = [w['reward'][3 : 3 + n].sum() for w in windows]
      # The first three states and the last n transitions are lost, the
      # last reward in none of the returns, and the end comes one step early.
      self.assertEqual(actions, episode.actions[3:-n].tolist())
      self.assertEqual(ends, [False] * (len(ends) - 1) + [True])
      np.testing.assert_array_equal(
          rewards, np.convolve(episode.rewards[3:-1], np.ones(n), 'valid')
      )
      # They are in the file: ours yields a transition for every step.
      last = package.transformations.final_step(steps)
      self.assertEqual(last['action'].numpy(), episode.actions[-1])
      self.assertEqual(last['reward'].numpy(), episode.rewards[-1])
    self.assertLen(store.starts(n), sum(lengths))
    self.assertLen(self.prepare(self.export(store)).starts(n), sum(lengths))

  def test_a_killed_export_begins_again(self):
    store, out = self.mixed_store(), self.folder() / 'rlds'
    killed = mock.patch.object(
        export_rlds.rlds_pieces, 'to_episode', side_effect=KeyboardInterrupt
    )
    with killed, self.assertRaises(KeyboardInterrupt):
      export_rlds.export(store.path, out)
    self.assertFalse(out.exists())
    export_rlds.export(store.path, out)
    self.assertEqual([x.name for x in out.parent.iterdir()], ['rlds'])
    self.assert_same(store, self.prepare(out))

  def test_the_command(self):
    store, out = self.mixed_store(), self.folder() / 'rlds'
    command = [sys.executable, '-m', 'implicit_underparam.data.export_rlds']
    command += [f'--data={store.path}', f'--out={out}']
    command += ['--file_format=array_record']
    run = functools.partial(
        subprocess.run, text=True, capture_output=True, check=False
    )
    result = run(command)
    self.assertEqual((result.returncode, result.stderr), (0, ''))
    self.assertIn(str(out), result.stdout)
    self.assert_same(store, self.prepare(out))
    result = run(command)
    self.assertEqual(result.returncode, 1)
    line = f'error: --out={out} is there: name a new folder\n'
    self.assertEqual(result.stderr, line)

  def test_refused(self):
    store = self.mixed_store()
    with self.assertRaisesRegex(UserError, 'give array_record or tfrecord'):
      self.export(store, file_format='riegeli')
    with self.assertRaisesRegex(UserError, 'no such folder'):
      export_rlds.export(self.folder() / 'nothing', self.folder() / 'rlds')
    meta = json.loads((store.path / 'meta.json').read_text())
    meta['mode'] = 'transitions'
    (store.path / 'meta.json').write_text(json.dumps(meta))
    with self.assertRaisesRegex(UserError, 'holds single transitions'):
      self.export(store)


def repr_of(info) -> str:
  """Features without their descriptions."""
  return repr({
      **{k: str(v.np_dtype) for k, v in info.features.items() if k != 'steps'},
      **{
          k: (v.shape, str(v.np_dtype), type(v))
          for k, v in info.features['steps'].feature.items()
      },
  })


_WITHOUT_TENSORFLOW = """
import json, sys

class Without:
  def __init__(self, finder):
    self.finder = finder
  def __getattr__(self, name):
    return getattr(self.finder, name)
  def find_spec(self, name, *rest):
    hidden = name.split('.')[0] == 'tensorflow'
    return None if hidden else self.finder.find_spec(name, *rest)

if {hide}:
  sys.meta_path[:] = map(Without, sys.meta_path)
from implicit_underparam.data import export_rlds, rlds
from implicit_underparam.errors import UserError
array_record, tfrecord, out = sys.argv[1:]
rlds.prepare(array_record, out + '/set')
export_rlds.export(out + '/set', out + '/rlds', 'array_record')
assert not [x for x in sys.modules if x.split('.')[0] == 'tensorflow']
if {hide}:
  for action in (
      lambda: rlds.prepare(tfrecord, out + '/other'),
      lambda: export_rlds.export(out + '/set', out + '/tf', 'tfrecord'),
  ):
    try:
      action()
    except UserError as error:
      print(error)
"""


class PackagesTest(RldsTestCase):

  @parameterized.parameters(True, False)
  def test_array_record_needs_no_tensorflow(self, hide):
    paths = [datasets()['array_record'], datasets()['tfrecord'], self.folder()]
    result = subprocess.run(
        [sys.executable, '-c', _WITHOUT_TENSORFLOW.format(hide=hide), *paths],
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    self.assertEqual(result.stderr, '')
    line = (
        'tensorflow is needed for RLDS data: '
        'pip install "implicit_underparam[tfds]"\n'
    )
    self.assertEqual(result.stdout, line * 2 * hide)
    everything = [x for split in checkpoints() for x in split]
    self.assert_holds(FrameStore.open(paths[2] / 'set'), everything)

  def test_without_tensorflow_datasets(self):
    with mock.patch.dict(sys.modules, {'tensorflow_datasets': None}):
      with self.assertRaisesRegex(
          UserError, r'^tensorflow_datasets is needed for RLDS data: pip '
      ):
        self.prepare(datasets()['array_record'])


class BadInputTest(RldsTestCase):

  @contextlib.contextmanager
  def refused(self, pattern: str):
    with self.assertRaisesRegex(UserError, pattern) as caught:
      yield
    self.assertNotIn('\n', str(caught.exception))

  def copied(self, file_format: str = 'array_record') -> pathlib.Path:
    return pathlib.Path(
        shutil.copytree(datasets()[file_format], self.folder() / 'copy')
    )

  def test_not_a_dataset(self):
    with self.refused('is no data set of tensorflow-datasets: name the folder'):
      self.prepare(self.folder())
    above = datasets()['array_record'].parent
    with self.refused(f'such as {datasets()["array_record"]}$'):
      self.prepare(above)

  @parameterized.parameters(
      ({'mode': 'blocks'}, '--mode=blocks needs the raw logs'),
      ({'mode': 'transitions'}, '--mode=transitions needs the raw logs'),
      ({'fraction': 0.0}, '--fraction=0: give more than 0, at most 1'),
      ({'fraction': 1.5}, '--fraction=1.5: give more than 0'),
      ({'fraction': 0.1}, 'is none: give a larger one'),
      ({'game': 'Qbert'}, '--game=Qbert, and .* is of Pong'),
      ({'run': 2}, '--run=2, and .* is of run 1'),
      ({'splits': ['train']}, "has no split 'train': it has checkpoint_00, "),
  )
  def test_wrong_options(self, options, pattern):
    with self.refused(pattern):
      self.prepare(datasets()['array_record'], **options)

  @parameterized.parameters(
      ('dataset_info.json', '{', 'cannot be opened by tensorflow-datasets'),
      ('dataset_info.json', '{"a": 1}', 'cannot be opened by tensorflow-data'),
      ('features.json', '{"a": 1}', 'cannot be opened by tensorflow-datasets'),
      ('features.json', None, 'cannot be opened by tensorflow-datasets'),
  )
  def test_damaged_description(self, name, text, pattern):
    source = self.copied()
    if text is None:
      (source / name).unlink()
    else:
      (source / name).write_text(text)
    with self.refused(pattern):
      self.prepare(source)

  @parameterized.product(
      file_format=['array_record', 'tfrecord'],
      damage=['missing', 'cut', 'changed'],
  )
  def test_damaged_files(self, file_format, damage):
    source = self.copied(file_format)
    file = next(source.glob(f'*checkpoint_01.{file_format}*'))
    if damage == 'missing':
      file.unlink()
    elif damage == 'cut':
      os.truncate(file, file.stat().st_size // 2)
    else:
      content = bytearray(file.read_bytes())
      for i in range(100, len(content), 50):
        content[i] ^= 0xFF
      file.write_bytes(content)
    with self.refused('checkpoint_01 cannot be read .*: prepare the data set'):
      self.prepare(source)

  def write_dataset(self, features, episodes) -> pathlib.Path:
    import tensorflow_datasets as tfds

    out = self.folder() / 'written'
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            name='other', version=tfds.core.Version('1.0.0'),
            data_dir=str(out), module_name='',
        ),
        features=features,
    )  # fmt: skip
    out.mkdir()
    writer = tfds.core.SequentialWriter(info, 10, file_format='array_record')
    writer.initialize_splits(['train'])
    writer.add_examples({'train': episodes})
    writer.close_all()
    return out

  def step_features(self, **changed):
    import tensorflow_datasets as tfds

    features = {
        'observation': tfds.features.Image(
            shape=(84, 84, 1), encoding_format='png'
        ),
        'action': np.int64,
        'reward': np.float32,
        'is_first': np.bool_,
        'is_last': np.bool_,
        'is_terminal': np.bool_,
        **changed,
    }
    steps = {k: v for k, v in features.items() if v is not None}
    return tfds.features.FeaturesDict({'steps': tfds.features.Dataset(steps)})

  def test_wrong_schema(self):
    import tensorflow_datasets as tfds

    vector = tfds.features.Tensor(shape=(4,), dtype=np.float32)
    colours = tfds.features.Image(shape=(84, 84, 3))
    for features, why in (
        (tfds.features.FeaturesDict({'a': np.int64}), 'there are no steps'),
        (self.step_features(observation=vector), 'no grey uint8 image'),
        (self.step_features(observation=colours), 'no grey uint8 image'),
        (self.step_features(is_terminal=None), 'is_terminal is missing'),
        (self.step_features(action=np.float32), 'action is '),
        (self.step_features(action=vector), 'action is '),
    ):
      source = self.write_dataset(features, [])
      with self.refused(f'does not hold Atari episodes .*{why}'):
        self.prepare(source, game='Pong')

  @parameterized.parameters(
      ({'is_first': (1, 0, 1)}, 'is_first after the first step'),
      ({'is_last': (1, 0, 1)}, 'is_last before the last step'),
      ({'is_last': (0, 0, 0), 'is_terminal': (0, 0, 0)}, 'no is_last at the '),
      ({'is_terminal': (0, 1, 1)}, 'is_terminal where it is not is_last'),
      ({'action': (0, 6, 1)}, 'action 6, and the game has 6'),
      ({'action': (0, -1, 1)}, 'action -1, and the game has 6'),
  )
  def test_no_episode_of_the_game(self, changed, pattern):
    columns = {
        'action': (0, 1, 2), 'reward': (0, 0, 1), 'is_first': (1, 0, 0),
        'is_last': (0, 0, 1), 'is_terminal': (0, 0, 1), **changed,
    }  # fmt: skip
    steps = [
        {'observation': np.ones((84, 84, 1), np.uint8), **dict(
            zip(columns, values, strict=True)
        )}
        for values in zip(*columns.values(), strict=True)
    ]  # fmt: skip
    png = export_rlds.rlds_pieces.to_png(np.ones((84, 84), np.uint8))
    for step in steps:
      step['observation'] = png
      for name in ('is_first', 'is_last', 'is_terminal'):
        step[name] = bool(step[name])
    source = self.write_dataset(self.step_features(), [{'steps': steps}])
    with self.refused(rf'train\[0\] has {pattern}'):
      self.prepare(source, game='Pong')


if __name__ == '__main__':
  absltest.main()
