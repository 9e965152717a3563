"""Finds the runs of a folder by their names, and says how to make others."""

import collections
import os
import pathlib
from collections.abc import Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import runs


class MissingRuns(UserError):
  """Nothing can be drawn or judged because no run that it needs is there."""


def find(runs_dir: str | os.PathLike[str]) -> dict[str, list[pathlib.Path]]:
  """Finds the run folders in a folder, however deep.

  Args:
    runs_dir: the folder; it may be a run itself.

  Returns:
    The name of the folder of each run -> the folders of this name.

  Raises:
    UserError: there is no such folder, or no run in it.
  """
  root = pathlib.Path(runs_dir)
  if not root.is_dir():
    raise UserError(f'--runs={runs_dir} is not a folder: name one with runs')
  found = collections.defaultdict(list)
  for path, folders, files in os.walk(root):
    if set(files) & set(runs.FILES):
      name = os.path.basename(os.path.abspath(path))
      found[name].append(pathlib.Path(path))
      # Checkpoints and event files lie below: many, and no runs.
      folders.clear()
    folders.sort()
  if not found:
    raise UserError(
        f'--runs={runs_dir} holds no run (no metrics.csv at any depth): name '
        'the folder that holds the run folders'
    )
  return dict(found)


class Collection:
  """The runs of a folder, by name, each read once.

  Args:
    runs_dir: the folder that holds them, at any depth.
    variant: suffix of the names to look at, such as 'lr5e-3'; '' for none.

  Raises:
    UserError: there is no run in the folder.
  """

  def __init__(self, runs_dir: str | os.PathLike[str], variant: str = ''):
    self.runs_dir = pathlib.Path(runs_dir)
    self.variant = variant
    self._found = find(runs_dir)
    self._read: dict[str, runs.Run | None] = {}

  def get(self, name: str) -> runs.Run | None:
    """A run, or None where it is missing or has no row yet.

    Args:
      name: of the configuration, without the variant.

    Raises:
      UserError: several runs have this name, or its file cannot be read.
    """
    full = full_name(name, self.variant)
    if full not in self._read:
      self._read[full] = self._read_run(full)
    return self._read[full]

  def _read_run(self, name: str) -> runs.Run | None:
    folders = self._found.get(name, [])
    if len(folders) > 1:
      raise UserError(
          f'several runs are called {name}: {", ".join(map(str, folders))}; '
          'give --runs a folder that holds one of them'
      )
    return runs.read(folders[0]) if folders else None


def full_name(name: str, variant: str) -> str:
  """The name of a run's folder: the configuration's and the variant's."""
  return f'{name}_{variant}' if variant else name


def command(name: str, variant: str, runs_dir: str | os.PathLike[str]) -> str:
  """The command that makes a run of the gridworld suite.

  Args:
    name: of the configuration, with '_penalty' if it has the penalty.
    variant: '' or 'lr' and a learning rate, or another suffix.
    runs_dir: where the runs are.
  """
  configuration = name.removesuffix('_penalty')
  files = [configuration] + ['penalty'] * (configuration != name)
  words = [
      'python -m implicit_underparam.train',
      f'--base_dir={pathlib.Path(runs_dir) / full_name(name, variant)}',
      *(f'--gin_files=gin_configs/gridworld/{file}.gin' for file in files),
  ]
  rate = learning_rate(variant)
  if variant and rate is not None:
    words.append(f"--gin_bindings='adam.learning_rate = {rate:g}'")
  elif variant:
    words.append(f'(with the bindings of {variant})')
  return ' '.join(words)


def learning_rate(variant: str) -> float | None:
  """The learning rate that a variant's name tells, 0.001 for ''; else None."""
  if not variant:
    return 0.001
  try:
    return float(variant.removeprefix('lr'))
  except ValueError:
    return None


def nothing_for(
    what: str, names: Sequence[str], collection: Collection
) -> MissingRuns:
  """The error for something whose runs are all missing.

  Args:
    what: what needs them.
    names: configurations, at least one.
    collection: where they were looked for.
  """
  variant, runs_dir = collection.variant, collection.runs_dir
  listed = ', '.join(full_name(name, variant) for name in names)
  return MissingRuns(
      f'{what} needs runs that {runs_dir} lacks: {listed}; make the first with '
      f'{command(names[0], variant, runs_dir)}'
  )


def missing_line(name: str, collection: Collection) -> str:
  """Says that a run is missing and which command makes it.

  Args:
    name: of the configuration.
    collection: where it was looked for.
  """
  variant, runs_dir = collection.variant, collection.runs_dir
  return (
      f'{runs_dir} has no run {full_name(name, variant)}; make it with '
      f'{command(name, variant, runs_dir)}'
  )
