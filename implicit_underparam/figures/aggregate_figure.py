"""Draws median, IQM and mean of a suite's runs, and who is above whom."""

import dataclasses
import functools
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from implicit_underparam.figures import (
  aggregates,
  atari_scores,
  drawing,
  game_runs,
  improvement,
  suites,
)
from implicit_underparam.figures.aggregates import METRICS, Group, Scores
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.markdown_tables import number
from implicit_underparam.figures.paper_figure import (
  Line,
  PaperFigure,
  Undrawable,
)
from implicit_underparam.figures.statistics import Interval

_WIDTH = 11.5
_ROW = 0.27
_MARGIN = 1.5
_LINE = 0.14  # Of what is written below.
_LETTERS = 190
_STYLES = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.PURPLE)
_HUMAN = (
    'Normalised return: (score − random) / (human − random), scores of Mnih et '
    'al. (2015) and Wang et al. (2016): 0 is random play, 1 a human tester.'
)
_BEST = (
    "Normalised return: the return divided by the final return of the game's "
    'best run, mean over its seeds, of all that there are.'
)
_HOW = (
    'A score: the mean of the evaluation return over the last tenth of '
    'training{until}, of one game and seed. Runs under one heading are '
    'compared on the same games, seeds and length of training. Intervals: 95%, '
    'stratified bootstrap of rliable over seeds within each game; its '
    'percentiles are not widened for few seeds. P: the share of pairs of seeds '
    'in which the return with the penalty is the higher one, ties half, mean '
    'over games.'
)


@dataclasses.dataclass(frozen=True)
class _Bar:
  """A row of a panel: its label, group, and what is drawn; None for nothing."""

  label: str
  group: int
  value: Interval | None
  heading: bool = False


def figure(
    id_: str,
    title: str,
    groups: Sequence[Group],
    suite: suites.Suite,
    share: str = '',
) -> PaperFigure:
  """A figure of aggregates.

  Args:
    id_: what `--figure` takes.
    title: one line.
    groups: of runs, from the top.
    suite: of the runs.
    share: of the data that they were trained on.
  """
  lines = tuple(
      Line(run, label, drawing.BLUE, share=share)
      for group in groups
      for label, run in group.runs.items()
  )
  painter = functools.partial(draw, groups=tuple(groups))
  return PaperFigure(id_, title, lines, (), suite, painter=painter)


def draw(
    figure: PaperFigure,
    collection: Collection,
    title: str = '',
    groups: Sequence[Group] = (),
) -> Figure:
  """Three panels of aggregates and one of probabilities.

  Args:
    figure: what is said of it.
    collection: the runs.
    title: what they are of.
    groups: of the runs.

  Raises:
    Undrawable: rliable is not installed, or there is no score.
  """
  aggregates.load('metrics')
  found = game_runs.find(figure, collection)
  normalize, how = _normalizer(collection)
  limit = improvement.OFFLINE_LIMIT if _is_offline(figure.suite) else None
  scores = [
      aggregates.collect(x, found.games, normalize, limit) for x in groups
  ]
  if not any(x.by_run for x in scores):
    left = ', '.join(dict.fromkeys(y for x in scores for y in x.left_out))
    raise Undrawable(
        f'figure {figure.id} has nothing to draw: no game has the runs and '
        f'known scores (left out: {left})'
    )
  below = _wrap(scores, how, figure.suite)
  canvas = _draw_all(scores, len(below))
  heading = ', '.join(filter(None, (
      figure.title, found.note, collection.variant
  )))
  canvas.suptitle(f'{heading}\n{title}' if title else heading, fontsize=9)
  canvas.supxlabel('\n'.join(below), fontsize=7, x=0.01, ha='left')
  return canvas


def _draw_all(scores: Sequence[Scores], num_lines: int) -> Figure:
  every = [
      {run: aggregates.summarize(x) for run, x in one.by_run.items()}
      for one in scores
  ]
  rows = {metric: _rows(scores, every, metric) for metric in METRICS}
  above = _above(scores)
  count = max(len(rows['IQM']), len(above))
  canvas = drawing.new_figure(
      _WIDTH, _MARGIN + _ROW * count + _LINE * num_lines, 'constrained'
  )
  *panels, last = canvas.subplots(1, 4, width_ratios=(1, 1, 1, 1.1))
  for axes, (metric, bars) in zip(panels, rows.items(), strict=True):
    _draw_panel(axes, bars, labels=axes is panels[0])
    axes.set_title(metric)
    axes.set_xlabel('Normalised return')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
  _draw_panel(last, above, labels=True)
  last.set_title('P(with penalty > without)')
  last.set_xlabel('Probability of improvement')
  last.axvline(0.5, color='0.3', lw=0.8, ls=(0, (3, 2)), zorder=1)
  last.set_xlim(-0.04, 1.04)
  last.set_xticks([0, 0.25, 0.5, 0.75, 1], ['0', '', '0.5', '', '1'])
  return canvas


