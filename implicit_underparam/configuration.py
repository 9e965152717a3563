"""Finds and parses gin files, and says in one line what is wrong in them."""

import contextlib
import difflib
import importlib.util  # gin's `include` needs it to have been imported.
import inspect
import logging
import pathlib
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import IO, Any

import gin

from implicit_underparam import errors

assert importlib.util

_PACKAGE = pathlib.Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / 'gin_configs'
_CHECKOUT = _PACKAGE.parent / 'gin_configs'


def search_path() -> list[pathlib.Path]:
  """Folders against which a configuration's path is tried, in this order."""
  shipped = [x for x in (_CHECKOUT, _INSTALLED) if x.is_dir()]
  return [
      pathlib.Path.cwd(),
      *(folder.parent for folder in shipped),
      *shipped,
  ]


def find(path: str) -> pathlib.Path:
  """The configuration file that a path names, from anywhere.

  Args:
    path: absolute, or relative to a folder of `search_path`: both
      'gin_configs/gridworld/offline_fqi.gin' and 'gridworld/offline_fqi.gin'
      are found in a checkout, in the working directory and in an installed
      package.

  Returns:
    The file.

  Raises:
    UserError: if there is none; names the nearest.
  """
  for folder in search_path():
    candidate = folder / path
    if candidate.is_file():
      return candidate
  near = difflib.get_close_matches(path, _known(), 1, cutoff=0.4)
  hint = f'; did you mean {near[0]}?' if near else ''
  raise errors.UserError(f'--gin_files: there is no file {path}{hint}')


def parse(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> None:
  """Parses files, then bindings, in order; later ones win.

  Args:
    gin_files: paths, see `find`.
    gin_bindings: statements in gin's language.

  Raises:
    UserError: for a missing file, an unknown name, a syntax error.
  """
  files = [find(path) for path in gin_files]
  with _without_gin_log():
    _read_includes_from_files()
    for folder in search_path():
      gin.add_config_file_search_path(str(folder))
    for file in files:
      with readable_errors(str(file)):
        gin.parse_config_file(str(file))
    for binding in gin_bindings:
      with readable_errors(f'--gin_bindings={binding!r}'):
        gin.parse_config(binding)
    _check_macros(gin_bindings)
    with readable_errors():
      gin.finalize()


def _check_macros(gin_bindings: Sequence[str]) -> None:
  """A macro that is set and that nothing uses is a misspelled one.

  Raises:
    UserError: names it, and the nearest that is used.
  """
  text = gin.config_str()
  used = set(re.findall(r'%([\w/]+)', text))
  for binding in gin_bindings:
    for line in binding.splitlines():
      match = re.match(r'\s*(\w+)\s*=', line)
      if match is not None and match[1] not in used:
        near = difflib.get_close_matches(match[1], sorted(used), 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise errors.UserError(
            f'--gin_bindings={binding!r}: nothing uses {match[1]!r}{hint}'
        )


def _located(path: str) -> pathlib.Path | None:
  """The file that an include names, on the search path."""
  paths = (folder / path for folder in search_path())
  return next((x for x in paths if x.is_file()), None)


def _is_located(path: str) -> bool:
  return _located(path) is not None


def _open_located(path: str) -> IO[str]:
  found = _located(path)
  assert found is not None
  return open(found, encoding='utf-8')


def _read_includes_from_files() -> None:
  """Puts the search path before gin's search among Python's packages.

  That one takes a folder `atari` in the working directory for a package, and
  fails on what includes atari/dqn_offline.gin. There is no public function to
  register a reader before it.
  """
  readers = gin.config._FILE_READERS
  if (_open_located, _is_located) not in readers:
    readers.insert(0, (_open_located, _is_located))


@contextlib.contextmanager
def _without_gin_log() -> Iterator[None]:
  """gin logs an error for every folder of the search path without the file."""
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    yield
  finally:
    logging.disable(before)


@contextlib.contextmanager
def readable_errors(where: str = '') -> Iterator[None]:
  """Turns what gin raises into a UserError of one line.

  Args:
    where: the file or binding that is being parsed.

  Yields:
    Nothing.

  Raises:
    UserError: in the place of gin's errors.
  """
  try:
    yield
  except errors.UserError as error:
    # gin appends where the call was configured, on further lines.
    raise errors.UserError(_first_line(error)) from error
  except (
      ValueError,
      TypeError,
      RuntimeError,
      SyntaxError,
      AttributeError,
      OSError,
      ImportError,
      tokenize.TokenError,
  ) as error:
    prefix = f'{where}: ' if where else ''
    text = _location(error) + (_unreadable(error) or _first_line(error))
    raise errors.UserError(prefix + text + _hint(text)) from error


def _known() -> list[str]:
  shipped = [x for x in (_CHECKOUT, _INSTALLED) if x.is_dir()]
  return [
      str(path.relative_to(folder.parent))
      for folder in shipped[:1]
      for path in sorted(folder.rglob('*.gin'))
  ]


def _first_line(error: BaseException) -> str:
  line = str(error).strip().split('\n')[0].rstrip(': ')
  # gin lists every folder of the search path, some of them twice.
  return line.split('. Searched config paths')[0]


def _unreadable(error: BaseException) -> str:
  """Two of gin's messages in other words; empty for what is said well."""
  if isinstance(error, tokenize.TokenError):
    return 'a bracket or a quote is not closed'
  token = re.match(
      r"malformed node.*\n *Failed to parse token '(.*)'", str(error)
  )
  if token is None:
    return ''
  place = ''
  if isinstance(error, SyntaxError) and error.filename:
    place = f' ({pathlib.Path(error.filename).name}, line {error.lineno})'
  return (
      f'{token[1]} is not a value{place}: a string stands in quotes, '
      f'{token[1]!r}, and a reference begins with @ or %'
  )


def _location(error: BaseException) -> str:
  """The line number that gin puts on a line of its own."""
  match = re.search(r'In file "([^"]*)", line (\d+)', str(error))
  return f'{match[1]}, line {match[2]}: ' if match else ''


def _hint(text: str) -> str:
  """A near name for the one that gin does not know."""
  unknown = re.search(r"No configurable matching '?(?:reference '@)?([\w./]+)",
                      text)
  if unknown:
    # gin offers no public list of what is registered.
    registry = gin.config._REGISTRY.items()
    names = {x.split('.')[-1] for x, _ in registry}
    return _did_you_mean(unknown[1].split('.')[-1], sorted(names))
  parameter = re.search(
      r"Configurable '(.*)' doesn't have a parameter named '(.*)'", text
  )
  if parameter:
    arguments = _parameters(gin.get_configurable(parameter[1]))
    return _did_you_mean(parameter[2], arguments)
  if 'Required bindings' in text:
    return '; include a base configuration, or bind it'
  return ''


def _parameters(configurable: Any) -> list[str]:
  """What may be bound; gin's wrapper of a class would take anything."""
  called = configurable
  if inspect.isclass(configurable):
    called = getattr(configurable, '__init__')  # noqa: B009
  names = list(inspect.signature(inspect.unwrap(called)).parameters)
  return [name for name in names if name != 'self']


def _did_you_mean(name: str, names: Sequence[str]) -> str:
  near = difflib.get_close_matches(name, names, 1)
  if near:
    return f' (did you mean {near[0]!r}?)'
  return f'; there are: {", ".join(names[:20])}' if len(names) <= 20 else ''
