"""Small files of a sweep: in a local folder, or behind a URL.

A URL is anything that fsspec opens: gs://bucket/x, s3://bucket/x, file:///x.
"""

import contextlib
import importlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

from launch.errors import SweepError

# Where an object is there as a whole or not at all; elsewhere a file is
# written under another name first.
_OBJECT_STORES = frozenset(('gs', 'gcs', 's3', 's3a', 'abfs', 'abfss', 'az'))
# What fsspec itself would import, and what brings it.
_PACKAGES = {
    'gs': 'gcsfs', 'gcs': 'gcsfs', 's3': 's3fs', 's3a': 's3fs',
    'abfs': 'adlfs', 'abfss': 'adlfs', 'az': 'adlfs',
}  # fmt: skip


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Whether a path is a URL, which a run cannot write in by itself."""
  return '://' in os.fspath(path)


def join(path: str | os.PathLike[str], *names: str) -> str:
  """The path of something below a folder.

  Args:
    path: a local folder, or a URL.
    *names: with slashes between them, or not.
  """
  text = os.fspath(path)
  if not is_remote(text):
    return os.path.join(text, *names)
  return '/'.join((text.rstrip('/'), *(x.strip('/') for x in names if x)))


def filesystem(url: str) -> tuple[Any, str]:
  """Opens a URL.

  Args:
    url: of a folder or a file, which need not be there.

  Returns:
    The fsspec file system, which remembers no listings, and the path in it.

  Raises:
    SweepError: nothing opens such a URL, or a package is missing.
  """
  fsspec = _import_fsspec(url)
  protocol = url.partition('://')[0]
  try:
    with readable(url, 'opened'):
      files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
  except ImportError as error:
    package = _PACKAGES.get(protocol, f'what fsspec opens {protocol} with')
    raise SweepError(
        f'{url} needs {package}: pip install {package}'
        if protocol in _PACKAGES else f'{url} needs {package} ({error})'
    ) from error
  if not path.strip('/'):
    raise SweepError(f'{url} names no folder: write {protocol}://BUCKET/FOLDER')
  return files, path.rstrip('/')


def _import_fsspec(url: str) -> Any:
  try:
    return importlib.import_module('fsspec')
  except ImportError as error:
    raise SweepError(f'{url} needs fsspec: pip install fsspec') from error


@contextlib.contextmanager
def readable(path: str, done: str) -> Iterator[None]:
  """Makes one line of whatever a storage service answers.

  Args:
    path: named in it.
    done: what was not, as in 'read'.

  Raises:
    SweepError: in the place of every other error, but for a missing package
      and a file that is not there.
  """
  try:
    yield
  except (ImportError, FileNotFoundError, NotADirectoryError, SweepError):
    raise
  except Exception as error:
    # Every service has errors of its own, and few of them are OSErrors.
    reason = getattr(error, 'strerror', None) or str(error)
    reason = ' '.join(reason.split()) or type(error).__name__
    raise SweepError(
        f'{path} could not be {done}: {reason[:300]}; put this right and start '
        'the same command again'
    ) from error


@contextlib.contextmanager
def writable(path: str) -> Iterator[None]:
  """The same for a file that is written: what is not there is its folder.

  Args:
    path: named in the line.

  Raises:
    SweepError: in the place of every other error.
  """
  try:
    with readable(path, 'written'):
      yield
  except (FileNotFoundError, NotADirectoryError) as error:
    raise SweepError(
        f'{path} could not be written: its bucket or folder is not there; make '
        'it and start the same command again'
    ) from error


def read_text(path: str | os.PathLike[str]) -> str | None:
  """Reads a file as UTF-8; None where there is none.

  Args:
    path: local, or a URL.

  Raises:
    SweepError: it is there and cannot be read.
  """
  text = os.fspath(path)
  try:
    with readable(text, 'read'):
      if not is_remote(text):
        return pathlib.Path(text).read_text(encoding='utf-8')
      files, inner = filesystem(text)
      return files.cat_file(inner).decode('utf-8')
  except (FileNotFoundError, NotADirectoryError):
    return None


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
  """Reads what a file says; {} where there is none, or no object in it.

  Args:
    path: local, or a URL.

  Raises:
    SweepError: it is there and cannot be read.
  """
  try:
    found = json.loads(read_text(path) or '{}')
  except ValueError:
    return {}
  return found if isinstance(found, dict) else {}


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """Replaces a file as a whole: a reader sees the old text or the new one.

  Args:
    path: local, or a URL; folders are made.
    text: what it is to hold, written as UTF-8.

  Raises:
    SweepError: it could not be written; the old one is untouched.
  """
  name = os.fspath(path)
  with writable(name):
    if is_remote(name):
      files, inner = filesystem(name)
      write_bytes(files, inner, text.encode())
    else:
      _replace(pathlib.Path(name), text)


def _replace(path: pathlib.Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
  try:
    temporary.write_text(text, encoding='utf-8')
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def write_bytes(files: Any, path: str, data: bytes) -> None:
  """Replaces a file of an fsspec file system as a whole.

  Args:
    files: as `filesystem` returns it.
    path: in it.
    data: what it is to hold.
  """
  if is_object_store(files):
    files.pipe_file(path, data)
    return
  folder, _, name = path.rpartition('/')
  files.makedirs(folder, exist_ok=True)
  temporary = f'{folder}/.{name}.{uuid.uuid4().hex[:8]}.tmp'
  try:
    files.pipe_file(temporary, data)
    files.mv(temporary, path)
  except Exception:
    with contextlib.suppress(FileNotFoundError):
      files.rm_file(temporary)
    raise


def is_object_store(files: Any) -> bool:
  """Whether a file appears there only when all of it is written."""
  protocol = files.protocol
  names = (protocol,) if isinstance(protocol, str) else protocol
  return not _OBJECT_STORES.isdisjoint(names)


def exists(path: str | os.PathLike[str]) -> bool:
  """Whether a file or a folder is there.

  Args:
    path: local, or a URL.

  Raises:
    SweepError: that cannot be told.
  """
  text = os.fspath(path)
  if not is_remote(text):
    return os.path.exists(text)
  with readable(text, 'looked at'):
    files, inner = filesystem(text)
    return bool(files.exists(inner))


def remove(path: str | os.PathLike[str]) -> None:
  """Removes a file; nothing happens where there is none.

  Args:
    path: local, or a URL.

  Raises:
    SweepError: it cannot be removed.
  """
  text = os.fspath(path)
  with contextlib.suppress(FileNotFoundError), readable(text, 'removed'):
    if is_remote(text):
      files, inner = filesystem(text)
      files.rm_file(inner)
    else:
      os.remove(text)


def list_names(path: str | os.PathLike[str]) -> list[str]:
  """Names in a folder, sorted; none where there is no folder.

  Args:
    path: local, or a URL.

  Raises:
    SweepError: it cannot be listed.
  """
  text = os.fspath(path)
  try:
    with readable(text, 'listed'):
      if not is_remote(text):
        return sorted(os.listdir(text))
      files, inner = filesystem(text)
      found = (str(x).rstrip('/') for x in files.ls(inner, detail=False))
      # A bucket may hold an object of the folder's own name.
      return sorted({x.rpartition('/')[2] for x in found if x != inner})
  except (FileNotFoundError, NotADirectoryError):
    return []
