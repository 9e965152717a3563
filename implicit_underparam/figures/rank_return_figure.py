"""Draws return against rank at the end of every MinAtar run and seed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import drawing, layout, rank_return
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.markdown_tables import interval, number

_PANEL = 2.6
# Beginning of a run's name -> what it is called and how it is drawn.
_AGENTS = {
    'dqn_offline': ('offline DQN', drawing.BLUE),
    'cql_offline': ('offline CQL', drawing.ORANGE),
    'fqe_offline': ('fitted Q evaluation', drawing.GREEN),
    'mc_offline': ('Monte-Carlo returns', drawing.PURPLE),
    'dqn_online': ('online DQN', drawing.BLUE),
    'dqn_log': ('online DQN, the log', drawing.GREEN),
    'rainbow_online': ('online Rainbow', drawing.ORANGE),
}


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
  """
  games = Games(collection)
  kinds = {
      kind: {
          game: rank_return.collect(x, names)
          for game, x in games.collections.items()
      }
      for kind, names in rank_return.KINDS.items()
  }
  there = [k for k, x in kinds.items() if any(p.names for p in x.values())]
  width, height = _PANEL * len(games.collections) + 1, _PANEL * len(there) + 1.6
  canvas = drawing.new_figure(width, height, 'constrained')
  panels = canvas.subplots(len(there), len(games.collections), squeeze=False)
  for row, kind in zip(panels, there, strict=True):
    _draw_row(row, kind, kinds[kind], games.references)
  names = dict.fromkeys(
      name for kind in there for x in kinds[kind].values() for name in x.names
  )
  _legend(canvas, list(names))
  heading = f'{figure.title}\n{title}' if title else figure.title
  canvas.suptitle(heading, fontsize=9)
  return canvas


def _draw_row(
    row: np.ndarray,
    kind: str,
    games: Mapping[str, rank_return.Points],
    references: Mapping[str, float],
) -> None:
  found, every = rank_return.correlation(games, rank_return.FINAL)
  for axes, (game, points) in zip(row, games.items(), strict=True):
    _scatter(axes, points, references[game])
    axes.set_title(f'{game}, {kind}\nSpearman {number(every[game])}')
    axes.set_xlabel('Effective rank srank$_{0.01}$ (of 128)')
  mean = interval(found)
  row[0].set_ylabel(
      "Return, of the game's best run\n"
      f'(mean correlation {mean})'
  )


def _scatter(axes: Axes, points: rank_return.Points, reference: float) -> None:
  for name, rank, returns in zip(points.names, *points.final, strict=True):
    _, style = _agent(name)
    axes.plot(rank, returns / reference, **_marker(style, '_alpha' in name))


def _agent(name: str) -> tuple[str, drawing.Style]:
  return next(x for key, x in _AGENTS.items() if name.startswith(key))


def _marker(style: drawing.Style, penalty: bool) -> dict[str, Any]:
  return {
      'ls': 'none', 'marker': style.marker, 'ms': 4.5, 'mew': 0.9,
      'mec': style.color, 'mfc': 'none' if penalty else style.color,
      'alpha': 0.8,
  }


def _legend(canvas: Figure, names: list[str]) -> None:
  agents = dict.fromkeys(_agent(name) for name in names)
  handles = [
      Line2D([], [], **_marker(style, False), label=label)
      for label, style in agents
  ]
  if any('_alpha' in name for name in names):
    grey = dataclasses.replace(drawing.BLUE, color='0.4')
    handles.append(
        Line2D([], [], **_marker(grey, True), label='hollow: with penalty')
    )
  canvas.legend(handles=handles, loc='outside lower center', ncols=4)
