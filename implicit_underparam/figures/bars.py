"""Bar plots of the penalty's relative improvement, game by game."""

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from implicit_underparam.figures import (
  atari_scores,
  drawing,
  game_runs,
  improvement,
  seed_bootstrap,
  suites,
)
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.improvement import Improvement
from implicit_underparam.figures.markdown_tables import interval, number
from implicit_underparam.figures.paper_figure import (
  Line,
  PaperFigure,
  Undrawable,
)

_WIDTH = 4.4  # Of a panel.
_BAR = 0.24
_MARGIN = 1.7
_LINE = 0.14  # Of what is written below.
_LETTERS = 74  # Of it, a panel, in a line.
_LINEAR = 10  # Percent, on both sides of zero; logarithmic beyond.
_BETTER: dict[str, Any] = {'color': drawing.BLUE.color}
# Told from the others in grey by their side and their hatching.
_WORSE: dict[str, Any] = {
    'facecolor': 'white', 'edgecolor': drawing.DOTTED.color, 'hatch': '////',
}


@dataclasses.dataclass(frozen=True)
class Pair:
  """A run and the one with the penalty.

  Attributes:
    label: of its panel.
    run: the configuration without.
    penalized: the configuration with it.
  """

  label: str
  run: str
  penalized: str


@dataclasses.dataclass(frozen=True)
class Panel:
  """What a panel shows.

  Attributes:
    label: of the pair.
    bars: game -> its improvement, the largest first.
    lacking: what is not drawn, and why.
  """

  label: str
  bars: Mapping[str, Improvement]
  lacking: tuple[str, ...]


def figure(
    id_: str,
    title: str,
    pairs: Iterable[Pair],
    suite: suites.Suite,
    share: str = '',
    also: tuple[str, ...] = (),
) -> PaperFigure:
  """A figure of bars.

  Args:
    id_: what `--figure` takes.
    title: of what, in a few words.
    pairs: one a panel.
    suite: of the runs.
    share: of the data that they were trained on.
    also: other figures that it stands for.
  """
  lines = tuple(
      Line(name, pair.label, drawing.BLUE, share=share)
      for pair in pairs
      for name in (pair.run, pair.penalized)
  )
  whole = f'{title}: what the penalty of Eq. 6 changes'
  return PaperFigure(id_, whole, lines, (), suite, also, painter=draw)


def draw(
    figure: PaperFigure, collection: Collection, title: str = ''
) -> Figure:
  """A panel a pair, a bar a game.

  Args:
    figure: its lines are pairs, without and with the penalty.
    collection: the runs.
    title: what they are of.

  Raises:
    Undrawable: there is no game that both runs of a pair have.
  """
  found = game_runs.find(figure, collection)
  pairs = zip(figure.lines[::2], figure.lines[1::2], strict=True)
  panels = [_panel(pair, found, figure.suite) for pair in pairs]
  if not any(panel.bars for panel in panels):
    lacking = '; '.join(f'{x.label}: {", ".join(x.lacking)}' for x in panels)
    raise Undrawable(f'figure {figure.id} has nothing to draw: {lacking}')
  below = _below(panels, figure.suite)
  lines = _wrap(below, len(panels))
  count = max(1, *(len(panel.bars) for panel in panels))
  height = _MARGIN + _BAR * count + _LINE * len(lines)
  canvas = drawing.new_figure(_WIDTH * len(panels), height, 'constrained')
  every = canvas.subplots(1, len(panels), squeeze=False)[0]
  for axes, panel in zip(every, panels, strict=True):
    _draw_panel(axes, panel)
  heading = ', '.join(filter(None, (
      figure.title, found.note, collection.variant
  )))
  canvas.suptitle(f'{heading}\n{title}' if title else heading, fontsize=9)
  canvas.supxlabel('\n'.join(lines), fontsize=7, x=0.02, ha='left')
  return canvas


def _panel(
    pair: tuple[Line, Line], found: game_runs.Found, suite: suites.Suite
) -> Panel:
  limit = improvement.OFFLINE_LIMIT if suite is suites.ATARI else None
  bars, lacking = {}, []
  for game in found.games:
    name = game.title or 'this game'
    there = [game.runs.get(line) for line in pair]
    baseline, treated = there
    if baseline is None or treated is None:
      names = [x.run for x, y in zip(pair, there, strict=True) if y is None]
      lacking.append(f'{name} (no {", no ".join(names)})')
      continue
    one = improvement.measure(treated, baseline, limit)
    if one is None:
      lacking.append(f'{name} (no seed in both runs)')
    elif np.isnan(one.effect.mean):
      lacking.append(f'{name} (undefined: b is 0)')
    else:
      bars[name] = one
  order = sorted(bars, key=lambda x: -bars[x].effect.mean)
  ordered = {name: bars[name] for name in order}
  return Panel(pair[0].label, ordered, tuple(lacking))


