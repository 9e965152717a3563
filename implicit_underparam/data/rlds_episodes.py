"""Episodes of the rlu_atari family, as tensorflow-datasets prepared them.

A data set is a folder with dataset_info.json. array_record files are read
without TensorFlow; other files, such as tfrecord, are read with it.
"""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from implicit_underparam.errors import UserError

INFO = 'dataset_info.json'
# Steps that are decoded at a time: 7 MB of frames.
_CHUNK = 1024
_STEP_KINDS = {
    'action': 'iu',
    'reward': 'f',
    'is_first': 'b',
    'is_last': 'b',
    'is_terminal': 'b',
}


class Steps(NamedTuple):
  """Consecutive steps of one episode.

  Fields:
    frames: uint8 [k, *frame_shape].
    actions: integers [k].
    rewards: float32 [k].
    is_first: bool [k].
    is_last: bool [k].
    is_terminal: bool [k].
  """

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  is_first: np.ndarray
  is_last: np.ndarray
  is_terminal: np.ndarray


def is_dataset(path: str | os.PathLike[str]) -> bool:
  """Whether this is a folder that tensorflow-datasets prepared."""
  return (pathlib.Path(path) / INFO).is_file()


def import_tfds() -> Any:
  """The tensorflow_datasets module.

  Raises:
    UserError: it is not installed, or cannot be imported.
  """
  with needed_packages():
    tfds = importlib.import_module('tensorflow_datasets')
  # It logs what fails in its own import and goes on, half imported.
  if not hasattr(tfds, 'builder_from_directory'):
    raise _not_installed('a tensorflow-datasets that can be imported')
  return tfds


def import_rlds() -> Any:
  """The rlds module, whose reverb need not be there.

  rlds imports reverb for `pattern_map` and `pattern_map_from_transform` only.
  Where there is no reverb, the names that their annotations mention are put
  in its place; those two functions then do not work, all others do.

  Raises:
    UserError: rlds, or TensorFlow, is not installed.
  """
  if 'reverb' not in sys.modules and not importlib.util.find_spec('reverb'):
    names = ('Config', 'Condition', 'Pattern', 'ReferenceStep')
    stand_in = types.ModuleType('reverb', 'Stands in for reverb.')
    writer = types.SimpleNamespace(**dict.fromkeys(names, Any))
    setattr(stand_in, 'structured_writer', writer)  # noqa: B010
    sys.modules['reverb'] = stand_in
  with needed_packages():
    return importlib.import_module('rlds')


@contextlib.contextmanager
def needed_packages() -> Iterator[None]:
  """Turns an ImportError into a UserError that says what to install."""
  try:
    yield
  except ImportError as error:
    raise _not_installed(error.name or str(error)) from error


class EpisodeReader:
  """Reads chosen episodes of a data set, a chunk of steps at a time.

  Attributes:
    path: the folder.
    identity: name, configuration and version, such as
      'rlu_atari_checkpoints_ordered/Pong_run_1/1.1.0'.
    configuration: 'Pong_run_1'; '' where there is none.
    lengths: split -> its number of episodes, in the order of the names.
    frame_shape: of one frame.
  """

  def __init__(self, path: str | os.PathLike[str]):
    """Opens a data set.

    Args:
      path: the folder with dataset_info.json.

    Raises:
      UserError: tensorflow-datasets is missing, the folder is no data set, or
        it is none of Atari episodes.
    """
    self.path = pathlib.Path(path)
    self._builder = _open_builder(self.path)
    info = self._builder.info
    self.configuration: str = info.config_name or ''
    self.identity: str = info.full_name
    self.lengths: dict[str, int] = {
        name: info.splits[name].num_examples for name in sorted(info.splits)
    }
    steps = _step_features(info.features, self.path)
    self._image = steps['observation']
    self.frame_shape: tuple[int, ...] = tuple(self._image.shape[:-1])

  def read(
      self, split: str, indices: Sequence[int]
  ) -> Iterator[Iterator[Steps]]:
    """Episodes of a split, each as its steps in chunks.

    Args:
      split: its name.
      indices: which episodes, increasing, counted from 0.

    Yields:
      For each index the episode's chunks, to be used up before the next.

    Raises:
      UserError: a file is missing or damaged, or a package is missing.
    """
    file_format = getattr(self._builder.info.file_format, 'value', None)
    with needed_packages():
      if file_format == 'array_record':
        read = self._read_array_record
      else:
        read = self._read_with_tensorflow
        importlib.import_module('tensorflow')
    with needed_packages(), self._readable(split):
      missing = len(indices)
      for chunks in read(split, indices):
        missing -= 1
        yield map(self._decode, chunks)
      if missing:
        raise ValueError(f'it ends {missing} episodes early')

  def _read_array_record(
      self, split: str, indices: Sequence[int]
  ) -> Iterator[Iterator[Mapping[str, Any]]]:
    source = self._builder.as_data_source(split, decoders=_undecoded())
    for index in indices:
      try:
        steps = source[index]['steps']
      except TypeError as error:
        # A file that was cut short has empty records.
        raise ValueError(f'episode {index} is empty') from error
      yield (
          # A slice gives columns; steps one by one would take twice as long.
          steps[first : first + _CHUNK]
          for first in range(0, len(steps), _CHUNK)
      )

  def _read_with_tensorflow(
      self, split: str, indices: Sequence[int]
  ) -> Iterator[Iterator[Mapping[str, Any]]]:
    tfds = import_tfds()
    wanted = set(indices)
    episodes = self._builder.as_dataset(
        split=f'{split}[{indices[0]}:{indices[-1] + 1}]',
        decoders=_undecoded(),
        # One file at a time, so that the order is that of the files.
        read_config=tfds.ReadConfig(
            interleave_cycle_length=1, try_autocache=False
        ),
    )
    for index, episode in enumerate(episodes, indices[0]):
      if index in wanted:
        yield iter(tfds.as_numpy(episode['steps'].batch(_CHUNK)))

  def _decode(self, columns: Mapping[str, Any]) -> Steps:
    images = columns['observation']
    frames = np.empty((len(images), *self._image.shape), np.uint8)
    for frame, image in zip(frames, images, strict=True):
      frame[...] = self._image.decode_example_np(image)
    arrays = {name: np.asarray(columns[name]) for name in _STEP_KINDS}
    return Steps(
        frames[..., 0],
        arrays['action'],
        arrays['reward'],
        arrays['is_first'],
        arrays['is_last'],
        arrays['is_terminal'],
    )

  @contextlib.contextmanager
  def _readable(self, split: str) -> Iterator[None]:
    """Names the split whose file cannot be read."""
    try:
      yield
    except file_errors() as error:
      raise UserError(
          f'{self.path}: {split} cannot be read ({first_line(error)}): '
          'prepare the data set again with tensorflow-datasets'
      ) from error


