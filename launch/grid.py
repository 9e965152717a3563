"""A grid of settings, as data, and the runs that it stands for.

  Grid(
      name='{game}/dqn_online_n{n}{penalty}',
      gin_files=('gin_configs/atari/dqn_online.gin',),
      gin_bindings=("game = '{game}'", 'OnlineLoop.data_reuse_ratio = {n}'),
      axes={
          'game': ('Pong', 'Qbert'),
          'n': (1, 2, 4),
          'penalty': (NONE, Setting('_penalty', ('.../penalty.gin',), cost=2)),
      },
      seeds=(0, 1, 2, 3, 4),
  )

is twelve runs.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from launch.run import Resources, Run


@dataclasses.dataclass(frozen=True)
class Setting:
  """One value of an axis that is more than what is written into a binding.

  Attributes:
    text: what stands for it in names, files and bindings.
    gin_files: given after the grid's.
    gin_bindings: given after the grid's; the axes' names in braces.
    cost: how many times as long a run takes with it.
  """

  text: str
  gin_files: tuple[str, ...] = ()
  gin_bindings: tuple[str, ...] = ()
  cost: float = 1.0

  def __str__(self) -> str:
    return self.text


NONE = Setting('')
Value = str | int | float | Setting


@dataclasses.dataclass(frozen=True)
class Grid:
  """Every combination of some settings.

  Braces in `name`, `gin_files`, `gin_bindings` and `after` hold the name of an
  axis; '{{seed}}' and '{{base_dir}}' are left to the run.

  Attributes:
    name: of the runs.
    gin_files: of all of them, in order.
    gin_bindings: of all of them.
    axes: name -> its values, bindable or not.
    last_files: given after all others, the axes' included.
    seeds: of every run; () for those of its configuration.
    cost: expected minutes of a run with all seeds, before the settings'.
    resources: of every run.
    after: what every run waits for.
    whole: of every run.
  """

  name: str
  gin_files: tuple[str, ...]
  gin_bindings: tuple[str, ...] = ()
  axes: Mapping[str, Sequence[Value]] = dataclasses.field(default_factory=dict)
  last_files: tuple[str, ...] = ()
  seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
  cost: float = 1.0
  resources: Resources = Resources()
  after: tuple[str, ...] = ()
  whole: bool = False

  def runs(self) -> list[Run]:
    """The runs, the last axis varying fastest."""
    names = tuple(self.axes)
    return [
        self._run(dict(zip(names, values, strict=True)))
        for values in itertools.product(*self.axes.values())
    ]

  def _run(self, values: Mapping[str, Value]) -> Run:
    settings = [x for x in values.values() if isinstance(x, Setting)]
    files = [*self.gin_files, *(f for x in settings for f in x.gin_files)]
    bindings = [
        *self.gin_bindings, *(b for x in settings for b in x.gin_bindings)
    ]
    cost = self.cost
    for setting in settings:
      cost *= setting.cost

    def filled(texts: Sequence[str]) -> tuple[str, ...]:
      return tuple(text.format(**values) for text in texts)

    return Run(
        self.name.format(**values),
        gin_files=filled((*files, *self.last_files)),
        gin_bindings=filled(bindings),
        seeds=self.seeds,
        cost=cost,
        after=filled(self.after),
        resources=self.resources,
        whole=self.whole,
    )


def runs(grids: Sequence[Grid]) -> tuple[Run, ...]:
  """The runs of several grids, each name once.

  Raises:
    ValueError: two differ and have one name.
  """
  found: dict[str, Run] = {}
  for run in (run for grid in grids for run in grid.runs()):
    if found.setdefault(run.name, run) != run:
      raise ValueError(
          f"two runs are called {run.name}, and differ: put every axis into "
          "the grid's name"
      )
  return tuple(found.values())
