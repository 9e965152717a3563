"""Writes the ledger down: a document in Markdown, and a CSV of every part."""

import collections
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from implicit_underparam.figures import experiments, ledger, scales, verdicts
from implicit_underparam.figures.ledger import Headline
from implicit_underparam.figures.ledger_types import Entry
from implicit_underparam.figures.markdown_tables import interval, table

_VERDICTS = (
    verdicts.HOLDS, verdicts.FAILS, verdicts.UNCLEAR, verdicts.NOT_RUN
)
_FEW = 3  # Effects that a row of the first tables lists.
_SECTIONS: Mapping[str, str] = {
    experiments.PAPER: "The paper's experiments",
    experiments.MINATAR: "The paper's claims about Atari, asked of MinAtar",
    experiments.OWN: "This project's own questions",
}
COLUMNS = (
    'experiment', 'kind', 'figures', 'claim', 'counts', 'scale', 'setting',
    'seeds', 'games', 'effect', 'low', 'high', 'agree', 'verdict', 'notes',
)
_RULE = """\
One row an experiment, with one verdict at every scale that it was run at; \
its parts, each with its runs, are further below. **Verdict of a part.** It \
*holds* if the 95% interval of its effect lies wholly on the claimed side of \
the threshold, *does not hold* if it lies wholly on the other side, and is \
*unclear* otherwise, or where the interval has no width and comes of fewer \
than five numbers; a statement of the theory holds if it does so on all \
instances that meet its assumption. **Of an experiment.** It holds if all of \
its parts hold, does not hold if one does not; otherwise it is *not run* (in \
part) if a part is not, and else unclear. What was also measured, and the \
corrected forms of statements, change no verdict. Intervals are over seeds; \
how they are made, the statistics and the thresholds stand with the tables of \
claims. Nothing is corrected for the number of claims.

**Scale.** *paper*: as long as the paper's runs, with five seeds or more; \
*laptop*: shorter; *smoke*: a test, whose verdict says only what such a run \
shows. A run's length and seeds tell which. A claim tested on MinAtar is a \
claim about MinAtar.
"""


def effect_text(entry: Entry) -> str:
  """An effect with its interval; of a statement, on how many instances.

  Args:
    entry: judged; '' if it was not run.
  """
  if entry.effect is not None:
    return interval(entry.effect)
  if not entry.agree:
    return ''
  return _on_instances(*map(int, entry.agree.split('/')))


def to_csv(found: Sequence[Entry]) -> str:
  """Every part as a row, with numbers at full length.

  Args:
    found: of `ledger.entries`.
  """
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(COLUMNS)
  for x in found:
    ends = ('', '', '') if x.effect is None else (
        x.effect.mean, x.effect.low, x.effect.high
    )
    writer.writerow((
        x.experiment, x.kind, ' '.join(x.figures), x.claim, int(x.counts),
        x.scale, x.setting, x.seeds, x.games, *ends, x.agree, x.verdict,
        x.notes,
    ))
  return out.getvalue()


def markdown(
    found: Sequence[Entry],
    title: str = '',
    links: Mapping[str, str] | None = None,
    sections: Iterable[str] = (),
) -> str:
  """The document.

  Args:
    found: of `ledger.entries`.
    title: what the runs are of.
    links: id of a figure -> what to write for it; others by their id alone.
    sections: Markdown that follows the experiments, before their parts.
  """
  heads = ledger.headlines(found)
  parts = [
      f'# {", ".join(filter(None, ("The ledger", title)))}\n', _RULE,
      f'{_counts(heads)}\n',
  ]
  for kind, name in _SECTIONS.items():
    rows = [x for x in heads if x.experiment.kind == kind]
    parts.append(f'## {name}\n\n{_headlines(rows, links or {})}\n')
  parts += sections
  parts.append('## Every part\n')
  parts += [_parts(x) for x in heads if x.scale]
  return '\n'.join(parts)


def _counts(heads: Sequence[Headline]) -> str:
  lines = []
  for kind, name in _SECTIONS.items():
    rows = [x for x in heads if x.experiment.kind == kind]
    lines.append(f'- {name}, {len(rows)}: {_tally(rows)}.')
    for scale in reversed(scales.SCALES):
      there = [x for x in rows if x.scale == scale]
      if there:
        lines.append(f'  - At the scale *{scale}*: {_tally(there)}.')
  return '\n'.join(lines)


def _tally(rows: Sequence[Headline] | Sequence[Entry]) -> str:
  counts = collections.Counter(row.verdict for row in rows)
  return ', '.join(f'{x} {counts[x]}' for x in _VERDICTS if counts[x])


