"""A prepared set as an RLDS data set that tensorflow-datasets and rlds read.

  python -m implicit_underparam.data.export_rlds --data=DIR --out=DIR

The schema is that of rlu_atari_checkpoints_ordered: one split for each
checkpoint, an episode in the split where it begins. A step is a row of the
prepared set, as rlu_atari has it: the row whose action ended the episode is
the last step, with is_terminal. What that loses against the raw logs:

- RLDS calls action, reward and discount of a last step meaningless. They hold
  the row's values here, and `data.rlds` reads them back, but a reader that
  keeps to RLDS, as Dopamine's does, drops the last transition and with it the
  last reward (in Pong: the last point), and takes the transition before for
  the terminal one.
- The three zero frames before an episode are not there. A reader that does
  not put them back, as Dopamine's, never yields the first three states.
- Whether an episode was followed by the next one is forgotten, and so are zero
  rows that no step follows. Neither bears on a transition.

Nothing else is lost. An episode that the set holds in part keeps is_first or
is_terminal False at the end where it was cut.
"""

import bisect
import contextlib
import importlib
import itertools
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import app, flags

from implicit_underparam import errors, run_folder
from implicit_underparam.data import rlds_episodes, rlds_pieces
from implicit_underparam.data.frame_store import FrameStore

FLAGS = flags.FLAGS
FILE_FORMATS = ('array_record', 'tfrecord')
NAME = 'implicit_underparam_replay'
_EPISODES_A_FILE = 1000
_DESCRIPTION = """Atari play in the schema of rlu_atari_checkpoints_ordered.
The last step of an episode that is_terminal holds the action that ended it,
and its reward."""


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('data', None, 'The prepared set.', required=True)
  flags.DEFINE_string(
      'out', None, 'The folder of the RLDS data set, new.', required=True
  )
  flags.DEFINE_enum(
      'file_format', 'tfrecord', FILE_FORMATS,
      'tfrecord is what rlds reads; array_record needs no TensorFlow, to write '
      'and to read with as_data_source.',
  )


def export(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    file_format: str = 'tfrecord',
) -> pathlib.Path:
  """Writes a prepared set as an RLDS data set.

  It is written beside `out`, in `out`.partial, and gets its name when it is
  complete; after a kill it is begun again.

  Args:
    data: the prepared set.
    out: a folder that is not there yet.
    file_format: 'tfrecord', which needs TensorFlow and gives tf.data, hence
      rlds; or 'array_record', which needs none and gives random access.

  Returns:
    `out`; `tfds.builder_from_directory` opens it.

  Raises:
    UserError: there is no such set, it holds single transitions, `out` is
      there or cannot be written, or a package is missing.
  """
  if file_format not in FILE_FORMATS:
    raise errors.UserError(
        f'--file_format={file_format}: give {" or ".join(FILE_FORMATS)}'
    )
  store = FrameStore.open(data)
  if store.meta.get('mode') == 'transitions':
    raise errors.UserError(
        f'--data={data} holds single transitions, and RLDS holds episodes: '
        'prepare it with --mode=prefix, blocks or trajectories'
    )
  target = pathlib.Path(out)
  with _partial(target) as folder, rlds_episodes.needed_packages():
    _write(store, folder, file_format)
  return target


@contextlib.contextmanager
def _partial(target: pathlib.Path) -> Iterator[pathlib.Path]:
  """An empty, locked folder that becomes `target` if all goes well."""
  if target.exists():
    raise errors.UserError(f'--out={target} is there: name a new folder')
  folder = target.with_name(f'{target.name}.partial')
  try:
    with run_folder.RunFolder(folder, flag='--out'):
      for path in folder.iterdir():
        if path.name != '.lock':
          path.unlink()
      yield folder
      (folder / '.lock').unlink()
      folder.rename(target)
  except rlds_episodes.file_errors() as error:
    reason = rlds_episodes.first_line(error)
    raise errors.UserError(
        f'--out={target} could not be written ({reason}): put this right and '
        'start again'
    ) from error


def _write(store: FrameStore, folder: pathlib.Path, file_format: str) -> None:
  tfds = rlds_episodes.import_tfds()
  if file_format == 'tfrecord':
    importlib.import_module('tensorflow')
  writer = tfds.core.SequentialWriter(
      _dataset_info(tfds, store.meta, folder),
      max_examples_per_shard=_EPISODES_A_FILE,
      file_format=file_format,
  )
  rows = int(store.meta['counts']['rows'])
  splits = rlds_pieces.find_splits(store.meta)
  ends = [split.end for split in splits]
  with tqdm.tqdm(
      total=rows, unit=' rows', disable=not sys.stderr.isatty()
  ) as bar:
    for number, pieces in itertools.groupby(
        rlds_pieces.find_pieces(store),
        lambda piece: bisect.bisect_right(ends, piece.first),
    ):
      split = splits[number]
      writer.initialize_splits([split.name])
      for episode_id, piece in enumerate(pieces):
        episode = rlds_pieces.to_episode(
            store, piece, split.checkpoint_id, episode_id
        )
        writer.add_examples({split.name: [episode]})
        bar.update(piece.end - bar.n)
      writer.close_splits([split.name])


def _dataset_info(
    tfds: Any, meta: Mapping[str, Any], folder: pathlib.Path
) -> Any:
  game, run = meta.get('game'), meta.get('run')
  return tfds.core.DatasetInfo(
      builder=tfds.core.DatasetIdentity(
          name=NAME,
          version=tfds.core.Version('1.0.0'),
          data_dir=os.fspath(folder),
          module_name='',
          config_name=None if run is None else f'{game}_run_{run}',
      ),
      description=_DESCRIPTION,
      features=_features(tfds, meta['frame_shape']),
      disable_shuffling=True,
      # The provenance of the prepared set goes along.
      metadata=tfds.core.MetadataDict({'prepared': dict(meta)}),
  )


def _features(tfds: Any, frame_shape: Sequence[int]) -> Any:
  image = tfds.features.Image(
      shape=(*frame_shape, 1), dtype=np.uint8, encoding_format='png'
  )
  return tfds.features.FeaturesDict({
      'steps': tfds.features.Dataset({
          'observation': image,
          'action': np.int64,
          'reward': tfds.features.Scalar(dtype=np.float32),
          'discount': np.float32,
          'is_first': np.bool_,
          'is_last': np.bool_,
          'is_terminal': np.bool_,
      }),
      'checkpoint_id': np.int64,
      'episode_id': np.int64,
      'episode_return': tfds.features.Scalar(dtype=np.float32),
  })


def main(argv: Sequence[str]) -> None:
  """Exports, and says where to."""
  try:
    if len(argv) > 1:
      raise errors.UserError(
          f'{argv[1]!r} is not a flag: write --data={argv[1]}'
      )
    out = export(FLAGS.data, FLAGS.out, FLAGS.file_format)
    print(f'{out}: open it with tfds.builder_from_directory({str(out)!r})')
  except errors.UserError as error:
    sys.exit('error: ' + str(error).split('\n')[0])


if __name__ == '__main__':
  define_flags()
  app.run(main)
