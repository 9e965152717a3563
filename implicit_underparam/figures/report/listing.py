"""The table of the runs."""

import math

import numpy as np

from implicit_underparam.figures import runs, series
from implicit_underparam.figures.report import (
  folders,
  markup,
  pictures,
  times,
)
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

_RANKS = ('srank', 'srank_map', 'srank_copied')
_RETURNS = ('normalized_return', 'eval_return')
_NUMBERS = ('Seeds', 'Iterations', 'Time', 'srank', 'Return')
_HEADER = (
    'Run', 'State', *map(markup.numeric_head, _NUMBERS), 'srank over training'
)
_WIDTH, _HEIGHT = 120, 24  # Of a sparkline, in its own units.
_POINTS = 48


def write(material: Material) -> Html:
  """The section."""
  rows = [_row(run, material.now) for run in material.runs]
  return tag(
      'section',
      tag('h2', 'Runs'),
      tag(
          'p', 'srank and return: mean over seeds ± standard deviation, of a '
          "seed's last tenth of iterations; gridworld returns are normalised "
          '(0 uniform policy, 1 expert). The small curves begin at zero, and '
          'are each to their own scale.', class_='soft',
      ),
      markup.table('Runs', _HEADER, rows, 'runs-table', 'runs'),
      *_preparations(material),
      id='runs',
  )


def _row(run: folders.ReportedRun, now: float) -> list[str]:
  seconds = run.seconds(now)
  planned = '' if run.planned is None else f' of {run.planned}'
  done = f'{run.done}{planned}' if run.rows or planned else ''
  return [
      tag('th', run.name, scope='row'),
      _state(run),
      markup.numeric(_seeds(run.seeds), len(run.seeds)),
      markup.numeric(done, run.done if done else None),
      markup.numeric(times.length(seconds), seconds),
      _final(run.rows, _RANKS),
      _final(run.rows, _RETURNS),
      tag('td', _sparkline(run.rows)),
  ]


def _state(run: folders.ReportedRun) -> Html:
  class_ = f'state {run.state.replace(" ", "-")}'
  told = [tag('span', run.state, class_=class_)]
  if run.state != 'unreadable' and any(part.problem for part in run.parts):
    told.append(tag('span', 'unreadable', class_='state failed'))
  if len(run.parts) > 1:
    done = sum(part.state == 'done' for part in run.parts)
    parts = f'{done} of {len(run.parts)} parts done'
    told.append(tag('span', parts, class_='soft'))
  reasons = dict.fromkeys(x.reason for x in run.parts if x.state == 'waiting')
  told += (tag('span', x, class_='soft') for x in reasons if x)
  return tag('td', markup.join(told, ', '))


def _seeds(seeds: list[int]) -> str:
  if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
    return f'{len(seeds)} ({seeds[0]}–{seeds[-1]})'
  return f'{len(seeds)}' if seeds else ''


def _column(run: runs.Run | None, names: tuple[str, ...]) -> str:
  columns = () if run is None else run.columns
  return next((name for name in names if name in columns), '')


def _final(run: runs.Run | None, names: tuple[str, ...]) -> Html:
  column = _column(run, names)
  if run is None or not column:
    return markup.numeric('')
  curves = run.curves(column)
  finite = np.isfinite(curves.values)
  ends = np.array([
      series.end(curves.iterations[there], values[there])
      for values, there in zip(curves.values, finite, strict=True)
      if there.any()
  ])
  if not len(ends):
    return markup.numeric('')
  mean = float(ends.mean())
  spread = float(ends.std(ddof=1)) if len(ends) > 1 else 0.0
  return markup.numeric(with_spread(mean, spread), mean)


def with_spread(mean: float, spread: float) -> str:
  """A mean to the digits that its spread leaves it, and the spread.

  Args:
    mean: any finite number.
    spread: not negative; 0 is not written.
  """
  if not spread or not 1e-4 < max(abs(mean), spread) < 1e6:
    told = f' ± {spread:.2g}' if spread else ''
    return f'{mean:.3g}{told}'.replace('-', '−')
  digits = min(4, max(0, 1 - math.floor(math.log10(spread))))
  return f'{mean:.{digits}f} ± {spread:.{digits}f}'.replace('-', '−')


def _sparkline(run: runs.Run | None) -> Html:
  column = _column(run, _RANKS)
  if run is None or not column:
    return Html('')
  mean = pictures.seed_mean(run, column)
  values = mean[np.isfinite(mean)]
  if len(values) < 2:
    return Html('')
  chosen = np.linspace(0, len(values) - 1, min(_POINTS, len(values)))
  y = values[chosen.round().astype(int)]
  top = max(float(y.max()), 1e-9)
  points = ' '.join(
      f'{_WIDTH * i / (len(y) - 1):.0f},{_HEIGHT * (1 - v / top):.1f}'
      for i, v in enumerate(y)
  )
  told = f'{column} from {values[0]:.3g} to {values[-1]:.3g}'
  told += f', highest {values.max():.3g}'
  return tag(
      'svg', tag('title', told), tag('polyline', points=points),
      viewBox=f'-1 -2 {_WIDTH + 2} {_HEIGHT + 4}', class_='spark', role='img',
      aria_label=told,
  )


def _preparations(material: Material) -> list[Html]:
  if not material.preparations:
    return []
  rows = [
      [x.name, x.state, markup.numeric(times.length(x.seconds(material.now))),
       x.reason]
      for x in material.preparations
  ]
  header = ('Set', 'State', markup.numeric_head('Time'), 'Why')
  inner = markup.table('Sets of data to prepare', header, rows)
  what = 'set' if len(rows) == 1 else 'sets'
  return [markup.details(f'{len(rows)} {what} of data to prepare', inner)]
