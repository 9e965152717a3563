"""The episodes of a prepared set, in the form that RLDS wants them."""

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from implicit_underparam.data.frame_store import FrameStore
from implicit_underparam.data.horizons import STACK_SIZE

_PADDING = STACK_SIZE - 1


class Piece(NamedTuple):
  """An episode, or a part of one, as rows of a prepared set.

  Fields:
    first: its first row, padding excluded.
    end: the row after its last.
    is_whole: whether it begins where the episode began.
    is_terminal: whether it ends where the episode ended.
  """

  first: int
  end: int
  is_whole: bool
  is_terminal: bool


class Split(NamedTuple):
  """Where the rows of a split end.

  Fields:
    name: as 'checkpoint_00'.
    checkpoint_id: the number in its name; 0 if there is none.
    end: the row after its last.
  """

  name: str
  checkpoint_id: int
  end: int


def find_splits(meta: Mapping[str, Any]) -> list[Split]:
  """The splits of a prepared set: one for each file that it came from.

  Args:
    meta: its meta.json.

  Returns:
    At least one; the last ends with the rows.
  """
  splits, end = [], 0
  for file in meta.get('files') or [{'name': 'train'}]:
    name = str(file.get('suffix', file.get('name')))
    number = re.search(r'\d+$', name)
    checkpoint_id = int(number[0]) if number else 0
    end += int(file.get('rows', 0))
    name = f'checkpoint_{checkpoint_id:02d}' if number else name
    splits.append(Split(name, checkpoint_id, end))
  rows = int(meta['counts']['rows'])
  return [*splits[:-1], splits[-1]._replace(end=rows)]


def find_pieces(store: FrameStore) -> Iterator[Piece]:
  """The episodes of a prepared set, without their padding.

  Padding is found by position after a terminal. The rows that begin a segment
  are padding if they are all zero; if they are not, the segment begins in the
  midst of an episode.

  Args:
    store: the set.

  Yields:
    In the order of the rows; none is empty.
  """
  bounds = [*store.segments.tolist(), int(store.meta['counts']['rows'])]
  for begin, end in zip(bounds, bounds[1:], strict=False):
    is_whole = _is_padding(store, begin, end)
    for last in np.flatnonzero(store.terminals[begin:end]) + begin:
      yield from _piece(begin, int(last) + 1, is_whole, True)
      begin, is_whole = int(last) + 1, True
    yield from _piece(begin, end, is_whole, False)


def _piece(
    begin: int, end: int, is_whole: bool, is_terminal: bool
) -> Iterator[Piece]:
  first = begin + _PADDING if is_whole else begin
  if first < end:
    yield Piece(first, end, is_whole, is_terminal)


def _is_padding(store: FrameStore, begin: int, end: int) -> bool:
  rows = slice(begin, begin + _PADDING)
  columns = (store.frames, store.actions, store.rewards, store.terminals)
  return end - begin >= _PADDING and not any(x[rows].any() for x in columns)


def to_episode(
    store: FrameStore, piece: Piece, checkpoint_id: int, episode_id: int
) -> dict[str, Any]:
  """An episode as the features of rlu_atari_checkpoints_ordered want it.

  Args:
    store: the set.
    piece: its rows.
    checkpoint_id: the number of its checkpoint.
    episode_id: its number within that.

  Returns:
    {name: value}; steps are {name: [k]}, observations encoded as PNG. The
    discount of a step is 0 if the next one is_terminal, or itself.
  """
  rows = slice(piece.first, piece.end)
  count = piece.end - piece.first
  flags_of_steps = np.zeros((3, count), bool)
  is_first, is_last, is_terminal = flags_of_steps
  is_first[0], is_last[-1] = piece.is_whole, True
  is_terminal[-1] = piece.is_terminal
  discount = np.ones(count, np.float32)
  if piece.is_terminal:
    discount[-2:] = 0
  rewards = store.rewards[rows].astype(np.float32)
  return {
      'checkpoint_id': checkpoint_id,
      'episode_id': episode_id,
      'episode_return': rewards.sum(),
      'steps': {
          'observation': [to_png(frame) for frame in store.frames[rows]],
          'action': store.actions[rows].astype(np.int64),
          'reward': rewards,
          'discount': discount,
          'is_first': is_first,
          'is_last': is_last,
          'is_terminal': is_terminal,
      },
  }


def to_png(frame: np.ndarray) -> bytes:
  """A grey frame, uint8 [height, width], as a PNG file."""
  from PIL import Image

  file = io.BytesIO()
  Image.fromarray(frame).save(file, 'png', compress_level=3)
  return file.getvalue()
