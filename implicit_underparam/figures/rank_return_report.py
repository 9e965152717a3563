"""Writes down whether runs with a higher rank have a higher return."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from implicit_underparam.figures import (
  rank_return,
  rank_settings,
  suites,
  verdicts,
)
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.markdown_tables import interval, number, table
from implicit_underparam.figures.rank_settings import Setting
from implicit_underparam.figures.statistics import Interval

_TITLES = {
    'gridworld': 'gridworld', 'atari': 'Atari', 'minatar': 'MinAtar',
    'mujoco': 'MuJoCo',
}
# The theory's runs are instances, and differ in more than their seed.
SUITES = (
    suites.GRIDWORLD, suites.ATARI, suites.ATARI_ONLINE, suites.MINATAR,
    suites.MUJOCO,
)


@dataclasses.dataclass(frozen=True)
class Correlation:
  """Rank against return in one setting, in one view.

  Attributes:
    suite: its name.
    setting: which runs.
    view: what is correlated, in words.
    found: the mean over games, with its interval.
    by_game: every game's; NaN where it is undefined.
    runs: of every game.
    seeds: of the game with fewest.
  """

  suite: str
  setting: Setting
  view: str
  found: Interval
  by_game: Mapping[str, float]
  runs: tuple[int, ...]
  seeds: int

  @property
  def verdict(self) -> str:
    """Whether a higher rank goes with a higher return."""
    claim = verdicts.Claim('', '', '', (), '')
    return verdicts.verdict(claim, self.found)


def of_suite(
    games: Mapping[str, Collection], resamples: int = rank_return.RESAMPLES
) -> Iterator[Correlation]:
  """Every correlation of a suite's runs.

  Args:
    games: the runs of every game.
    resamples: of the intervals.

  Raises:
    UserError: a run cannot be read.
  """
  found = rank_settings.find(games)
  names = {name for setting in found for name in setting.names}
  points = {
      game: rank_return.collect(x, sorted(names)) for game, x in games.items()
  }
  suite = next((x.suite.name for x in games.values()), '')
  for setting in found:
    taken = {game: x.take(setting.names) for game, x in points.items()}
    taken = {game: x for game, x in taken.items() if x.names}
    for view in _views(setting):
      yield _correlate(suite, setting, view, taken, resamples)


def of_collection(
    collection: Collection, resamples: int = rank_return.RESAMPLES
) -> list[Correlation]:
  """Every correlation of every suite's runs in a folder.

  Args:
    collection: the runs.
    resamples: of the intervals.

  Raises:
    UserError: a run cannot be read.
  """
  return [
      x
      for suite in SUITES
      for x in of_suite(collection.of(suite).games(), resamples)
  ]


def _views(setting: Setting) -> Sequence[rank_return.View]:
  few = len(setting.names) < rank_return.LEAST
  if setting.which == rank_settings.ALL:
    return [x for x in rank_return.VIEWS if x is not rank_return.BETWEEN or (
        not few
    )]
  # Names of configurations, and numbers of steps, are many.
  many = setting.which.startswith('`') or any(map(str.isdigit, setting.which))
  return rank_return.VIEWS[:1 if few or many else 2]


def _correlate(
    suite: str,
    setting: Setting,
    view: rank_return.View,
    points: Mapping[str, rank_return.Points],
    resamples: int,
) -> Correlation:
  found, every = rank_return.correlation(points, view, resamples)
  return Correlation(
      suite, setting, view.text, found, every,
      tuple(len(x.names) for x in points.values()),
      min((x.within.shape[1] for x in points.values()), default=0),
  )


def report(games: Games, resamples: int = rank_return.RESAMPLES) -> str:
  """A section of Markdown with every correlation of a suite.

  Args:
    games: the runs.
    resamples: of the intervals.
  """
  found = [*of_suite(games.collections, resamples)]
  return section(found, resamples)


def section(
    found: Sequence[Correlation], resamples: int = rank_return.RESAMPLES
) -> str:
  """A section of Markdown.

  Args:
    found: correlations, of any suites.
    resamples: of the intervals.
  """
  start = _introduction(resamples)
  if not found:
    return f'{start}\nNo two runs of a kind have a rank and a return.\n'
  header = (
      'setting', 'which', 'correlated', 'Spearman [95% interval]', 'each game',
      'of either sign, games', 'runs of a game', 'seeds', 'games',
  )
  answers = '\n'.join(_answers(found))
  return f'{start}\n{answers}\n\n{table(header, map(_cells, found))}\n'


def _cells(one: Correlation) -> tuple[str, ...]:
  each = ', '.join(
      f'{game} {number(x)}'.strip() for game, x in one.by_game.items()
  )
  signs = np.sign(list(one.by_game.values()))
  positive, negative = int((signs > 0).sum()), int((signs < 0).sum())
  return (
      _place(one),
      one.setting.which,
      one.view,
      interval(one.found),
      each,
      f'{positive} positive, {negative} negative',
      ' or '.join(dict.fromkeys(map(str, one.runs))),
      str(one.seeds),
      str(len(one.by_game)),
  )


def _place(one: Correlation) -> str:
  return f'{_TITLES.get(one.suite, one.suite)}, {one.setting.kind}'


def _answers(found: Sequence[Correlation]) -> Iterator[str]:
  """A sentence for every kind of run."""
  places: dict[str, list[Correlation]] = {}
  for one in found:
    places.setdefault(_place(one), []).append(one)
  for place, there in places.items():
    by = {(x.setting.which, x.view): x for x in there}
    first = by.get((rank_settings.ALL, rank_return.FINAL.text))
    if first is None:
      continue
    count = ' or '.join(dict.fromkeys(map(str, first.runs)))
    games = f', {len(first.by_game)} games' * (len(first.by_game) > 1)
    yield (
        f'- **{place}** ({count} runs, {_seeds(first)}{games}): '
        f'{_said(first)}{_besides(by)}.'
    )


def _said(one: Correlation) -> str:
  what = {
      verdicts.HOLDS: 'those that end with a higher rank end with a higher '
      'return',
      verdicts.FAILS: 'those that end with a higher rank end with a lower '
      'return',
  }.get(one.verdict, 'at the end rank does not tell the return')
  few = '' if one.seeds >= verdicts.PLANNED_SEEDS else (
      f' (a hint at most, of {_seeds(one)})'
  )
  return f'{what}, {interval(one.found)}{few}'


def _seeds(one: Correlation) -> str:
  return f'{one.seeds} seed{"s" * (one.seeds != 1)}'


def _besides(by: Mapping[tuple[str, str], Correlation]) -> str:
  """The same without the penalty, and in the views that time leaves alone."""
  final, same, within = (
      x.text
      for x in (rank_return.FINAL, rank_return.SAME_PART, rank_return.WITHIN)
  )
  parts = (
      ('without the penalty', (rank_settings.WITHOUT_PENALTY, final)),
      ('at the same part of training', (rank_settings.ALL, same)),
      ('within a run', (rank_settings.ALL, within)),
  )
  return ''.join(
      f'; {text} {_sign(by[key])}, {interval(by[key].found)}'
      for text, key in parts
      if key in by
  )


def _sign(one: Correlation) -> str:
  words = {verdicts.HOLDS: 'positive', verdicts.FAILS: 'negative'}
  return words.get(one.verdict, 'unclear')


def _introduction(resamples: int) -> str:
  return f"""\
## Rank against return, over all runs

Whether runs with a higher srank have a higher return (Gulcehre et al., 2022). \
Spearman's correlation of `{rank_return.RANK}` and the return \
(`normalized_return` on the gridworld, `eval_return` elsewhere; values within \
1e-6 of their size are ties) within each game, of offline and of online runs \
by themselves; the mean over games, with a stratified bootstrap of \
{resamples:,} resamples in which a seed is drawn with all its runs, since \
those share the first network and offline ones their log. \
The runs are taken as they are: an interval speaks of other seeds of these \
runs, not of other runs, whose choice matters the more the fewer there are. \
Positive: a higher rank goes with a higher return. *At the end*: means of the \
last 10% of iterations. Runs may differ in length: *parts of training* are \
tenths of each run's own. Over training both change with time alone, so that \
*at the same part* says more than the pooled points. No correlation here says \
what causes what; the runs with the penalty are the ones whose rank was \
interfered with. With fewer than five seeds the intervals are too narrow.
"""
