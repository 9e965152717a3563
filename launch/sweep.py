"""Runs a named sweep.

  python -m launch.sweep --list
  python -m launch.sweep --sweep=gridworld --engine=local --base_dir=DIR
"""

import difflib
import importlib
import os
import pathlib
import pkgutil
import re
import shlex
import signal
import sys
from collections.abc import Sequence

import tqdm
from absl import app, flags

from launch import local, sweeps
from launch.run import Run

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('sweep', None, 'Name of the sweep.')
  flags.DEFINE_string('base_dir', None, 'Folder of the sweep.')
  flags.DEFINE_enum('engine', 'local', ['local'], 'What runs it.')
  flags.DEFINE_integer(
      'processes',
      None,
      'Runs at once; as many as there are cores if None.',
      lower_bound=1,
  )
  flags.DEFINE_string(
      'only', '', 'Only runs whose name contains this regular expression.'
  )
  flags.DEFINE_bool('dry_run', False, 'Print the commands only.')
  flags.DEFINE_bool('list', False, 'List the sweeps.')


def names() -> list[str]:
  """The sweeps that there are."""
  return sorted(x.name for x in pkgutil.iter_modules(sweeps.__path__))


def load(name: str) -> list[Run]:
  """The runs of a sweep."""
  if name not in names():
    near = difflib.get_close_matches(name, names(), 1)
    hint = f'; did you mean {near[0]}?' if near else ''
    sys.exit(
        f'error: --sweep={name}: there is no such sweep{hint} '
        f'(there are: {", ".join(names())})'
    )
  return importlib.import_module(f'launch.sweeps.{name}').RUNS


def main(argv: Sequence[str]) -> None:
  """Runs the sweep that the flags name."""
  # A scheduler's stop: the runs are stopped too, see `local.execute`.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  if len(argv) > 1:
    sys.exit(f'error: {argv[1]!r} is not a flag: write --sweep={argv[1]}')
  if FLAGS.list:
    for name in names():
      print(f'{name}: {len(load(name))} runs')
    return
  if not FLAGS.sweep or not FLAGS.base_dir:
    sys.exit('error: give --sweep=NAME and --base_dir=DIR, or --list')
  base_dir = pathlib.Path(FLAGS.base_dir)
  runs = _chosen(load(FLAGS.sweep))
  if FLAGS.dry_run:
    for run in runs:
      print(shlex.join(run.command(base_dir)))
    return
  try:
    sys.exit(_execute(runs, base_dir))
  except OSError as error:
    sys.exit(f'error: --base_dir={base_dir}: {error.strerror}')
  except KeyboardInterrupt:
    print('interrupted: the same command goes on', file=sys.stderr)
    sys.exit(130)


def _chosen(runs: Sequence[Run]) -> list[Run]:
  try:
    only = re.compile(FLAGS.only)
  except re.error as error:
    sys.exit(f'error: --only={FLAGS.only}: {error}')
  chosen = [run for run in runs if only.search(run.name)]
  if not chosen:
    sys.exit(f'error: --only={FLAGS.only}: no run has such a name')
  return chosen


def _execute(runs: Sequence[Run], base_dir: pathlib.Path) -> int:
  num_processes = FLAGS.processes or os.cpu_count() or 1
  done = sum(local.is_finished(base_dir, run) for run in runs)
  with tqdm.tqdm(
      total=len(runs), initial=done, unit='run', disable=not sys.stderr.isatty()
  ) as progress:

    def report(run: Run, code: int, seconds: float) -> None:
      outcome = 'finished' if code == 0 else f'FAILED with exit code {code}'
      progress.write(f'{run.name}: {outcome}, {seconds:.0f} s')
      progress.update()

    failed = local.execute(runs, base_dir, num_processes, report)
  for run in failed:
    print(f'failed: {run.name}, see {base_dir}/logs/{run.name}.txt')
  return 1 if failed else 0


if __name__ == '__main__':
  define_flags()
  app.run(main)
