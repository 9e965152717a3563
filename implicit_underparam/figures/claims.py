"""Which of the paper's claims a folder of runs supports, as a table."""

import collections
import math
import os
from collections.abc import Sequence

from implicit_underparam.figures import (
  atari_claims,
  atari_online_claims,
  families,
  game_verdicts,
  gridworld_claims,
  minatar_claims,
  mujoco_claims,
  verdicts,
)
from implicit_underparam.figures import collection as collection_lib

FAMILIES = (
    gridworld_claims.FAMILY, atari_claims.FAMILY, atari_online_claims.FAMILY,
    minatar_claims.FAMILY, mujoco_claims.FAMILY,
)

_VERDICT = """\
**Verdict.** A claim *holds* if the 95% interval of its effect lies wholly on \
the claimed side of the threshold, *does not hold* if it lies wholly on the \
other side, and is *unclear* otherwise, or where the interval has no width \
and comes of fewer than five numbers. *Not run*: a run is missing.

**Interval.** Student's t over seeds. Two runs are compared seed by seed \
(paired: the same seed is the same initial network) if they have the same \
seeds, by Welch's interval otherwise. Every interval is for its claim alone; \
nothing is corrected for the number of claims. \
"""
_HEADER = (
    'id', 'claim', 'measured', 'setting', 'effect [95% interval]', 'claimed',
    'verdict',
)
_SIGNS = {'above': '> {:g}', 'below': '< {:g}', 'within': 'within ±{:g}'}


def table(
    runs_dir: str | os.PathLike[str],
    variant: str = '',
    family: families.Family = gridworld_claims.FAMILY,
) -> list[verdicts.Row] | list[game_verdicts.Row]:
  """Judges a family of claims on the runs of a folder.

  Args:
    runs_dir: the folder that holds the runs, at any depth.
    variant: suffix of the names of the runs, such as 'lr5e-3'; '' for none.
    family: the claims.

  Returns:
    One row a claim.

  Raises:
    MissingRuns: there is none of the runs that the claims need.
    UserError: a run cannot be read or lacks a column.
  """
  return judge_all(collection_lib.Collection(runs_dir, variant), family)


def judge_all(
    collection: collection_lib.Collection, family: families.Family
) -> list[verdicts.Row] | list[game_verdicts.Row]:
  """Judges a family of claims on runs, see `table`."""
  there = collection.of(family.suite)
  if not _has_run(there, family):
    raise collection_lib.nothing_for('--claims', family.runs, there)
  if family.games is None:
    return [verdicts.judge(claim, there) for claim in family.claims]
  games = family.games(there, family)
  return [game_verdicts.judge(claim, games) for claim in family.claims]


def document(
    collection: collection_lib.Collection,
    family: families.Family,
    title: str = '',
) -> str:
  """Judges a family of claims and writes them down, see `markdown`."""
  there = collection.of(family.suite)
  if family.report is not None:
    return family.report(there, family, title)
  rows = [verdicts.judge(claim, there) for claim in family.claims]
  return markdown(rows, family, title)


def choose_families(
    collection: collection_lib.Collection, may_be_none: bool = False
) -> list[families.Family]:
  """The families of which there is a run.

  Args:
    collection: the runs.
    may_be_none: whether no run of any will do.

  Raises:
    MissingRuns: there is none of any.
  """
  found = [x for x in FAMILIES if _has_run(collection.of(x.suite), x)]
  if not found and not may_be_none:
    first = FAMILIES[0]
    raise collection_lib.nothing_for(
        '--claims', first.runs, collection.of(first.suite)
    )
  return found


def needed(family: families.Family = gridworld_claims.FAMILY) -> list[str]:
  """The configurations that a family's claims need, each once."""
  return list(family.runs)


def markdown(
    rows: Sequence[verdicts.Row],
    family: families.Family = gridworld_claims.FAMILY,
    title: str = '',
) -> str:
  """Writes judged claims down, with the rule that judged them.

  Args:
    rows: of `table`.
    family: that they are of.
    title: what the runs are of, such as the game and the data.

  Returns:
    A Markdown document.
  """
  heading = ', '.join(filter(None, (family.heading, title)))
  parts = [
      f'# {heading}\n',
      f'{_VERDICT}{family.scope}\n',
      family.rule,
      f'{_count(rows)}\n',
  ]
  for section, claims in family.sections:
    part = [row for row in rows if row.claim in claims]
    if part:
      parts.append(f'## {section}\n\n{_table(part)}\n')
  return '\n'.join(parts)


def _has_run(
    collection: collection_lib.Collection, family: families.Family
) -> bool:
  return any(collection.has(name) for name in family.runs)


def _count(rows: Sequence[verdicts.Row]) -> str:
  counts = collections.Counter(row.verdict for row in rows)
  order = (verdicts.HOLDS, verdicts.FAILS, verdicts.UNCLEAR, verdicts.NOT_RUN)
  listed = ', '.join(f'{name} {counts[name]}' for name in order)
  return f'**Rows below:** {listed}.'


def _table(rows: Sequence[verdicts.Row]) -> str:
  lines = [_HEADER, ('---',) * len(_HEADER), *map(_cells, rows)]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def _cells(row: verdicts.Row) -> tuple[str, ...]:
  claim = row.claim
  columns = ' with '.join(f'`{name}`' for name in claim.columns)
  difference = ', difference' if claim.baseline else ''
  notes = f' ({"; ".join(row.notes)})' if row.notes else ''
  return (
      claim.id,
      claim.text,
      f'{claim.statistic} of {columns}{difference}',
      row.setting,
      _effect(row),
      _SIGNS[claim.side].format(claim.threshold),
      f'{row.verdict}{notes}',
  )


def _effect(row: verdicts.Row) -> str:
  if row.effect is None:
    return ''
  if math.isnan(row.effect.low):
    return f'{_number(row.effect.mean)} [no interval]'
  low, high = _number(row.effect.low), _number(row.effect.high)
  return f'{_number(row.effect.mean)} [{low}, {high}]'


def _number(value: float) -> str:
  return f'{value:.3g}'.replace('-', '−')
