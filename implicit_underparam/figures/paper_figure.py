"""What a figure of the paper consists of."""

import dataclasses
from collections.abc import Callable

from matplotlib.figure import Figure

from implicit_underparam.errors import UserError
from implicit_underparam.figures import drawing, suites


class Undrawable(UserError):
  """A figure that cannot be made of the runs that there are, or not here."""


@dataclasses.dataclass(frozen=True)
class Line:
  """One curve of a figure.

  Attributes:
    run: the configuration it comes from.
    label: in the legend.
    style: colour and dashes.
    column: of the run; '' for the one that its panel is of.
    share: of the suite's `shares`, of the data that it was trained on; '' where
      the suite has none.
  """

  run: str
  label: str
  style: drawing.Style
  column: str = ''
  share: str = ''


@dataclasses.dataclass(frozen=True)
class PaperFigure:
  """A figure of the paper: curves, in panels one below the other.

  Attributes:
    id: what `--figure` takes.
    title: one line.
    lines: the curves of every panel.
    columns: one a panel, from the top; a key of the suite's `axes` where the
      lines have columns of their own.
    suite: that the runs are of; it says what the axes are.
    also: other figures of the paper that this one stands for.
    x: column that training is drawn against; '' for the suite's.
    painter: draws it, given itself, the runs and the title, where it is not
      made of curves; `lines` then tell its runs alone, and are left out where
      it is of all runs of the suite.
  """

  id: str
  title: str
  lines: tuple[Line, ...]
  columns: tuple[str, ...]
  suite: suites.Suite = suites.GRIDWORLD
  also: tuple[str, ...] = ()
  x: str = ''
  painter: Callable[..., Figure] | None = None

  @property
  def runs(self) -> tuple[str, ...]:
    """The configurations that it shows, each once."""
    return tuple(dict.fromkeys(line.run for line in self.lines))

  @property
  def shares(self) -> tuple[str, ...]:
    """The shares of the data that its runs were trained on, each once."""
    return tuple(dict.fromkeys(x.share for x in self.lines if x.share))

  def with_rank_column(self, column: str) -> 'PaperFigure':
    """The same figure with another column in the place of srank.

    Args:
      column: a column of metrics.csv.

    Raises:
      UserError: the figure does not draw srank.
    """
    if 'srank' not in self.columns:
      raise UserError(
          f'--column={column} takes the place of srank, which figure {self.id} '
          'does not draw: leave the flag out'
      )
    columns = tuple(column if x == 'srank' else x for x in self.columns)
    return dataclasses.replace(self, columns=columns)
