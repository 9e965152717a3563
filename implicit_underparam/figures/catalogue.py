"""Every figure that can be drawn, by its id."""

import importlib
import pkgutil
import re

from implicit_underparam import figures
from implicit_underparam.errors import UserError
from implicit_underparam.figures import (
  atari_aggregates,
  layout,
  minatar_figures,
  mujoco_figures,
  rank_return_figure,
  theory_figures,
)


def find_figures() -> dict[str, layout.PaperFigure]:
  """Every figure there is a file for, by id."""
  modules = pkgutil.iter_modules(figures.__path__)
  found = (
      importlib.import_module(f'{figures.__name__}.{name}').FIGURE
      for name in sorted(module.name for module in modules)
      if name.startswith('figure_')
  )
  others = (
      *atari_aggregates.FIGURES,
      *minatar_figures.FIGURES, *mujoco_figures.FIGURES,
      *theory_figures.FIGURES, *rank_return_figure.FIGURES,
  )
  return {x.id: x for x in (*found, *others)}


def choose_figures(id_: str) -> list[layout.PaperFigure]:
  """The figure of an id, or all of them.

  Args:
    id_: of the figure, of one that it stands for, or 'all'; as the paper
      prints it, A.15, or that of all its panels, 6.

  Raises:
    UserError: there is no such figure.
  """
  known = find_figures()
  if id_ == 'all':
    return list(known.values())
  name = re.sub(r'^([ad])\.', r'\1', id_.lower())
  for figure in known.values():
    if name in (figure.id, *figure.also):
      return [figure]
  panels = [
      figure for figure in known.values()
      if name[-1:].isdigit()
      and any(re.fullmatch(f'{re.escape(name)}[a-d]', x)
              for x in (figure.id, *figure.also))
  ]
  if panels:
    return panels
  others = sorted({x for figure in known.values() for x in figure.also})
  raise UserError(
      f'--figure={id_} is unknown: choose one of {", ".join(known)}, all; or '
      f'what these stand for as well: {", ".join(others)}'
  )


def list_figures() -> str:
  """One line a figure: its id, what it shows, whose place it takes as well."""
  found = find_figures()
  width = max(map(len, found))
  lines = (f'{x.id:{width}} {_describe(x)}' for x in found.values())
  return '\n'.join((*lines, f'{"all":{width}} all of them'))


def _describe(figure: layout.PaperFigure) -> str:
  parts = [figure.title]
  if figure.shares:
    parts.append(f'{"% and ".join(figure.shares)}% of the data')
  also = f' (also {", ".join(figure.also)})' * bool(figure.also)
  return ', '.join(parts) + also
