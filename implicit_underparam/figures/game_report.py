"""Writes down what runs on several games say of the claims."""

import collections
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from implicit_underparam.figures import game_verdicts, verdicts
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.game_verdicts import Games, Row
from implicit_underparam.figures.markdown_tables import interval, number, table
from implicit_underparam.figures.verdicts import Claim

VERDICT = """\
**Verdict of a part.** It *holds* if the 95% interval of its effect lies \
wholly on the claimed side of the threshold, *does not hold* if it lies wholly \
on the other side, and is *unclear* otherwise, or where the interval has no \
width and comes of fewer than five numbers. *Not run*: a run is missing.
"""
_FEW = 3
_SIGNS = {'above': '> {:g}', 'below': '< {:g}', 'within': 'within ±{:g}'}


def write(
    games: Games,
    family: Family,
    title: str,
    headlines: Mapping[str, str],
    interval_rule: str,
    beside: Mapping[str, str] | None = None,
    more: Iterable[Callable[[Games], str]] = (),
) -> str:
  """The document of a family whose claims are judged over games.

  Args:
    games: the runs.
    family: its first section holds the parts of the claims.
    title: what the runs are of.
    headlines: id -> the claim in words.
    interval_rule: a paragraph on how the intervals are made.
    beside: as `headlines`, what is judged and listed with the claims and is
      none of them.
    more: sections of the suite's own.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  judged = [
      (name, [game_verdicts.judge(claim, games) for claim in claims])
      for name, claims in family.sections
  ]
  heading = ', '.join(filter(None, (family.heading, title)))
  parts = [f'# {heading}\n', _headlines(judged[0][1], headlines, games)]
  if beside:
    by_id = _by_id(judged[0][1])
    parts.append(f'{_claims(by_id, beside, games)}\n')
  parts += [VERDICT, interval_rule, family.rule]
  parts += [f'## {name}\n\n{_table(rows, games)}\n' for name, rows in judged]
  parts += [section(games) for section in more]
  return '\n'.join((*parts, _learnt(games), _scales(games)))


def _by_id(rows: Sequence[Row]) -> dict[str, list[Row]]:
  return {
      id_: list(group)
      for id_, group in itertools.groupby(rows, lambda row: row.claim.id)
  }


def _headlines(
    rows: Sequence[Row], headlines: Mapping[str, str], games: Games
) -> str:
  by_id = _by_id(rows)
  counts = collections.Counter(
      game_verdicts.together(by_id[id_]) for id_ in headlines
  )
  order = (verdicts.HOLDS, verdicts.FAILS, verdicts.UNCLEAR, verdicts.NOT_RUN)
  listed = ', '.join(f'{name} {counts[name]}' for name in order)
  absent = dict.fromkeys(
      game for row in rows for game in row.claim.games if game not in games
  )
  lacking = f' Not run: {", ".join(absent)}.' if absent else ''
  return (
      f'{games.place.capitalize()}s: {", ".join(games) or "none"}.{lacking} '
      f'**{len(headlines)} claims:** {listed}.\n\n'
      f'{_claims(by_id, headlines, games)}\n'
  )


def _claims(
    by_id: Mapping[str, Sequence[Row]],
    headlines: Mapping[str, str],
    games: Games,
) -> str:
  header = ('id', 'claim', f'effects [95% interval], {games.place}s that agree',
            'verdict')
  return table(header, (
      (id_, text, '; '.join(_listed(by_id[id_])),
       f'**{game_verdicts.together(by_id[id_])}**')
      for id_, text in headlines.items()
  ))


def _listed(rows: Sequence[Row]) -> list[str]:
  """The parts; those that were not run by their number, if they are many."""
  lacking = [row for row in rows if row.verdict == verdicts.NOT_RUN]
  if len(lacking) <= _FEW:
    return [_part(row) for row in rows]
  there = [_part(row) for row in rows if row.verdict != verdicts.NOT_RUN]
  return [*there, f'{len(lacking)} parts not run']


def _part(row: Row) -> str:
  text = f'{row.claim.text}: {_effect(row)}'
  return f'{text}, {row.agree}/{len(row.by_game)}' if row.by_game else text


def _effect(row: Row) -> str:
  return interval(row.effect) or row.verdict


def _table(rows: Sequence[Row], games: Games) -> str:
  header = (
      'id', 'claim', 'measured', 'runs', 'effect [95% interval]', 'claimed',
      f'each {games.place}', 'agree', 'verdict',
  )
  return table(header, map(_cells, rows))


def _cells(row: Row) -> tuple[str, ...]:
  claim = row.claim
  notes = f' ({"; ".join(row.notes)})' if row.notes else ''
  return (
      claim.id,
      claim.text,
      _measured(claim),
      ' − '.join(f'`{name}`' for name in claim.runs),
      interval(row.effect),
      _SIGNS[claim.side].format(claim.threshold),
      ', '.join(f'{game} {number(x)}' for game, x in row.by_game.items()),
      f'{row.agree}/{len(row.by_game)}',
      f'{row.verdict}{notes}',
  )


def _measured(claim: Claim) -> str:
  columns = ' with '.join(f'`{name}`' for name in claim.columns)
  if claim.over_games != 'mean':
    return f'{claim.over_games}, {claim.statistic} of {columns}'
  difference = ', difference' if claim.baseline else ''
  return f'{claim.statistic} of {columns}{difference}'


def _learnt(games: Games) -> str:
  """How far the agents came, in the game's own points."""
  place = games.place
  header = (place, 'best run', 'its final return', 'first return, all runs')
  rows = []
  for game, found in games.returns.items():
    best = max(found, key=lambda name: found[name][1], default='')
    first = np.mean([x for x, _ in found.values()]) if found else math.nan
    rows.append((
        game, f'`{best}`', number(games.references[game]), number(float(first))
    ))
  return (
      f'## The {place}s\n\nThe return after the first iteration is that of an '
      'agent that has hardly learnt. Where the best run is not far above it, '
      'claims about returns have little to go by.\n\n'
      f'{table(header, rows)}\n'
  )


def _scales(games: Games) -> str:
  header = (
      'run', f'{games.place}s', 'seeds', 'iterations', 'environment steps',
      'gradient updates', 'notes',
  )
  names = dict.fromkeys(
      name
      for x in games.collections.values()
      for name in x.names()
      if x.get(name) is not None
  )
  return f'## The runs\n\n{table(header, (_scale(n, games) for n in names))}\n'


def _scale(name: str, games: Games) -> tuple[str, ...]:
  there = {
      game: run
      for game, x in games.collections.items()
      if (run := x.get(name)) is not None
  }

  def each(attribute: str) -> str:
    values = dict.fromkeys(getattr(run, attribute) for run in there.values())
    return ' or '.join(f'{x:,}' for x in values)

  seeds = dict.fromkeys(len(run.seeds) for run in there.values())
  return (
      f'`{name}`', str(len(there)), ' or '.join(map(str, seeds)),
      each('num_iterations'), each('environment_steps'),
      each('gradient_steps'),
      '; '.join(
          f'{game}: {x}' for game, run in there.items() for x in run.notes()
      ),
  )
