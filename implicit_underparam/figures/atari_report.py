"""Writes down what Atari runs say of the claims, on one game or several."""

from implicit_underparam.figures import (
  experiments,
  game_report,
  game_verdicts,
  stratified,
)
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.families import Family

_INTERVAL = """\
**Interval.** Two runs are compared seed by seed: the same seed is the same \
initial network. Of a single game the interval is Student's t over its seeds. \
Of several, the effect is the mean over games of the mean over seeds, and its \
interval a stratified bootstrap as in rliable, widened for the few seeds as \
in `claims_minatar.md`: it is over seeds, for these very games; how many of \
them agree is a column of its own, and the only word on other games. Every \
interval is for its claim alone; nothing is corrected for their number.

**Over games.** Returns of several games are divided by the largest mean final \
return of any run of the game; of a single one they are in its points. \
*Relative improvement* of the penalty is (x − b) / |b|, of the means over \
seeds of the final returns (*end*, not the best of training), with nothing \
subtracted before. Its median over games and the share of the games that \
improve are what the paper's bar plots tell, offline after 6,250,000 gradient \
updates, where runs come so far; their intervals are bootstrapped for a single \
game, too. An improvement in *most* games is one in more than \
half of them, where the paper has 16, 11 and 12 of 16.
"""


def games(collection: Collection, family: Family) -> game_verdicts.Games:
  """The runs of every game, for judging.

  Args:
    collection: of one of Atari's suites. The columns of an offline run could
      be an online one's, too.
    family: the claims; only games with a run that they are about are taken.
  """
  return game_verdicts.Games(
      collection, stratified.of_games, family.runs, trained=False,
      in_points=True,
  )


def write(collection: Collection, family: Family, title: str) -> str:
  """The document of a family of claims about Atari.

  Args:
    collection: the runs.
    family: its first section holds the parts of the claims.
    title: what the runs are of.

  Raises:
    UserError: a run cannot be read or lacks a column.
  """
  ids = dict.fromkeys(claim.id for claim in family.sections[0][1])
  headlines = {id_: experiments.BY_ID[id_].claim for id_ in ids}
  return game_report.write(
      games(collection, family), family, title, headlines, _INTERVAL
  )
