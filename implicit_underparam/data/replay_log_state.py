"""What goes on with a replay log takes, besides its files: a few kilobytes."""

import base64
import dataclasses
import json
import zlib
from typing import Any

import numpy as np

from implicit_underparam.data.gzip_writer import Position
from implicit_underparam.data.replay_checkpoints import STACK_SIZE
from implicit_underparam.errors import UserError

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class LogOptions:
  """How a log is written; `ReplayLogWriter` says what each means."""

  capacity: int = 1_000_000
  update_horizon: int = 1
  frame_shape: tuple[int, ...] = (84, 84)
  stack_size: int = STACK_SIZE
  dump_padded_boundaries: bool = True
  episode_ends: bool = True

  def check(self) -> None:
    """Raises UserError if the log would hold no transition."""
    least = self.update_horizon + self.stack_size
    if self.capacity < least:
      raise UserError(
          f'a log of capacity {self.capacity} holds no transition: make it at '
          f'least {least}'
      )


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far the files of a log have come.

  Attributes:
    add_count: rows taken.
    number: of the checkpoint that is next; those below are complete.
    kept: column -> bytes of the row in the last slot of the ring before.
    positions: column -> where its file of this ring stands; none between the
      last but one slot of a ring and the first of the next.
    sizes: of each complete checkpoint the bytes of its files.
  """

  add_count: int = 0
  number: int = 0
  kept: dict[str, bytes] = dataclasses.field(default_factory=dict)
  positions: dict[str, Position] = dataclasses.field(default_factory=dict)
  sizes: list[list[int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class LogState:
  """All that a log's writer knows.

  Attributes:
    progress: of the files.
    ends: the slots at which an episode ends.
    starts_episode: whether the next transition begins an episode.
    has_news: whether there are rows in no complete checkpoint.
  """

  progress: Progress = dataclasses.field(default_factory=Progress)
  ends: np.ndarray = dataclasses.field(
      default_factory=lambda: np.zeros(0, np.int64)
  )
  starts_episode: bool = True
  has_news: bool = False


def _pack(data: bytes) -> str:
  return base64.b64encode(zlib.compress(data)).decode()


def _unpack(text: str) -> bytes:
  return zlib.decompress(base64.b64decode(text))


def encode(state: LogState, options: LogOptions) -> bytes:
  """Writes a state as JSON.

  Args:
    state: its `ends` sorted.
    options: of the log.

  Returns:
    Bytes for `decode`.
  """
  progress = state.progress
  gaps = np.diff(state.ends, prepend=0).astype('<i4')
  return json.dumps({
      'version': _VERSION,
      'options': dataclasses.asdict(options),
      'add_count': progress.add_count,
      'number': progress.number,
      'kept': {name: _pack(row) for name, row in progress.kept.items()},
      'positions': progress.positions,
      'sizes': progress.sizes,
      'ends': _pack(gaps.tobytes()),
      'starts_episode': state.starts_episode,
      'has_news': state.has_news,
  }).encode()


def decode(data: bytes, options: LogOptions) -> LogState:
  """Reads what `encode` wrote.

  Args:
    data: the bytes.
    options: as the log goes on.

  Raises:
    UserError: this is no state of a log, or of one with other options.
  """
  try:
    values = json.loads(data)
    if values['version'] != _VERSION:
      raise ValueError(f'version {values["version"]}')
    state = _from_json(values)
    before = values['options']
  except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
    raise UserError(
        f'the state of the log cannot be read ({error}): start the run anew, '
        'in an empty folder'
    ) from error
  # Tuples are lists there.
  for name, now in json.loads(json.dumps(dataclasses.asdict(options))).items():
    if before.get(name) != now:
      raise UserError(
          f'the log was begun with {name} {before.get(name)}, and cannot go on '
          f'with {now}: give what it was begun with, or name a new folder'
      )
  return state


def _from_json(values: dict[str, Any]) -> LogState:
  progress = Progress(
      add_count=values['add_count'],
      number=values['number'],
      kept={name: _unpack(row) for name, row in values['kept'].items()},
      positions={
          name: Position(*numbers)
          for name, numbers in values['positions'].items()
      },
      sizes=values['sizes'],
  )
  gaps = np.frombuffer(_unpack(values['ends']), '<i4')
  return LogState(
      progress=progress,
      ends=np.cumsum(gaps, dtype=np.int64),
      starts_episode=values['starts_episode'],
      has_news=values['has_news'],
  )
