"""Draws return against rank at the end of every run and seed of a suite."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  drawing,
  layout,
  rank_return,
  rank_settings,
  suites,
)
from implicit_underparam.figures.markdown_tables import interval, number
from implicit_underparam.figures.rank_settings import Traits

_PANEL = 2.6
_LABELS = {
    'dqn_offline': 'offline DQN',
    'cql_offline': 'offline CQL',
    'sac_offline': 'offline SAC',
    'fitted_q_evaluation': 'fitted Q evaluation',
    'monte_carlo': 'Monte-Carlo returns',
    'dqn_online': 'online DQN',
    'rainbow_online': 'online Rainbow',
    'sac_online': 'online SAC',
}
_COLORS = (
    drawing.BLUE.color, drawing.ORANGE.color, drawing.GREEN.color,
    drawing.PURPLE.color, drawing.DOTTED.color, '#56B4E9', drawing.BLACK.color,
)
_MARKERS = 'o^sDvPX<>*hp'


def figure(
    id_: str, suite: suites.Suite, called: str
) -> layout.PaperFigure:
  """The figure of a suite; it has no lines, since any run will do.

  Args:
    id_: of the figure.
    suite: of the runs.
    called: what titles call it.
  """
  return layout.PaperFigure(
      id=id_,
      title=f'{called}, rank and return at the end of every run and seed',
      lines=(),
      columns=(),
      suite=suite,
      painter=draw,
  )


def has_run(
    figure: layout.PaperFigure, collection: collection_lib.Collection
) -> bool:
  """Whether there is a run to draw.

  Args:
    figure: of `FIGURES`.
    collection: the runs.
  """
  games = collection.of(figure.suite).games()
  return bool(rank_settings.by_kind(games))


def draw(
    figure: layout.PaperFigure,
    collection: collection_lib.Collection,
    title: str = '',
) -> Figure:
  """A row of panels a kind of run, a column a game; every point a seed.

  Args:
    figure: what is said of it.
    collection: the runs.
    title: what they are of.

  Raises:
    MissingRuns: there is no run with a rank and a return.
  """
  games = collection.of(figure.suite).games()
  kinds = rank_settings.by_kind(games)
  if not kinds:
    raise collection_lib.MissingRuns(
        f'figure {figure.id} shows every run of {figure.suite.name} that has '
        f'a rank and a return, and {collection.runs_dir} holds none: name the '
        'folder of a sweep'
    )
  points = _points(games, kinds)
  shown = list(next(iter(points.values())))
  canvas, panels = _canvas(len(kinds), len(shown))
  runs = [x for found in kinds.values() for x in found.values()]
  looks = _looks([x.agent for x in runs])
  best = {game: _best(figure.suite, game, points) for game in shown}
  for row, (kind, found) in zip(panels, kinds.items(), strict=True):
    _draw_row(row, points[kind], best, found, looks)
    _label_row(row, figure.suite, kind, points[kind])
  _legend(canvas, looks, any(x.penalty for x in runs))
  heading = f'{figure.title}\n{title}' if title else figure.title
  canvas.suptitle(heading, fontsize=9)
  return canvas


def _canvas(kinds: int, games: int) -> tuple[Figure, np.ndarray]:
  """An empty figure, and its panels [kinds, games]."""
  columns = games if games > 1 else min(kinds, 2)
  rows = kinds if games > 1 else math.ceil(kinds / columns)
  # The title and the legend are as wide as two panels.
  width = _PANEL * max(columns, 2) + 1
  canvas = drawing.new_figure(width, _PANEL * rows + 1.6, 'constrained')
  panels = canvas.subplots(rows, columns, squeeze=False)
  for axes in panels.flat[kinds * games:]:
    axes.remove()
  return canvas, panels.ravel()[:kinds * games].reshape(kinds, games)


def _points(
    games: Mapping[str, collection_lib.Collection],
    kinds: Mapping[str, Mapping[str, Traits]],
) -> dict[str, dict[str, rank_return.Points]]:
  """Of every kind and game; games without a run of any kind are left out."""
  found = {
      kind: {
          game: rank_return.collect(x, list(names))
          for game, x in games.items()
      }
      for kind, names in kinds.items()
  }
  # The offline runs of a folder give the online suite games without a run.
  shown = [game for game in games if any(x[game].names for x in found.values())]
  return {k: {game: x[game] for game in shown} for k, x in found.items()}


def _best(
    suite: suites.Suite, game: str,
    points: Mapping[str, Mapping[str, rank_return.Points]],
) -> float:
  """What returns are divided by; those of the gridworld are normalised."""
  if not suite.by_game:
    return 1.0
  ends = [rank_return.means(x[game].final[1]) for x in points.values()]
  best = np.nanmax(np.concatenate(ends), initial=-np.inf)
  return abs(float(best)) or 1.0


def _draw_row(
    row: Sequence[Axes],
    games: Mapping[str, rank_return.Points],
    best: Mapping[str, float],
    found: Mapping[str, Traits],
    looks: Mapping[str, drawing.Style],
) -> None:
  for axes, (game, points) in zip(row, games.items(), strict=True):
    for name, rank, returns in zip(points.names, *points.final, strict=True):
      marker = _marker(looks[found[name].agent], found[name].penalty)
      axes.plot(rank, returns / best[game], **marker)


def _label_row(
    row: Sequence[Axes],
    suite: suites.Suite,
    kind: str,
    games: Mapping[str, rank_return.Points],
) -> None:
  found, every = rank_return.correlation(games, rank_return.FINAL)
  for axes, game in zip(row, games, strict=True):
    place = ', '.join(filter(None, (game, kind)))
    axes.set_title(f'{place}\nSpearman {number(every[game])}')
    axes.set_xlabel(suite.axis(rank_return.RANK).label)
  what = (
      f"Return, of the {suite.place}'s best run" if suite.by_game
      else suite.axis(rank_return.return_column(suite)).label
  )
  mean = 'mean ' * (len(games) > 1)
  row[0].set_ylabel(f'{what}\n({mean}correlation {interval(found)})')


def _looks(agents: Sequence[str]) -> dict[str, drawing.Style]:
  """A colour and a marker for each agent, no two the same."""
  return {
      agent: drawing.Style(
          _COLORS[i % len(_COLORS)], marker=_MARKERS[i % len(_MARKERS)]
      )
      for i, agent in enumerate(dict.fromkeys(agents))
  }


def _marker(style: drawing.Style, penalty: bool) -> dict[str, Any]:
  return {
      'ls': 'none', 'marker': style.marker, 'ms': 4.5, 'mew': 0.9,
      'mec': style.color, 'mfc': 'none' if penalty else style.color,
      'alpha': 0.8,
  }


def _legend(
    canvas: Figure, looks: Mapping[str, drawing.Style], penalty: bool
) -> None:
  handles = [
      Line2D(
          [], [], **_marker(style, False),
          label=_LABELS.get(agent, agent.replace('_', ' ')),
      )
      for agent, style in looks.items()
  ]
  if penalty:
    grey = dataclasses.replace(drawing.BLUE, color='0.4')
    handles.append(
        Line2D([], [], **_marker(grey, True), label='hollow: with penalty')
    )
  canvas.legend(handles=handles, loc='outside lower center', ncols=3)


FIGURES = (
    figure('gridworld_rank_return', suites.GRIDWORLD, 'Gridworld'),
    figure('atari_rank_return', suites.ATARI, 'Offline Atari'),
    figure('atari_online_rank_return', suites.ATARI_ONLINE, 'Online Atari'),
    figure('minatar_rank_return', suites.MINATAR, 'MinAtar'),
    figure('mujoco_rank_return', suites.MUJOCO, 'MuJoCo'),
)
