"""The picture that every run leaves: rank and return against iterations."""

import dataclasses
import os
import pathlib
import typing

from implicit_underparam.errors import UserError
from implicit_underparam.figures import runs, suites

if typing.TYPE_CHECKING:
  from matplotlib.axes import Axes

_RANK = ('srank', 'srank_free')
_RETURNS = ('normalized_return', 'eval_return')
# What a column's name does not tell.
_LABELS = {
    'normalized_return': 'normalized_return\n(0 uniform policy, 1 expert)',
}
_LEGEND = {
    'srank': 'srank: all states',
    'srank_free': 'srank_free: without the walls',
}
_FEW = 15  # Rows of a seed that are marked one by one.


def draw(path: str | os.PathLike[str]) -> pathlib.Path:
  """Draws srank and return of one run, every seed thin and the mean thick.

  Where a run lacks one of them, its loss takes the place.

  Args:
    path: the run's folder, with metrics.csv.

  Returns:
    The path of the picture, path/summary.png.

  Raises:
    UserError: metrics.csv cannot be read or has no row, or the picture cannot
      be written.
  """
  # Imported late: a run that starts need not wait for matplotlib.
  from implicit_underparam.figures import drawing, theory_summary

  folder = pathlib.Path(path)
  run = runs.read(folder)
  if run is None:
    raise UserError(f'{folder} has no row in its metrics.csv: run it longer')
  if runs.read_environment(folder) == suites.THEORY.environment:
    return theory_summary.draw(folder, run)
  panels = choose_panels(run.columns)
  with drawing.settings():
    figure = drawing.new_figure(4 * len(panels), 3, 'tight')
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, columns in zip(axes, panels, strict=True):
      _draw_panel(panel, run, columns)
    name = os.path.basename(os.path.abspath(folder))
    figure.suptitle(f'{name} ({_seeds(len(run.seeds))})')
    return drawing.save(figure, folder / 'summary.png')


def choose_panels(columns: tuple[str, ...]) -> list[tuple[str, ...]]:
  """The columns that go together in a panel.

  Args:
    columns: of metrics.csv.

  Returns:
    One or two panels.
  """
  ranks = tuple(name for name in _RANK if name in columns)
  returns = tuple(name for name in _RETURNS if name in columns)[:1]
  panels = [panel for panel in (ranks, returns) if panel]
  if len(panels) < 2 and 'loss' in columns:
    panels.append(('loss',))
  # Without any of these, the first metric; without metrics, a count.
  return panels or [columns[len(runs.COLUMNS):][:1] or columns[-1:]]


def _draw_panel(
    axes: 'Axes', run: runs.Run, columns: tuple[str, ...]
) -> None:
  from matplotlib import ticker

  from implicit_underparam.figures import drawing

  marker = 'o' if len(run.iterations) <= _FEW else ''
  styles = [
      dataclasses.replace(style, marker=marker)
      for style in (drawing.PLAIN, drawing.DOTTED)
  ]
  for column, style in zip(columns, styles, strict=False):
    curves = run.curves(column)
    drawing.draw_seeds(axes, curves, style)
    drawing.draw_mean(axes, curves, style)
  if drawing.spans_decades(run.curves(columns[0]).values):
    axes.set_yscale('log')
  axes.set_xlabel(f'Iteration ({run.gradient_steps:,} gradient steps in all)')
  axes.xaxis.set_major_locator(ticker.MaxNLocator('auto', integer=True))
  axes.set_ylabel(_LABELS.get(columns[0], columns[0]))
  if len(columns) > 1:
    names = (_LEGEND.get(column, column) for column in columns)
    handles = map(drawing.legend_handle, styles, names)
    axes.legend(handles=list(handles), fontsize=8)


def _seeds(count: int) -> str:
  return f'{count} seed{"" if count == 1 else "s"}'
