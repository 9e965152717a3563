"""Reads all of a log but its frames, and checks that it is whole."""

import sys
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from implicit_underparam.data import plans, replay_logs
from implicit_underparam.errors import UserError

OBSERVATION = '$store$_observation'


class Entry(NamedTuple):
  """One checkpoint of a log that can be used.

  Fields:
    suffix: its number.
    add_count: as its file says.
    crc: of its actions, rewards and terminals, to know it again.
  """

  suffix: int
  add_count: int
  crc: int


class Log(NamedTuple):
  """A log without its frames.

  Fields:
    folder: a path object.
    entries: the checkpoints that can be used.
    stream: of their new rows, in the order in which they were written.
    frame_shape: of one frame.
    largest_action: in the stream.
    skipped: checkpoints left out, {'suffix': ..., 'reason': ...}.
    notes: what is missing in the log, for people to read.
  """

  folder: Any
  entries: tuple[Entry, ...]
  stream: plans.Stream
  frame_shape: tuple[int, ...]
  largest_action: int
  skipped: tuple[dict[str, Any], ...]
  notes: tuple[str, ...]


def scan(
    folder: Any,
    suffixes: Sequence[int],
    num_actions: int | None = None,
    skip_damaged: bool = False,
) -> Log:
  """Reads the small files of every checkpoint, and checks the large ones.

  Of a file of frames that is its header and its trailer, which tell a cut
  file from a whole one. Three bytes a row are kept.

  Args:
    folder: a path object.
    suffixes: the numbers of the checkpoints, increasing.
    num_actions: of the game; None allows any.
    skip_damaged: whether to leave out a checkpoint with a damaged file.

  Raises:
    DamagedFile: a file is damaged, and skip_damaged is False.
    UserError: a file cannot be read, or does not fit the game or the others.
  """
  scanner = _Scanner(folder, num_actions)
  skipped = []
  for suffix in tqdm.tqdm(
      suffixes,
      desc='small files',
      unit=' checkpoints',
      disable=not sys.stderr.isatty(),
  ):
    try:
      scanner.read(suffix)
    except replay_logs.DamagedFile as error:
      if not skip_damaged:
        raise
      skipped.append({'suffix': suffix, 'reason': reason(error)})
  if not scanner.entries:
    raise UserError(f'{folder}: every checkpoint of the log is damaged')
  return scanner.log(skipped)


def reason(error: replay_logs.DamagedFile) -> str:
  """What is wrong with a file, without what to do."""
  return str(error).partition(':')[0]


class _Scanner:
  """Takes the checkpoints of a log one after another."""

  def __init__(self, folder: Any, num_actions: int | None):
    self.entries: list[Entry] = []
    self._folder = folder
    self._num_actions = num_actions
    self._previous: replay_logs.Checkpoint | None = None
    self._frame_shape: tuple[int, ...] | None = None
    self._terminals: list[np.ndarray] = []
    self._ends: list[np.ndarray] = []
    self._gaps: list[bool] = []
    self._first_slots: list[int] = []
    self._largest_action = 0
    self._notes: list[str] = []

  def read(self, suffix: int) -> None:
    checkpoint = replay_logs.read_checkpoint(
        self._folder, suffix, observations=False
    )
    frame_shape = self._check_frames(suffix, checkpoint.capacity)
    slots = replay_logs.chronological_slots(checkpoint, self._previous)
    self._check_values(checkpoint, slots, suffix)
    terminals = checkpoint.terminal[slots].astype(bool)
    ends = np.zeros(checkpoint.capacity, bool)
    if checkpoint.episode_end_indices is not None:
      ends[checkpoint.episode_end_indices] = True
    crc = 0
    for array in (checkpoint.action, checkpoint.reward, checkpoint.terminal):
      crc = zlib.crc32(array[slots].tobytes(), crc)
    self._gaps.append(self._is_gap(checkpoint, suffix))
    self._frame_shape = frame_shape
    self.entries.append(Entry(suffix, checkpoint.add_count, crc))
    self._terminals.append(terminals)
    self._ends.append(terminals | ends[slots])
    self._first_slots.append(int(slots[0]) if len(slots) else 0)
    self._previous = checkpoint

  def log(self, skipped: Sequence[dict[str, Any]]) -> Log:
    assert self._previous is not None and self._frame_shape is not None
    sizes = [len(x) for x in self._terminals]
    stream = plans.Stream(
        terminals=np.concatenate(self._terminals),
        ends=np.concatenate(self._ends),
        gaps=np.array(self._gaps),
        offsets=np.cumsum([0, *sizes]),
        first_slots=np.array(self._first_slots),
        capacity=self._previous.capacity,
    )
    return Log(
        self._folder,
        tuple(self.entries),
        stream,
        self._frame_shape,
        self._largest_action,
        tuple(skipped),
        tuple(self._notes),
    )

  def _check_frames(self, suffix: int, capacity: int) -> tuple[int, ...]:
    known = self._frame_shape or (None, ...)
    with replay_logs.open_array(
        self._folder, OBSERVATION, suffix, (capacity, *known)
    ) as reader:
      return reader.shape[1:]

  def _check_values(
      self, checkpoint: replay_logs.Checkpoint, slots: np.ndarray, suffix: int
  ) -> None:
    """Looks at the slots that count: others may never have been written."""
    wrong = {
        '$store$_terminal': np.any(checkpoint.terminal[slots] > 1),
        '$store$_reward': not np.all(np.isfinite(checkpoint.reward[slots])),
    }
    for name, is_wrong in wrong.items():
      if is_wrong:
        raise replay_logs.DamagedFile(
            replay_logs.array_path(self._folder, name, suffix),
            'corrupt',
            'holds values that it cannot have',
        )
    actions = checkpoint.action[slots]
    low, high = int(actions.min(initial=0)), int(actions.max(initial=0))
    limit = self._num_actions or 256
    if low < 0 or high >= limit:
      path = replay_logs.array_path(self._folder, '$store$_action', suffix)
      raise UserError(
          f'{path} holds action {low if low < 0 else high}, and the game has '
          f'actions 0 to {limit - 1}: give the --game that the log is of'
      )
    self._largest_action = max(self._largest_action, high)

  def _is_gap(self, checkpoint: replay_logs.Checkpoint, suffix: int) -> bool:
    if self._previous is None:
      lost, where = suffix != 0 or checkpoint.is_full, 'before checkpoint'
    else:
      lost = not replay_logs.continues(self._previous, checkpoint)
      where = f'between checkpoints {self.entries[-1].suffix} and'
    if lost:
      self._notes.append(f'Rows {where} {suffix} are not in the log.')
    return lost
