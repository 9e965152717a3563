"""What a figure of the paper consists of, and how it is put together."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import drawing, runs, suites

_WIDTH = 4.6
_GAME_WIDTH = 2.9  # Of a game beside another.
_PANEL_HEIGHT = 2.1
_MARGIN = 1.3
_LEGEND_LINE = 0.2
_LEGEND_LENGTH = 40  # Letters that fit beside three lines.


@dataclasses.dataclass(frozen=True)
class Line:
  """One curve of a figure.

  Attributes:
    run: the configuration it comes from.
    label: in the legend.
    style: colour and dashes.
    column: of the run; '' for the one that its panel is of.
  """

  run: str
  label: str
  style: drawing.Style
  column: str = ''


@dataclasses.dataclass(frozen=True)
class PaperFigure:
  """A figure of the paper: curves, in panels one below the other.

  Attributes:
    id: what `--figure` takes.
    title: one line.
    lines: the curves of every panel.
    columns: one a panel, from the top; a key of the suite's `axes` where the
      lines have columns of their own.
    suite: that the runs are of; it says what the axes are.
    also: other figures of the paper that this one stands for.
    x: column that training is drawn against; '' for the suite's.
    painter: draws it, given itself, the runs and the title, where it is not
      made of curves; `lines` then tell its runs alone, and are left out where
      it is of all runs of the suite.
  """

  id: str
  title: str
  lines: tuple[Line, ...]
  columns: tuple[str, ...]
  suite: suites.Suite = suites.GRIDWORLD
  also: tuple[str, ...] = ()
  x: str = ''
  painter: Callable[..., Figure] | None = None

  @property
  def runs(self) -> tuple[str, ...]:
    """The configurations that it shows, each once."""
    return tuple(dict.fromkeys(line.run for line in self.lines))

  def with_rank_column(self, column: str) -> 'PaperFigure':
    """The same figure with another column in the place of srank.

    Args:
      column: a column of metrics.csv.

    Raises:
      UserError: the figure does not draw srank.
    """
    if 'srank' not in self.columns:
      raise UserError(
          f'--column={column} takes the place of srank, which figure {self.id} '
          'does not draw: leave the flag out'
      )
    columns = tuple(column if x == 'srank' else x for x in self.columns)
    return dataclasses.replace(self, columns=columns)


def missing(
    figure: PaperFigure, collection: collection_lib.Collection
) -> list[str]:
  """The configurations that a figure needs and the collection lacks."""
  there = collection.of(figure.suite)
  return [name for name in figure.runs if not there.has(name)]


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
    The drawn figure; a missing run is named in its legend.

  Raises:
    MissingRuns: none of its runs is there.
    UserError: a run cannot be read or lacks a column.
  """
  collection = collection.of(figure.suite)
  if figure.painter is not None and not figure.lines:
    return figure.painter(figure, collection, title)
  absent = missing(figure, collection)
  if len(absent) == len(figure.runs):
    raise collection_lib.nothing_for(f'figure {figure.id}', absent, collection)
  if figure.painter is not None:
    return figure.painter(figure, collection, title)
  handles = _handles(figure, absent, collection)
  games = collection.games()
  ncols = 1 if absent else _num_columns(handles)
  height = _MARGIN + _PANEL_HEIGHT * len(figure.columns)
  height += _LEGEND_LINE * max(0, math.ceil(len(handles) / ncols) - 2)
  width = _WIDTH + _GAME_WIDTH * (len(games) - 1)
  canvas = drawing.new_figure(width, height, 'constrained')
  panels = canvas.subplots(
      len(figure.columns), len(games), sharex='col', squeeze=False
  )
  for column, (game, there) in zip(panels.T, games.items(), strict=True):
    _draw_column(column, figure, there, window)
    column[0].set_title(game)
  for axes in panels[:, 1:].flat:
    axes.set_ylabel('')
  canvas.suptitle(_title(figure, collection.variant, window, title), fontsize=9)
  _legend(canvas, handles, ncols)
  return canvas


def _draw_column(
    panels: Sequence[Axes],
    figure: PaperFigure,
    collection: collection_lib.Collection,
    window: int,
) -> None:
  x = figure.x or figure.suite.x
  for axes, column in zip(panels, figure.columns, strict=True):
    found = {
        line: drawing.smooth(run.curves(line.column or column, x), window)
        for line in figure.lines
        if (run := collection.get(line.run)) is not None
    }
    if found:
      _draw_panel(axes, figure.suite.axis(column), found)
  along = [curves.x.max() for curves in found.values()]
  _label_x(panels[-1], figure, max(along, default=0) > 0)


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


def _label_x(axes: Axes, figure: PaperFigure, any_step: bool) -> None:
  suite = figure.suite
  axis = suite.axis(figure.x) if figure.x else suites.Axis(suite.x_label)
  axes.set_xlabel(axis.label)
  if axis.log and any_step:
    # Before the first gradient step there is a row, and no place for it.
    axes.set_xscale('log', nonpositive='mask')
  if (figure.x or suite.x) != 'iteration':
    axes.xaxis.set_major_formatter(ticker.EngFormatter())


def _legend(
    canvas: Figure, handles: Sequence[drawing.Line2D], ncols: int
) -> None:
  # matplotlib fills columns; rows are what is read.
  by_rows = [x for i in range(ncols) for x in handles[i::ncols]]
  canvas.legend(
      handles=by_rows,
      loc='outside lower center',
      ncols=ncols,
      title='Mean over seeds and its 95% t interval; thin: every seed',
      title_fontsize=7.5,
  )


def _num_columns(handles: Sequence[drawing.Line2D]) -> int:
  length = sum(len(str(handle.get_label())) for handle in handles)
  if len(handles) > 4:
    return 3
  too_wide = len(handles) == 3 and length > _LEGEND_LENGTH
  return 2 if len(handles) == 4 or too_wide else len(handles)


def _handles(
    figure: PaperFigure,
    absent: Sequence[str],
    collection: collection_lib.Collection,
) -> list[drawing.Line2D]:
  handles = []
  for line in figure.lines:
    if line.run in absent:
      name = collection_lib.full_name(line.run, collection.variant)
      handles.append(drawing.missing_handle(f'{line.label}: no run {name}'))
    else:
      handles.append(drawing.legend_handle(line.style, line.label))
  runs_there = (
      there.get(name)
      for there in collection.games().values()
      for name in figure.runs
  )
  if any(run is not None and run.stopped() for run in runs_there):
    handles.append(drawing.stopped_handle())
  return handles


def _title(
    figure: PaperFigure, variant: str, window: int, title: str
) -> str:
  parts = [f'{figure.title}\n{title}' if title else figure.title]
  if variant:
    parts.append(variant)
  if window > 1:
    parts.append(f'running mean of {window} iterations')
  return ', '.join(parts)
