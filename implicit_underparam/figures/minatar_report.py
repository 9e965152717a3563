"""Writes down what MinAtar runs say of the claims."""

from collections.abc import Mapping

import numpy as np

from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  game_improvement,
  game_report,
  game_verdicts,
  improvement,
  minatar_runs,
  rank_return_report,
  verdicts,
)
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.markdown_tables import interval, number, table
from implicit_underparam.figures.verdicts import Claim

_INTERVAL = """\
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
  """The document of MinAtar's claims.

  Args:
    collection: the runs.
    family: its first section holds the parts of the claims.
    title: what the runs are of.
    headlines: id -> the claim in words.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  return game_report.write(
      Games(collection), family, title, headlines, _INTERVAL,
      more=(_improvements, rank_return_report.report),
  )


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
      f'{game} {number(100 * float(game_improvement.relative(x.mean(0))))}%'
      for game, x in pairs.items()
  )
  median = game_improvement.over_games(
      list(pairs.values()), 'median relative improvement'
  )
  return (
      f'`{run}`', alpha, ', '.join(each), interval(median, percent=True),
      interval(rank.effect),
  )


def _pairs(
    names: tuple[str, str], collection: collection_lib.Collection
) -> np.ndarray | None:
  """[seeds, 2] final returns of the seeds that both runs have."""
  found = [collection.get(name) for name in names]
  there = [run for run in found if run is not None]
  return improvement.paired(*there) if len(there) == len(found) else None
