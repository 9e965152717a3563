"""Draws the paper's figures, and judges its claims, from run folders.

  python -m implicit_underparam.figures --figure=2a --runs=DIR --out=DIR2
  python -m implicit_underparam.figures --figure=all --runs=DIR --out=DIR2
  python -m implicit_underparam.figures --claims --runs=DIR --out=DIR2
  python -m implicit_underparam.figures --ledger --runs=DIR --out=DIR2
  python -m implicit_underparam.figures --report --runs=DIR
  python -m implicit_underparam.figures --list
"""

import logging
import pathlib
import sys
from collections.abc import Iterable, Sequence

from absl import app, flags

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  drawing,
  game_runs,
  layout,
  ledger_command,
  notes,
  paper_figure,
  rank_return_figure,
)
from implicit_underparam.figures.catalogue import (
  choose_figures,
  find_figures,
  list_figures,
)
from implicit_underparam.figures.claims_command import write_claims
from implicit_underparam.figures.report import material, page

_FIGURE = flags.DEFINE_string(
    'figure', '', 'Which figure of the paper, such as 2a; or all.'
)
_CLAIMS = flags.DEFINE_bool(
    'claims', False,
    'Judge the claims of the paper: writes claims.md, claims_atari.md, '
    'claims_atari_online.md, claims_minatar.md, claims_mujoco.md or '
    'claims_theory.md.',
)
_LEDGER = flags.DEFINE_bool(
    'ledger', False,
    'Judge every experiment: prints a table, and writes ledger.md and '
    'ledger.csv, or what --out=NAME.md names.',
)
_REPORT = flags.DEFINE_bool(
    'report', False,
    'Write report.html, one page about a sweep, into --out or --runs.',
)
_LIST = flags.DEFINE_bool('list', False, 'List the figures.')
_RUNS = flags.DEFINE_string(
    'runs', '', 'Folder with run folders, at any depth.'
)
_OUT = flags.DEFINE_string('out', '', 'Folder for what is drawn; made.')
_VARIANT = flags.DEFINE_string(
    'variant', '', 'Use the runs whose names end so, such as lr5e-3. Figures '
    'go to a folder of this name, and tables of claims have it in theirs.'
)
_TITLE = flags.DEFINE_string(
    'title', '', 'What the runs are of, to put into the titles, such as '
    '"Pong, 5% of run 1".'
)
_COLUMN = flags.DEFINE_string(
    'column', 'srank', 'Column to draw as the rank, such as srank_free.'
)
_SMOOTH = flags.DEFINE_integer(
    'smooth', 1, 'Running mean over so many iterations; 1 for none.',
    lower_bound=1,
)


def draw_figures(
    id_: str,
    collection: collection_lib.Collection,
    out: pathlib.Path,
    column: str = 'srank',
    window: int = 1,
    title: str = '',
) -> list[pathlib.Path]:
  """Draws one figure, or all that have a run.

  Args:
    id_: of the figure, or 'all'.
    collection: the runs.
    out: folder for the files.
    column: drawn in the place of srank.
    window: iterations of the running mean; 1 for none.
    title: what the runs are of.

  Returns:
    The files written.

  Raises:
    UserError: there is no such figure, nothing to draw, or a run is damaged.
  """
  chosen = choose_figures(id_)
  drawable = [x for x in chosen if _has_run(x, collection)]
  if not drawable and not chosen[0].lines:
    layout.draw(chosen[0], collection)  # Raises what is to be said.
  if not drawable:
    one = game_runs.name(chosen[0], collection)
    what = 'every figure' if id_ == 'all' else one
    first = chosen[0].suite
    needed = _needed(x for x in chosen if x.suite is first)
    raise collection_lib.nothing_for(what, needed, collection.of(first))
  _report_undrawn(chosen, drawable, collection)
  if id_ == 'all':
    drawable = [x for x in drawable if not _repeats_another(x, collection)]
  if column != 'srank':
    drawable = [
        x.with_rank_column(column) if id_ != 'all' or 'srank' in x.columns
        else x
        for x in drawable
    ]
  return _save_all(drawable, collection, out, window, title)


def _save_all(
    drawable: Sequence[layout.PaperFigure],
    collection: collection_lib.Collection,
    out: pathlib.Path,
    window: int,
    title: str,
) -> list[pathlib.Path]:
  """Of several, those that can be made; what hinders the others is told."""
  written: list[pathlib.Path] = []
  for figure in drawable:
    try:
      written += _save(figure, collection, out, window, title)
    except paper_figure.Undrawable as error:
      if len(drawable) == 1:
        raise
      notes.report(str(error))
  return written


