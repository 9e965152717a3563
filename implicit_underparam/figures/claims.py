"""Which of the paper's claims a folder of runs supports, as a table."""

import collections
import math
import os
from collections.abc import Iterable, Sequence

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import gridworld_claims, verdicts

CLAIMS = (*gridworld_claims.PAPER, *gridworld_claims.CONTROLS)

_RULE = f"""\
# Claims

**Verdict.** A claim *holds* if the 95% interval of its effect lies wholly on \
the claimed side of the threshold, *does not hold* if it lies wholly on the \
other side, and is *unclear* otherwise. *Not run*: a run is missing.

**Interval.** Student's t over seeds. Two runs are compared seed by seed \
(paired: the same seed is the same initial network) if they have the same \
seeds, by Welch's interval otherwise. Every interval is for its claim alone; \
nothing is corrected for the number of claims. All seeds share one map, so \
the intervals say nothing of other maps.

**Statistics**, of every seed: *end* = mean of the last 10% of iterations; \
*peak* = largest running mean of 25 iterations; *drop* = peak − end; \
*relative rise* = end / smallest running mean of 25 iterations − 1; *change* = \
end − mean of the first 10%; *settled drop* = mean of iterations 20% to 30% − \
end; *late drop* = mean of iterations 50% to 60% − end; *rank correlation* = \
Spearman's, over the last 80% of iterations. A seed that \
stopped early counts with the rows that it has.

**First phase.** Rank also falls in the first steps of any training, \
supervised regression included, the more so over the first iterations of 10 \
steps. *Drop* counts the part of it that outlasts 25 iterations; *settled \
drop*, and the comparison with the drop of supervised regression, do not.

**Thresholds.** Drop and rise are positive for a curve that only fluctuates. \
So "falls" asks for a drop of more than {gridworld_claims.RANK_MARGIN:g} units \
of srank (the paper calls 5 units very little) or \
{gridworld_claims.RETURN_MARGIN:g} of normalised return, "does not fall" for a \
drop of less than these {gridworld_claims.RANK_MARGIN:g} units, and "rises" \
for more than {gridworld_claims.ERROR_MARGIN:.0%}.

**Rank.** `srank` is over all 256 states; `srank_free` leaves out the 51 wall \
cells, which no policy reaches and whose unsmoothed observations raise the \
rank. Both with delta = 0.01.
"""
_HEADER = (
    'id', 'claim', 'measured', 'setting', 'effect [95% interval]', 'claimed',
    'verdict',
)
_SIGNS = {'above': '> {:g}', 'below': '< {:g}', 'within': 'within ±{:g}'}


def table(
    runs_dir: str | os.PathLike[str], variant: str = ''
) -> list[verdicts.Row]:
  """Judges all claims on the runs of a folder.

  Args:
    runs_dir: the folder that holds the runs, at any depth.
    variant: suffix of the names of the runs, such as 'lr5e-3'; '' for none.

  Returns:
    One row a claim, two for a claim on srank.

  Raises:
    MissingRuns: there is none of the runs that the claims need.
    UserError: a run cannot be read or lacks a column.
  """
  return judge_all(collection_lib.Collection(runs_dir, variant))


def judge_all(
    collection: collection_lib.Collection,
    claims: Sequence[verdicts.Claim] = CLAIMS,
) -> list[verdicts.Row]:
  """Judges claims on runs, see `table`."""
  names = needed(claims)
  if all(collection.get(name) is None for name in names):
    raise collection_lib.nothing_for('--claims', names, collection)
  return [row for claim in claims for row in verdicts.judge(claim, collection)]


def needed(claims: Iterable[verdicts.Claim] = CLAIMS) -> list[str]:
  """The configurations that claims need, each once."""
  return list(dict.fromkeys(name for claim in claims for name in claim.runs))


def markdown(rows: Sequence[verdicts.Row]) -> str:
  """Writes judged claims down, with the rule that judged them.

  Args:
    rows: of `table`.

  Returns:
    A Markdown document.
  """
  controls = {claim.id for claim in gridworld_claims.CONTROLS}
  paper = [row for row in rows if row.claim.id not in controls]
  own = [row for row in rows if row.claim.id in controls]
  parts = [_RULE, f'{_count(rows)}\n']
  for title, part in (
      ("The paper's claims", paper),
      ("This project's controls, with ids of its own", own),
  ):
    if part:
      parts.append(f'## {title}\n\n{_table(part)}\n')
  return '\n'.join(parts)


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
