"""How a figure of curves is put together: a column of panels a game."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  drawing,
  game_runs,
  runs,
  seed_bootstrap,
  suites,
)
from implicit_underparam.figures.paper_figure import Line, PaperFigure

__all__ = ['Line', 'PaperFigure', 'draw', 'missing']

_WIDTH = 4.6
_GAME_WIDTH = 2.9  # Of a game beside another.
_PANEL_HEIGHT = 2.1
_LOW_PANEL_HEIGHT = 1.8  # Where games with several are in several rows.
_LOW_LABEL = 7  # Points of what stands beside such a panel.
_MARGIN = 1.3
_LEGEND_LINE = 0.2
_LEGEND_LENGTH = 40  # Letters that fit beside three lines.
_FEW_DECADES = 300  # Of steps on a log axis: 1, 2 and 5 are written.
_ONE_ROW = 5  # Games that are drawn side by side; of more, fewer in a row.
_IN_A_ROW = 4


def missing(
    figure: PaperFigure, collection: collection_lib.Collection
) -> list[str]:
  """The configurations that a figure needs and the collection lacks."""
  found = game_runs.find(figure, collection.of(figure.suite))
  there = {line.run for game in found.games for line in game.runs}
  return [name for name in figure.runs if name not in there]


def draw(
    figure: PaperFigure,
    collection: collection_lib.Collection,
    window: int = 1,
    title: str = '',
) -> Figure:
  """Draws a figure from the runs that there are.

  Args:
    figure: what to draw.
    collection: the runs.
    window: iterations of the running mean; 1 for none.
    title: what the runs are of, such as the game and the data; put below the
      figure's own.

  Returns:
    The drawn figure; a missing run is named in its legend, or above the panels
    of a game that lacks it.

  Raises:
    MissingRuns: none of its runs is there.
    UserError: a run cannot be read or lacks a column.
  """
  collection = collection.of(figure.suite)
  if figure.painter is not None and not figure.lines:
    return figure.painter(figure, collection, title)
  found = game_runs.find(figure, collection)
  if not found.games:
    what = game_runs.name(figure, collection)
    raise collection_lib.nothing_for(what, figure.runs, collection)
  if figure.painter is not None:
    return figure.painter(figure, collection, title)
  heading = _title(figure, found.note, collection.variant, window, title)
  return _draw_curves(figure, found, collection, window, heading)


def _draw_curves(
    figure: PaperFigure,
    found: game_runs.Found,
    collection: collection_lib.Collection,
    window: int,
    heading: str,
) -> Figure:
  handles = _handles(found, collection)
  ncols = 1 if found.absent else _num_columns(handles)
  lines = math.ceil(len(handles) / ncols)
  canvas, columns = _panels(len(found.games), len(figure.columns), lines)
  for place, game in enumerate(found.games):
    _draw_column(columns[place], figure, game.runs, window)
    columns[place][0].set_title(_game_title(game, found))
    _trim_labels(columns[place], place, len(found.games))
  canvas.suptitle(heading, fontsize=9)
  _legend(canvas, handles, ncols, found)
  return canvas


def _in_a_row(num_games: int) -> int:
  return num_games if num_games <= _ONE_ROW else _IN_A_ROW


def _trim_labels(panels: Sequence[Axes], place: int, num_games: int) -> None:
  for axes in panels:
    if place % _in_a_row(num_games):
      axes.set_ylabel('')
    elif num_games > _ONE_ROW:
      axes.yaxis.label.set_fontsize(_LOW_LABEL)


def _panels(
    num_games: int, num_panels: int, legend_lines: int
) -> tuple[Figure, list[list[Axes]]]:
  """An empty figure, and the panels of every game from the top."""
  width = _in_a_row(num_games)
  num_rows = math.ceil(num_games / width)
  low = num_rows > 1 and num_panels > 1
  panel = _LOW_PANEL_HEIGHT if low else _PANEL_HEIGHT
  height = _MARGIN + panel * num_panels * num_rows
  height += _LEGEND_LINE * max(0, legend_lines - 2)
  canvas = drawing.new_figure(
      _WIDTH + _GAME_WIDTH * (width - 1), height, 'constrained'
  )
  grid = canvas.subplots(num_rows * num_panels, width, squeeze=False)
  blocks = grid.reshape(num_rows, num_panels, width).swapaxes(1, 2)
  stacks: list[list[Axes]] = blocks.reshape(-1, num_panels).tolist()
  for unused in itertools.chain(*stacks[num_games:]):
    unused.remove()
  for *upper, last in stacks[:num_games]:
    for axes in upper:
      axes.sharex(last)
      axes.tick_params(which='both', labelbottom=False)
  return canvas, stacks[:num_games]


def _draw_column(
    panels: Sequence[Axes],
    figure: PaperFigure,
    there: Mapping[Line, runs.Run],
    window: int,
) -> None:
  x = figure.x or figure.suite.x
  for axes, column in zip(panels, figure.columns, strict=True):
    found = {
        line: drawing.smooth(run.curves(line.column or column, x), window)
        for line, run in there.items()
    }
    _draw_panel(axes, figure.suite.axis(column), found)
  along = np.concatenate([curves.x for curves in found.values()])
  _label_x(panels[-1], figure, along[along > 0])


def _draw_panel(
    axes: Axes, axis: suites.Axis, found: Mapping[Line, runs.Curves]
) -> None:
  values = np.concatenate([x.values.ravel() for x in found.values()])
  log = drawing.spans_decades(values) if axis.log is None else axis.log
  for line, curves in found.items():
    drawing.draw_seeds(axes, curves, line.style)
    drawing.draw_mean(axes, curves, line.style, log)
  label = axis.label
  if log:
    axes.set_yscale('log')
    label += ', geometric mean'
    if (values == 0).any():
      label += '\n(zero lies below the axis)'
  axes.set_ylabel(label)
  axes.margins(x=0.02)


def _label_x(axes: Axes, figure: PaperFigure, steps: np.ndarray) -> None:
  suite = figure.suite
  axis = suite.axis(figure.x) if figure.x else suites.Axis(suite.x_label)
  axes.set_xlabel(axis.label)
  if axis.log and len(steps):
    # Before the first gradient step there is a row, and no place for it.
    axes.set_xscale('log', nonpositive='mask')
    few = steps.max() < _FEW_DECADES * steps.min()
    subs = (1.0, 2.0, 5.0) if few else (1.0,)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
  if (figure.x or suite.x) != 'iteration':
    axes.xaxis.set_major_formatter(ticker.EngFormatter())


def _game_title(game: game_runs.Game, found: game_runs.Found) -> str:
  """The game, and which of the others' runs it lacks."""
  lacking = [
      line.label for line in found.lines
      if line not in game.runs and line not in found.absent
  ]
  if not lacking:
    return game.title
  return f'{game.title}\nno run: {"; ".join(lacking)}'.strip()


