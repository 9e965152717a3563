"""Numbers, intervals and tables in Markdown."""

import math
from collections.abc import Iterable, Sequence

from implicit_underparam.figures.statistics import Interval


def number(value: float) -> str:
  """Three digits, with a minus sign that is one."""
  if math.isnan(value):
    return 'undefined'
  return f'{value:.3g}'.replace('-', '−')


def interval(found: Interval | None, percent: bool = False) -> str:
  """An effect with its interval, in a cell of a table; '' for none."""
  if found is None:
    return ''
  if math.isnan(found.mean):
    return 'undefined'
  scale, unit = (100, '%') if percent else (1, '')
  mean, low, high = (
      number(x * scale) for x in (found.mean, found.low, found.high)
  )
  ends = 'no interval' if math.isnan(found.low) else f'{low}, {high}'
  return f'{mean}{unit} [{ends}]'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A table."""
  lines = [header, ('---',) * len(header), *rows]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