def file_errors() -> tuple[type[Exception], ...]:
  """What array_record, and TensorFlow where it is loaded, raise for files."""
  kinds: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError)
  if 'tensorflow' in sys.modules:
    kinds += (sys.modules['tensorflow'].errors.OpError,)
  return kinds


def first_line(error: Exception) -> str:
  """The first line of what an error says, for a message of one line."""
  line = (str(error).strip() or type(error).__name__).splitlines()[0]
  return line if len(line) <= 200 else f'{line[:197]}...'


def _not_installed(what: str) -> UserError:
  return UserError(
      f'{what} is needed for RLDS data: pip install "implicit_underparam[tfds]"'
  )


def _undecoded() -> Any:
  tfds = import_tfds()
  return {'steps': {'observation': tfds.decode.SkipDecoding()}}


def _open_builder(path: pathlib.Path) -> Any:
  if not is_dataset(path):
    below = sorted(path.glob(f'*/{INFO}')) + sorted(path.glob(f'*/*/{INFO}'))
    hint = f', such as {below[0].parent}' if below else ''
    raise UserError(
        f'{path} is no data set of tensorflow-datasets: name the folder with '
        f'{INFO}{hint}'
    )
  tfds = import_tfds()
  # A dependency of tensorflow-datasets, and so there.
  json_format = importlib.import_module('google.protobuf.json_format')
  try:
    return tfds.builder_from_directory(os.fspath(path))
  except (OSError, ValueError, json_format.Error) as error:
    raise UserError(
        f'{path} cannot be opened by tensorflow-datasets '
        f'({first_line(error)}): prepare the data set again'
    ) from error


def _step_features(features: Any, path: pathlib.Path) -> Mapping[str, Any]:
  """Features of a step; UserError if they are not those of rlu_atari."""
  tfds = import_tfds()
  steps = dict(features).get('steps')
  if not isinstance(steps, tfds.features.Dataset):
    raise _wrong_schema(path, 'there are no steps')
  step = dict(steps.feature)
  image = step.get('observation')
  if not isinstance(image, tfds.features.Image) or (
      image.np_dtype != np.uint8 or image.shape[2:] != (1,)
  ):
    raise _wrong_schema(path, 'observation is no grey uint8 image')
  for name, kinds in _STEP_KINDS.items():
    feature = step.get(name)
    if feature is None:
      raise _wrong_schema(path, f'{name} is missing')
    if feature.shape or np.dtype(feature.np_dtype).kind not in kinds:
      raise _wrong_schema(path, f'{name} is {feature!r}')
  return step


def _wrong_schema(path: pathlib.Path, why: str) -> UserError:
  return UserError(
      f'{path} does not hold Atari episodes ({why}): name a data set of '
      'the rlu_atari family, or of implicit_underparam.data.export_rlds'
  )
