"""The ledger's entries of the theory: statements, judged on every instance."""

from collections.abc import Iterator, Mapping

import numpy as np

from implicit_underparam.figures import (
  runs,
  scales,
  suites,
  theory_claims,
  theory_statements,
  verdicts,
)
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.ledger_types import Entry, entry

# Beginning of the place of a statement -> the experiment that it is of.
_PLACES: Mapping[str, str] = {
    'Lemma C.0.1': 'TH-QRECUR',
    'Eq. 2': 'TH-QRECUR',
    'Section 4.1': 'TH-KERNEL',
    'Corollary C.1.1': 'TH-KERNEL',
    'Theorem 4.1': 'TH-KERNEL',
    'C.23': 'TH-KERNEL',
    'C.29': 'TH-KERNEL',
    'A.7': 'TH-EIG',
    'C.31': 'TH-EIG',
    'C.32': 'TH-EIG',
    'Lemma D.0': 'TH-SV',
    'Proposition 4.1': 'TH-SV',
    'Appendix D.1': 'TH-SV',
    'Proposition 4.2': 'TH-COMPOUND',
    'Section 4.2': 'TH-COMPOUND',
    'Theorem 4.2': 'TH-COMPOUND',
    'Figure A.21': 'GRID-EIG',
    'Figure 5': 'GRID-TDFIX',
}


def entries(collection: Collection) -> Iterator[Entry]:
  """Every statement on every run of the theory.

  Args:
    collection: of the theory's suite.

  Raises:
    UserError: a run cannot be read.
  """
  names = collection.names()
  there = [run for x in names if (run := collection.get(x)) is not None]
  for statement in theory_claims.STATEMENTS:
    judged = [
        (run, judgement)
        for run in there
        for judgement in theory_statements.judge(run, [statement])
    ]
    found = [_of_statement(*x) for x in judged if x[1].applies]
    yield from found or [_unjudged(statement, bool(judged))]


def _form(statement: theory_statements.Statement) -> str:
  corrected = ', corrected' * statement.corrected
  return f'{statement.place}{corrected}: {statement.text}'


def _unjudged(
    statement: theory_statements.Statement, was_run: bool
) -> Entry:
  id_, counts = statement_experiment(statement), not statement.corrected
  if not was_run:
    return entry(id_, _form(statement), verdicts.NOT_RUN, counts)
  return entry(
      id_, _form(statement), verdicts.UNCLEAR, counts,
      notes='no instance meets its assumption',
  )


def _of_statement(
    run: runs.Run, judgement: theory_statements.Judgement
) -> Entry:
  statement, holds = judgement.statement, judgement.holds
  id_ = statement_experiment(statement)
  notes = [f'{judgement.left_out} left out'] * bool(judgement.left_out)
  if not holds.all():
    notes.append(
        f'violated by {judgement.worst:.2g} at seed {judgement.seed}, '
        f'k = {judgement.iteration}'
    )
  return entry(
      id_, _form(statement), verdicts.HOLDS if holds.all() else verdicts.FAILS,
      not statement.corrected,
      scale=scales.of([run], suites.THEORY, id_),
      setting=f'`{run.path.parent.name}`; '
      f'{scales.numbers([run], suites.THEORY)}',
      seeds=len(holds),
      agree=f'{int(np.sum(holds))}/{len(holds)}',
      notes='; '.join(notes),
  )


def statement_experiment(statement: theory_statements.Statement) -> str:
  """The id of the experiment that a statement is of."""
  return next(
      id_ for place, id_ in _PLACES.items() if statement.place.startswith(place)
  )
