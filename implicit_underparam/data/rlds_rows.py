"""Episodes of an RLDS data set become rows of a prepared set."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tqdm

from implicit_underparam.data import frame_store, rlds_episodes
from implicit_underparam.data.horizons import STACK_SIZE
from implicit_underparam.data.rlds_episodes import Steps
from implicit_underparam.errors import UserError

_PADDING = STACK_SIZE - 1
# 0.14 GB of frames, so that a kill loses some seconds.
_COMMIT_ROWS = 20_000
_ROM_NOTE = (
    'rlu_atari was made of the public DQN Replay logs, and these with the ROMs '
    'of atari-py 0.2.5 and before; those of ale-py may differ.'
)


@dataclasses.dataclass
class _Progress:
  """What a resumed run needs to know of the episodes before; JSON values."""

  episodes: int = 0
  # The number of the episode that would go on in the same segment; -1: none.
  next_episode: int = -1
  largest_action: int = 0
  ended: int = 0
  ended_with_reward: int = 0
  padded: int = 0
  taken: dict[str, list[int]] = dataclasses.field(default_factory=dict)


class EpisodeCopier:
  """Moves episodes into a prepared set and notes what it sees."""

  def __init__(
      self,
      reader: rlds_episodes.EpisodeReader,
      writer: frame_store.FrameStoreWriter,
      num_actions: int | None,
  ):
    """Goes on where the writer's last commit was.

    Args:
      reader: of the data set.
      writer: of the prepared set.
      num_actions: of the game; None if that is not known.
    """
    self._reader = reader
    self._writer = writer
    self._num_actions = num_actions
    self._progress = _Progress(**(writer.position or {}))

  def copy(self, lengths: Mapping[str, int], chosen: np.ndarray) -> None:
    """Appends the chosen episodes that are not there yet, and commits them.

    Args:
      lengths: split -> its number of episodes.
      chosen: int64, increasing; episodes counted through all splits.

    Raises:
      UserError: what is read makes no episode of the game.
    """
    progress = self._progress
    pending = 0
    with tqdm.tqdm(
        total=len(chosen),
        initial=progress.episodes,
        unit=' episodes',
        disable=not sys.stderr.isatty(),
    ) as bar:
      rest = chosen[progress.episodes :]
      for split, first, number, chunks in self._episodes(lengths, rest):
        rows = self._append(f'{split}[{number - first}]', number, chunks)
        taken = progress.taken.setdefault(split, [0, 0])
        taken[0] += 1
        taken[1] += rows
        progress.episodes += 1
        bar.update()
        pending += rows
        if pending >= _COMMIT_ROWS:
          self._writer.commit(dataclasses.asdict(progress))
          pending = 0
    self._writer.commit(dataclasses.asdict(progress))

  def meta(self) -> dict[str, Any]:
    """What meta.json says of the data themselves, as JSON values."""
    progress = self._progress
    notes = [_ROM_NOTE] if self._reader.identity.startswith('rlu_') else []
    notes += [
        f'{progress.ended_with_reward} of {progress.ended} ended episodes have '
        'a reward in their last step, which is read as their last transition.'
    ]
    if progress.padded:
      notes.append(f'{progress.padded} episodes came with their zero frames.')
    return {
        'num_actions': self._num_actions or progress.largest_action + 1,
        'files': [
            {'name': split, 'episodes': episodes, 'rows': rows}
            for split, (episodes, rows) in progress.taken.items()
        ],
        'skipped': [],
        'notes': notes,
    }

  def _episodes(
      self, lengths: Mapping[str, int], numbers: np.ndarray
  ) -> Iterator[tuple[str, int, int, Iterator[Steps]]]:
    """Split, number of its first episode, number and steps of each episode."""
    first = 0
    for split, length in lengths.items():
      here = numbers[(numbers >= first) & (numbers < first + length)]
      if len(here):
        read = self._reader.read(split, (here - first).tolist())
        for number, chunks in zip(here.tolist(), read, strict=True):
          yield split, first, number, chunks
      first += length

  def _append(
      self, where: str, number: int, chunks: Iterator[Steps]
  ) -> int:
    """Appends an episode; returns the number of its rows."""
    rows, last = 0, None
    for steps in chunks:
      self._check(steps, where, last)
      last = steps
      starts = np.zeros(len(steps.frames) + _PADDING, bool)
      if not rows:
        # What is not the next episode of the stream begins a new segment.
        goes_on = number == self._progress.next_episode
        starts[0] = not (goes_on and steps.is_first[0])
        steps = self._with_padding(steps)
      count = len(steps.frames)
      self._writer.append(
          steps.frames,
          steps.actions,
          steps.rewards,
          steps.is_terminal,
          starts[:count],
          np.ones(count, bool),
      )
      rows += count
    if last is not None:
      self._note_end(last, where, number)
    return rows

  def _with_padding(self, steps: Steps) -> Steps:
    """Puts zero rows before an episode's first steps, if there are none."""
    if not steps.is_first[0]:
      return steps
    first = Steps(*(column[:_PADDING] for column in steps))
    if len(first.frames) == _PADDING and not any(
        column.any() for column in (first.frames, first.actions, first.rewards)
    ):
      self._progress.padded += 1
      return steps
    return Steps(*(
        np.pad(column, [(_PADDING, 0), *[(0, 0)] * (column.ndim - 1)])
        for column in steps
    ))

  def _check(self, steps: Steps, where: str, before: Steps | None) -> None:
    """Refuses flags and actions that no episode of a game can have."""
    later = np.ones(len(steps.frames), bool)
    later[0] = before is not None
    if (steps.is_first & later).any():
      raise self._damaged(where, 'is_first after the first step')
    if (before is not None and before.is_last[-1]) or steps.is_last[:-1].any():
      raise self._damaged(where, 'is_last before the last step')
    if (steps.is_terminal & ~steps.is_last).any():
      raise self._damaged(where, 'is_terminal where it is not is_last')
    low, high = int(steps.actions.min()), int(steps.actions.max())
    if low < 0 or high >= (self._num_actions or 256):
      raise self._damaged(
          where,
          f'action {low if low < 0 else high}, and the game has '
          f'{self._num_actions or "at most 256"}',
      )
    progress = self._progress
    progress.largest_action = max(progress.largest_action, high)

  def _note_end(self, steps: Steps, where: str, number: int) -> None:
    progress = self._progress
    if not steps.is_last[-1]:
      raise self._damaged(where, 'no is_last at the last step')
    ended = bool(steps.is_terminal[-1])
    progress.next_episode = number + 1 if ended else -1
    progress.ended += ended
    progress.ended_with_reward += bool(ended and steps.rewards[-1])

  def _damaged(self, where: str, why: str) -> UserError:
    return UserError(
        f'{self._reader.path}: {where} has {why}: it is no data set of Atari '
        'episodes, or --game is another one'
    )
