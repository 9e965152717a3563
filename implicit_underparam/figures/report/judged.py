"""The verdicts: which claims the runs support."""

import collections
from collections.abc import Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import ledger, markdown_tables, verdicts
from implicit_underparam.figures.ledger import Entry
from implicit_underparam.figures.report import drawn, markup
from implicit_underparam.figures.report.material import Material
from implicit_underparam.figures.report.markup import Html, tag

_HEADER = ('Claim', 'Effect [95% interval]', 'Verdict', 'Runs', 'Notes')


def write(material: Material) -> Html:
  """The section; empty where there is nothing to judge."""
  if material.collection is None:
    return Html('')
  try:
    entries = ledger.entries(material.collection)
  except UserError as error:
    return _section(tag('p', f'Not judged: {error}.', class_='problem'))
  by_experiment: dict[str, list[Entry]] = {}
  for entry in entries:
    by_experiment.setdefault(entry.experiment, []).append(entry)
  chosen = {
      id_: parts for id_, parts in by_experiment.items()
      if id_ in material.sweep.experiments or any(map(_was_run, parts))
  }
  if not chosen:
    return Html('')
  drawn_ids = {figure.id for figure in material.shown}
  return _section(
      tag(
          'p', 'A claim holds if the 95% interval of its effect lies wholly '
          'on the claimed side, does not hold if it lies wholly on the other '
          'side, and is unclear otherwise.', class_='soft',
      ),
      *(_experiment(parts, drawn_ids) for parts in chosen.values()),
  )


def _section(*children: str) -> Html:
  return tag('section', tag('h2', 'Verdicts'), *children, id='verdicts')


def _was_run(entry: Entry) -> bool:
  return entry.verdict != verdicts.NOT_RUN


def _experiment(parts: Sequence[Entry], drawn_ids: set[str]) -> Html:
  id_ = parts[0].experiment
  counts = collections.Counter(entry.verdict for entry in parts)
  told = ', '.join(f'{n} {verdict}' for verdict, n in counts.items())
  rows = [_row(entry) for entry in parts if _was_run(entry)]
  unrun = [entry for entry in parts if not _was_run(entry)]
  body = [markup.table(f'Claims of {id_}', _HEADER, rows, class_='claims')]
  if unrun:
    body.append(_not_run(unrun))
  summary = markup.join((
      tag('span', id_, class_='experiment'), ' ',
      _verdict(ledger.headline(parts)), tag('span', told, class_='soft'),
  ), ' ')
  return markup.details(
      summary, *_figures(parts[0], drawn_ids), *(body if rows else body[1:]),
      class_='opens',
  )


def _figures(entry: Entry, drawn_ids: set[str]) -> list[Html]:
  links = [
      tag('a', f'Figure {x}', href=f'#{drawn.anchor(x)}')
      for x in entry.figures
      if x in drawn_ids
  ]
  return [tag('p', markup.join(links, ', '))] if links else []


def _row(entry: Entry) -> list[str]:
  effect = markdown_tables.interval(entry.effect)
  runs = [x for x in (entry.scale, entry.setting, entry.games) if x]
  if entry.agree:
    effect = f'{effect} {entry.agree} agree'.strip()
  return [
      tag('th', markup.with_code(entry.claim), scope='row'),
      tag('td', effect, class_='number'),
      tag('td', _verdict(entry.verdict)),
      tag('td', markup.with_code('; '.join(runs))),
      tag('td', markup.with_code(entry.notes)),
  ]


def _verdict(verdict: str) -> Html:
  return tag('span', verdict, class_=f'verdict {verdict.replace(" ", "-")}')


def _not_run(entries: Sequence[Entry]) -> Html:
  items = (tag('li', markup.with_code(entry.claim)) for entry in entries)
  return markup.details(f'{len(entries)} not run', tag('ul', *items))
