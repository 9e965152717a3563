"""The page as a whole."""

import base64
import hashlib
import importlib.resources
import pathlib

from implicit_underparam.figures import drawing
from implicit_underparam.figures.report import (
  configurations,
  drawn,
  failures,
  heading,
  judged,
  listing,
)
from implicit_underparam.figures.report.markup import Html, tag
from implicit_underparam.figures.report.material import Material

FILE = 'report.html'
_SECTIONS = (
    ('Failures', 'failures', failures.write),
    ('Verdicts', 'verdicts', judged.write),
    ('Figures', 'figures', drawn.write),
    ('Runs', 'runs', listing.write),
    ('Configurations', 'configurations', configurations.write),
    ('Versions', 'versions', configurations.versions),
)


def write(material: Material, out: pathlib.Path) -> pathlib.Path:
  """Writes the page.

  Args:
    material: what it is about.
    out: folder for report.html; made.

  Returns:
    The file.

  Raises:
    UserError: it could not be written.
  """
  path = out / FILE
  drawing.write(path, document(material).encode())
  return path


def document(material: Material) -> str:
  """The page's HTML."""
  there = [
      (name, id_, section)
      for name, id_, write_section in _SECTIONS
      if (section := write_section(material))
  ]
  links = (
      tag('li', tag('a', name, href=f'#{id_}')) for name, id_, _ in there
  )
  body = tag(
      'body',
      tag('a', 'To the runs', href='#runs', class_='skip'),
      heading.write(material),
      tag('nav', tag('ul', *links), aria_label='Sections'),
      tag('main', *(section for _, _, section in there)),
      _script(),
  )
  return f'<!DOCTYPE html>\n{tag("html", _head(material), body, lang="en")}\n'


def _head(material: Material) -> Html:
  style = _resource('page.css')
  return tag(
      'head',
      tag('meta', charset='utf-8'),
      tag('meta', http_equiv='Content-Security-Policy', content=_policy()),
      tag('meta', name='viewport', content='width=device-width'),
      tag('meta', name='color-scheme', content='light dark'),
      tag('title', f'{heading.title(material)}: report'),
      Html(f'<style>{style}</style>'),
  )


def _script() -> Html:
  return Html(f'<script>{_resource("page.js")}</script>')


def _policy() -> str:
  """What the page may do: nothing that does not lie in it."""
  words = "default-src 'none'; img-src data:"
  return f"{words}; style-src {_hash('page.css')}; script-src " + _hash(
      'page.js'
  )


def _hash(name: str) -> str:
  digest = hashlib.sha256(_resource(name).encode()).digest()
  return f"'sha256-{base64.b64encode(digest).decode()}'"


def _resource(name: str) -> str:
  folder = importlib.resources.files(__package__)
  return (folder / name).read_text(encoding='utf-8')
