"""Figures as images inside the page, and in words."""

import base64
import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import drawing, game_runs, layout, runs
from implicit_underparam.figures.report import markup

_DPI = 192  # Two dots a pixel of the page.
_COLOURS = 128
_WIDE = 6.0  # Inches; two such do not fit beside each other.


def image(
    figure: layout.PaperFigure, collection: collection_lib.Collection,
    title: str = '',
) -> markup.Html:
  """A figure, drawn.

  Args:
    figure: what to draw.
    collection: the runs.
    title: what the runs are of.

  Raises:
    UserError: it cannot be drawn.
  """
  with drawing.settings():
    drawn = layout.draw(figure, collection, title=title)
    data = _png(drawn)
  width, height = drawn.get_size_inches()
  return markup.tag(
      'img',
      src=f'data:image/png;base64,{base64.b64encode(data).decode()}',
      alt=describe(figure, collection),
      width=f'{width * 96:.0f}',
      height=f'{height * 96:.0f}',
      class_='wide' if width > _WIDE else None,
  )


def _png(drawn: Figure) -> bytes:
  """In few colours: a third of the bytes of all of them, or of SVG."""
  drawn.set_dpi(_DPI)
  canvas = FigureCanvasAgg(drawn)
  canvas.draw()
  colours = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
  few = colours.quantize(_COLOURS, dither=Image.Dither.NONE)
  buffer = io.BytesIO()
  few.save(buffer, 'png', optimize=True)
  return buffer.getvalue()


def describe(
    figure: layout.PaperFigure, collection: collection_lib.Collection
) -> str:
  """What a figure shows, for those who do not see it.

  Args:
    figure: which.
    collection: the runs.
  """
  sentences = [f'Figure {figure.id}: {figure.title}.']
  if figure.painter is None:
    found = game_runs.find(figure, collection.of(figure.suite))
    sentences += (
        told
        for game in found.games
        for column in figure.columns
        if (told := _told(game, column))
    )
  return ' '.join(sentences)


def _told(game: game_runs.Game, column: str) -> str:
  """Where each curve of a panel begins and ends."""
  ends = []
  for line, run in game.runs.items():
    name = line.column or column
    mean = seed_mean(run, name) if name in run.columns else np.empty(0)
    there = mean[np.isfinite(mean)]
    if len(there):
      ends.append(f'{line.label} from {there[0]:.3g} to {there[-1]:.3g}')
  place = f'{game.title}, ' if game.title else ''
  return f'{place}{column}: {"; ".join(ends)}.' if ends else ''


def seed_mean(run: runs.Run, column: str) -> np.ndarray:
  """[K] a column's mean over the seeds that have a number; NaN where none.

  Args:
    run: of which.
    column: that it has.
  """
  values = run.curves(column).values
  there = np.isfinite(values)
  count = there.sum(0)
  total = np.where(there, values, 0).sum(0)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)
