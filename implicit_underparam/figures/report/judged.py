"""The verdicts: which claims the runs support."""

import collections
from collections.abc import Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import ledger, markdown_tables, verdicts
from implicit_underparam.figures.experiments import Experiment
from implicit_underparam.figures.ledger import Entry, Headline
from implicit_underparam.figures.report import drawn, markup
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

_VERDICTS = (
    verdicts.HOLDS, verdicts.FAILS, verdicts.UNCLEAR, verdicts.NOT_RUN
)
_HEADER = (
    'Claim', 'Verdict', markup.numeric_head('Effect [95% interval]'), 'Runs'
)


def write(material: Material) -> Html:
  """The section; empty where there is nothing to judge."""
  if material.collection is None:
    return Html('')
  try:
    entries = ledger.entries(material.collection)
  except UserError as error:
    return _section(tag('p', f'Not judged: {error}.', class_='problem'))
  chosen = [
      x for x in ledger.headlines(entries)
      if x.verdict != verdicts.NOT_RUN
      or x.experiment.id in material.sweep.experiments
  ]
  if not chosen:
    return Html('')
  drawn_ids = {figure.id for figure in material.shown}
  return _section(
      tag(
          'p', 'A claim holds if the 95% interval of its effect lies wholly '
          'on the claimed side, does not hold if it lies wholly on the other '
          'side, and is unclear otherwise, or where the interval has no width '
          'and comes of fewer than five numbers. A statement of the theory '
          'holds if it does on every instance.', class_='soft',
      ),
      *(_experiment(x, drawn_ids) for x in chosen),
  )


def _section(*children: str) -> Html:
  return tag('section', tag('h2', 'Verdicts'), *children, id='verdicts')


def _experiment(headline: Headline, drawn_ids: set[str]) -> Html:
  experiment, parts = headline.experiment, headline.parts
  counts = collections.Counter(entry.verdict for entry in parts)
  told = ', '.join(f'{counts[x]} {x}' for x in _VERDICTS if counts[x])
  scale = f'scale {headline.scale}: ' if headline.scale else ''
  summary = markup.join((
      tag('span', experiment.id, class_='experiment'),
      _verdict(headline.verdict),
      tag(
          'span', f'{experiment.claim} ',
          tag('span', f'{scale}{told}', class_='soft'), class_='claim',
      ),
  ), ' ')
  rows = [_row(entry) for entry in parts if entry.verdict != verdicts.NOT_RUN]
  unrun = [entry for entry in parts if entry.verdict == verdicts.NOT_RUN]
  body = [*_figures(experiment, drawn_ids)]
  if rows:
    label = f'Claims of {experiment.id}'
    body.append(markup.table(label, _HEADER, rows, class_='claims'))
  if unrun:
    body.append(_not_run(unrun))
    body.append(markup.command(headline.command))
  return markup.details(summary, *body, class_='experiment-entry')


def _figures(experiment: Experiment, drawn_ids: set[str]) -> list[Html]:
  links = [
      tag('a', f'Figure {x}', href=f'#{drawn.anchor(x)}')
      for x in experiment.figures
      if x in drawn_ids
  ]
  return [tag('p', markup.join(links, ', '), class_='lead')] if links else []


def _row(entry: Entry) -> list[str]:
  effect = markdown_tables.interval(entry.effect)
  runs = '; '.join(x for x in (entry.setting, entry.games) if x)
  if entry.agree:
    effect = f'{effect} {entry.agree} agree'.strip()
  return [
      tag('th', markup.with_code(entry.claim), scope='row'),
      tag('td', _verdict(entry.verdict)),
      tag('td', effect, class_='number'),
      tag(
          'td', markup.with_code(runs), ' ',
          tag('span', markup.with_code(entry.notes), class_='soft'),
      ),
  ]


def _verdict(verdict: str) -> Html:
  return tag('span', verdict, class_=f'verdict {verdict.replace(" ", "-")}')


def _not_run(entries: Sequence[Entry]) -> Html:
  items = (tag('li', markup.with_code(entry.claim)) for entry in entries)
  return markup.details(f'{len(entries)} not run', tag('ul', *items))
