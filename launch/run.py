"""What a sweep is made of: tasks, each a command in a folder of its own."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from launch import storage


@dataclasses.dataclass(frozen=True)
class Resources:
  """What a task takes while it runs.

  Attributes:
    cpus: cores.
    gpus: GPUs; 0.25 is a quarter of one's memory.
    tpus: chips of one TPU host.
    seeds_per_run: seeds that fit one device, trained as one vmapped program;
      0 for all of them.
  """

  cpus: int = 1
  gpus: float = 0.0
  tpus: int = 0
  seeds_per_run: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
  """Something that a sweep does once.

  Attributes:
    name: its folder under the sweep's; figures know runs by it.
    cost: expected minutes; the longest are started first.
    after: names of tasks that have to be finished before it starts.
    resources: what it takes.

  Raises:
    ValueError: the name is of no folder below the sweep's.
  """

  name: str
  cost: float = dataclasses.field(default=1.0, kw_only=True)
  after: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
  resources: Resources = dataclasses.field(
      default=Resources(), kw_only=True
  )

  def __post_init__(self) -> None:
    if not {'', '.', '..'}.isdisjoint(self.name.split('/')):
      raise ValueError(
          f'a run is called {self.name!r}: write a name, or folder/name'
      )

  def command(self, base_dir: str, folder: str = '') -> list[str]:
    """The command line that does it.

    Args:
      base_dir: the sweep's folder.
      folder: the task's, where it is not in the sweep's.
    """
    raise NotImplementedError

  def is_finished(self, base_dir: str) -> bool:
    """Whether its folder says so."""
    raise NotImplementedError

  def reads_sweep(self) -> bool:
    """Whether it reads what others leave in the sweep's folder."""
    return False

  def parts(self) -> 'Sequence[Task]':
    """What it is split into, one device each."""
    return (self,)


@dataclasses.dataclass(frozen=True)
class Run(Task):
  """One run of `implicit_underparam.train`.

  Attributes:
    gin_files: configuration files, in order.
    gin_bindings: bindings, applied after them; '{base_dir}' in one is the
      sweep's folder.
    seeds: of the run; () for those of its configuration.
    whole: whether its seeds stay together, since others read what it logs.
  """

  gin_files: tuple[str, ...] = ()
  gin_bindings: tuple[str, ...] = ()
  seeds: tuple[int, ...] = ()
  whole: bool = False

  def command(self, base_dir: str, folder: str = '') -> list[str]:
    """See `Task`."""
    return [
        sys.executable,
        '-m',
        'implicit_underparam.train',
        f'--base_dir={folder or storage.join(base_dir, self.name)}',
        *(f'--gin_files={x}' for x in self.gin_files),
        *(
            f'--gin_bindings={x.replace("{base_dir}", str(base_dir))}'
            for x in self.bindings
        ),
    ]

  @property
  def bindings(self) -> tuple[str, ...]:
    """All of them, the seeds' included."""
    if not self.seeds:
      return self.gin_bindings
    # A tuple of one has a comma, as gin needs it.
    return (*self.gin_bindings, f'Runner.seeds = {self.seeds}')

  def is_finished(self, base_dir: str) -> bool:
    """Whether run.json says so."""
    status = storage.read_json(storage.join(base_dir, self.name, 'run.json'))
    return status.get('status') == 'finished'

  def reads_sweep(self) -> bool:
    """See `Task`."""
    return any('{base_dir}' in x for x in self.gin_bindings)

  def parts(self) -> 'Sequence[Run]':
    """One run for as many seeds as fit a device, in NAME/seeds_0_1."""
    size = self.resources.seeds_per_run
    if self.whole or not size or len(self.seeds) <= size:
      return (self,)
    chunks = [
        self.seeds[i:i + size] for i in range(0, len(self.seeds), size)
    ]
    return [
        dataclasses.replace(
            self,
            name=f'{self.name}/seeds_' + '_'.join(map(str, chunk)),
            seeds=chunk,
            cost=self.cost * len(chunk) / len(self.seeds),
        )
        for chunk in chunks
    ]


@dataclasses.dataclass(frozen=True)
class Preparation(Task):
  """One run of `implicit_underparam.data.prepare`; its folder is the set.

  Attributes:
    source: of the data; '{base_dir}' in it is the sweep's folder.
    options: more flags, such as '--fraction=0.05'.
  """

  source: str = ''
  options: tuple[str, ...] = ()

  def command(self, base_dir: str, folder: str = '') -> list[str]:
    """See `Task`."""
    return [
        sys.executable,
        '-m',
        'implicit_underparam.data.prepare',
        f'--source={self.source.replace("{base_dir}", str(base_dir))}',
        f'--out={folder or storage.join(base_dir, self.name)}',
        *self.options,
    ]

  def is_finished(self, base_dir: str) -> bool:
    """Whether meta.json is there, which is written last."""
    path = storage.join(base_dir, self.name, 'meta.json')
    return storage.read_text(path) is not None

  def reads_sweep(self) -> bool:
    """See `Task`."""
    return '{base_dir}' in self.source


def split(tasks: Sequence[Task]) -> list[Task]:
  """Every task's parts; what waits for a task waits for all of its parts."""
  parts = {task.name: [x.name for x in task.parts()] for task in tasks}
  return [
      dataclasses.replace(
          part,
          after=tuple(
              name for x in task.after for name in parts.get(x, (x,))
          ),
      )
      for task in tasks
      for part in task.parts()
  ]


def log_file(base_dir: str, name: str) -> pathlib.Path:
  """Where what a task prints is kept."""
  return pathlib.Path(base_dir) / 'logs' / f'{name}.txt'
