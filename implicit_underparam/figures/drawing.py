"""The look of every figure: colours, axes, a curve with its band, saving."""

import contextlib
import dataclasses
import io
import os
import pathlib
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from implicit_underparam.errors import UserError
from implicit_underparam.figures import (
  runs,
  seed_bootstrap,
  series,
  statistics,
)

_SETTINGS: dict[Any, Any] = {
    'font.family': 'sans-serif',
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '0.9',
    'grid.linewidth': 0.6,
    'legend.frameon': False,
    'legend.handlelength': 3.2,
    'savefig.dpi': 200,
    # Editable text instead of outlines.
    'pdf.fonttype': 42,
}
_CROSS: dict[str, Any] = {
    'marker': 'X', 'ms': 7, 'mec': 'black', 'mew': 0.8, 'ls': 'none',
}
_DECADES = 100  # A column that spans this ratio is drawn on a log axis.


@dataclasses.dataclass(frozen=True)
class Style:
  """How a curve is told from the others, in colour and in grey.

  Attributes:
    color: of Okabe and Ito's palette; of viridis where it means a number.
    dashes: matplotlib's (offset, on and off lengths), or '-'.
    marker: set now and then on the curve, for where noise hides the dashes.
  """

  color: str
  dashes: str | tuple[int, tuple[float, ...]] = '-'
  marker: str = ''

  @property
  def line(self) -> dict[str, Any]:
    """What matplotlib's lines take."""
    return {
        'color': self.color, 'ls': self.dashes, 'lw': 1.6,
        'marker': self.marker, 'ms': 5.5, 'mec': 'black', 'mew': 0.6,
    }


BLUE = Style('#0072B2', '-', 'o')
ORANGE = Style('#E69F00', (0, (4, 1, 1, 1)), '^')
GREEN = Style('#009E73', (0, (2, 1)), 's')
BLACK = Style('#000000', (0, (5, 2)))
PURPLE = Style('#CC79A7', (0, (6, 1, 1, 1, 1, 1)), 'D')
PLAIN = Style('#0072B2')
DOTTED = Style('#D55E00', (0, (1, 1)))
# For a number that rises: darker, in grey as well.
RISING = (
    Style('#8BD646', (0, (1, 1)), 'v'),
    Style('#2DB27D', (0, (3, 1)), 's'),
    Style('#277F8E', (0, (6, 1, 1, 1)), '^'),
    Style('#3F4788', (0, (8, 2)), 'D'),
    Style('#440154', '-', 'o'),
)


def settings() -> contextlib.AbstractContextManager[None]:
  """The look, for the block in which a figure is made and saved."""
  return matplotlib.rc_context(_SETTINGS)


def new_figure(
    width: float, height: float, layout: Literal['constrained', 'tight']
) -> Figure:
  """An empty figure on an Agg canvas.

  Args:
    width: inches.
    height: inches.
    layout: matplotlib's layout engine.
  """
  figure = Figure(figsize=(width, height), layout=layout)
  FigureCanvasAgg(figure)
  return figure


def spans_decades(values: np.ndarray) -> bool:
  """Whether a log axis suits: all positive, and over a ratio of 100.

  Args:
    values: any shape; NaN and infinities are left out.
  """
  finite = values[np.isfinite(values)]
  if not len(finite) or finite.min() <= 0:
    return False
  return bool(finite.max() > _DECADES * finite.min())


def smooth(curves: runs.Curves, window: int) -> runs.Curves:
  """Every seed's running mean, at the middles of the windows.

  Args:
    curves: a column of a run.
    window: iterations; 1 leaves the curves as they are.
  """
  rows = series.window_rows(curves.iterations, window)
  return runs.Curves(
      curves.seeds,
      statistics.running_mean(curves.iterations.astype(float), rows),
      statistics.running_mean(curves.values, rows),
      statistics.running_mean(curves.x, rows),
  )


def draw_seeds(axes: Axes, curves: runs.Curves, style: Style) -> None:
  """Draws every seed thin, with a cross where it ends before the others."""
  for values in curves.values:
    axes.plot(
        curves.x, values, color=style.color, lw=0.5, alpha=0.35, zorder=2,
    )
    there = np.flatnonzero(~np.isnan(values))
    if len(there) and there[-1] + 2 < len(values):
      x, y = curves.x[there[-1]], values[there[-1]]
      axes.plot(x, y, **_CROSS, color=style.color, zorder=5)


def draw_mean(
    axes: Axes, curves: runs.Curves, style: Style, log: bool = False
) -> None:
  """Draws the mean over seeds and its 95% bootstrap interval.

  Args:
    axes: where.
    curves: a column of a run.
    style: colour and dashes.
    log: whether to average logarithms: the mean is then the geometric one.
  """
  # The geometric mean of values with a zero is zero: off a log axis.
  with np.errstate(divide='ignore'):
    values = np.log(curves.values) if log else curves.values
  mean, low, high = seed_bootstrap.bands(values)
  if log:
    mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
  axes.fill_between(
      curves.x, low, high, color=style.color, alpha=0.2, lw=0, zorder=1,
  )
  axes.plot(
      curves.x, mean, **style.line, zorder=3,
      markevery=max(1, len(mean) // 8),
  )


def legend_handle(style: Style, label: str) -> Line2D:
  """A legend's entry for a curve that is drawn."""
  return Line2D([], [], **style.line, label=label)


def stopped_handle() -> Line2D:
  """A legend's entry for the crosses of `draw_seeds`."""
  return Line2D([], [], **_CROSS, color='0.7', label='a seed stopped')


def missing_handle(label: str) -> Line2D:
  """A legend's entry for a curve whose run is missing."""
  return Line2D([], [], ls='none', label=label)


def save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  """Writes a figure as a whole: a reader sees the old file or the new one.

  Args:
    figure: what to write.
    path: where; the suffix says the format.

  Returns:
    The path.

  Raises:
    UserError: the file could not be written.
  """
  buffer = io.BytesIO()
  # Without a date the same runs give the same bytes.
  metadata = {'CreationDate': None} if path.suffix == '.pdf' else None
  figure.savefig(buffer, format=path.suffix[1:], metadata=metadata)
  write(path, buffer.getvalue())
  return path


def write(path: pathlib.Path, data: bytes) -> None:
  """Replaces a file as a whole.

  Args:
    path: the file; its folder is made if need be.
    data: what it is to hold.

  Raises:
    UserError: it could not be written; an old file is then untouched.
  """
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(data)
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)
    raise UserError(
        f'{path} could not be written: {error.strerror or error}; put this '
        'right, or choose another folder'
    ) from error
