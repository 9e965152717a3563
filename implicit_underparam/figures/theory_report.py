"""The verdicts on the theory: lines of a run, a table of a folder of runs."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  markdown_tables,
  runs,
  suites,
  theory_claims,
)
from implicit_underparam.figures.theory_statements import Judgement, judge

FILE = 'claims_theory.md'
_HEADER = ('place', 'statement', 'run', 'holds on', 'largest violation', 'at')
_RULE = """\
# The theory

Every row is a statement on the instances of a run: its seeds. A statement \
*holds* on an instance if no fitting iteration violates it by more than the \
tolerance, which is there for rounding and for steps of finite size; instances \
on which its assumption fails are left out, and so are runs where it fails on \
all. Where the printed form is false, \
the corrected one follows it: [theory.md](theory.md) derives it.
"""


def verdict_lines(path: str | os.PathLike[str]) -> list[str]:
  """The verdicts of one run; none where it is not of the theory.

  Args:
    path: the run's folder.
  """
  folder = pathlib.Path(path)
  if runs.read_environment(folder) != suites.THEORY.environment:
    return []
  run = runs.read(folder)
  if run is None:
    return []
  judgements = judge(run, theory_claims.STATEMENTS)
  lines = [x.line for x in judgements if x.applies]
  places = dict.fromkeys(
      x.statement.place for x in judgements if not x.applies
  )
  if places:
    lines.append(
        'Nothing is said here of statements whose assumption no instance '
        f'meets: of {"; ".join(places)}'
    )
  return lines


def has_runs(collection: collection_lib.Collection) -> bool:
  """Whether there is a run of the theory in a folder."""
  return bool(collection.of(suites.THEORY).names())


def document(collection: collection_lib.Collection) -> str:
  """All verdicts of a folder's runs, as Markdown.

  Args:
    collection: the runs.
  """
  there = collection.of(suites.THEORY)
  rows = []
  for name in there.names():
    run = there.get(name)
    assert run is not None
    rows += [
        _cells(name, x)
        for x in judge(run, theory_claims.STATEMENTS)
        if x.applies
    ]
  # A norm's bars would end the cell.
  cells = [
      tuple(x.replace('|', '\\|') for x in row) for row in _by_place(rows)
  ]
  return f'{_RULE}\n{markdown_tables.table(_HEADER, cells)}\n'


def _by_place(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
  """In the order of the statements; a statement's runs beside each other."""
  order = list(dict.fromkeys(
      (_place(x), x.text) for x in theory_claims.STATEMENTS
  ))
  return sorted(rows, key=lambda row: order.index((row[0], row[1])))


def _place(statement: theory_claims.Statement) -> str:
  return statement.place + ', corrected' * statement.corrected


def _cells(name: str, judgement: Judgement) -> tuple[str, ...]:
  statement = judgement.statement
  count = len(judgement.instances)
  left = f' ({judgement.left_out} left out)' * bool(judgement.left_out)
  where = f'seed {judgement.seed}, k = {judgement.iteration}'
  return (
      _place(statement),
      statement.text,
      name,
      f'{int(np.sum(judgement.holds))} of {count}{left}',
      f'{judgement.worst:.2g}',
      '' if judgement.holds.all() else where,
  )
