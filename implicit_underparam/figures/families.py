"""Claims that go together, and what is to be said of how they are judged."""

import dataclasses
from collections.abc import Callable

from implicit_underparam.figures import suites
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.verdicts import Claim


@dataclasses.dataclass(frozen=True)
class Family:
  """The claims about one suite of runs; a table of its own.

  Attributes:
    suite: of the runs.
    file: what the table is written to.
    heading: of the table.
    scope: what all seeds share, so that the intervals say nothing of it.
    rule: the statistics and the thresholds, in Markdown paragraphs.
    sections: titles and claims.
    report: writes the whole table, given the runs, this and a title; None
      where every claim is judged on one run or two.
    games: the games that its claims are judged over, given the runs and this;
      None likewise.
  """

  suite: suites.Suite
  file: str
  heading: str
  scope: str
  rule: str
  sections: tuple[tuple[str, tuple[Claim, ...]], ...]
  report: Callable[[Collection, 'Family', str], str] | None = None
  games: Callable[[Collection, 'Family'], Games] | None = None

  @property
  def claims(self) -> tuple[Claim, ...]:
    """All claims, in order."""
    return tuple(claim for _, claims in self.sections for claim in claims)

  @property
  def runs(self) -> tuple[str, ...]:
    """The configurations that the claims need, each once."""
    names = (name for claim in self.claims for name in claim.runs)
    return tuple(dict.fromkeys(names))