def _has_run(
    figure: layout.PaperFigure, collection: collection_lib.Collection
) -> bool:
  if not figure.lines:
    return rank_return_figure.has_run(figure, collection)
  return bool(game_runs.find(figure, collection.of(figure.suite)).games)


def _shows_its_own(
    figure: layout.PaperFigure, collection: collection_lib.Collection
) -> bool:
  has_run = _has_run(figure, collection)
  return has_run and not game_runs.repeats_another(figure, collection)


def _repeats_another(
    figure: layout.PaperFigure, collection: collection_lib.Collection
) -> bool:
  repeats = game_runs.repeats_another(figure, collection)
  if repeats:
    share = figure.shares[0]
    notes.report(
        f'figure {figure.id} is not drawn: no folder is called GAME_{share}, '
        'so that it is the same as that of the usual share'
    )
  return repeats


def _needed(chosen: Iterable[layout.PaperFigure]) -> list[str]:
  return list(dict.fromkeys(name for figure in chosen for name in figure.runs))


def _report_undrawn(
    chosen: Sequence[layout.PaperFigure],
    drawable: Sequence[layout.PaperFigure],
    collection: collection_lib.Collection,
) -> None:
  """Names what is missing, of the suites that there is any run of."""
  for suite in dict.fromkeys(figure.suite for figure in drawable):
    of_suite = [figure for figure in chosen if figure.suite is suite]
    notes.report_missing(_needed(of_suite), collection.of(suite))
    for figure in of_suite:
      if figure not in drawable:
        notes.report(f'figure {figure.id} is not drawn: it has no run')


def _save(
    figure: layout.PaperFigure,
    collection: collection_lib.Collection,
    out: pathlib.Path,
    window: int,
    title: str,
) -> list[pathlib.Path]:
  with drawing.settings():
    drawn = layout.draw(figure, collection, window, title)
    # Figures of another variant are others, and may have the same folder.
    folder, stem = out / collection.variant, f'figure_{figure.id}'
    return [drawing.save(drawn, folder / f'{stem}.{x}') for x in ('png', 'pdf')]


def _check_flags(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise UserError(
        f'{argv[1]!r} is not a flag: write --figure=2a --runs=DIR --out=DIR'
    )
  if not any(x.value for x in (_FIGURE, _CLAIMS, _LEDGER, _REPORT)):
    ids = ', '.join(find_figures())
    raise UserError(
        f'nothing to do: give --figure=ID (one of {ids}, all), --claims, '
        '--ledger, --report or --list'
    )
  if _FIGURE.value:
    choose_figures(_FIGURE.value)
  prints_alone = not _FIGURE.value and not _CLAIMS.value
  for flag in (_RUNS,) if prints_alone else (_RUNS, _OUT):
    if not flag.value:
      raise UserError(f'--{flag.name} is missing: name a folder')


def _write_report() -> pathlib.Path:
  found = material.gather(
      _RUNS.value, list(find_figures().values()), _shows_its_own,
      _VARIANT.value, _TITLE.value,
  )
  return page.write(found, pathlib.Path(_OUT.value or _RUNS.value))


def main(argv: Sequence[str]) -> None:
  """Draws, and shows a user's error as one line."""
  # absl shows INFO, and fontTools tells of every glyph that goes into a PDF.
  logging.getLogger('fontTools').setLevel(logging.WARNING)
  try:
    if _LIST.value:
      print(list_figures())
      return
    _check_flags(argv)
    if _REPORT.value:
      print(_write_report())
    if not (_FIGURE.value or _CLAIMS.value or _LEDGER.value):
      return
    collection = collection_lib.Collection(_RUNS.value, _VARIANT.value)
    out = pathlib.Path(_OUT.value)
    if _FIGURE.value:
      for path in draw_figures(
          _FIGURE.value, collection, out, _COLUMN.value, _SMOOTH.value,
          _TITLE.value,
      ):
        print(path)
    if _CLAIMS.value:
      for path in write_claims(collection, out, _TITLE.value):
        print(path)
    if _LEDGER.value:
      text, paths = ledger_command.write(
          collection, _OUT.value, _TITLE.value
      )
      print('\n'.join((text, *map(str, paths))))
  except UserError as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  app.run(main)
