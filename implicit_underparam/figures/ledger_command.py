"""What `--ledger` does: judges a folder, writes the ledger, links to files."""

import json
import os
import pathlib
import shlex
from collections.abc import Iterator, Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import (
  drawing,
  ledger,
  ledger_report,
  ledger_types,
  rank_return_report,
  scales,
)
from implicit_underparam.figures.collection import Collection

NAME = 'ledger'
# Beside runs that no sweep of today made: the commands that did.
COMMANDS = 'commands.txt'
# Beside the document: what was found, in words.
FINDINGS = 'findings.md'
_DEPTH = 3


def write(
    collection: Collection, out: str = '', title: str = ''
) -> tuple[str, list[pathlib.Path]]:
  """Judges every claim and writes the ledger down.

  Args:
    collection: the runs.
    out: a folder, for ledger.md and ledger.csv in it, or a file of Markdown,
      for it and a CSV beside it; '' for no file.
    title: what the runs are of.

  Returns:
    The document, and the files written.

  Raises:
    UserError: a run cannot be read or lacks a column, or a file cannot be
      written.
  """
  found = ledger.entries(collection)
  text = text_of(collection, found, out, title)
  document = _document_path(out)
  if document is None:
    return text, []
  rows = document.with_suffix('.csv')
  drawing.write(document, text.encode())
  drawing.write(rows, ledger_report.to_csv(found).encode())
  return text, [document, rows]


def text_of(
    collection: Collection,
    found: Sequence[ledger_types.Entry],
    out: str = '',
    title: str = '',
) -> str:
  """The document, see `write`.

  Args:
    collection: the runs.
    found: what `ledger.entries` says of them.
    out: where the document is to lie; links are to files beside it.
    title: what the runs are of.
  """
  document = _document_path(out)
  links = {} if document is None else figure_links(document.parent)
  correlations = rank_return_report.of_collection(collection)
  sections = (
      _made(collection, out, title, document),
      rank_return_report.section(correlations),
  )
  return ledger_report.markdown(found, title, links, sections)


def _document_path(out: str) -> pathlib.Path | None:
  if not out:
    return None
  path = pathlib.Path(out)
  return path if path.suffix == '.md' else path / f'{NAME}.md'


def figure_links(folder: pathlib.Path) -> dict[str, str]:
  """Links to the figures that lie in a folder, at any depth.

  Args:
    folder: of the document that has the links.

  Returns:
    Id of a figure -> links to all files that draw it.
  """
  links: dict[str, list[str]] = {}
  paths = sorted(folder.rglob('figure_*.png'), key=lambda x: x.parts)
  for path in paths:
    id_ = path.stem.removeprefix('figure_')
    place = path.relative_to(folder).as_posix()
    of = f' of {path.parent.name}' * (id_ in links)
    links.setdefault(id_, []).append(f'[{id_}{of}]({place})')
  return {id_: ', '.join(found) for id_, found in links.items()}


def _made(
    collection: Collection,
    out: str,
    title: str,
    document: pathlib.Path | None,
) -> str:
  """What made the document and the runs, and what else is written of them."""
  command = _block([_command(collection, out, title)])
  parts = ['## The commands\n', 'This document:\n', command]
  found = list(_of_runs(collection.runs_dir))
  parts += ['The runs:\n'] * bool(found)
  for place, lines in found:
    parts += [f'`{place}`\n', _block(lines)]
  if document is not None:
    parts += _beside(document.parent)
  return '\n'.join(parts)


def _beside(folder: pathlib.Path) -> Iterator[str]:
  """Links to other documents in a folder."""
  tables = sorted(folder.rglob('claims*.md'), key=lambda x: x.parts)
  if tables:
    listed = ', '.join(
        f'[{x.relative_to(folder).with_suffix("").as_posix()}]'
        f'({x.relative_to(folder).as_posix()})'
        for x in tables
    )
    yield (
        'Every claim with its statistic, threshold and runs, as '
        '`python -m implicit_underparam.figures --claims --runs=DIR --out=DIR` '
        f'writes it: {listed}.\n'
    )
  if (folder / FINDINGS).is_file():
    yield f'In words: [{FINDINGS}]({FINDINGS}).\n'


def _command(collection: Collection, out: str, title: str) -> str:
  words = [
      'python', '-m', 'implicit_underparam.figures', '--ledger',
      f'--runs={collection.runs_dir}',
      *(f'--variant={x}' for x in [collection.variant] if x),
      *(f'--out={x}' for x in [out] if x),
      *(f'--title={x}' for x in [title] if x),
  ]
  return shlex.join(words)


def _block(lines: list[str]) -> str:
  return '\n'.join(('```', *lines, '```\n'))


def _of_runs(runs_dir: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
  """Folder -> the commands that made its runs, as files there tell them."""
  for path, folders, files in os.walk(runs_dir):
    folder = pathlib.Path(path)
    folders.sort()
    if len(folder.relative_to(runs_dir).parts) >= _DEPTH:
      folders.clear()
    if scales.SWEEP in files:
      yield str(folder), [_of_sweep(folder / scales.SWEEP)]
    if COMMANDS in files:
      yield str(folder), _lines(folder / COMMANDS)


def _lines(path: pathlib.Path) -> list[str]:
  try:
    return path.read_text().splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(
        f'{path} cannot be read ({error}): restore it, or take it away'
    ) from error


def _of_sweep(path: pathlib.Path) -> str:
  try:
    return str(json.loads(path.read_bytes())['command'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(
        f'{path} is not the file of a sweep ({error}): restore it, or take it '
        'away'
    ) from error