def _headlines(rows: Sequence[Headline], links: Mapping[str, str]) -> str:
  header = (
      'id', 'paper', 'figures', 'claim', 'scale', 'runs', 'seeds',
      'effects [95% interval]', 'parts', 'verdict',
  )
  return _escaped(header, (_headline_cells(x, links) for x in rows))


def _headline_cells(
    head: Headline, links: Mapping[str, str]
) -> tuple[str, ...]:
  experiment = head.experiment
  start = (
      _anchored(head), experiment.paper,
      ', '.join(links.get(x, x) for x in experiment.figures),
      experiment.claim,
  )
  if not head.scale:
    return (
        *start, '', f'`{head.command}`', '', '', '', f'**{head.verdict}**'
    )
  counting = [x for x in head.parts if x.counts]
  there = [x for x in counting if x.scale]
  in_part = ' in part' * (head.verdict == verdicts.NOT_RUN)
  return (
      *start, head.scale, '; '.join(_numbers(head.parts)),
      _range([x.seeds for x in there or head.parts if x.scale]),
      '; '.join(_effects(there)), _tally(counting),
      f'**{head.verdict}{in_part}**',
  )


def _anchored(head: Headline) -> str:
  id_ = head.experiment.id
  if not head.scale:
    return id_
  return f'[{id_}](#{_anchor(_title(head))})'


def _title(head: Headline) -> str:
  return f'{head.experiment.id} {head.scale}'


def _anchor(heading: str) -> str:
  kept = (x for x in heading.lower() if x.isalnum() or x in ' -')
  return ''.join(kept).replace(' ', '-')


def _numbers(parts: Sequence[Entry]) -> Iterator[str]:
  """How long the runs are, and which games they play."""
  there = [x for x in parts if x.scale]
  # Seeds have a column of their own.
  lengths = dict.fromkeys(
      re.sub(r'; \d+ seeds?.*', '', x.setting).partition('; ')[2]
      for x in there
  )
  yield from list(lengths)[:1]
  if len(lengths) > 1:
    yield 'and others'
  games = dict.fromkeys(
      game for x in there for game in x.games.split(', ') if game
  )
  if games:
    yield f'{len(games)} game{"s" * (len(games) > 1)}: {", ".join(games)}'


def _range(counts: Sequence[int]) -> str:
  least, most = min(counts, default=0), max(counts, default=0)
  return str(least) if least == most else f'{least} to {most}'


def _effects(parts: Sequence[Entry]) -> Iterator[str]:
  """Those of the first parts; a statement's on all runs together."""
  groups = [
      list(group) for _, group in itertools.groupby(parts, lambda x: x.claim)
  ]
  for group in groups[:_FEW]:
    first = group[0]
    agree = f', {first.agree}' * (first.effect is not None)
    yield f'{first.claim}: {_together(group)}{agree.rstrip(", ")}'
  if len(groups) > _FEW:
    yield f'{len(groups) - _FEW} more'


def _together(group: Sequence[Entry]) -> str:
  first = group[0]
  if first.effect is not None or not first.agree:
    return effect_text(first) or first.verdict
  counts = [x.agree.split('/') for x in group if x.agree]
  held, total = (sum(map(int, x)) for x in zip(*counts, strict=True))
  return _on_instances(held, total)


def _on_instances(held: int, total: int) -> str:
  return f'holds on {held} of {total} instance{"s" * (total != 1)}'


def _parts(head: Headline) -> str:
  header = (
      'part', 'runs', 'seeds', 'games', 'effect [95% interval]', 'agree',
      'verdict', 'notes',
  )
  there = [x for x in head.parts if x.counts or x.scale]
  rows = [x for x in there if x.counts]
  others = [x for x in there if not x.counts]
  text = [f'### {_title(head)}\n', f'{head.experiment.claim}.\n']
  if rows:
    text.append(f'{_escaped(header, map(_cells, rows))}\n')
  if others:
    text.append('Also measured:\n')
    text.append(f'{_escaped(header, map(_cells, others))}\n')
  return '\n'.join(text)


def _cells(x: Entry) -> tuple[str, ...]:
  notes = '' if x.verdict == verdicts.NOT_RUN else x.notes
  return (
      x.claim, x.setting, str(x.seeds or ''), x.games, effect_text(x), x.agree,
      x.verdict, notes,
  )


def _escaped(
    header: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
  # A norm's bars would end the cell.
  return table(header, ([x.replace('|', '\\|') for x in row] for row in rows))
