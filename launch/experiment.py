"""A sweep: what the runs of an experiment are, at each scale."""

import dataclasses
from collections.abc import Mapping, Sequence

from launch.run import Task

SCALES = ('smoke', 'laptop', 'paper')


@dataclasses.dataclass(frozen=True)
class Sweep:
  """An experiment of the paper, or several, as data.

  Attributes:
    title: one line.
    experiments: ids, as in docs/reproduction.md.
    figures: ids that `implicit_underparam.figures` draws from it.
    scales: scale -> its tasks; `smoke` is seconds, `laptop` what a laptop can
      do, `paper` as printed.
  """

  title: str
  experiments: tuple[str, ...]
  figures: tuple[str, ...]
  scales: Mapping[str, tuple[Task, ...]]


def together(title: str, sweeps: Sequence[Sweep]) -> Sweep:
  """Several sweeps as one, each task once.

  Args:
    title: one line.
    sweeps: tasks of one name in them are the same.

  Raises:
    ValueError: they are not.
  """
  return Sweep(
      title,
      tuple(dict.fromkeys(x for one in sweeps for x in one.experiments)),
      tuple(dict.fromkeys(x for one in sweeps for x in one.figures)),
      at_scales(*(one.scales for one in sweeps)),
  )


def at_scales(
    *parts: Mapping[str, Sequence[Task]],
) -> dict[str, tuple[Task, ...]]:
  """Tasks of several lists at each scale that one of them has, each once.

  Args:
    *parts: scale -> tasks.

  Raises:
    ValueError: two differ and have one name.
  """
  return {
      scale: merged([part.get(scale, ()) for part in parts])
      for scale in SCALES
      if any(scale in part for part in parts)
  }


def merged(parts: Sequence[Sequence[Task]]) -> tuple[Task, ...]:
  """Tasks of several lists, each once.

  Raises:
    ValueError: two differ and have one name.
  """
  found: dict[str, Task] = {}
  for task in (task for part in parts for task in part):
    if found.setdefault(task.name, task) != task:
      raise ValueError(f'two tasks are called {task.name}')
  return tuple(found.values())
