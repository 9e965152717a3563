"""Which runs of a figure each game has, and which share of the data they saw.

The folder of an offline game may end in the share of the data, in percent, as
Pong_5. What lies in a folder that does not say is taken for any share.
"""

import collections
import dataclasses
from collections.abc import Mapping

from implicit_underparam.figures import atari_scores, suites
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.paper_figure import Line, PaperFigure
from implicit_underparam.figures.runs import Run


@dataclasses.dataclass(frozen=True)
class Game:
  """The runs of one game.

  Attributes:
    name: of the game; of the folder where that is all there is.
    title: what is written above its panels; '' where its name is not known.
    runs: those of the figure's that are there.
  """

  name: str
  title: str
  runs: Mapping[Line, Run]


@dataclasses.dataclass(frozen=True)
class Found:
  """What there is of a figure.

  Attributes:
    games: those that have a run of it.
    lines: its lines, each run once; labels say the share where there are
      several.
    absent: those of the lines that no game has.
    note: what is to be added to the title; '' for nothing.
    named: whether a folder says which share it is of.
  """

  games: tuple[Game, ...]
  lines: tuple[Line, ...]
  absent: tuple[Line, ...]
  note: str
  named: bool


def split(folder: str, suite: suites.Suite) -> tuple[str, str]:
  """A game and its share: ('Pong', '5') of 'Pong_5', ('Pong', '') of 'Pong'."""
  for share in suite.shares:
    if folder.endswith(f'_{share}'):
      return folder.removesuffix(f'_{share}'), share
  return folder, ''


def find(figure: PaperFigure, collection: Collection) -> Found:
  """The runs of a figure, game by game.

  Args:
    figure: which.
    collection: the runs, of the figure's suite.

  Raises:
    UserError: a run cannot be read, or is there twice.
  """
  groups = _groups(figure, collection)
  every = {
      name: {
          line: run
          for line in figure.lines
          if (run := _run(line, by_share)) is not None
      }
      for name, by_share in groups.items()
  }
  named = any(
      share
      for name, by_share in groups.items()
      for share in by_share
      if share in figure.shares and every[name]
  )
  lines = figure.lines if named else _each_once(figure.lines)
  labels = {line: _label(line, figure, named) for line in lines}
  games = tuple(
      Game(name, _title(name, collection), {
          labels[line]: run for line, run in there.items() if line in labels
      })
      for name, there in every.items()
      if there
  )
  absent = tuple(
      line for line in labels.values()
      if not any(line in game.runs for game in games)
  )
  note = _share_note(figure) if named and len(figure.shares) == 1 else ''
  return Found(games, tuple(labels.values()), absent, note, named)


def repeats_another(figure: PaperFigure, collection: Collection) -> bool:
  """Whether it would show what the same figure of another share shows.

  That is so where no folder says which share of the data it is of.

  Args:
    figure: which.
    collection: the runs, of any suite.
  """
  usual = figure.suite.shares[:1]
  if not figure.shares or set(usual) & set(figure.shares):
    return False
  return not find(figure, collection.of(figure.suite)).named


def name(figure: PaperFigure, collection: Collection) -> str:
  """A figure that has no run, for messages: with the share that is lacking."""
  if not any(collection.of(figure.suite).has(x) for x in figure.runs):
    return f'figure {figure.id}'
  folders = ' or '.join(f'GAME_{share}' for share in figure.shares)
  return f'figure {figure.id} (of folders called {folders})'


def _groups(
    figure: PaperFigure, collection: Collection
) -> dict[str, dict[str, Collection]]:
  """Game -> share -> its runs."""
  groups: dict[str, dict[str, Collection]] = collections.defaultdict(dict)
  for folder, there in collection.games().items():
    name, share = folder, ''
    if figure.shares:
      name, share = split(folder, figure.suite)
    groups[name][share] = there
  return groups


def _run(line: Line, by_share: Mapping[str, Collection]) -> Run | None:
  there = by_share.get(line.share) or by_share.get('')
  return there.get(line.run) if there is not None else None


def _each_once(lines: tuple[Line, ...]) -> tuple[Line, ...]:
  first: dict[tuple[str, str], Line] = {}
  for line in lines:
    first.setdefault((line.run, line.column), line)
  return tuple(first.values())


def _label(line: Line, figure: PaperFigure, named: bool) -> Line:
  if not named or len(figure.shares) < 2:
    return line
  label = f'{line.label}, {line.share}% of the data'
  return dataclasses.replace(line, label=label)


def _share_note(figure: PaperFigure) -> str:
  return f'{figure.shares[0]}% of the data'


def _title(name: str, collection: Collection) -> str:
  """A folder of runs that is none of a known game has no title."""
  unknown = name not in atari_scores.SCORES
  if collection.suite.name == 'atari' and collection.flat and unknown:
    return ''
  return name
