"""Runs a named sweep.

  python -m launch.sweep --list
  python -m launch.sweep --sweep=grid_off --engine=local --base_dir=DIR
  python -m launch.sweep --status --base_dir=DIR
"""

import math
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence

import tqdm
from absl import app, flags

from launch import (
  catalog,
  listing,
  planning,
  preflight,
  state,
  status,
  storage,
)
from launch.driver import Driver, Event
from launch.engines import build
from launch.errors import SweepError
from launch.experiment import SCALES, Sweep
from launch.run import Task, log_file

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('sweep', None, 'Name of the sweep.')
  flags.DEFINE_string(
      'base_dir', None, 'Folder of the sweep; a path, or a URL as gs://B/D.'
  )
  flags.DEFINE_enum(
      'scale', 'laptop', SCALES,
      'How large: seconds, what a laptop can do, or as printed.',
  )
  flags.DEFINE_enum('engine', 'local', list(build.ENGINES), 'What runs it.')
  flags.DEFINE_string(
      'only', '', 'Only runs whose name contains this regular expression.'
  )
  flags.DEFINE_integer(
      'retries', 2, 'Failures that a run may have and be tried again.',
      lower_bound=0,
  )
  flags.DEFINE_integer(
      'cpus', None, 'Cores a run, in the place of the sweep\'s.', 1
  )
  flags.DEFINE_float(
      'gpus', None, 'GPUs a run, or a share of one, likewise; 0 for none.', 0
  )
  flags.DEFINE_integer('tpus', None, 'TPU chips a run, likewise.', 0)
  flags.DEFINE_integer(
      'seeds_per_run', None,
      'Seeds that fit one device, trained as one program; 0 for all.', 0,
  )
  flags.DEFINE_bool('dry_run', False, 'Print the commands only.')
  flags.DEFINE_bool('list', False, 'List the sweeps.')
  flags.DEFINE_bool('status', False, 'Show how the sweep in --base_dir stands.')
  flags.DEFINE_bool('report', True, 'Write report.html at the end.')
  build.define_flags()


def main(argv: Sequence[str]) -> None:
  """Does what the flags say, and shows a user's error as one line."""
  # A scheduler's stop: the runs are stopped too, see `_execute`.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  try:
    if len(argv) > 1:
      raise SweepError(f'{argv[1]!r} is not a flag: write --sweep={argv[1]}')
    if FLAGS.list:
      names = catalog.names()
      print(listing.table({name: catalog.load(name) for name in names}))
    elif FLAGS.status:
      status.watch(_given('base_dir'))
    else:
      sys.exit(_sweep(_given('sweep'), _given('base_dir')))
  except SweepError as error:
    sys.exit(f'error: {error}')
  except BrokenPipeError:
    # As `--list | head` leaves it; what is not yet written has no reader.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
  except OSError as error:
    reason = error.strerror or error
    where = f'{error.filename}: ' if error.filename else ''
    sys.exit(f'error: --base_dir={FLAGS.base_dir}: {where}{reason}')
  except KeyboardInterrupt:
    print('interrupted: the same command goes on', file=sys.stderr)
    sys.exit(130)


def _given(flag: str) -> str:
  value = FLAGS[flag].value
  if not value:
    raise SweepError('give --sweep=NAME and --base_dir=DIR, or --list')
  return value


def _sweep(name: str, base_dir: str) -> int:
  if not storage.is_remote(base_dir):
    base_dir = os.path.abspath(base_dir)
  sweep = catalog.load(name)
  tasks = _chosen(
      planning.tasks(sweep, name, FLAGS.scale, _override(), base_dir)
  )
  if FLAGS.dry_run:
    for task in tasks:
      print(shlex.join(planning.command(task, base_dir)))
    return 0
  with state.locked(base_dir):
    record = state.read(base_dir)
    planning.check_same(tasks, base_dir, record)
    done = planning.known_finished(tasks, base_dir, record)
    left = [task for task in tasks if task.name not in done]
    engine = build.engine(FLAGS.engine, base_dir)
    engine.check([task.resources for task in left])
    if wrong := preflight.check(left, base_dir):
      raise SweepError(preflight.describe(wrong, len(left)))
    return _execute(name, sweep, tasks, done, base_dir, engine)