def _legend(
    canvas: Figure,
    handles: Sequence[drawing.Line2D],
    ncols: int,
    found: game_runs.Found,
) -> None:
  # matplotlib fills columns; rows are what is read.
  by_rows = [x for i in range(ncols) for x in handles[i::ncols]]
  legend = canvas.legend(
      handles=by_rows,
      loc='outside lower center',
      ncols=ncols,
      title=_legend_title(found),
      title_fontsize=7.5,
  )
  legend.get_title().set_multialignment('center')


def _legend_title(found: game_runs.Found) -> str:
  text = 'Mean over seeds and its 95% bootstrap interval; thin: every seed'
  counts = {len(r.seeds) for game in found.games for r in game.runs.values()}
  few = [count for count in counts if 1 < count < seed_bootstrap.MANY]
  if few:
    least = seed_bootstrap.coverage(min(few))
    text += f'\n(of {min(few)} seeds it covers {100 * least:.0f}% at most)'
  return text


def _num_columns(handles: Sequence[drawing.Line2D]) -> int:
  length = sum(len(str(handle.get_label())) for handle in handles)
  if len(handles) > 4:
    return 3
  too_wide = len(handles) == 3 and length > _LEGEND_LENGTH
  return 2 if len(handles) == 4 or too_wide else len(handles)


def _handles(
    found: game_runs.Found, collection: collection_lib.Collection
) -> list[drawing.Line2D]:
  handles = []
  for line in found.lines:
    if line in found.absent:
      name = collection_lib.full_name(line.run, collection.variant)
      handles.append(drawing.missing_handle(f'{line.label}: no run {name}'))
    else:
      handles.append(drawing.legend_handle(line.style, line.label))
  there = [x for game in found.games for x in game.runs.items()]
  handles += [
      drawing.missing_handle(f'{line.label}: {run.status}')
      for line, run in there if run.status.startswith(runs.CUT_SHORT)
  ]
  if any(run.stopped() for _, run in there):
    handles.append(drawing.stopped_handle())
  return handles


def _title(
    figure: PaperFigure, note: str, variant: str, window: int, title: str
) -> str:
  first = ', '.join(filter(None, (figure.title, note)))
  parts = [f'{first}\n{title}' if title else first]
  if variant:
    parts.append(variant)
  if window > 1:
    parts.append(f'running mean of {window} iterations')
  return ', '.join(parts)
