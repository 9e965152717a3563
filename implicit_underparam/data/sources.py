"""Where a log lies: a folder here or in a bucket, its game and its run."""

import contextlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from implicit_underparam.data import replay_logs
from implicit_underparam.errors import UserError

PUBLIC = 'gs://atari-replay-datasets/dqn'
_GAME_AND_RUN = re.compile(r'/([A-Z][A-Za-z0-9-]*)/(\d+)(?:/replay_logs)?/*$')


class Source(NamedTuple):
  """A log and what its path says.

  Fields:
    folder: a path object, remote ones too, with the *_ckpt.*.gz files.
    suffixes: numbers of its checkpoints, increasing.
    game: 'Pong', or None if the path names none.
    run: 1 to 5 of the public logs, or None.
  """

  folder: Any
  suffixes: tuple[int, ...]
  game: str | None
  run: int | None


def open_path(source: str) -> Any:
  """A path object of text, of a bucket through the client that is installed.

  Args:
    source: a folder, or a URL such as gs://bucket/folder.

  Raises:
    UserError: no folder is named, or etils cannot open such URLs.
  """
  if not source:
    raise UserError('--source is missing: name the folder of a log')
  if '://' not in source:
    return pathlib.Path(source).expanduser()
  # Comes with Orbax; slow to import, and not needed for a local folder.
  from etils import epath

  try:
    return epath.Path(source)
  except (NotImplementedError, ValueError) as error:
    raise UserError(f'--source {source} cannot be opened: {error}') from error


def game_and_run(path: str) -> tuple[str | None, int | None]:
  """Reads '.../<Game>/<run>[/replay_logs]' of a path.

  Args:
    path: text.

  Returns:
    (None, None) where it does not end like that.
  """
  match = _GAME_AND_RUN.search(path)
  return (match[1], int(match[2])) if match else (None, None)


def find(source: str) -> Source:
  """Looks for the log in a folder, or one level down in replay_logs.

  Args:
    source: a folder or a URL.

  Raises:
    UserError: there is none; the line says what there is, or, for a bucket,
      which package opens it.
  """
  folder = open_path(source)
  with reading(source):
    for place in (folder, folder / 'replay_logs'):
      suffixes = replay_logs.suffixes(place) if place.is_dir() else ()
      if suffixes:
        return Source(place, suffixes, *game_and_run(_absolute(place)))
    if not folder.is_dir():
      unless = ', or no way to it' if '://' in source else ''
      raise UserError(f'--source {source}: there is no such folder{unless}')
    raise UserError(
        f'--source {source} holds no log: neither there nor in replay_logs '
        'below are files like $store$_observation_ckpt.0.gz' + _below(folder)
    )


def find_rlds(source: str) -> pathlib.Path | None:
  """Looks for a data set of tensorflow-datasets, up to three levels down.

  Args:
    source: a folder; a URL has none.

  Returns:
    The folder with dataset_info.json, or None.

  Raises:
    UserError: there are several.
  """
  folder = open_path(source)
  if '://' in source or not folder.is_dir():
    return None
  for depth in range(4):
    found = sorted(folder.glob('*/' * depth + 'dataset_info.json'))
    if len(found) > 1:
      names = ', '.join(str(path.parent) for path in found[:3])
      raise UserError(
          f'--source {source} holds {len(found)} data sets: name one, such as '
          f'{names}'
      )
    if found:
      return pathlib.Path(found[0].parent)
  return None


def _absolute(path: Any) -> str:
  local = isinstance(path, pathlib.Path) and '://' not in str(path)
  return str(path.absolute()) if local else str(path)


@contextlib.contextmanager
def reading(source: str) -> Iterator[None]:
  """Makes one line of what a storage client raises in the block.

  Args:
    source: what is read; errors of a local folder pass unchanged.

  Raises:
    UserError: the client is not installed, or failed.
  """
  try:
    yield
  except ImportError as error:
    if '://' not in source:
      raise
    raise UserError(
        f'--source {source}: no client for this kind of storage is installed; '
        f'run "pip install {_client(source)}", or fetch the files and name '
        'their folder'
    ) from error
  except Exception as error:
    if '://' not in source or not _is_of_client(error):
      raise
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise UserError(
        f'--source {source} could not be read ({reason[:200]}): look at the '
        'network and the address, and start the same command again'
    ) from error


def _is_of_client(error: Exception) -> bool:
  """Each client has errors of its own; what Python raises may be a mistake."""
  own = ('builtins', 'implicit_underparam', 'numpy')
  module = type(error).__module__.partition('.')[0]
  return isinstance(error, OSError) or module not in own


def _client(source: str) -> str:
  scheme = source.partition('://')[0]
  return {'gs': 'gcsfs', 's3': 's3fs', 'az': 'adlfs'}.get(scheme, 'fsspec')


def _below(folder: Any) -> str:
  """Says where logs lie in the folders below, if they do."""
  found = sorted(
      str(path)
      for pattern in ('*/replay_logs', '*/*/replay_logs')
      for path in folder.glob(pattern)
  )
  return f'; there are {", ".join(found[:3])}' if found else ''
