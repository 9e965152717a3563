"""Compares the configuration of a run with the one that it was started with."""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence

from implicit_underparam.errors import UserError

FILE = 'config.gin'
MAY_DIFFER = ('Runner.num_iterations',)


def check_same(
    path: pathlib.Path,
    before: str,
    operative_config: str,
    may_differ: Sequence[str] = MAY_DIFFER,
) -> None:
  """Keeps a run from going on under another configuration.

  Args:
    path: the folder of the run, for the message.
    before: the text of its config.gin.
    operative_config: the text of `gin.operative_config_str()`.
    may_differ: the bindings that may change between two starts.

  Raises:
    UserError: a binding differs; names it, both values and what to do.
  """
  old, new = _bindings(before), _bindings(operative_config)
  _compare(path, old, new, {*old, *new} - {*may_differ})


def check_bindings(path: str | os.PathLike[str], config: str) -> None:
  """Looks, before anything is built, whether a run could not go on.

  Args:
    path: the folder of the run, where its config.gin may be.
    config: the text of `gin.config_str()`: what is bound, used or not.

  Raises:
    UserError: a binding that both have differs, or config.gin cannot be read.
  """
  file = pathlib.Path(path) / FILE
  try:
    old = _bindings(file.read_text(encoding='utf-8'))
  except (FileNotFoundError, NotADirectoryError):
    return
  except (OSError, ValueError) as error:
    raise UserError(f'{file} cannot be read: {error}') from error
  new = _bindings(config)
  _compare(file.parent, old, new, old.keys() & new.keys() - {*MAY_DIFFER})


def _compare(
    path: pathlib.Path,
    old: Mapping[str, str],
    new: Mapping[str, str],
    names: Collection[str],
) -> None:
  for name in dict.fromkeys((*new, *old)):
    if name in names and old.get(name) != new.get(name):
      raise UserError(
          f'{name} was {old.get(name, "not bound")} when the run in {path} was '
          f'started and is {new.get(name, "not bound")} now: give it the old '
          'value, or name another --base_dir'
      )


def _bindings(config: str) -> dict[str, str]:
  """Reads what gin writes of a configuration as {binding: value as text}."""
  values: dict[str, str] = {}
  name = ''
  for line in config.splitlines():
    text = line.strip().removesuffix('\\').strip()
    if not text or line.startswith(('#', 'import ', 'from ')):
      continue
    if line[0].isspace() and name:
      values[name] = f'{values[name]} {text}'.strip()
    else:
      name, _, value = (part.strip() for part in text.partition('='))
      values[name] = value
  return values
