"""What the runs were made with: bindings, versions, devices."""

from collections.abc import Mapping, Sequence

from implicit_underparam.figures.report import bindings, markup
from implicit_underparam.figures.report.bindings import Difference
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

_FEW = 6  # Runs that fit beside each other in a table.
_NAMED = 3  # Runs that are named; more are folded.


def write(material: Material) -> Html:
  """The section of the configurations; says so where there is none."""
  configs = {run.name: run.config for run in material.runs if run.config}
  if not configs:
    body = [tag('p', 'No run has a config.gin here.', class_='soft')]
  else:
    body = [*_differences(configs), tag('h3', 'Each whole'), *_whole(material)]
  return tag(
      'section', tag('h2', 'Configurations'), *body, id='configurations'
  )


def _differences(configs: Mapping[str, Mapping[str, str]]) -> list[Html]:
  found = bindings.differences(configs)
  if len(configs) < 2:
    return []
  if not found:
    return [tag('p', 'All runs have the same bindings.')]
  everywhere = [x for x in found if x.is_everywhere]
  elsewhere = [x for x in found if not x.is_everywhere]
  written = [tag('h3', 'What differs')]
  if everywhere:
    label = 'Bindings that all runs have, with different values'
    written.append(_table(label, everywhere, list(configs)))
  if elsewhere:
    label = 'Bindings that only some of the runs have'
    inner = _table(label, elsewhere, list(configs))
    written.append(markup.details(f'{label} ({len(elsewhere)})', inner))
  return written


def _table(
    label: str, found: Sequence[Difference], names: Sequence[str]
) -> Html:
  if len(names) <= _FEW:
    rows = [
        [_binding(x.binding), *(_value(x.of(name)) for name in names)]
        for x in found
    ]
    return markup.table(label, ('Binding', *names), rows, class_='bindings')
  rows = [
      [
          _binding(x.binding) if i == 0 else tag('td'),
          _value(value), tag('td', _names(there)),
      ]
      for x in found
      for i, (value, there) in enumerate(x.values.items())
  ]
  header = ('Binding', 'Value', 'Runs')
  return markup.table(label, header, rows, class_='bindings grouped')


def _binding(name: str) -> Html:
  return tag('th', tag('code', name), scope='row')


def _value(value: str) -> Html:
  if value == bindings.ABSENT:
    return tag('td', '(none)', class_='soft')
  return tag('td', tag('code', value))


def _names(names: Sequence[str]) -> Html:
  listed = markup.text(', '.join(names))
  if len(names) <= _NAMED:
    return listed
  return markup.details(f'{len(names)} runs', tag('p', listed))


def _whole(material: Material) -> list[Html]:
  return [
      markup.details(part.name, tag('pre', part.config, class_='log'))
      for run in material.runs
      for part in run.parts
      if part.config
  ]


def versions(material: Material) -> Html:
  """The section of versions and devices; says so where none is known."""
  groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
  for part in material.parts:
    pairs = {'device': part.device, **part.versions}
    if key := tuple((k, str(x)) for k, x in pairs.items() if x):
      groups.setdefault(key, []).append(part.name)
  if not groups:
    body = [tag('p', 'No run has a run.json here.', class_='soft')]
  else:
    body = [_group(pairs, names) for pairs, names in groups.items()]
  return tag(
      'section', tag('h2', 'Versions and device'), *body, id='versions'
  )


def _group(
    pairs: Sequence[tuple[str, str]], names: Sequence[str]
) -> Html:
  items = (tag('div', tag('dt', key), tag('dd', x)) for key, x in pairs)
  return tag(
      'div', tag('p', _names(names)), tag('dl', *items), class_='versions'
  )
