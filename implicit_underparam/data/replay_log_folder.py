"""The folder of a replay log: a new one, or back as it was suspended."""

import os
import pathlib
import re

from implicit_underparam.data import gzip_writer, replay_logs
from implicit_underparam.data.replay_log_files import COLUMNS, temporary_path
from implicit_underparam.data.replay_log_state import Progress
from implicit_underparam.errors import UserError

_NAMES = (*replay_logs.NAMES, replay_logs.EPISODE_ENDS)
_FILE = re.compile(r'\.?(.+)_ckpt\.(\d+)\.gz(?:\.tmp|\.lost)?')


def make_empty(folder: pathlib.Path) -> None:
  """Makes a folder for a log.

  Args:
    folder: that may be there, if it is empty.

  Raises:
    UserError: it is not empty, or cannot be made.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    is_empty = not any(folder.iterdir())
  except OSError as error:
    raise UserError(
        f'{folder} could not be written: {error.strerror or error}; put this '
        'right, or name another folder for the log'
    ) from error
  if not is_empty:
    raise UserError(
        f'{folder} is not empty: name a new folder for the log, or empty it'
    )


def take_back(folder: pathlib.Path, progress: Progress) -> None:
  """Undoes what was written after a state; killed, it can be done again.

  Files of later checkpoints go. Those that were growing and are complete now
  get their hidden names back; whoever opens them cuts them at the position.

  Args:
    folder: of the log.
    progress: where to.

  Raises:
    UserError: a file is missing, too short or another log's, or the folder
      cannot be changed. Nothing was changed where a file is at fault.
  """
  try:
    _check(folder, progress)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
      if _is_later(path.name, progress):
        path.unlink()
    for name in progress.positions:
      temporary = temporary_path(folder, name, progress.number)
      if not temporary.exists():
        os.replace(
            replay_logs.array_path(folder, name, progress.number), temporary
        )
  except OSError as error:
    raise UserError(
        f'{error.filename or folder} cannot be read or changed: '
        f'{error.strerror or error}; put this right and start the same command '
        'again'
    ) from error


def _is_later(name: str, progress: Progress) -> bool:
  match = _FILE.fullmatch(name)
  if not match or match[1] not in _NAMES:
    return False
  number = int(match[2])
  is_of_now = number == progress.number and match[1] in progress.positions
  return number >= progress.number and not is_of_now


def _check(folder: pathlib.Path, progress: Progress) -> None:
  """Raises UserError unless all is there that the state counts on."""
  for number, sizes in enumerate(progress.sizes):
    for name, size in zip(_NAMES, sizes, strict=False):
      path = replay_logs.array_path(folder, name, number)
      if _size(path) != size:
        raise _altered(path, f'{size}')
  for name, position in progress.positions.items():
    path = temporary_path(folder, name, progress.number)
    if not path.exists():
      path = replay_logs.array_path(folder, name, progress.number)
    if _size(path) < position.size:
      raise _altered(path, f'at least {position.size}')
    # The frames would take long; the rest tells one log from another.
    if name != COLUMNS[0] and not gzip_writer.reaches(path, position):
      raise _altered(path, 'others')


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size if path.exists() else -1


def _altered(path: pathlib.Path, had: str) -> UserError:
  size = _size(path)
  found = 'is missing' if size < 0 else f'has {size} bytes'
  return UserError(
      f'{path} {found}, and had {had} when the run was saved: bring the folder '
      'back as it was, or start the run anew in an empty folder'
  )
