"""What went wrong, run by run, with the end of the log and a remedy."""

import os
import pathlib
import re
import shlex
from collections.abc import Iterator

from implicit_underparam.figures.report import folders, markup
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

_LINES = 20
_BYTES = 64 * 1024
_LENGTH = 500  # Letters of a line that are shown.
_ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
_BAD = ('failed', 'blocked')


def write(material: Material) -> Html:
  """The section; empty where nothing went wrong."""
  bad = [
      x for x in material.parts if x.state in _BAD or x.problem or x.stopped
  ]
  order = {'failed': 0, 'blocked': 2}
  bad.sort(key=lambda x: order.get(x.state, 1))
  empty = [
      x.name for x in material.parts
      if x.state == 'without rows' and not x.problem
  ]
  if not bad and not empty:
    return Html('')
  return tag(
      'section',
      tag('h2', 'Failures'),
      *(_failure(part, material) for part in bad),
      *([_empty(empty)] if empty else []),
      id='failures',
  )


def _failure(part: folders.Part, material: Material) -> Html:
  return tag(
      'article',
      tag('h3', part.name),
      *_reasons(part),
      *(_log(part, material.runs_dir) if part.state in _BAD else ()),
      *_remedy(part),
      class_='failure',
  )


def _reasons(part: folders.Part) -> Iterator[Html]:
  if part.state in _BAD:
    tries = part.task.attempts if part.task else 0
    attempts = f' ({tries} attempt{"s" * (tries != 1)})' if tries else ''
    reason = part.reason or 'no reason is given'
    yield _reason(part.state, f'{reason}{attempts}')
  if part.problem:
    yield _reason('unreadable', part.problem)
  if part.stopped:
    yield _reason('seeds that stopped before the others', '')
    yield tag('ul', *(
        tag('li', f'seed {seed}: {why}') for seed, why in part.stopped.items()
    ))


def _reason(what: str, why: str) -> Html:
  return tag('p', tag('span', what, class_='state failed'), ' ', why)


def _log(part: folders.Part, runs_dir: pathlib.Path) -> Iterator[Html]:
  if part.task is None or not part.task.log or not part.task.attempts:
    return
  lines = last_lines(runs_dir / part.task.log)
  if lines is None:
    yield tag('p', f'There is no {part.task.log} here.', class_='soft')
  elif not lines:
    yield tag('p', f'{part.task.log} is empty.', class_='soft')
  else:
    what = f'{len(lines)} lines' if len(lines) > 1 else 'line'
    yield markup.details(
        f'Last {what} of {part.task.log}',
        tag('pre', '\n'.join(lines), class_='log', tabindex='0'),
        class_='opens',
    )


def last_lines(path: pathlib.Path) -> list[str] | None:
  """The last lines of a log, as they would stand on a terminal.

  Args:
    path: the file.

  Returns:
    At most 20 lines; None where there is no file that can be read.
  """
  try:
    with open(path, 'rb') as file:
      size = file.seek(0, os.SEEK_END)
      file.seek(max(0, size - _BYTES))
      text = file.read().decode(errors='replace')
  except OSError:
    return None
  # A progress bar writes one line many times.
  lines = [x.rstrip('\r').rsplit('\r')[-1] for x in text.rstrip().split('\n')]
  plain = [_ESCAPES.sub('', line)[:_LENGTH].rstrip() for line in lines]
  return plain[-_LINES:] if any(plain) else []


def _remedy(part: folders.Part) -> Iterator[Html]:
  if part.state == 'blocked':
    yield tag('p', 'It starts once what it waits for is done.', class_='soft')
  command = _again(part) if part.state == 'failed' else ''
  if command:
    yield tag('p', 'Run it again:', class_='lead')
    yield markup.command(command)


def _again(part: folders.Part) -> str:
  if part.task is not None:
    return part.task.command
  if not part.config:
    return ''
  return shlex.join([
      'python', '-m', 'implicit_underparam.train',
      f'--base_dir={part.folder}', f'--gin_files={part.folder / "config.gin"}',
  ])


def _empty(names: list[str]) -> Html:
  return tag(
      'p', 'Without a row: ',
      markup.join((tag('code', x) for x in names), ', '), '.',
  )
