"""What of a remote folder belongs together: a list, replaced as a whole.

Files that are in no list are leftovers of a copy that was cut short. Whatever
is cut short, the list before names files that are all still there.
"""

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from launch.mirror_snapshot import CHECKPOINTS

NAME = '.mirror.json'
PIECES = '.pieces'
_FORMAT = 1


class Stamp(NamedTuple):
  """How one version of a file is told from another.

  Fields:
    size: bytes.
    mtime_ns: when it was last changed, where it was written.
  """

  size: int
  mtime_ns: int


class Piece(NamedTuple):
  """Part of a file that was still growing.

  Fields:
    start: its place in the file, bytes.
    size: bytes.
    crc: CRC-32 of them.
  """

  start: int
  size: int
  crc: int

  def path(self, name: str) -> str:
    """Where it is, in the remote folder.

    Args:
      name: of the file that it is part of.
    """
    return f'{PIECES}/{name}/{self.start:015d}-{self.size}-{self.crc:08x}'


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The list.

  Attributes:
    files: name -> its stamp.
    pieces: name of a growing file -> its parts in order.
    identity: no other list has it.
  """

  files: Mapping[str, Stamp] = dataclasses.field(default_factory=dict)
  pieces: Mapping[str, Sequence[Piece]] = dataclasses.field(
      default_factory=dict
  )
  identity: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

  @classmethod
  def decode(cls, data: bytes) -> Self:
    """Reads what `encode` wrote.

    Args:
      data: the bytes.

    Raises:
      ValueError: they are not a list.
    """
    try:
      values = json.loads(data)
      if values['format'] != _FORMAT:
        raise ValueError(f'format {values["format"]} is not {_FORMAT}')
      return cls(
          {name: Stamp(*x) for name, x in values['files'].items()},
          {
              name: [Piece(*x) for x in parts]
              for name, parts in values['pieces'].items()
          },
          values['identity'],
      )
    except (KeyError, TypeError, AttributeError) as error:
      raise ValueError(f'{type(error).__name__}: {error}') from error

  def encode(self) -> bytes:
    """The list as JSON."""
    values = {'format': _FORMAT, **dataclasses.asdict(self)}
    return (json.dumps(values, indent=1) + '\n').encode()

  def objects(self) -> set[str]:
    """Names of all that it counts on, pieces by their own."""
    parts = {
        piece.path(name)
        for name, found in self.pieces.items()
        for piece in found
    }
    return {*self.files, *parts}

  def checkpoints(self) -> set[str]:
    """Numbers of the checkpoints, as text."""
    return {
        name.split('/')[1]
        for name in self.files
        if name.startswith(f'{CHECKPOINTS}/')
    }

  def of_checkpoints(self, numbers: Sequence[str]) -> dict[str, Stamp]:
    """The files of some checkpoints."""
    return {
        name: stamp
        for name, stamp in self.files.items()
        if name.startswith(tuple(f'{CHECKPOINTS}/{x}/' for x in numbers))
    }
