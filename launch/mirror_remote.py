"""What is behind the URL of a folder."""

import os
import pathlib
from collections.abc import Iterable, Mapping

from launch import mirror_manifest, storage
from launch.errors import SweepError
from launch.mirror_manifest import Manifest, Stamp
from launch.mirror_snapshot import CHECKPOINTS, LAST, is_growing


class RemoteFolder:
  """What is behind the URL of a folder.

  Args:
    url: which fsspec opens.
  """

  def __init__(self, url: str):
    self.url = url
    self._files, self._root = storage.filesystem(url)
    self._is_store = storage.is_object_store(self._files)

  def manifest(self) -> Manifest | None:
    """The list; None where there is none.

    Raises:
      SweepError: it is damaged or cannot be read.
    """
    data = self.read(mirror_manifest.NAME)
    try:
      return None if data is None else Manifest.decode(data)
    except ValueError as error:
      raise SweepError(
          f'{storage.join(self.url, mirror_manifest.NAME)} is damaged '
          f'({error}): remove the folder, or name another'
      ) from error

  def list_all(self) -> dict[str, Stamp]:
    """Every file that a list could name: no hidden ones, none of the last."""
    with storage.readable(self.url, 'listed'):
      try:
        found = self._files.find(self._root, detail=True)
      except FileNotFoundError:
        return {}
    names = {
        path.removeprefix(self._root).lstrip('/'): about
        for path, about in found.items()
    }
    return {
        name: Stamp(int(about.get('size') or 0), 0)
        for name, about in names.items()
        if name not in LAST
        and (is_growing(name) or not _is_hidden(name))
    }

  def read(self, name: str) -> bytes | None:
    """A file's bytes; None where there is none."""
    try:
      with storage.readable(storage.join(self.url, name), 'read'):
        found: bytes = self._files.cat_file(self._path(name))
        return found
    except FileNotFoundError:
      return None

  def write(self, name: str, data: bytes) -> None:
    """Replaces a file as a whole."""
    with storage.writable(storage.join(self.url, name)):
      storage.write_bytes(self._files, self._path(name), data)

  def upload(self, sources: Mapping[str, pathlib.Path]) -> None:
    """Copies files that no list names yet."""
    if not sources:
      return
    targets = [self._path(name) for name in sources]
    with storage.readable(self.url, 'written'):
      if not self._is_store:
        for folder in sorted({x.rpartition('/')[0] for x in targets}):
          self._files.makedirs(folder, exist_ok=True)
      self._files.put([os.fspath(x) for x in sources.values()], targets)

  def replace(self, name: str, source: pathlib.Path) -> None:
    """Copies a file that may be in a list, as a whole."""
    if self._is_store:
      self.upload({name: source})
      return
    folder, _, last = name.rpartition('/')
    temporary = f'{folder}/.{last}.tmp'.lstrip('/')
    self.upload({temporary: source})
    with storage.readable(storage.join(self.url, name), 'written'):
      self._files.mv(self._path(temporary), self._path(name))

  def download(self, targets: Mapping[str, pathlib.Path]) -> None:
    """Copies files here.

    Raises:
      SweepError: one is not there, or cannot be read.
    """
    if not targets:
      return
    for folder in {x.parent for x in targets.values()}:
      folder.mkdir(parents=True, exist_ok=True)
    try:
      with storage.readable(self.url, 'read'):
        self._files.get(
            [self._path(name) for name in targets],
            [os.fspath(x) for x in targets.values()],
        )
    except FileNotFoundError as error:
      raise SweepError(
          f'{self.url} lacks a file that its list names ({error}): remove the '
          'folder, or name another'
      ) from error

  def remove_unlisted(self, old: Manifest, new: Manifest) -> None:
    """Removes what the old list named, and what was never in a list."""
    gone = old.objects() - new.objects()
    for folder in (CHECKPOINTS, mirror_manifest.PIECES):
      gone |= self._below(folder) - new.objects()
    with storage.readable(self.url, 'cleaned'):
      for name in sorted(gone):
        try:
          self._files.rm_file(self._path(name))
        except FileNotFoundError:
          continue
      if not self._is_store:
        self._remove_empty({x.rpartition('/')[0] for x in gone})

  def _below(self, folder: str) -> set[str]:
    with storage.readable(self.url, 'listed'):
      try:
        found = self._files.find(self._path(folder))
      except FileNotFoundError:
        return set()
    return {x.removeprefix(self._root).lstrip('/') for x in found}

  def _remove_empty(self, folders: Iterable[str]) -> None:
    for folder in sorted(folders, reverse=True):
      while folder and not self._below(folder):
        path = self._path(folder)
        if self._files.isdir(path):
          self._files.rm(path, recursive=True)
        folder = folder.rpartition('/')[0]

  def _path(self, name: str) -> str:
    return f'{self._root}/{name}'


def _is_hidden(name: str) -> bool:
  return any(x.startswith('.') for x in name.split('/'))