def _draw_panel(axes: Axes, panel: Panel) -> None:
  axes.set_title(_heading(panel), fontsize=8)
  if not panel.bars:
    axes.set_axis_off()
    return
  axes.set_xlabel('Relative improvement of the return, %')
  axes.axvline(0, color='black', lw=0.8)
  places = range(len(panel.bars))
  for place, one in zip(places, panel.bars.values(), strict=True):
    _draw_bar(axes, place, one)
  axes.set_yticks(list(places), list(panel.bars))
  axes.set_ylim(max(len(panel.bars), 1) - 0.4, -0.6)
  axes.set_xscale('symlog', linthresh=_LINEAR, linscale=0.8)
  axes.margins(x=0.28)
  axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=''))
  axes.grid(False, axis='y')


def _draw_bar(axes: Axes, place: int, one: Improvement) -> None:
  mean, low, high = (
      100 * x for x in (one.effect.mean, one.effect.low, one.effect.high)
  )
  look = _BETTER if mean > 0 else _WORSE
  axes.barh(place, mean, height=0.68, zorder=2, **look)
  ends = [x for x in (low, high, mean) if not np.isnan(x)]
  if len(ends) > 1:
    # White below black: seen on the bar and beside it, in grey as well.
    axes.plot([low, high], [place] * 2, color='white', lw=2.4, zorder=3)
    axes.plot(
        [low, high], [place] * 2, color='black', lw=1, marker='|', ms=5,
        zorder=4,
    )
  right = mean >= 0
  axes.annotate(
      _signed(mean), (max(ends, default=0) if right else min(ends), place),
      (4 if right else -4, 0), textcoords='offset points', va='center',
      ha='left' if right else 'right', fontsize=7,
  )


def _signed(percent: float) -> str:
  text = number(percent)
  return f'+{text}%' if percent > 0 else f'{text}%'


def _heading(panel: Panel) -> str:
  if not panel.bars:
    return f'{panel.label}: nothing to draw, see below'
  found = list(panel.bars.values())
  middle = interval(improvement.median(found), percent=True)
  better = improvement.number_improved(panel.bars)
  return (
      f'{panel.label}: better in {better} of {len(found)} '
      f'game{"s" * (len(found) > 1)}\nmedian {middle}'
  )


def _below(panels: Sequence[Panel], suite: suites.Suite) -> list[str]:
  """The definition, the intervals and what is missing, a paragraph each."""
  every = [one for panel in panels for one in panel.bars.values()]
  until = _until([one.steps for one in every], suite)
  seeds = sorted({len(one.returns) for one in every})
  paragraphs = [
      improvement.DEFINITION.format(until=until),
      f'Lines and brackets: 95% bootstrap over pairs of seeds{_counts(seeds)}, '
      'drawn anew within each game, percentiles widened for few seeds.',
  ]
  for panel in panels:
    if panel.lacking:
      listed = ', '.join(panel.lacking)
      paragraphs.append(f'Not drawn, {panel.label}: {listed}.')
  paragraphs += _unseen(panels, suite)
  return paragraphs


def _counts(seeds: Sequence[int]) -> str:
  if not seeds:
    return ''
  text = f'{" or ".join(map(str, seeds))} a game'
  if 1 < seeds[0] < seed_bootstrap.MANY:
    most = 100 * seed_bootstrap.coverage(seeds[0])
    text += f'; of {seeds[0]}, that of a game covers {most:.0f}% at most'
  return f' ({text})'


def _until(steps: Sequence[int], suite: suites.Suite) -> str:
  if not steps:
    return ''
  least, most = min(steps), max(steps)
  if suite is suites.ATARI and least == most == improvement.OFFLINE_LIMIT:
    return ' up to iteration 100 (6.25 million gradient updates)'
  listed = f'{least:,}' if least == most else f'{least:,} to {most:,}'
  return f' as far as both runs go ({listed} gradient updates)'


def _unseen(panels: Sequence[Panel], suite: suites.Suite) -> list[str]:
  """Those of the paper's games that there is no folder of."""
  seen = {game for panel in panels for game in panel.bars}
  seen |= {x.split(' (')[0] for panel in panels for x in panel.lacking}
  unseen = [x for x in atari_scores.SIXTEEN_GAMES if x not in seen]
  if suite.name != 'atari' or not unseen:
    return []
  return [f'Of the paper\'s 16 games not run: {", ".join(unseen)}.']


def _wrap(paragraphs: Iterable[str], num_panels: int) -> list[str]:
  width = _LETTERS * num_panels
  return [line for x in paragraphs for line in textwrap.wrap(x, width)]
