"""Finds the runs of a folder by their names, and says how to make others."""

import collections
import copy
import dataclasses
import os
import pathlib
from collections.abc import Container, Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import run_parts, runs, suites


class MissingRuns(UserError):
  """Nothing can be drawn or judged because no run that it needs is there."""


def find(runs_dir: str | os.PathLike[str]) -> dict[str, list[pathlib.Path]]:
  """Finds the run folders in a folder, however deep.

  A run whose seeds were split is one, the folder that its parts lie in.

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
  found: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
  for path, folders, files in os.walk(root):
    if set(files) & set(runs.FILES):
      folder = pathlib.Path(path)
      whole = pathlib.Path(os.path.abspath(path))
      if run_parts.is_part(whole.name):
        whole = whole.parent
        folder = folder if folder == root else folder.parent
      name = whole.name
      if folder not in found[name]:
        found[name].append(folder)
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
  """The runs of one suite in a folder, by name, each read once.

  Args:
    runs_dir: the folder that holds them, at any depth.
    variant: suffix of the names to look at, such as 'lr5e-3'; '' for none.
    suite: runs that cannot be of it are passed over.

  Raises:
    UserError: there is no run in the folder.
  """

  def __init__(
      self,
      runs_dir: str | os.PathLike[str],
      variant: str = '',
      suite: suites.Suite = suites.GRIDWORLD,
  ):
    self.runs_dir = pathlib.Path(runs_dir)
    self.variant = variant
    self.suite = suite
    self._found = find(runs_dir)
    self._read: dict[pathlib.Path, runs.Run | None] = {}
    self._environments: dict[pathlib.Path, str] = {}
    self._game = ''

  def of(self, suite: suites.Suite) -> 'Collection':
    """The runs of another suite in the same folder; what is read is shared."""
    other = copy.copy(self)
    other.suite = suite
    return other

  def without(self, folders: Container[pathlib.Path]) -> 'Collection':
    """The same runs but those of some folders, such as damaged ones."""
    other = copy.copy(self)
    other._found = {
        name: [folder for folder in there if folder not in folders]
        for name, there in self._found.items()
    }
    return other

  def games(self) -> dict[str, 'Collection']:
    """The runs of every game, by its name; all under '' without games.

    A game is the name of the folder that a run's folder lies in.
    """
    if self._game or not self.suite.by_game:
      return {self._game: self}
    names = {
        _game(folder)
        for folders in self._found.values()
        for folder in folders
        if self._belonging(folder) is not None
    }
    return {name: self._only(name) for name in sorted(names)}

  @property
  def flat(self) -> bool:
    """Whether the suite's runs lie in the folder itself, which is of a game."""
    own = os.path.basename(os.path.abspath(self.runs_dir))
    return self.suite.by_game and list(self.games()) == [own]

  def has(self, name: str) -> bool:
    """Whether there is a run of this name, of any game."""
    return any(x.get(name) is not None for x in self.games().values())

  def names(self) -> list[str]:
    """The runs of the suite, without the variant, sorted."""
    ending = f'_{self.variant}' if self.variant else ''
    names = (x.removesuffix(ending) for x in self._found if x.endswith(ending))
    return sorted(name for name in names if self.has(name))

  def get(self, name: str) -> runs.Run | None:
    """A run of the suite, or None where it is missing or has no row yet.

    Args:
      name: of the configuration, without the variant.

    Raises:
      UserError: several runs have this name, or its file cannot be read.
    """
    full = full_name(name, self.variant)
    there = {
        folder: run
        for folder in self._found.get(full, [])
        if self._game in ('', _game(folder))
        and (run := self._belonging(folder)) is not None
    }
    if len(there) > 1:
      raise UserError(
          f'several runs are called {full}: {", ".join(map(str, there))}; '
          'give --runs a folder that holds one of them'
      )
    return next(iter(there.values()), None)

  def _only(self, game: str) -> 'Collection':
    other = copy.copy(self)
    other._game = game
    return other

  def _belonging(self, folder: pathlib.Path) -> runs.Run | None:
    if self._environment(folder) != self.suite.environment:
      return None
    run = self._read_run(folder)
    if run is None or not suites.belongs(run.columns, self.suite):
      return None
    return run

  def _environment(self, folder: pathlib.Path) -> str:
    if folder not in self._environments:
      self._environments[folder] = runs.read_environment(folder)
    return self._environments[folder]

  def _read_run(self, folder: pathlib.Path) -> runs.Run | None:
    if folder not in self._read:
      self._read[folder] = runs.read(folder)
    return self._read[folder]


def _game(folder: pathlib.Path) -> str:
  return os.path.basename(os.path.dirname(os.path.abspath(folder)))


def full_name(name: str, variant: str) -> str:
  """The name of a run's folder: the configuration's and the variant's."""
  return f'{name}_{variant}' if variant else name


def command(
    name: str,
    variant: str,
    runs_dir: str | os.PathLike[str],
    suite: suites.Suite = suites.GRIDWORLD,
) -> str:
  """The command that makes a run.

  Args:
    name: of the configuration, with the endings of the suite: '_penalty' if
      it has the penalty.
    variant: '' or 'lr' and a learning rate, or another suffix.
    runs_dir: where the runs are.
    suite: that the run is of.
  """
  files, bindings = suite.configuration(name)
  folder = pathlib.Path(runs_dir) / (suite.place.upper() * suite.by_game)
  bindings = tuple(x.replace('{base_dir}', str(runs_dir)) for x in bindings)
  words = [
      'python -m implicit_underparam.train',
      f'--base_dir={folder / full_name(name, variant)}',
      *(f'--gin_files=gin_configs/{suite.name}/{x}.gin' for x in files),
      *(f'--gin_bindings="{x}"' for x in (*suite.bindings, *bindings)),
  ]
  rate = learning_rate(variant)
  if rate is not None:
    words.append(f"--gin_bindings='adam.learning_rate = {rate:g}'")
  elif variant:
    words.append(f'(with the bindings of {variant})')
  return ' '.join(words)


def learning_rate(variant: str) -> float | None:
  """The learning rate that a variant's name tells, if it does."""
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
  listed = ', '.join(full_name(name, collection.variant) for name in names)
  return MissingRuns(
      f'{what} needs runs that {collection.runs_dir} lacks: {listed}; make the '
      f'first with {_command(names[0], collection)}'
  )


def missing_line(name: str, collection: Collection) -> str:
  """Says that a run is missing and which command makes it.

  Args:
    name: of the configuration.
    collection: where it was looked for.
  """
  full = full_name(name, collection.variant)
  return (
      f'{collection.runs_dir} has no run {full}; make it with '
      f'{_command(name, collection)}'
  )


def _command(name: str, collection: Collection) -> str:
  variant, suite = collection.variant, collection.suite
  if collection.flat:
    suite = dataclasses.replace(suite, by_game=False)
  return command(name, variant, collection.runs_dir, suite)
