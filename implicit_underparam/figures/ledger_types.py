"""A part of a claim, judged, as the ledger and its readers have it."""

import dataclasses
from typing import Any

from implicit_underparam.figures import experiments, verdicts
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


def entry(
    id_: str, claim: str, verdict: str, counts: bool, **rest: Any
) -> Entry:
  """An entry of an experiment, empty but for what is told.

  Args:
    id_: of the experiment.
    claim: the part in words.
    verdict: a constant of `verdicts`.
    counts: whether the experiment's verdict depends on it.
    **rest: other attributes.
  """
  experiment = experiments.BY_ID[id_]
  empty = Entry(
      id_, experiment.figures, claim, '', '', 0, '', None, verdict, '',
      experiment.command() if verdict == verdicts.NOT_RUN else '', counts,
  )
  return dataclasses.replace(empty, **rest)
