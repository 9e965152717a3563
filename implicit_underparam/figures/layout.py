"""What a figure of the paper consists of, and how it is put together."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import drawing, runs

_LABELS = {
    'srank': 'Effective rank srank$_{0.01}$\n(all states; at most 64)',
    'srank_free': 'Effective rank srank$_{0.01}$\n(free cells; at most 64)',
    'srank_minibatch': (
        'Effective rank srank$_{0.01}$\n(2048 transitions; at most 64)'
    ),
    'normalized_return': 'Normalised return\n(0 uniform policy, 1 expert)',
    'q_star_fit_error': '$Q^*$ fitting error (reward$^2$)\nmean square',
}
_WIDTH = 4.6
_PANEL_HEIGHT = 2.1
_MARGIN = 1.3


@dataclasses.dataclass(frozen=True)
class Line:
  """One curve of a figure.

  Attributes:
    run: the configuration it comes from.
    label: in the legend.
    style: colour and dashes.
  """

  run: str
  label: str
  style: drawing.Style


@dataclasses.dataclass(frozen=True)
class PaperFigure:
  """A figure of the paper: curves, in panels one below the other.

  Attributes:
    id: what `--figure` takes.
    title: one line.
    lines: the curves of every panel.
    columns: one a panel, from the top.
  """

  id: str
  title: str
  lines: tuple[Line, ...]
  columns: tuple[str, ...]

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
  names = [line.run for line in figure.lines]
  return [name for name in names if collection.get(name) is None]


def draw(
    figure: PaperFigure,
    collection: collection_lib.Collection,
    window: int = 1,
) -> Figure:
  """Draws a figure from the runs that there are.

  Args:
    figure: what to draw.
    collection: the runs.
    window: iterations of the running mean; 1 for none.

  Returns:
    The drawn figure; a missing run is named in its legend.

  Raises:
    MissingRuns: none of its runs is there.
    UserError: a run cannot be read or lacks a column.
  """
  absent = missing(figure, collection)
  if len(absent) == len(figure.lines):
    raise collection_lib.nothing_for(f'figure {figure.id}', absent, collection)
  height = _MARGIN + _PANEL_HEIGHT * len(figure.columns)
  canvas = drawing.new_figure(_WIDTH, height, 'constrained')
  panels = canvas.subplots(len(figure.columns), sharex=True, squeeze=False)
  for axes, column in zip(panels[:, 0], figure.columns, strict=True):
    found = {
        line: drawing.smooth(run.curves(column), window)
        for line in figure.lines
        if (run := collection.get(line.run)) is not None
    }
    _draw_panel(axes, column, found)
  panels[-1, 0].set_xlabel('Fitting iteration')
  canvas.suptitle(_title(figure, collection.variant, window), fontsize=9)
  handles = _handles(figure, absent, collection)
  canvas.legend(
      handles=handles,
      loc='outside lower center',
      ncols=1 if absent else 2 if len(handles) == 4 else len(handles),
      title='Mean over seeds and its 95% t interval; thin: every seed',
      title_fontsize=7.5,
  )
  return canvas


def _draw_panel(
    axes: Axes, column: str, found: Mapping[Line, runs.Curves]
) -> None:
  everything = [curves.values.ravel() for curves in found.values()]
  log = drawing.spans_decades(np.concatenate(everything))
  for line, curves in found.items():
    drawing.draw_seeds(axes, curves, line.style)
    drawing.draw_mean(axes, curves, line.style, log)
  label = _LABELS.get(column, column)
  if log:
    axes.set_yscale('log')
    label += ', geometric mean'
  axes.set_ylabel(label)
  axes.margins(x=0.02)


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
  runs_there = filter(None, (collection.get(x.run) for x in figure.lines))
  if any(run.stopped() for run in runs_there):
    handles.append(drawing.stopped_handle())
  return handles


def _title(figure: PaperFigure, variant: str, window: int) -> str:
  parts = [figure.title]
  if variant:
    parts.append(variant)
  if window > 1:
    parts.append(f'running mean of {window}')
  return ', '.join(parts)
