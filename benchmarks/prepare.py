"""Megabytes of frames per second of data.prepare, beside gunzip and np.load.

  python -m benchmarks.prepare [--source=DIR_WITH_LOGS --frames=20000]

Without a source, a log of Pong under random play is collected first. What is
counted are decompressed bytes of frames: `prepare` checks and writes them as
well, durably, the peer only has them in memory in the end, as Dopamine's
buffer loads a checkpoint. Both take the files from the page cache.
"""

import gzip
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags

from benchmarks import timing
from implicit_underparam.data import prepare, replay_logs, sources

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('source', None, 'A log; by default one is collected.')
  flags.DEFINE_integer('frames', 20_000, 'To collect.')
  flags.DEFINE_string('game', 'Pong', 'To collect from.')
  flags.DEFINE_integer('core', 0, 'The core to use; -1 for all.')
  flags.DEFINE_integer('rounds', 5, 'Timings of each, in turn.')


def collect(folder: pathlib.Path) -> pathlib.Path:
  """A log of two checkpoints, the second filled to a half."""
  command = [
      sys.executable, '-m', 'implicit_underparam.data.collect',
      f'--game={FLAGS.game}', f'--out={folder}', f'--steps={FLAGS.frames}',
      '--policy=random', f'--capacity={2 * FLAGS.frames // 3}',
  ]  # fmt: skip
  subprocess.run(command, check=True)
  return folder / 'replay_logs'


def preparing(source: str, out: pathlib.Path) -> Callable[[], int]:
  """`prepare`, each time to a new folder under `out`."""
  count = 0

  def run() -> int:
    nonlocal count
    count += 1
    return prepare.prepare(source, out / str(count)).read

  return run


def loading(source: str) -> Callable[[], int]:
  """gunzip and np.load of the same files of frames, whole."""
  found = sources.find(source)
  paths = [
      replay_logs.array_path(found.folder, replay_logs.NAMES[0], suffix)
      for suffix in found.suffixes
  ]

  def run() -> int:
    total = 0
    for path in paths:
      with gzip.open(path) as file:
        total += np.load(file, allow_pickle=False).nbytes
    return total

  return run


def main(argv: Sequence[str]) -> None:
  """Times both in turn and prints medians, ranges and the ratio."""
  del argv
  timing.pin(FLAGS.core)
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    source = FLAGS.source or str(collect(place / 'log'))
    found = [
        timing.Contestant('prepare', preparing(source, place / 'sets')),
        timing.Contestant('gunzip and np.load', loading(source)),
    ]
    for contestant in found:
      contestant.run()
    for _ in timing.in_turn(found, FLAGS.rounds, seconds=0):
      pass
  print(f'{"":20}MB/s on the clock, median (range)   MB a second of CPU')
  for x in found:
    wall, cpu = (
        timing.spread([rate / 1e6 for rate in x.rates(clock)])
        for clock in ('wall', 'cpu')
    )
    print(f'{x.name:<20}{wall:.0f}   {cpu:.0f}')
  print(f'prepare / peer: {timing.ratio(found[0], found[1], "cpu"):.2f}')


if __name__ == '__main__':
  define_flags()
  app.run(main)
