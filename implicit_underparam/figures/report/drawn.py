"""The figures that there are runs for."""

import shlex
from collections.abc import Iterator

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import game_runs, layout
from implicit_underparam.figures.report import markup, pictures
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material


def write(material: Material) -> Html:
  """The section; empty where no figure is shown."""
  if not material.shown:
    return Html('')
  return tag(
      'section',
      tag('h2', 'Figures'),
      tag(
          'p', 'Curves are means over seeds, thin lines the seeds; what a '
          'band is, its legend says.', class_='soft',
      ),
      tag('div', *(_figure(x, material) for x in material.shown),
          class_='figures'),
      id='figures',
  )


def anchor(id_: str) -> str:
  """The id of a figure's element."""
  return f'figure-{id_}'


def _figure(figure: layout.PaperFigure, material: Material) -> Html:
  image, problem = _image(figure, material)
  also = f' (also {", ".join(figure.also)})' if figure.also else ''
  caption = [
      tag('strong', f'Figure {figure.id}{also}.'), f' {figure.title}.',
  ]
  if problem:
    caption.append(tag('p', problem, class_='problem'))
  else:
    caption += _lacking_games(figure, material)
  caption += _missing(figure, material)
  if image:
    caption.append(markup.details(
        'Draw it again', markup.command(_command(figure, material))
    ))
  return tag(
      'figure', image, tag('figcaption', *caption), id=anchor(figure.id),
      class_=_class(image),
  )


def _class(image: Html) -> str | None:
  if not image:
    return 'undrawn'
  return 'wide' if 'class="wide"' in image else None


def _image(figure: layout.PaperFigure, material: Material) -> tuple[Html, str]:
  """A figure as it can be drawn, and why it cannot."""
  if material.collection is None or figure not in material.drawable:
    return Html(''), 'Not drawn: it has no run.'
  try:
    return pictures.image(figure, material.collection, material.title), ''
  except UserError as error:
    return Html(''), f'Not drawn: {error}.'


def _command(figure: layout.PaperFigure, material: Material) -> str:
  words = [f'--out={material.runs_dir / "figures"}']
  words += [f'--title={material.title}'] * bool(material.title)
  return f'{material.command(f"--figure={figure.id}")} {shlex.join(words)}'


def _missing(figure: layout.PaperFigure, material: Material) -> Iterator[Html]:
  names = {x: material.full_name(x) for x in material.missing(figure)}
  states = {run.figure_name: run.state for run in material.runs}
  waited = [x for x in names.values() if x in states]
  if waited:
    listed = (markup.join((tag('code', x), f' ({states[x]})')) for x in waited)
    yield tag('p', 'Not there yet: ', markup.join(listed, ', '),
              class_='missing')
  absent = [x for x, full in names.items() if full not in states]
  if absent:
    what = 'Missing run: ' if len(absent) == 1 else 'Missing runs: '
    listed = (tag('code', names[x]) for x in absent)
    commands = (
        markup.command(collection_lib.command(
            name, material.variant, material.runs_dir, figure.suite
        ))
        for name in absent
    )
    summary = markup.join((what, markup.join(listed, ', ')))
    yield markup.details(summary, *commands, class_='missing')


def _lacking_games(
    figure: layout.PaperFigure, material: Material
) -> Iterator[Html]:
  """The runs that some games have, and others lack."""
  if material.collection is None:
    return
  found = game_runs.find(figure, material.collection.of(figure.suite))
  for line in found.lines:
    lacking = [x.title for x in found.games if line not in x.runs]
    if lacking and line not in found.absent:
      yield tag(
          'p', 'No run ', tag('code', line.run), f' of {", ".join(lacking)}.',
          class_='missing',
      )
