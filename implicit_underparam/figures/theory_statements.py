"""The paper's statements, each judged on every instance of a run.

A statement names the column of metrics.csv that tells by how much it is
violated. It holds on an instance if no iteration is above the tolerance; where
the column is NaN throughout, its assumption fails on that instance and nothing
is said of it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from implicit_underparam.figures import runs


@dataclasses.dataclass(frozen=True)
class Statement:
  """One statement of sections 4, A.7, C and D.

  Attributes:
    place: in the paper, such as 'Corollary C.1.1'.
    text: what it says, in a line.
    column: of metrics.csv, by how much it is violated.
    tolerance: up to which rounding, or a finite step, accounts for it.
    corrected: whether it is not the printed statement but the form of it that
      docs/theory.md derives.
    at_end: whether it is about the last iteration alone.
  """

  place: str
  text: str
  column: str
  tolerance: float = 1e-9
  corrected: bool = False
  at_end: bool = False


@dataclasses.dataclass(frozen=True)
class Judgement:
  """A statement on the instances of one run.

  Attributes:
    statement: which.
    holds: [I] bool, for each instance that it applies to.
    instances: [I] their seeds.
    worst: the largest violation; NaN where it applies nowhere.
    seed: of the instance with it; -1 where it applies nowhere.
    iteration: k of it, the first of them; 0 where it applies nowhere.
    left_out: instances on which the assumption fails.
  """

  statement: Statement
  holds: np.ndarray
  instances: np.ndarray
  worst: float
  seed: int
  iteration: int
  left_out: int

  @property
  def applies(self) -> bool:
    """Whether any instance meets the assumption."""
    return bool(len(self.instances))

  @property
  def line(self) -> str:
    """The verdict in one line."""
    statement = self.statement
    form = ' (corrected)' if statement.corrected else ''
    start = f'{statement.place}{form}: {statement.text}: '
    if not self.applies:
      return f'{start}no instance meets its assumption'
    count = f'{self.holds.sum()} of {len(self.holds)} instances'
    where = f'seed {self.seed}, k = {self.iteration}'
    if self.holds.all():
      verdict = f'holds on {count}, largest violation {self.worst:.2g}'
    else:
      verdict = (
          f'holds on {count}; counter-example: {where}, where '
          f'{statement.column} is {self.worst:.3g}'
      )
    rest = f' ({self.left_out} left out)' * bool(self.left_out)
    return f'{start}{verdict}{rest}'


def judge(run: runs.Run, statements: Sequence[Statement]) -> list[Judgement]:
  """Judges the statements that a run has a column for.

  Args:
    run: of a configuration under gin_configs/theory.
    statements: in the order of the verdicts.
  """
  return [
      _judge(run, statement)
      for statement in statements
      if statement.column in run.columns
  ]


def _judge(run: runs.Run, statement: Statement) -> Judgement:
  curves = run.curves(statement.column)
  values = curves.values.copy()
  if statement.at_end:
    values[:, :-1] = np.nan
  applies = ~np.isnan(values).all(axis=1)
  violations = np.where(np.isnan(values), -np.inf, values)
  holds = np.all(violations <= statement.tolerance, axis=1)
  worst = np.unravel_index(np.argmax(violations), violations.shape)
  found = bool(applies.any())
  return Judgement(
      statement=statement,
      holds=holds[applies],
      instances=curves.seeds[applies],
      worst=float(violations[worst]) if found else np.nan,
      seed=int(curves.seeds[worst[0]]) if found else -1,
      iteration=int(curves.iterations[worst[1]]) + 1 if found else 0,
      left_out=int((~applies).sum()),
  )
