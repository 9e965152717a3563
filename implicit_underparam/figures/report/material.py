"""All that a page is made of."""

import dataclasses
import functools
import pathlib
import shlex
import time
from collections.abc import Callable, Sequence

from implicit_underparam.errors import UserError
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import layout
from implicit_underparam.figures.report import folders, record

HasRun = Callable[[layout.PaperFigure, collection_lib.Collection], bool]


@dataclasses.dataclass(frozen=True)
class Material:
  """What there is in a folder of runs.

  Attributes:
    runs_dir: the folder.
    variant: suffix of the names that figures and verdicts look at.
    title: what the runs are of; ''.
    sweep: what sweep.json says.
    runs: by name.
    preparations: of data.
    collection: the runs that can be read; None where there is none.
    figures: every figure of the paper that there is.
    has_run: whether there is anything to draw a figure from.
    now: Unix seconds.
  """

  runs_dir: pathlib.Path
  variant: str
  title: str
  sweep: record.Sweep
  runs: Sequence[folders.ReportedRun]
  preparations: Sequence[folders.Part]
  collection: collection_lib.Collection | None
  figures: Sequence[layout.PaperFigure]
  has_run: HasRun
  now: float

  @property
  def parts(self) -> list[folders.Part]:
    """Every folder, the preparations first."""
    return [*self.preparations, *(x for run in self.runs for x in run.parts)]

  @functools.cached_property
  def drawable(self) -> list[layout.PaperFigure]:
    """The figures that have a run, those that the sweep is for first."""
    if self.collection is None:
      return []
    found = [x for x in self.figures if self._can_draw(x, self.collection)]
    return sorted(found, key=lambda figure: figure not in self.wanted)

  def _can_draw(
      self, figure: layout.PaperFigure, there: collection_lib.Collection
  ) -> bool:
    try:
      return self.has_run(figure, there)
    except UserError:
      return True  # Two runs of a name: drawing it says so.

  @functools.cached_property
  def wanted(self) -> list[layout.PaperFigure]:
    """The figures that the sweep is for."""
    ids = set(self.sweep.figures)
    return [x for x in self.figures if not ids.isdisjoint((x.id, *x.also))]

  @functools.cached_property
  def shown(self) -> list[layout.PaperFigure]:
    """The figures that are drawn, then those that should be and have no run."""
    undrawn = [
        x for x in self.wanted
        if x not in self.drawable and len(self.missing(x)) == len(x.runs)
    ]
    return [*self.drawable, *undrawn]

  def missing(self, figure: layout.PaperFigure) -> list[str]:
    """The runs that a figure needs and that are not there.

    Args:
      figure: which.
    """
    if self.collection is None:
      return list(figure.runs)
    try:
      return layout.missing(figure, self.collection)
    except UserError:
      return []  # As above.

  @functools.cached_property
  def missing_runs(self) -> list[str]:
    """The runs that the figures need, and that nobody has or plans."""
    planned = {run.figure_name for run in self.runs}
    needed = dict.fromkeys(x for f in self.shown for x in self.missing(f))
    return [x for x in needed if self.full_name(x) not in planned]

  def full_name(self, name: str) -> str:
    """The name of a configuration's folder."""
    return collection_lib.full_name(name, self.variant)

  def command(self, *flags: str) -> str:
    """A command of this package on these runs."""
    words = [*flags, f'--runs={self.runs_dir}']
    words += [f'--variant={self.variant}'] * bool(self.variant)
    return f'python -m implicit_underparam.figures {shlex.join(words)}'


def gather(
    runs_dir: str,
    figures: Sequence[layout.PaperFigure],
    has_run: HasRun,
    variant: str = '',
    title: str = '',
) -> Material:
  """Reads a folder of runs.

  Args:
    runs_dir: the folder.
    figures: every figure of the paper that there is.
    has_run: whether there is anything to draw one of them from.
    variant: suffix of the names that figures and verdicts look at.
    title: what the runs are of.

  Raises:
    UserError: there is no such folder, or neither a run nor a sweep in it.
  """
  root = pathlib.Path(runs_dir)
  if not root.is_dir():
    raise UserError(f'--runs={runs_dir} is not a folder: name one with runs')
  now = time.time()
  sweep = record.read(root)
  every, preparations = folders.read(root, sweep, now)
  if not every and not preparations:
    raise UserError(
        f'--runs={runs_dir} holds no run and no {record.FILE} that names one: '
        'name the folder of a sweep, or one that holds run folders'
    )
  return Material(
      root, variant, title, sweep, every, preparations,
      _collection(root, variant, every), figures, has_run,
      now,
  )


def _collection(
    root: pathlib.Path, variant: str, every: Sequence[folders.ReportedRun]
) -> collection_lib.Collection | None:
  """The runs that can be read: a damaged one must not hide the others."""
  parts = [part for run in every for part in run.parts]
  if all(part.rows is None for part in parts):
    return None
  damaged = [part for part in parts if part.problem]
  # Of a run in parts, the collection knows the folder that they lie in.
  folders_ = {
      folder
      for part in damaged
      for folder in (part.folder, root / part.run_name)
  }
  return collection_lib.Collection(root, variant).without(folders_)
