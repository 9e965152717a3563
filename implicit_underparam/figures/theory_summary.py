"""The picture that a run of the theory leaves: ranks, and what holds."""

import pathlib
import textwrap
import typing
from collections.abc import Sequence

import numpy as np

from implicit_underparam.figures import drawing, runs, theory_claims
from implicit_underparam.figures.theory_statements import Judgement, judge

if typing.TYPE_CHECKING:
  from matplotlib.axes import Axes

_RANKS = ('srank', 'srank_lambda')
_LINE = 0.34  # Inches a statement.
_WIDTH = 46  # Letters of a statement in a line.


def draw(folder: pathlib.Path, run: runs.Run) -> pathlib.Path:
  """Draws the ranks of every instance, and on how many a statement holds.

  Args:
    folder: of the run.
    run: its rows.

  Returns:
    The path of the picture, folder/summary.png.
  """
  every = judge(run, theory_claims.STATEMENTS)
  judgements = [x for x in every if x.applies] or every
  with drawing.settings():
    height = max(3.0, 1 + _LINE * len(judgements))
    figure = drawing.new_figure(10.5, height, 'constrained')
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    _draw_ranks(left, run)
    _draw_verdicts(right, judgements)
    name = folder.absolute().name
    figure.suptitle(f'{name} ({len(run.seeds)} instances)')
    return drawing.save(figure, folder / 'summary.png')


def _draw_ranks(axes: 'Axes', run: runs.Run) -> None:
  columns = [name for name in _RANKS if name in run.columns]
  styles = (drawing.PLAIN, drawing.DOTTED)
  for column, style in zip(columns, styles, strict=False):
    curves = run.curves(column)
    drawing.draw_seeds(axes, curves, style)
    drawing.draw_mean(axes, curves, style)
  handles = map(drawing.legend_handle, styles, columns)
  axes.legend(handles=list(handles), fontsize=8)
  axes.set_xlabel('Fitting iteration')
  axes.set_ylabel('Effective rank')


def _draw_verdicts(axes: 'Axes', judgements: Sequence[Judgement]) -> None:
  """A bar for each statement; grey where it applies to no instance."""
  places = np.arange(len(judgements))[::-1]
  shares = [x.holds.mean() if len(x.holds) else 0 for x in judgements]
  axes.barh(places, [1] * len(places), color='0.9', height=0.7)
  axes.barh(places, shares, color=drawing.PLAIN.color, height=0.7)
  for place, judgement in zip(places, judgements, strict=True):
    text = f'{judgement.holds.sum()} of {len(judgement.holds)}'
    axes.text(1.02, place, text, va='center', fontsize=7)
  axes.set_yticks(places, [_label(x) for x in judgements], fontsize=6.5)
  axes.set_xlim(0, 1.18)
  axes.set_ylim(-0.8, max(len(judgements), 3) - 0.2)
  axes.set_xticks([0, 0.5, 1])
  axes.set_xlabel('Share of the instances on which it holds')
  axes.grid(False)


def _label(judgement: Judgement) -> str:
  statement = judgement.statement
  form = ', corrected' * statement.corrected
  text = f'{statement.place}{form}: {statement.text}'
  return '\n'.join(textwrap.wrap(text, _WIDTH, max_lines=2, placeholder='…'))
