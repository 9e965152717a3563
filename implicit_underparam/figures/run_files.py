"""Reads what lies beside a run's rows: its run.json and its config.gin."""

import gzip
import json
import pathlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from implicit_underparam.errors import UserError

_ITERATIONS = re.compile(r'^Runner\.num_iterations = (\d+)', re.MULTILINE)
# What a configuration names -> the environment that a suite has.
_ENVIRONMENTS = {
    '@MinAtarEnvironment': 'minatar',
    '@ContinuousEnvironment': 'mujoco',
    '@TheoryLoop': 'theory',
}


def read_text(path: pathlib.Path) -> str:
  """The text of a file, compressed or not.

  Args:
    path: compressed if its name ends with .gz.

  Raises:
    UserError: it cannot be read.
  """
  try:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == '.gz' else data
    return data.decode().replace('\r\n', '\n')
  except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise UserError(
        f'{path} cannot be read ({reason}): restore it, or take it away'
    ) from error


def description(folder: pathlib.Path) -> Mapping[str, Any]:
  """What a run's run.json holds; nothing where there is none.

  Args:
    folder: of the run.

  Raises:
    UserError: it cannot be read.
  """
  path = folder / 'run.json'
  if not path.is_file():
    return {}
  try:
    found = json.loads(read_text(path))
  except json.JSONDecodeError as error:
    raise UserError(
        f'{path} is not JSON ({error}): restore it, or take it away'
    ) from error
  return found if isinstance(found, Mapping) else {}


def status(folder: pathlib.Path) -> str:
  """The status of run.json; '' where there is none."""
  return str(description(folder).get('status', ''))


def planned(folder: pathlib.Path) -> int:
  """Iterations of a run's configuration; 0 where it has none."""
  path = folder / 'config.gin'
  match = _ITERATIONS.search(read_text(path)) if path.is_file() else None
  return int(match[1]) if match else 0


def environment(folders: Iterable[pathlib.Path]) -> str:
  """'minatar', 'mujoco' or 'theory' by the first configuration; else ''.

  Columns and names of MinAtar runs are those of Atari's.

  Args:
    folders: of a run, or of its parts.
  """
  paths = (x / 'config.gin' for x in folders)
  path = next((x for x in paths if x.is_file()), None)
  text = read_text(path) if path is not None else ''
  return next((x for key, x in _ENVIRONMENTS.items() if key in text), '')
