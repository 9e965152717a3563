"""Every claim about every experiment, as a folder's runs answer it.

Nothing is judged here: families of claims and the theory's statements are
judged where they are stated, and brought into one form.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from implicit_underparam.figures import (
  claims,
  experiments,
  game_verdicts,
  ledger_theory,
  scales,
  suites,
  verdicts,
)
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.ledger_types import Entry, entry


@dataclasses.dataclass(frozen=True)
class Headline:
  """An experiment at one scale.

  Attributes:
    experiment: which.
    scale: of its runs; '' if nothing was run.
    parts: at this scale, and those that were not run at any.
    verdict: of the parts that count, see `game_verdicts.together`.
  """

  experiment: experiments.Experiment
  scale: str
  parts: tuple[Entry, ...]
  verdict: str

  @property
  def command(self) -> str:
    """The command that makes its runs."""
    return self.experiment.command(self.scale)


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
      *ledger_theory.entries(collection.of(suites.THEORY)),
  ]
  there = {x.experiment for x in found}
  found += [
      entry(x.id, x.claim, verdicts.NOT_RUN, True)
      for x in experiments.EXPERIMENTS
      if x.id not in there
  ]
  order = {id_: i for i, id_ in enumerate(experiments.BY_ID)}
  # Parts of an experiment keep the order in which they are judged.
  return sorted(found, key=lambda x: (order[x.experiment], not x.counts))


def headlines(found: Sequence[Entry]) -> list[Headline]:
  """Every experiment at every scale that it was run at, in their order.

  Args:
    found: of `entries`.
  """
  return [
      _headline(experiments.BY_ID[id_], scale, parts)
      for id_, group in itertools.groupby(found, lambda x: x.experiment)
      for parts in [list(group)]
      for scale in sorted({x.scale for x in parts} - {''}) or ['']
  ]


def _headline(
    experiment: experiments.Experiment, scale: str, parts: Sequence[Entry]
) -> Headline:
  there = tuple(x for x in parts if x.scale in ('', scale))
  counting = [x for x in there if x.counts]
  verdict = verdicts.NOT_RUN
  if counting:
    verdict = game_verdicts.together(counting)
  return Headline(experiment, scale, there, verdict)


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
    return entry(claim.id, _text(claim), row.verdict, counts)
  return entry(
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
  there = {
      game: found
      for game in game_verdicts.places(claim, games)
      if len(found := games.find(game, claim.runs)) == len(claim.runs)
  }
  if not there:
    return entry(claim.id, _text(claim), row.verdict, counts)
  found = [*itertools.chain.from_iterable(there.values())]
  names = ' − '.join(f'`{name}`' for name in claim.runs)
  seeds = min(len(run.seeds) for run in found)
  notes = [*row.notes]
  if seeds < verdicts.PLANNED_SEEDS:
    notes.append(f'{seeds} seed{"s" * (seeds != 1)}')
  return entry(
      claim.id, _text(claim), row.verdict, counts,
      scale=scales.of(found, games.suite, claim.id),
      setting=f'{names}; {scales.numbers(found, games.suite)}',
      seeds=seeds,
      games=', '.join(there),
      effect=row.effect,
      agree=f'{row.agree}/{len(row.by_game)}' if row.by_game else '',
      notes='; '.join(notes),
  )


def _text(claim: verdicts.Claim) -> str:
  free = any(x.endswith('_free') for x in claim.columns)
  return claim.text + ' (free cells)' * free
