"""Writes down what MinAtar runs say of the claims."""

import collections
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  game_verdicts,
  minatar_runs,
  rank_return,
  runs,
  stratified,
  verdicts,
)
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.game_verdicts import Games, Row
from implicit_underparam.figures.markdown_tables import interval, number, table
from implicit_underparam.figures.verdicts import Claim

_SIGNS = {'above': '> {:g}', 'below': '< {:g}', 'within': 'within ±{:g}'}
_INTERVAL = """\
**Verdict of a part.** It *holds* if the 95% interval of its effect lies \
wholly on the claimed side of the threshold, *does not hold* if it lies wholly \
on the other side, and is *unclear* otherwise. *Not run*: a run is missing.

**Interval.** The effect is the mean over games of the mean over seeds; two \
runs are compared seed by seed. Its interval is a stratified bootstrap as in \
rliable: seeds are drawn anew within each game, 10,000 times. So it is over \
seeds, for these very games; how many of them agree is a column of its own, \
and the only word on other games. The percentiles are widened for the few \
seeds (Hesterberg, 2015): those of rliable cover 89% with five seeds of three \
games. Nothing is corrected for the number of claims.
"""


def write(
    collection: collection_lib.Collection,
    family: Family,
    title: str,
    headlines: Mapping[str, str],
) -> str:
  """The document of a family whose claims are judged over games.

  Args:
    collection: the runs.
    family: its first section holds the parts of the claims.
    title: what the runs are of.
    headlines: id -> the claim in words.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  games = Games(collection)
  judged = [
      (name, [game_verdicts.judge(claim, games) for claim in claims])
      for name, claims in family.sections
  ]
  heading = ', '.join(filter(None, (family.heading, title)))
  parts = [f'# {heading}\n', _headlines(judged[0][1], headlines, games)]
  parts += [_INTERVAL, family.rule]
  parts += [f'## {name}\n\n{_table(rows)}\n' for name, rows in judged]
  parts += [_improvements(games), rank_return.report(games), _learnt(games)]
  parts.append(_scales(games))
  return '\n'.join(parts)


def _headlines(
    rows: Sequence[Row], headlines: Mapping[str, str], games: Games
) -> str:
  by_id = {
      id_: list(group)
      for id_, group in itertools.groupby(rows, lambda row: row.claim.id)
  }
  found = {id_: game_verdicts.together(by_id[id_]) for id_ in headlines}
  counts = collections.Counter(found.values())
  order = (verdicts.HOLDS, verdicts.FAILS, verdicts.UNCLEAR, verdicts.NOT_RUN)
  listed = ', '.join(f'{name} {counts[name]}' for name in order)
  cells = (
      (id_, text, '; '.join(map(_part, by_id[id_])), f'**{found[id_]}**')
      for id_, text in headlines.items()
  )
  header = ('id', 'claim', 'effects [95% interval], games that agree',
            'verdict')
  return (
      f'Games: {", ".join(games) or "none"}. **{len(headlines)} claims:** '
      f'{listed}.\n\n{table(header, cells)}\n'
  )


def _part(row: Row) -> str:
  text = f'{row.claim.text}: {_effect(row)}'
  return f'{text}, {row.agree}/{len(row.by_game)}' if row.by_game else text


def _effect(row: Row) -> str:
  return interval(row.effect) or row.verdict


def _table(rows: Sequence[Row]) -> str:
  header = (
      'id', 'claim', 'measured', 'runs', 'effect [95% interval]', 'claimed',
      'each game', 'agree', 'verdict',
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
  difference = ', difference' if claim.baseline else ''
  return f'{claim.statistic} of {columns}{difference}'


def _improvements(games: Games) -> str:
  """Every alpha that was tried, as the paper's bar plots have it."""
  header = (
      'without penalty', 'alpha', 'return, relative improvement in each game',
      'median over games [95% interval]', 'srank, difference [95% interval]',
  )
  rows = [
      _improvement(run, alpha, games)
      for run, alphas in minatar_runs.TRIED.items()
      for alpha in alphas
  ]
  return (
      '## The penalty, every coefficient that was tried\n\nFor each agent all '
      f'of them are here: {len(minatar_runs.ALPHAS)} for DQN and CQL, 1 for '
      'Rainbow. None was chosen after the runs. Relative improvement: '
      '(x − b) / |b|, of the mean over seeds of the final return (*end*, not '
      'the best of training), with nothing subtracted before.\n\n'
      f'{table(header, rows)}\n'
  )


def _improvement(run: str, alpha: str, games: Games) -> tuple[str, ...]:
  names = (minatar_runs.penalized(run, alpha), run)
  pairs = {
      game: pair
      for game in games
      if (pair := _pairs(names, games.collections[game])) is not None
  }
  rank = game_verdicts.judge(Claim('', '', 'end', ('srank',), *names), games)
  if not pairs:
    return (f'`{run}`', alpha, verdicts.NOT_RUN, '', '')
  each = (
      f'{game} {number(100 * float(relative(x.mean(0))))}%'
      for game, x in pairs.items()
  )
  median = stratified.of_means(
      list(pairs.values()), lambda x: np.median(relative(x), axis=0)
  )
  return (
      f'`{run}`', alpha, ', '.join(each), interval(median, percent=True),
      interval(rank.effect),
  )


def relative(means: np.ndarray) -> np.ndarray:
  """(x - b) / |b|; NaN where b is zero.

  Args:
    means: [..., 2], x and b.
  """
  baseline = np.abs(means[..., 1])
  there = np.where(baseline > 0, baseline, np.nan)
  return (means[..., 0] - means[..., 1]) / there


def _pairs(
    names: tuple[str, str], collection: collection_lib.Collection
) -> np.ndarray | None:
  """[seeds, 2] final returns of the seeds that both runs have."""
  found = [collection.get(name) for name in names]
  there = [run for run in found if run is not None]
  if len(there) < len(found):
    return None
  claim = Claim('', '', 'end', (game_verdicts.RETURN,), names[0])
  first, second = (
      verdicts.per_seed(run, claim, trained=True) for run in there
  )
  common = sorted(first.keys() & second.keys())
  return np.array([(first[seed], second[seed]) for seed in common])


def _learnt(games: Games) -> str:
  """How far the agents came, in the game's own points."""
  header = ('game', 'best run', 'its final return', 'first return, all runs')
  rows = []
  for game, found in games.returns.items():
    best = max(found, key=lambda name: found[name][1], default='')
    first = np.mean([x for x, _ in found.values()]) if found else math.nan
    rows.append((
        game, f'`{best}`', number(games.references[game]), number(float(first))
    ))
  return (
      '## The games\n\nThe return after the first iteration is that of an '
      'agent that has hardly learnt. Where the best run is not far above it, '
      'claims about returns have little to go by.\n\n'
      f'{table(header, rows)}\n'
  )


def _scales(games: Games) -> str:
  header = (
      'run', 'games', 'seeds', 'iterations', 'environment steps',
      'gradient updates', 'notes',
  )
  names = dict.fromkeys(
      name for x in games.collections.values() for name in x.names()
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
      '; '.join(x for game, run in there.items() for x in _notes(game, run)),
  )


def _notes(game: str, run: runs.Run) -> list[str]:
  notes = [
      f'{game}: seed {seed} stopped at iteration {iteration}'
      for seed, iteration in run.stopped().items()
  ]
  if run.status not in ('', 'finished'):
    notes.append(f'{game}: {run.status}')
  return notes