def _override() -> planning.Override:
  if FLAGS.gpus is not None and not math.isfinite(FLAGS.gpus):
    raise SweepError(f'--gpus={FLAGS.gpus}: give a number, such as 0.5')
  return planning.Override(
      FLAGS.cpus, FLAGS.gpus, FLAGS.tpus, FLAGS.seeds_per_run
  )


def _chosen(tasks: Sequence[Task]) -> list[Task]:
  try:
    only = re.compile(FLAGS.only)
  except re.error as error:
    raise SweepError(f'--only={FLAGS.only}: {error}') from error
  if not tasks:
    raise SweepError(
        f'--sweep={FLAGS.sweep}: it has no run at --scale={FLAGS.scale}; is an '
        'axis of its grid empty?'
    )
  chosen = [task for task in tasks if only.search(task.name)]
  if not chosen:
    raise SweepError(f'--only={FLAGS.only}: no run has such a name')
  return chosen


def _execute(
    name: str,
    sweep: Sweep,
    tasks: Sequence[Task],
    done: Collection[str],
    base_dir: str,
    engine: build.Engine,
) -> int:
  record = state.State(base_dir, {
      'sweep': name,
      'scale': FLAGS.scale,
      'engine': FLAGS.engine,
      'experiments': sweep.experiments,
      'figures': sweep.figures,
      'command': shlex.join(['python', '-m', 'launch.sweep', *sys.argv[1:]]),
  })
  for task in tasks:
    command = planning.command(task, base_dir)
    record.plan(task, command, task.name in done)
  record.write()
  logs = planning.logs(base_dir)
  try:
    failed = _drive(tasks, done, base_dir, logs, engine, record)
  except BaseException:
    # Stopped in the middle: the runs stop too, and go on next time.
    engine.stop()
    record.end('stopped')
    raise
  engine.stop()
  record.end('failed' if failed else 'finished')
  print(f'{len(tasks) - len(failed)} of {len(tasks)} runs are finished')
  for failure in failed:
    if record.of(failure) == state.BLOCKED:
      print(f'not started: {failure}, what it waits for has failed')
    else:
      print(f'failed: {failure}, see {log_file(logs, failure)}')
  if FLAGS.report:
    _write_report(base_dir)
  return 1 if failed else 0


def _drive(
    tasks: Sequence[Task],
    done: Collection[str],
    base_dir: str,
    logs: str,
    engine: build.Engine,
    record: state.State,
) -> list[str]:
  with tqdm.tqdm(
      total=len(tasks), initial=len(done), unit='run',
      disable=not sys.stderr.isatty(),
  ) as progress:

    def report(event: Event) -> None:
      progress.write(f'{event.name}: {event.text}, {event.seconds:.0f} s')
      if event.state != state.WAITING:
        progress.update()

    return Driver(
        tasks, base_dir, logs, engine, record, FLAGS.retries,
        lambda task: planning.command(task, base_dir), report, done,
    ).run()


def _write_report(base_dir: str) -> None:
  """Draws the page; a sweep that ran is not a failure because of it."""
  if storage.is_remote(base_dir):
    print(f'for the report, copy {base_dir} here and run: '
          'python -m implicit_underparam.figures --report --runs=COPY')
    return
  command = [
      sys.executable, '-m', 'implicit_underparam.figures', '--report',
      f'--runs={base_dir}',
  ]
  written = subprocess.run(
      command, capture_output=True, text=True, check=False
  )
  if written.returncode:
    last = (written.stderr.strip().splitlines() or ['no reason given'])[-1]
    print(f'note: no report was written: {last}', file=sys.stderr)
  else:
    print(f'report: {pathlib.Path(base_dir) / "report.html"}')


if __name__ == '__main__':
  define_flags()
  app.run(main)
