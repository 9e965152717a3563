"""Runs a sweep on this machine, one process a core."""

import dataclasses
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence

from launch.run import Run

_POLL = 0.2  # Seconds.


def is_finished(base_dir: pathlib.Path, run: Run) -> bool:
  """Whether the run's folder says so."""
  path = base_dir / run.name / 'run.json'
  try:
    status = json.loads(path.read_text())
  except (OSError, ValueError):
    return False
  return isinstance(status, dict) and status.get('status') == 'finished'


def execute(
    runs: Iterable[Run],
    base_dir: pathlib.Path,
    num_processes: int,
    report: Callable[[Run, int, float], None],
) -> list[Run]:
  """Runs what is not finished, the longest first.

  Each process is kept to one core, which small networks use best. A run that
  was stopped goes on from its checkpoint; one that fails does not stop the
  others, but for those that come after it. What a run prints is in
  `base_dir/logs`.

  Args:
    runs: the sweep.
    base_dir: the sweep's folder.
    num_processes: how many at once.
    report: called with a run, its exit code and its seconds when it ends.

  Returns:
    The runs that failed.
  """
  waiting = [run for run in runs if not is_finished(base_dir, run)]
  waiting.sort(key=lambda run: run.cost)
  cores = _cores(num_processes)
  running: dict[int, tuple[Run, subprocess.Popen, float]] = {}
  failed = []
  try:
    while waiting or running:
      for slot in range(num_processes):
        under_way = [run for run, _, _ in running.values()]
        run = _next(waiting, under_way) if slot not in running else None
        if run is None:
          continue
        if lacking := _unfinished(run, base_dir):
          _log(run, base_dir, f'not started: {", ".join(lacking)} not finished')
          report(run, 1, 0.0)
          failed.append(run)
        else:
          process = _start(run, base_dir, cores[slot])
          running[slot] = (run, process, time.monotonic())
      for slot, (run, process, start) in list(running.items()):
        if (code := process.poll()) is not None:
          del running[slot]
          report(run, code, time.monotonic() - start)
          if code:
            failed.append(run)
      time.sleep(_POLL)
  finally:
    # Stopped in the middle: the runs stop too, and go on next time.
    for _, process, _ in running.values():
      process.terminate()
    for _, process, _ in running.values():
      process.wait()
  return failed


def _next(waiting: list[Run], running: Iterable[Run]) -> Run | None:
  """Takes out the longest run that has none to wait for."""
  pending = {run.name for run in (*waiting, *running)}
  for run in reversed(waiting):
    if pending.isdisjoint(run.after):
      waiting.remove(run)
      return run
  return None


def _unfinished(run: Run, base_dir: pathlib.Path) -> list[str]:
  first = (dataclasses.replace(run, name=name) for name in run.after)
  return [x.name for x in first if not is_finished(base_dir, x)]


def _log(run: Run, base_dir: pathlib.Path, line: str) -> None:
  with open(_log_file(run, base_dir), 'a') as log:
    log.write(f'{line}\n')


def _log_file(run: Run, base_dir: pathlib.Path) -> pathlib.Path:
  path = base_dir / 'logs' / f'{run.name}.txt'
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def _cores(num_processes: int) -> Sequence[int | None]:
  if not hasattr(os, 'sched_getaffinity'):
    return [None] * num_processes
  available = sorted(os.sched_getaffinity(0))
  return [available[i % len(available)] for i in range(num_processes)]


def _start(
    run: Run, base_dir: pathlib.Path, core: int | None
) -> subprocess.Popen:
  def keep_to_core() -> None:
    if core is not None:
      os.sched_setaffinity(0, {core})

  environment = {
      # Runs that differ only in traced numbers share one compiled program.
      'JAX_COMPILATION_CACHE_DIR': str(base_dir / '.compiled'),
      'OMP_NUM_THREADS': '1',
      **os.environ,
  }
  with open(_log_file(run, base_dir), 'a') as log:
    return subprocess.Popen(
        run.command(base_dir),
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        preexec_fn=keep_to_core,
    )
