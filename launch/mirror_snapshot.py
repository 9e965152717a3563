"""A run's folder as it stands at one moment, while the run goes on.

What a run can be gone on with is a complete checkpoint, all rows before it and
the logs that it counts on. The run appends, renames and removes all the time;
what is taken here belongs together whatever it does meanwhile.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Container, Iterator
from typing import NamedTuple

METRICS = 'metrics.csv'
CHECKPOINTS = 'checkpoints'
# They say that all else is there, and are copied after it.
LAST = ('run.json', 'meta.json')
OWN = '.mirror'
_TRIES = 50


class Entry(NamedTuple):
  """A file.

  Fields:
    source: where it can be read.
    size: bytes.
    mtime_ns: when it was last changed.
  """

  source: pathlib.Path
  size: int
  mtime_ns: int


class Snapshot(NamedTuple):
  """What belongs together; names are relative, with '/'.

  Fields:
    last: of the files that come last, what they held before all else was
      looked at.
    checkpoints: numbers of the complete ones, as text.
    staged: the files of the new ones; they stay whatever the run removes.
    metrics: the rows; None where there are none.
    files: what else there is.
    growing: files that the run appends to, and whose beginning it counts on.
  """

  last: dict[str, bytes]
  checkpoints: tuple[str, ...]
  staged: dict[str, Entry]
  metrics: bytes | None
  files: dict[str, Entry]
  growing: dict[str, Entry]


class Moved(Exception):
  """The run changed the folder too often to look at it."""


def take(folder: pathlib.Path, known: Container[str]) -> Snapshot:
  """Looks at a folder.

  Args:
    folder: of a run, which may be going on.
    known: checkpoints that need not be staged.

  Raises:
    Moved: it never stood still.
    OSError: it cannot be read.
  """
  last = {
      name: data for name in LAST
      if (data := _read(folder / name)) is not None
  }
  checkpoints, staged, metrics = _take_checkpoints(folder, known)
  files, growing = _take_files(folder)
  return Snapshot(last, checkpoints, staged, metrics, files, growing)


def discard_staged(folder: pathlib.Path) -> None:
  """Removes what `take` has set aside."""
  shutil.rmtree(folder / OWN / 'staged', ignore_errors=True)


def _read(path: pathlib.Path) -> bytes | None:
  try:
    return path.read_bytes()
  except FileNotFoundError:
    return None


def complete_checkpoints(folder: pathlib.Path) -> list[str]:
  """Numbers of the checkpoints, as text, the first one first."""
  try:
    names = os.listdir(folder / CHECKPOINTS)
  except FileNotFoundError:
    return []
  return sorted((x for x in names if x.isdecimal()), key=int)


def _take_checkpoints(
    folder: pathlib.Path, known: Container[str]
) -> tuple[tuple[str, ...], dict[str, Entry], bytes | None]:
  """Checkpoints, and rows that reach the last one and not far beyond.

  Rows are written before the checkpoint that needs them, so they are read
  after it was seen. Where there is none yet, rows that belong after the first
  one would be taken as a sign that checkpoints were lost: so it must not have
  come while they were read.
  """
  for _ in range(_TRIES):
    numbers = complete_checkpoints(folder)
    metrics = _read(folder / METRICS)
    staged: dict[str, Entry] = {}
    kept = []
    for number in numbers:
      if number in known:
        kept.append(number)
      elif (found := _stage(folder, number)) is not None:
        kept.append(number)
        staged.update(found)
    if kept[-1:] == complete_checkpoints(folder)[-1:]:
      return tuple(kept), staged, metrics
  raise Moved(f'{folder / CHECKPOINTS} changed all the time')


def _stage(folder: pathlib.Path, number: str) -> dict[str, Entry] | None:
  """Links a checkpoint's files; None if the run has removed it meanwhile."""
  source = folder / CHECKPOINTS / number
  target = folder / OWN / 'staged' / number
  shutil.rmtree(target, ignore_errors=True)
  found = {}
  try:
    for path in sorted(x for x in source.rglob('*') if x.is_file()):
      copy = target / path.relative_to(source)
      copy.parent.mkdir(parents=True, exist_ok=True)
      _link(path, copy)
      name = path.relative_to(folder).as_posix()
      found[name] = _entry(copy)
  except FileNotFoundError:
    return None
  # The run renames a checkpoint before it removes any of it.
  return found if source.is_dir() else None


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
  try:
    os.link(source, target)
  except FileNotFoundError:
    raise
  except OSError:
    # A file system without hard links.
    shutil.copy2(source, target)


def _entry(path: pathlib.Path) -> Entry:
  status = path.stat()
  return Entry(path, status.st_size, status.st_mtime_ns)


def _take_files(
    folder: pathlib.Path,
) -> tuple[dict[str, Entry], dict[str, Entry]]:
  for _ in range(_TRIES):
    with contextlib.suppress(FileNotFoundError):
      names = sorted(_names(folder))
      entries = {x: _entry(folder / x) for x in names}
      # A file that is renamed while a folder is listed may be in no list.
      if names == sorted(_names(folder)):
        growing = {x: e for x, e in entries.items() if is_growing(x)}
        return {x: entries[x] for x in names if x not in growing}, growing
  raise Moved(f'{folder} changed all the time')


def _names(folder: pathlib.Path) -> Iterator[str]:
  apart = {METRICS, *LAST}
  for root, folders, files in os.walk(folder):
    inner = pathlib.Path(root).relative_to(folder)
    folders[:] = [
        x for x in folders
        if not x.startswith('.') and (inner / x).as_posix() != CHECKPOINTS
    ]
    for name in files:
      path = (inner / name).as_posix()
      if path not in apart and (not _is_temporary(name) or is_growing(path)):
        yield path


def _is_temporary(name: str) -> bool:
  return name.startswith('.') or name.endswith(('.unfinished', '.tmp'))


def is_growing(path: str) -> bool:
  """Whether it is a file of a replay log that is not complete.

  Args:
    path: in the run's folder, with '/'.
  """
  name = path.rpartition('/')[2]
  is_hidden = name.startswith('.') and name.endswith('.gz.tmp')
  return is_hidden and path.startswith('replay/')
