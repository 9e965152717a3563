"""HTML that is escaped by construction."""

import html
import re
from collections.abc import Iterable, Sequence

_VOID = frozenset({'img', 'meta', 'input', 'col'})
# What no HTML may hold; a log may hold anything.
_CONTROL = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]')
_CODE = re.compile('`([^`]+)`')


class Html(str):
  """Text that is markup already, and is not escaped again."""

  __slots__ = ()


def text(value: str) -> Html:
  """A string as HTML that shows it; markup is left as it is.

  Args:
    value: whatever a file held.
  """
  if isinstance(value, Html):
    return value
  return Html(html.escape(_CONTROL.sub('\ufffd', value)))


def tag(name: str, /, *children: str, **attributes: str | bool | None) -> Html:
  """An element.

  Args:
    name: such as 'p'.
    *children: markup, or strings, which are escaped.
    **attributes: `class_` and `aria_label` are class and aria-label; True is
      an attribute without a value, None and False are none.
  """
  words = [name]
  for key, value in attributes.items():
    key = key.rstrip('_').replace('_', '-')
    if value is True:
      words.append(key)
    elif value is not None and value is not False:
      words.append(f'{key}="{text(value)}"')
  start = f'<{" ".join(words)}>'
  if name in _VOID:
    return Html(start)
  return Html(f'{start}{"".join(map(text, children))}</{name}>')


def join(children: Iterable[str], between: str = '') -> Html:
  """Markup and strings, one after another."""
  return Html(text(between).join(map(text, children)))


def with_code(value: str) -> Html:
  """A sentence whose `names` stand between backticks."""
  return Html(_CODE.sub(r'<code>\1</code>', text(value)))


def details(summary: str, *children: str, class_: str | None = None) -> Html:
  """Something folded."""
  return tag('details', tag('summary', summary), *children, class_=class_)


def command(words: str) -> Html:
  """A line to be copied."""
  return tag('pre', tag('code', words), class_='command')


def table(
    label: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    id_: str | None = None,
    class_: str | None = None,
) -> Html:
  """A table whose first column names the rows; wide ones scroll.

  Args:
    label: what it is, for those who do not see it.
    header: markup or text, one a column.
    rows: cells that are markup of td or th already, or text.
    id_: of the table.
    class_: of the table.
  """
  head = tag('tr', *map(_head, header))
  body = [tag('tr', *map(_cell, row, range(len(row)))) for row in rows]
  inner = tag(
      'table', tag('caption', label), tag('thead', head), tag('tbody', *body),
      id=id_, class_=class_,
  )
  return tag(
      'div', inner, class_='scroll', role='region', aria_label=label,
      tabindex='0',
  )


def _head(value: str) -> Html:
  if isinstance(value, Html) and value.startswith('<th'):
    return value
  return tag('th', value, scope='col')


def numeric_head(value: str) -> Html:
  """The head of a column of numbers."""
  return tag('th', value, scope='col', class_='number')


def _cell(value: str, column: int) -> Html:
  if isinstance(value, Html) and value.startswith(('<td', '<th')):
    return value
  return tag('td', value) if column else tag('th', value, scope='row')


def numeric(shown: str, value: float | None = None) -> Html:
  """A cell of a number.

  Args:
    shown: what it says.
    value: that it is sorted by; None for nothing to sort by.
  """
  key = '' if value is None else f'{value:.6g}'
  return tag('td', shown, class_='number', data_value=key)
