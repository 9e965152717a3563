"""A log, or a part of it, as a prepared set to train on.

  python -m implicit_underparam.data.prepare --source=DIR_OR_GS --out=DIR \\
      --fraction=0.05 [--mode=prefix] [--game=Pong --run=1 --seed=0]

The source is the replay_logs of a run of the DQN Replay data (Agarwal et al.,
2020), of Dopamine or of `collect`, or an RLDS data set that
tensorflow-datasets prepared. `frame_store` says what comes out. Killed and
started again, the command goes on where it was.
"""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

from implicit_underparam.data import plans, prepare_log, replay_logs, sources
from implicit_underparam.data.frame_store import FrameStore
from implicit_underparam.data.prepare_options import Options
from implicit_underparam.errors import UserError

__all__ = ('Options', 'Report', 'define_flags', 'prepare', 'summary')

FLAGS = flags.FLAGS

class Report(NamedTuple):
  """What was done.

  Fields:
    path: the folder of the set.
    meta: its meta.json.
    read: bytes of frames that were decompressed.
    seconds: that it took.
  """

  path: pathlib.Path
  meta: dict[str, Any]
  read: int
  seconds: float


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: Options | None = None,
) -> Report:
  """Writes a prepared set; goes on with an unfinished one.

  Args:
    source: a folder or a URL, see `sources.find`; or a folder with
      dataset_info.json.
    out: the folder of the set.
    options: see there; None takes all of the log.

  Raises:
    UserError: something given cannot be, a file is damaged, or there is too
      little room.
  """
  began = time.monotonic()
  options = options or Options()
  options.check()
  if '://' in os.fspath(out):
    raise UserError(f'--out {out}: a set is memory-mapped: name a folder here')
  source, out = os.fspath(source), pathlib.Path(out)
  data_set = sources.find_rlds(source)
  if data_set is not None:
    read = 0
    _prepare_rlds(data_set, out, options)
  else:
    read = _prepare_log(source, out, options)
  meta = dict(FrameStore.open(out).meta)
  return Report(out, meta, read, time.monotonic() - began)


def _prepare_log(source: str, out: pathlib.Path, options: Options) -> int:
  try:
    with sources.reading(source):
      return prepare_log.prepare_log(source, out, options)
  except replay_logs.DamagedFile as error:
    raise UserError(f'{error} with --skip_damaged') from error


def _prepare_rlds(
    source: pathlib.Path, out: pathlib.Path, options: Options
) -> None:
  # Imported late: raw logs need neither it nor what it imports.
  from implicit_underparam.data import rlds

  rlds.prepare(
      source,
      out,
      fraction=options.fraction,
      mode=options.mode,
      seed=options.seed,
      game=options.game,
      run=options.run,
      max_horizon=options.max_horizon,
  )


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  defaults = Options()
  flags.DEFINE_string(
      'source', None, 'Folder or gs:// address of replay_logs, or of RLDS data.'
  )
  flags.DEFINE_string('out', None, 'Folder of the prepared set.')
  flags.DEFINE_float('fraction', defaults.fraction, 'How much of the log.')
  flags.DEFINE_string(
      'mode', defaults.mode, f'What is taken: {", ".join(plans.MODES)}.'
  )
  flags.DEFINE_string('game', None, "As 'Pong'; if the path does not say.")
  flags.DEFINE_integer('run', None, 'As 1; if the path does not say.')
  flags.DEFINE_integer('seed', defaults.seed, 'Of what is drawn.')
  flags.DEFINE_integer(
      'block_size', defaults.block_size, 'Rows of a block (mode blocks).'
  )
  flags.DEFINE_integer(
      'update_horizon',
      defaults.update_horizon,
      'Steps n of a transition (mode transitions).',
  )
  flags.DEFINE_integer(
      'max_horizon', defaults.max_horizon, 'Largest n to prepare for.'
  )
  flags.DEFINE_bool(
      'verify_all',
      defaults.verify_all,
      'Decompress all files and check their CRC-32. --noverify_all reads no '
      'further than it takes: a prefix of 5% in a tenth of the time.',
  )
  flags.DEFINE_integer(
      'stack_size',
      defaults.stack_size,
      'Frames in a state; 4 if not given, and 1 for MinAtar.',
  )
  flags.DEFINE_bool(
      'skip_damaged', False, 'Leave out checkpoints with damaged files.'
  )


def summary(report: Report) -> str:
  """The last words of the command: what there is, and how to train on it."""
  counts = report.meta['counts']
  size = counts['rows'] * int(np.prod(report.meta['frame_shape'])) / 1e9
  speed = report.read / 1e6 / max(report.seconds, 1e-9)
  lines = [
      f'{report.path}: {counts["rows"]} rows, {counts["valid"]} transitions, '
      f'{size:.3f} GB of frames, {report.seconds:.1f} s, {speed:.0f} MB/s of '
      'decompressed data'
  ]
  lines += [
      f'left out: checkpoint {skip["suffix"]}, {skip["reason"]}'
      for skip in report.meta.get('skipped', ())
  ]
  lines += [f'note: {note}' for note in report.meta.get('notes', ())]
  path = report.path.absolute()
  lines.append(f'train with --gin_bindings="OfflineData.path = \'{path}\'"')
  return '\n'.join(lines)


def main(argv: Sequence[str]) -> None:
  """Prepares, and shows a user's error as one line."""
  try:
    if len(argv) > 1:
      raise UserError(
          f'{argv[1]!r} is not a flag: write --source=DIR --out=DIR'
      )
    for name in ('source', 'out'):
      if not FLAGS[name].value:
        raise UserError(f'--{name} is missing: name a folder')
    given: dict[str, Any] = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(Options)
    }
    options = Options(**given)
    print(summary(prepare(FLAGS.source, FLAGS.out, options)))
  except UserError as error:
    sys.exit('error: ' + str(error).split('\n')[0])
  except KeyboardInterrupt:
    print('interrupted: the same command goes on', file=sys.stderr)
    sys.exit(130)


if __name__ == '__main__':
  define_flags()
  app.run(main)
