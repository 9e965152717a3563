"""Flags -> gin -> Runner, and what a user sees of it.

  python -m implicit_underparam.train --base_dir=DIR \\
      --gin_files=gin_configs/gridworld/offline_fqi.gin \\
      --gin_bindings='Runner.num_iterations = 100'
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging

from implicit_underparam import errors

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string(
      'base_dir', None, 'Folder of the run: made, or gone on with.'
  )
  flags.DEFINE_multi_string(
      'gin_files', [], 'Configuration file; repeat the flag for several.'
  )
  flags.DEFINE_multi_string(
      'gin_bindings',
      [],
      "One binding, such as 'Runner.seeds = (0, 1)'; repeat for several.",
  )


def run(
    base_dir: str, gin_files: Sequence[str], gin_bindings: Sequence[str]
) -> None:
  """Parses the configuration and runs it.

  Args:
    base_dir: the run's folder.
    gin_files: paths, see `configuration.parse`.
    gin_bindings: bindings, applied after the files.

  Raises:
    UserError: for anything that the user can mend.
  """
  # Imported late: --help and a misspelled flag need none of it.
  from implicit_underparam import runner

  configured = runner.build(base_dir, gin_files, gin_bindings)
  try:
    result = configured.run()
  except errors.UserError as error:
    # gin appends where a call was configured, on lines of their own.
    raise errors.UserError(str(error).split('\n')[0]) from error
  print('\n'.join((*result.verdicts, _closing_line(result))))


def _closing_line(result: Any) -> str:
  if result.started_at >= result.num_iterations:
    text = f'nothing to do: {result.num_iterations} iterations are there'
  else:
    text = f'finished {result.num_iterations} iterations'
  if result.stopped_seeds:
    stopped = ', '.join(str(x) for x in result.stopped_seeds)
    text += f' (stopped before the end: seeds {stopped}, see run.json)'
  return f'{text}; figure: {result.path / "summary.png"}'


def main(argv: Sequence[str]) -> None:
  """Runs, and shows a user's error as one line."""
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  # numpy, not yet loaded, measures small matrices beside the device's work:
  # more threads make both slower, and the last digits depend on their number.
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  # Stopped by a scheduler: leave a run.json that says so.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  try:
    if len(argv) > 1:
      raise errors.UserError(
          f'{argv[1]!r} is not a flag: write --base_dir=DIR '
          '--gin_files=FILE.gin'
      )
    if not FLAGS.base_dir:
      raise errors.UserError('--base_dir is missing: name a folder for the run')
    if not FLAGS.gin_files:
      raise errors.UserError(
          '--gin_files is missing: name a configuration, for example '
          'gin_configs/gridworld/offline_fqi.gin'
      )
    run(FLAGS.base_dir, FLAGS.gin_files, FLAGS.gin_bindings)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  except KeyboardInterrupt:
    print('interrupted: the same command goes on', file=sys.stderr)
    sys.exit(130)


if __name__ == '__main__':
  define_flags()
  app.run(main)
