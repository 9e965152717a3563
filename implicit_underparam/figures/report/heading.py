"""The beginning of the page: what it is about, and how it stands."""

import collections
from collections.abc import Iterator

from implicit_underparam.figures.report import folders, markup, times
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

_ALWAYS = ('done', 'failed', 'running', 'waiting')
_TOLD = {
    'recorded': 'rows, without a run.json that says how the run ended',
    'interrupted': 'was running when the sweep was last heard of',
    'blocked': 'waits for a run that failed',
}


def title(material: Material) -> str:
  """Of the page."""
  name = material.sweep.name or material.runs_dir.resolve().name
  return f'{material.title}: {name}' if material.title else name


def write(material: Material) -> Html:
  """Title, facts, counts, and what a reader has to know first."""
  return tag(
      'header',
      tag('p', 'Rank collapse in value-based RL: report', class_='over'),
      tag('h1', title(material)),
      tag('p', markup.join(_facts(material), ' · '), class_='facts'),
      _counts(material),
      *_notices(material),
  )


def _facts(material: Material) -> Iterator[str]:
  sweep = material.sweep
  if sweep.scale:
    yield f'scale {sweep.scale}'
  if sweep.engine:
    yield f'engine {sweep.engine}'
  if sweep.host:
    yield f'driven from {sweep.host}'
  if sweep.started is not None:
    end = sweep.ended or sweep.updated or sweep.started
    length = times.length(max(0.0, end - sweep.started))
    so_far = '' if sweep.ended else ' so far'
    yield f'started {times.moment(sweep.started)}, {length}{so_far}'
  else:
    yield f'runs in {material.runs_dir}'
  if material.variant:
    yield f'figures and verdicts of runs …_{material.variant}'
  yield f'as of {times.moment(material.now)}'
  versions = _version(material)
  if versions:
    yield versions


def _version(material: Material) -> str:
  keys = ('implicit_underparam', 'jax', 'python')
  found = [part.versions for part in material.parts if part.versions]
  told = []
  for key in keys:
    values = sorted({str(x[key]) for x in found if x.get(key)})
    if values:
      told.append(f'{key} {" and ".join(values)}')
  return ', '.join(told)


def _counts(material: Material) -> Html:
  counts = collections.Counter(run.state for run in material.runs)
  states = dict.fromkeys((*_ALWAYS, *reversed(folders.STATES), *counts))
  items = [
      _count(counts[state], state, _TOLD.get(state))
      for state in states
      if counts[state] or (state in _ALWAYS and material.sweep.name)
  ]
  items.append(_count(
      len(material.missing_runs), 'missing', 'figures below need them'
  ))
  total = f'{len(material.runs)} run' + 's' * (len(material.runs) != 1)
  return tag(
      'p', tag('span', total, class_='total'), ': ', markup.join(items, ', '),
      class_='counts',
  )


def _count(number: int, state: str, told: str | None) -> Html:
  text = f'{number} {state}'
  name = 'count none' if not number else f'count {state.replace(" ", "-")}'
  return tag('span', text, class_=name, title=told)


def _notices(material: Material) -> Iterator[Html]:
  sweep = material.sweep
  if sweep.problem:
    yield _notice('Damaged: ', sweep.problem)
  if sweep.is_stale(material.now):
    yield _notice(
        'Interrupted? ',
        f'sweep.json says that the sweep is running, and was last written '
        f'{times.moment(sweep.updated)}. If it is dead, the same command goes '
        'on:',
        markup.command(sweep.command) if sweep.command else '',
    )
  elif sweep.state == 'running':
    yield _notice(
        'Still running: ',
        f'this page is how things stood at {times.moment(material.now)}. Make '
        'it again with',
        markup.command(material.command('--report')),
    )
  elif sweep.state == 'stopped':
    yield _notice(
        'Stopped before its end; ', 'the same command goes on:',
        markup.command(sweep.command) if sweep.command else '',
    )
  if material.collection is None:
    yield _notice('No rows yet: ', 'no run has written one that can be read.')


def _notice(strong: str, *children: str) -> Html:
  return tag('div', tag('strong', strong), *children, class_='notice')