def _rows(
    scores: Sequence[Scores],
    every: Sequence[Mapping[str, Mapping[str, Interval]]],
    metric: str,
) -> list[_Bar]:
  rows = []
  for i, (one, found) in enumerate(zip(scores, every, strict=True)):
    rows.append(_Bar(_heading(one), i, None, heading=True))
    if not found:
      continue
    rows += [
        _Bar(label, i, found[run][metric])
        if run in found else _Bar(f'{label}: no run', i, None)
        for label, run in one.group.runs.items()
    ]
  return rows


def _heading(one: Scores) -> str:
  if not one.by_run:
    return f'{one.group.label}: no game has all runs'
  num_seeds, num_games = next(iter(one.by_run.values())).shape
  games = f'{num_games} game{"s" * (num_games > 1)}'
  seeds = f'{num_seeds} seed{"s" * (num_seeds > 1)}'
  return f'{one.group.label} ({games}, {seeds})'


def _above(scores: Sequence[Scores]) -> list[_Bar]:
  bars = []
  for i, one in enumerate(scores):
    for label, (treated, baseline) in one.group.over.items():
      both = [one.by_run.get(x) for x in (treated, baseline)]
      first, second = both
      found = None
      if first is not None and second is not None:
        found = aggregates.probability(first, second)
      bars.append(_Bar(label + ': no run' * (found is None), i, found))
  return bars


def _draw_panel(axes: Axes, bars: Sequence[_Bar], labels: bool) -> None:
  for place, bar in enumerate(bars):
    if bar.value is not None:
      _draw_value(axes, place, bar.value, _STYLES[bar.group % len(_STYLES)])
  places = list(range(len(bars)))
  axes.set_yticks(places, [x.label for x in bars] if labels else [])
  axes.tick_params(axis='y', length=0, labelsize=7.5)
  if labels:
    for text, bar in zip(axes.get_yticklabels(), bars, strict=True):
      text.set_fontweight('bold' if bar.heading else 'normal')
  axes.set_ylim(len(bars) - 0.4, -0.8)
  axes.margins(x=0.12)
  axes.grid(False, axis='y')


def _draw_value(
    axes: Axes, place: int, value: Interval, style: drawing.Style
) -> None:
  if not np.isnan(value.low):
    axes.plot(
        [value.low, value.high], [place] * 2, color=style.color, lw=5,
        alpha=0.45, solid_capstyle='butt', zorder=2,
    )
  axes.plot(
      value.mean, place, ls='none', marker=style.marker, ms=5,
      color=style.color, mec='black', mew=0.6, zorder=3,
  )
  axes.annotate(
      number(value.mean), (value.mean, place), (0, 5), fontsize=6,
      textcoords='offset points', ha='center',
  )


def _is_offline(suite: suites.Suite) -> bool:
  return suite is suites.ATARI


def _normalizer(
    collection: Collection,
) -> tuple[aggregates.Normalizer, str]:
  """What the returns of a suite are divided by, and that in words."""
  if collection.suite.name == 'atari':
    return _by_human, _HUMAN
  references = Games(collection).references

  def by_best(game: str, returns: np.ndarray) -> np.ndarray | None:
    best = abs(references.get(game, np.nan))
    return returns / best if best > 0 else None

  return by_best, _BEST


def _by_human(game: str, returns: np.ndarray) -> np.ndarray | None:
  scores = atari_scores.SCORES.get(game)
  if scores is None:
    return None
  return (returns - scores.random) / (scores.human - scores.random)


def _wrap(
    scores: Sequence[Scores], how: str, suite: suites.Suite
) -> list[str]:
  until = ''
  if _is_offline(suite):
    until = ' (up to iteration 100 where runs are that long)'
  paragraphs = [how, _HOW.format(until=until)]
  paragraphs += [
      f'Left out, {one.group.label}, for want of a run or of known scores: '
      f'{", ".join(one.left_out)}.'
      for one in scores
      if one.left_out
  ]
  return [line for x in paragraphs for line in textwrap.wrap(x, _LETTERS)]
