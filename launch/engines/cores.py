"""Cores of a machine, taken by processes that know nothing of each other."""

import contextlib
import fcntl
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def taken(count: int, known: float) -> Iterator[tuple[int, ...]]:
  """Holds cores that no other holder on this machine has.

  Args:
    count: how many.
    known: cores that the scheduler counts on this machine.

  Yields:
    Their numbers; none where this process cannot know what it shares: the
    scheduler counts otherwise, as in a container with a part of a machine,
    where every container would take the same ones.
  """
  cores = _available()
  with contextlib.ExitStack() as held:
    chosen: list[int] = []
    if len(cores) == known:
      for core in cores:
        if len(chosen) < count and _hold(core, held):
          chosen.append(core)
    yield tuple(chosen) if len(chosen) == count else ()


def _available() -> list[int]:
  if sys.platform != 'linux':
    return []
  return sorted(os.sched_getaffinity(0))


def _hold(core: int, held: contextlib.ExitStack) -> bool:
  """Locks a file of the core's; the kernel frees it when the process ends."""
  folder = pathlib.Path(tempfile.gettempdir()) / f'cores_{os.getuid()}'
  folder.mkdir(exist_ok=True)
  file = open(folder / str(core), 'a', encoding='utf-8')
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    file.close()
    return False
  held.enter_context(file)
  return True
