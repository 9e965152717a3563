"""Which jobs Slurm was given, written down for the next driver."""

import json
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from launch import storage


class Entry(NamedTuple):
  """What is written down of a task.

  Fields:
    token: that the name of its Slurm job ends in.
    id: of its Slurm job; '' until that is known.
    command: words.
  """

  token: str
  id: str
  command: tuple[str, ...]


class Record:
  """Entries by the name of the task, in a file; written whole at each change.

  Args:
    path: of the file.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._entries: dict[str, Entry] = {}

  def read(self) -> dict[str, Entry]:
    """What an earlier driver wrote; forgotten here until noted again.

    Raises:
      SweepError: it cannot be read.
    """
    return {
        name: Entry(token, id_, tuple(command))
        for name, (token, id_, command)
        in storage.read_json(self._path).items()
    }

  def get(self, name: str) -> Entry | None:
    """The entry of a task."""
    return self._entries.get(name)

  def note(self, entries: Mapping[str, Entry]) -> None:
    """Enters jobs.

    Args:
      entries: by the name of the task.

    Raises:
      SweepError: they cannot be written.
    """
    self._entries |= entries
    self._write()

  def forget(self, names: set[str]) -> None:
    """Takes out the jobs of these tasks, which have ended."""
    kept = {k: x for k, x in self._entries.items() if k not in names}
    if len(kept) < len(self._entries):
      self._entries = kept
      self._write()

  def _write(self) -> None:
    storage.write_text(self._path, json.dumps(self._entries, indent=1))
