"""Every claim about every experiment, as a folder's runs answer it.

Nothing is judged here: families of claims and the theory's statements are
judged where they are stated, and brought into one form.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  claims,
  experiments,
  game_verdicts,
  runs,
  scales,
  suites,
  theory_claims,
  theory_statements,
  verdicts,
)
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.statistics import Interval


@dataclasses.dataclass(frozen=True)
class Entry:
  """A part of a claim, judged.

  Attributes:
    experiment: id, a key of `experiments.BY_ID`.
    figures: ids of `--figure` that show it.
    claim: the part in words.
    scale: 'smoke', 'laptop' or 'paper'; '' if not run.
    setting: the runs and their numbers.
    seeds: of the game, or run, that has fewest; instances of a statement.
    games: that were played, '' where there are none.
    effect: with its interval; None if not run, and for statements.
    verdict: a constant of `verdicts`.
    agree: games, or instances, that agree and how many there are, as '2/3'.
    notes: what weakens it; of what was not run, the command that runs it.
    counts: whether the experiment's verdict depends on it; other parts are
      what was also measured.
  """

  experiment: str
  figures: tuple[str, ...]
  claim: str
  scale: str
  setting: str
  seeds: int
  games: str
  effect: Interval | None
  verdict: str
  agree: str
  notes: str
  counts: bool = True

  @property
  def kind(self) -> str:
    """Whose claim it is, a constant of `experiments`."""
    return experiments.BY_ID[self.experiment].kind


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


def entries(collection: collection_lib.Collection) -> list[Entry]:
  """Every part of every claim, in the order of the experiments.

  Args:
    collection: the runs; of its suite nothing is taken.

  Returns:
    At least one entry of every experiment.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  found = [
      *itertools.chain.from_iterable(
          _of_family(family, collection.of(family.suite))
          for family in claims.FAMILIES
      ),
      *_of_theory(collection.of(suites.THEORY)),
  ]
  there = {x.experiment for x in found}
  found += [
      _entry(x.id, x.claim, verdicts.NOT_RUN, True)
      for x in experiments.EXPERIMENTS
      if x.id not in there
  ]
  order = {id_: i for i, id_ in enumerate(experiments.BY_ID)}
  return sorted(found, key=lambda x: (order[x.experiment], not x.counts))


def headline(parts: Sequence[Entry]) -> str:
  """The verdict of an experiment, see `game_verdicts.together`.

  Args:
    parts: of it; those that do not count are passed over.
  """
  return game_verdicts.together([x for x in parts if x.counts])


def statement_experiment(statement: theory_statements.Statement) -> str:
  """The id of the experiment that a statement is of."""
  return next(
      id_ for place, id_ in _PLACES.items() if statement.place.startswith(place)
  )


def _entry(
    id_: str, claim: str, verdict: str, counts: bool, **rest: Any
) -> Entry:
  experiment = experiments.BY_ID[id_]
  empty = Entry(
      id_, experiment.figures, claim, '', '', 0, '', None, verdict, '',
      experiment.command() if verdict == verdicts.NOT_RUN else '', counts,
  )
  return dataclasses.replace(empty, **rest)


def _of_family(
    family: Family, collection: collection_lib.Collection
) -> Iterator[Entry]:
  headed = {
      claim.id for other in claims.FAMILIES for claim in other.sections[0][1]
  }
  games = None if family.games is None else family.games(collection, family)
  for i, (_, section) in enumerate(family.sections):
    for claim in section:
      counts = i == 0 or claim.id not in headed
      yield (
          _of_runs(claim, collection, counts) if games is None
          else _of_games(claim, games, counts)
      )


def _of_runs(
    claim: verdicts.Claim, collection: collection_lib.Collection, counts: bool
) -> Entry:
  row = verdicts.judge(claim, collection)
  there = [x for name in claim.runs if (x := collection.get(name)) is not None]
  if row.effect is None:
    return _entry(claim.id, _text(claim), row.verdict, counts)
  return _entry(
      claim.id, _text(claim), row.verdict, counts,
      scale=scales.of(there, collection.suite, claim.id),
      setting=row.setting,
      seeds=row.effect.count,
      effect=row.effect,
      notes='; '.join(row.notes),
  )


def _of_games(
    claim: verdicts.Claim, games: game_verdicts.Games, counts: bool
) -> Entry:
  row = game_verdicts.judge(claim, games)
  there = [run for x in row.by_game for run in games.find(x, claim.runs)]
  if not there:
    told: dict[str, Any] = {'notes': '; '.join(row.notes)} if row.notes else {}
    return _entry(claim.id, _text(claim), row.verdict, counts, **told)
  names = ' − '.join(f'`{name}`' for name in claim.runs)
  return _entry(
      claim.id, _text(claim), row.verdict, counts,
      scale=scales.of(there, games.suite, claim.id),
      setting=f'{names}; {scales.numbers(there, games.suite)}',
      seeds=min(len(run.seeds) for run in there),
      games=', '.join(row.by_game),
      effect=row.effect,
      agree=f'{row.agree}/{len(row.by_game)}',
      notes='; '.join(row.notes),
  )


def _text(claim: verdicts.Claim) -> str:
  free = any(x.endswith('_free') for x in claim.columns)
  return claim.text + ' (free cells)' * free


def _of_theory(collection: collection_lib.Collection) -> Iterator[Entry]:
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
    return _entry(id_, _form(statement), verdicts.NOT_RUN, counts)
  return _entry(
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
  return _entry(
      id_, _form(statement), verdicts.HOLDS if holds.all() else verdicts.FAILS,
      not statement.corrected,
      scale=scales.of([run], suites.THEORY, id_),
      setting=f'`{run.path.parent.name}`; '
      f'{scales.numbers([run], suites.THEORY)}',
      seeds=len(holds),
      agree=f'{int(np.sum(holds))}/{len(holds)}',
      notes='; '.join(notes),
  )
