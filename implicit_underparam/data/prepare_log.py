"""A raw log as a prepared set: checks, plan, one pass."""

import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from implicit_underparam.data import (
    horizons,
    log_copy,
    log_scan,
    plans,
    sources,
)
from implicit_underparam.data.frame_store import FrameStoreWriter
from implicit_underparam.data.prepare_options import Options, make_plan
from implicit_underparam.errors import UserError

# Of a row beside its frame, while the set is being written.
_ROW_BYTES = 20
_MINATAR = 'MinAtar-'
_ROM_NOTE = (
    'The public DQN Replay logs were made with the ROMs of atari-py 0.2.5 and '
    'before; those of ale-py may differ, and then training and evaluation '
    'are on games that differ.'
)
_ASTERIX_NOTE = (
    'Asterix run 1 of the public logs may be corrupt: others could not '
    'reproduce published results on it, and could on the other runs.'
)


def prepare_log(source: str, out: pathlib.Path, options: Options) -> int:
  """Writes a prepared set from replay_logs; goes on with an unfinished one.

  Args:
    source: a folder or a URL, see `sources.find`.
    out: the folder of the set.
    options: checked.

  Returns:
    Bytes of frames that were decompressed.

  Raises:
    UserError: as `prepare.prepare`.
  """
  found = sources.find(source)
  _check_out(out, source, found)
  game = options.game or found.game
  _check_game(game, found.game, source)
  run = found.run if options.run is None else options.run
  num_actions = _num_actions(game) if game else None
  log = log_scan.scan(
      found.folder, found.suffixes, num_actions, options.skip_damaged
  )
  stack_size = options.stack_size or _stack_size(game)
  plan = make_plan(log.stream, options, stack_size)
  _check_transitions(log.stream, plan, options, stack_size)
  _check_room(out, int(plan.take.sum()) + options.max_horizon, log.frame_shape)
  fingerprint = {
      'game': game,
      'run': run,
      **options.choice(),
      'checkpoints': [list(entry) for entry in log.entries],
  }
  with FrameStoreWriter(
      out, fingerprint, log.frame_shape, options.max_horizon, stack_size
  ) as writer:
    read, done = _copy(log, plan, writer, options)
    writer.finish({
        'game': game,
        'run': run,
        'num_actions': num_actions or log.largest_action + 1,
        'source': str(found.folder),
        **{'seed': None, **options.choice()},
        **_taken(log, plan, done),
        'verified': options.verify_all,
        'notes': _notes(log, found.suffixes, game, run),
    })
  return read


def _taken(
    log: log_scan.Log, plan: plans.Plan, done: dict[str, Any]
) -> dict[str, Any]:
  return {
      'chosen': {
          'unit': plan.unit,
          'count': plan.chosen,
          'of': plan.available,
      },
      'files': [
          {'suffix': x.suffix, 'add_count': x.add_count, 'rows': rows}
          for x, rows in zip(log.entries, done['rows'], strict=True)
      ],
      'skipped': [*log.skipped, *done['skipped']],
  }


def _copy(
    log: log_scan.Log,
    plan: plans.Plan,
    writer: FrameStoreWriter,
    options: Options,
) -> tuple[int, dict[str, Any]]:
  first = (writer.position or {}).get('checkpoints', 0)
  total = log_copy.bytes_to_read(log, plan, first, options.verify_all)
  bar = tqdm.tqdm(
      total=total,
      desc='frames',
      unit='B',
      unit_scale=True,
      disable=not sys.stderr.isatty(),
  )
  with bar:
    done = log_copy.copy(
        log,
        plan,
        writer,
        log_copy.Options(options.verify_all, options.skip_damaged, bar.update),
    )
  return total, done


def _is_minatar(game: str | None) -> bool:
  return game is not None and game.startswith(_MINATAR)


def _check_game(game: str | None, found: str | None, source: str) -> None:
  """What is asked for is not another MinAtar game than the path says.

  Those have frames and actions alike; Atari's folders may bear any name.
  """
  if _is_minatar(found) and game != found:
    raise UserError(
        f'--source {source} is a log of {found}, and --game is {game}: leave '
        '--game out, or name another log'
    )


def _stack_size(game: str | None) -> int:
  """MinAtar's frames are whole states."""
  return 1 if _is_minatar(game) else horizons.STACK_SIZE


def _num_actions(game: str) -> int:
  # Imported late: they load JAX, and the emulator.
  try:
    if _is_minatar(game):
      from implicit_underparam.envs import minatar

      return minatar.num_actions_of(game)
    from implicit_underparam.envs import atari

    return atari.num_actions(game)
  except UserError as error:
    raise UserError(f'--game: {error}') from error


def _check_out(out: pathlib.Path, source: str, found: sources.Source) -> None:
  if not str(out) or str(out) == '.':
    raise UserError('--out is missing: name a folder for the set')
  for folder in (source, str(found.folder)):
    if '://' not in folder and out.resolve() == pathlib.Path(folder).resolve():
      raise UserError(f'--out {out} is the source: name another folder')


def _check_transitions(
    stream: plans.Stream, plan: plans.Plan, options: Options, stack_size: int
) -> None:
  found = horizons.in_chunks(
      stream.terminals[plan.take],
      plan.starts[plan.take],
      plan.allowed[plan.take],
      max_horizon=1,
      stack_size=stack_size,
  )
  if not any(chunk.any() for chunk in found):
    raise UserError(
        f'--fraction={options.fraction:g} --mode={options.mode} takes '
        f'{plan.take.sum()} rows and not one transition: give a larger fraction'
    )


def _check_room(
    out: pathlib.Path, rows: int, frame_shape: Sequence[int]
) -> None:
  """Compares the free space with what is still to be written."""
  needed = rows * (int(np.prod(frame_shape, dtype=np.int64)) + _ROW_BYTES)
  unfinished = out / 'frames.npy'
  there = unfinished.stat().st_size if unfinished.exists() else 0
  place = out.absolute()
  while not place.exists():
    place = place.parent
  free = shutil.disk_usage(place).free
  if needed - there > free:
    raise UserError(
        f'--out {out}: the set needs {(needed - there) / 1e9:.2f} GB, and '
        f'{free / 1e9:.2f} GB are free: make room, name a folder elsewhere, '
        'or give a smaller --fraction'
    )


def _notes(
    log: log_scan.Log,
    suffixes: Sequence[int],
    game: str | None,
    run: int | None,
) -> list[str]:
  missing = sorted(set(range(max(suffixes) + 1)) - set(suffixes))
  notes = [] if _is_minatar(game) else [_ROM_NOTE]
  if (game, run) == ('Asterix', 1):
    notes.append(_ASTERIX_NOTE)
  if missing:
    numbers = ', '.join(str(suffix) for suffix in missing)
    notes.append(f'Checkpoints {numbers} are not there.')
  return [*notes, *log.notes]
