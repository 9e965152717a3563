"""A prepared set from an RLDS data set, such as rlu_atari_checkpoints_ordered.

tensorflow-datasets prepared it: a folder with dataset_info.json, of the
rlu_atari family or from `export_rlds`. Of each episode come three zero rows
and its steps, as in the raw logs, where the slot whose action ended the
episode is the terminal one. RLDS calls the action and the reward of the last
step meaningless, yet rlu_atari keeps the raw log's values there (the log has
no frame of a state after the end), so they are read as the last transition.
An episode whose last step is not is_terminal was cut: it ends its segment. A
first step that is not is_first goes on in the midst of an episode: no zero
rows.
"""

import math
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from implicit_underparam.data import frame_store, rlds_episodes, rlds_rows
from implicit_underparam.errors import UserError

MODES = ('prefix', 'trajectories')
_CONFIGURATION = re.compile(r'(\w+)_run_(\d+)')


def is_dataset(path: str | os.PathLike[str]) -> bool:
  """Whether `prepare` is for this source: it holds dataset_info.json."""
  return rlds_episodes.is_dataset(path)


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    fraction: float = 1.0,
    mode: str = 'prefix',
    seed: int = 0,
    game: str | None = None,
    run: int | None = None,
    max_horizon: int = 20,
    splits: Sequence[str] | None = None,
) -> pathlib.Path:
  """Writes a prepared set from an RLDS data set; resumable.

  Args:
    source: the folder with dataset_info.json.
    out: the folder of the prepared set; an unfinished one is gone on with.
    fraction: of the episodes, above 0 and at most 1.
    mode: 'prefix', the first floor(fraction * N) episodes of each split, or
      'trajectories', round(fraction * N) of all episodes at random.
    seed: of 'trajectories'.
    game: as 'Pong'; None takes it from the name of the data set's
      configuration, such as Pong_run_1, if that has it.
    run: of the game; None likewise.
    max_horizon: the largest update horizon that the set is prepared for.
    splits: names such as 'checkpoint_00'; None takes all.

  Returns:
    The folder of the prepared set.

  Raises:
    UserError: something of the above cannot be, or the data are damaged.
  """
  _check_mode(mode, fraction)
  reader = rlds_episodes.EpisodeReader(source)
  game, run = _game_and_run(reader, game, run)
  lengths = _chosen_splits(reader, splits)
  chosen = select_episodes(list(lengths.values()), fraction, mode, seed)
  total = sum(lengths.values())
  if not len(chosen):
    raise UserError(
        f'--fraction={fraction:g} of the {total} episodes of {source} is none: '
        'give a larger one'
    )
  choice = {
      'game': game,
      'run': run,
      'source': str(pathlib.Path(source).resolve()),
      'dataset': reader.identity,
      'mode': mode,
      'fraction': fraction,
      'seed': seed if mode == 'trajectories' else None,
  }
  with frame_store.FrameStoreWriter(
      out, {**choice, 'splits': lengths}, reader.frame_shape, max_horizon
  ) as writer:
    copier = rlds_rows.EpisodeCopier(reader, writer, _num_actions(game))
    copier.copy(lengths, chosen)
    episodes = {'unit': 'episodes', 'count': len(chosen), 'of': total}
    writer.finish({**choice, 'chosen': episodes, **copier.meta()})
  return pathlib.Path(out)


def select_episodes(
    lengths: Sequence[int], fraction: float, mode: str, seed: int
) -> np.ndarray:
  """Which episodes to take, counted through all splits.

  Args:
    lengths: episodes of each split.
    fraction: above 0, at most 1.
    mode: 'prefix' or 'trajectories', see `prepare`.
    seed: of 'trajectories'.

  Returns:
    int64, increasing.
  """
  if mode == 'trajectories':
    total = sum(lengths)
    count = round(fraction * total)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(total, count, replace=False))
  offsets = np.cumsum([0, *lengths])[:-1]
  # 0.07 * 100 is 7.000000000000001, and 0.29 * 100 is 28.999999999999996.
  counts = [math.floor(fraction * length + 1e-9) for length in lengths]
  parts = [
      first + np.arange(count)
      for first, count in zip(offsets, counts, strict=True)
  ]
  return np.concatenate(parts).astype(np.int64)


def _num_actions(game: str | None) -> int | None:
  if game is None:
    return None
  # Imported late: it loads the emulator.
  from implicit_underparam.envs import atari

  try:
    return atari.num_actions(game)
  except UserError as error:
    raise UserError(f'--game: {error}') from error


def _check_mode(mode: str, fraction: float) -> None:
  if mode not in MODES:
    raise UserError(
        f'--mode={mode} needs the raw logs, for RLDS holds whole episodes: '
        f'give --mode={" or ".join(MODES)}'
    )
  if not 0 < fraction <= 1:
    raise UserError(f'--fraction={fraction:g}: give more than 0, at most 1')


def _game_and_run(
    reader: rlds_episodes.EpisodeReader, game: str | None, run: int | None
) -> tuple[str | None, int | None]:
  """What the configuration's name says, and what is given besides."""
  match = _CONFIGURATION.fullmatch(reader.configuration)
  if match and (game or match[1]) != match[1]:
    raise UserError(f'--game={game}, and {reader.path} is of {match[1]}')
  if match and (run is not None and run != int(match[2])):
    raise UserError(f'--run={run}, and {reader.path} is of run {match[2]}')
  return (match[1], int(match[2])) if match else (game, run)


def _chosen_splits(
    reader: rlds_episodes.EpisodeReader, splits: Sequence[str] | None
) -> dict[str, int]:
  for name in splits or ():
    if name not in reader.lengths:
      raise UserError(
          f'{reader.path} has no split {name!r}: it has '
          f'{", ".join(reader.lengths) or "none"}'
      )
  return {
      name: length
      for name, length in reader.lengths.items()
      if splits is None or name in splits
  }
