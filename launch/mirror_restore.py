"""Makes a local folder what a remote one is."""

import os
import pathlib
import zlib
from collections.abc import Sequence

from launch import storage
from launch.errors import SweepError
from launch.mirror_manifest import Manifest, Piece, Stamp
from launch.mirror_remote import RemoteFolder
from launch.mirror_snapshot import CHECKPOINTS, LAST, METRICS, OWN

_KEPT = {OWN, '.lock'}


class Mark:
  """What a local folder is a copy of, noted in it."""

  def __init__(self, local: pathlib.Path, url: str):
    self._local = local
    self._path = local / OWN / 'remote'
    self._url = url

  def read(self) -> str:
    """The identity of the last list; '' if it is not of this remote folder."""
    lines = (storage.read_text(self._path) or '\n').split('\n')
    return lines[1] if lines[0] == self._url else ''

  def write(self, identity: str) -> None:
    """Notes that the folder is what a list says, or further."""
    storage.write_text(self._path, f'{self._url}\n{identity}')

  def check(self) -> None:
    """Raises SweepError if the folder holds what is of no copy of the URL."""
    lines = (storage.read_text(self._path) or '\n').split('\n')
    others = {x.name for x in self._local.iterdir()} - _KEPT
    if lines[0] != self._url and others:
      raise SweepError(
          f'{self._local} is not empty, and not a copy of {self._url}, which '
          'would take its place: name an empty folder'
      )


def remove_others(local: pathlib.Path, manifest: Manifest) -> None:
  """Removes what a list does not name.

  Args:
    local: the folder.
    manifest: the list.
  """
  kept = manifest.files.keys() | manifest.pieces.keys() | _KEPT
  for path in sorted(local.rglob('*'), reverse=True):
    name = path.relative_to(local)
    if name.parts[0] in _KEPT or name.as_posix() in kept:
      continue
    if path.is_dir() and not path.is_symlink():
      if not any(path.iterdir()):
        path.rmdir()
    else:
      path.unlink()


def bring(
    remote: RemoteFolder, manifest: Manifest, local: pathlib.Path
) -> None:
  """Copies what a list names, but for what is here already.

  Args:
    remote: where from.
    manifest: its list.
    local: where to.

  Raises:
    SweepError: something is missing, or cannot be read or written.
  """
  missing = {
      name: local / name
      for name, stamp in manifest.files.items()
      if name == METRICS or not _is_there(local / name, stamp)
  }
  remote.download(missing)
  for name, path in missing.items():
    stamp = manifest.files[name]
    if name == METRICS:
      _cut(path, stamp.size)
    else:
      _check_size(remote, name, path, stamp)
      os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
  for name, pieces in manifest.pieces.items():
    _join(remote, name, pieces, local / name)
  # Whatever is finished is said to be, once all of it is here.
  for name in LAST:
    if name not in manifest.files and (data := remote.read(name)) is not None:
      (local / name).write_bytes(data)


def _is_there(path: pathlib.Path, stamp: Stamp) -> bool:
  try:
    status = path.stat()
  except FileNotFoundError:
    return False
  return (status.st_size, status.st_mtime_ns) == stamp


def _cut(path: pathlib.Path, size: int) -> None:
  """Rows of a later copy, of which the list is not there, do not count.

  It may be shorter, too: a run that goes on from a checkpoint first drops the
  rows after it. Whether one is missing the run sees for itself.
  """
  if path.stat().st_size > size:
    os.truncate(path, size)


def _check_size(
    remote: RemoteFolder, name: str, path: pathlib.Path, stamp: Stamp
) -> None:
  # Others may have been replaced since, by a copy that was cut short.
  if name.startswith(f'{CHECKPOINTS}/') and path.stat().st_size != stamp.size:
    raise _altered(remote, name, stamp.size)


def _altered(remote: RemoteFolder, name: str, size: int) -> SweepError:
  return SweepError(
      f'{storage.join(remote.url, name)} is not the file of {size} bytes that '
      'was copied there: bring it back, or remove the folder'
  )


def _join(
    remote: RemoteFolder,
    name: str,
    pieces: Sequence[Piece],
    target: pathlib.Path,
) -> None:
  target.parent.mkdir(parents=True, exist_ok=True)
  with open(target, 'wb') as file:
    for piece in pieces:
      data = remote.read(piece.path(name))
      if data is None or zlib.crc32(data) != piece.crc:
        raise _altered(remote, piece.path(name), piece.size)
      file.write(data)


def fetch(url: str, local: pathlib.Path) -> None:
  """Brings a folder that is only read.

  Args:
    url: of a remote folder, such as another run's replay.
    local: where to.

  Raises:
    SweepError: nothing is there, or it cannot be read.
  """
  remote = RemoteFolder(url)
  manifest = remote.manifest() or Manifest(remote.list_all())
  if not manifest.files:
    raise SweepError(f'{url} is empty: name a folder with something in it')
  local.mkdir(parents=True, exist_ok=True)
  mark = Mark(local, url)
  if mark.read() != manifest.identity:
    mark.check()
    mark.write('')
    bring(remote, manifest, local)
