"""Contestants that take gradient steps, timed in turn."""

import csv
import dataclasses
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax


class Timing(NamedTuple):
  """One timing.

  Attributes:
    steps: seed-steps taken.
    wall: seconds on the clock.
    cpu: seconds of this process on all cores together.
  """

  steps: int
  wall: float
  cpu: float


class Spread(NamedTuple):
  """A median and the range around it."""

  median: float
  low: float
  high: float

  def __format__(self, spec: str) -> str:
    low, high = format(self.low, spec), format(self.high, spec)
    return f'{format(self.median, spec)} ({low} to {high})'


@dataclasses.dataclass
class Contestant:
  """Something that takes gradient steps.

  Attributes:
    name: in the table.
    run: takes some steps and returns how many seed-steps, when all are done.
    timings: one a round.
  """

  name: str
  run: Callable[[], int]
  timings: list[Timing] = dataclasses.field(default_factory=list)

  def time(self, seconds: float) -> None:
    """One timing: `run` again and again until that many seconds are over."""
    steps, wall, cpu = 0, time.perf_counter(), time.process_time()
    while not steps or time.perf_counter() - wall < seconds:
      steps += self.run()
    self.timings.append(
        Timing(
            steps, time.perf_counter() - wall, time.process_time() - cpu
        )
    )

  def rates(self, clock: str) -> list[float]:
    """Seed-steps a second of 'wall' or 'cpu' time, one a timing."""
    return [x.steps / getattr(x, clock) for x in self.timings]


def default_platform() -> str:
  """JAX's, found out without starting threads here or taking the card."""
  code = 'import jax; print(jax.default_backend())'
  done = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  return done.stdout.strip()


def device_name(core: int) -> str:
  """What the timings are of; `core` as in `pin`."""
  device = jax.devices()[0]
  if device.platform != 'cpu':
    return str(device.device_kind)
  pinned = core >= 0 and hasattr(os, 'sched_setaffinity')
  return f'{"one core" if pinned else "all cores"}, {platform.machine()}'


def pin(core: int) -> None:
  """Starts this program anew on one core, unless it is there.

  Anew, since every library counts the cores when it is imported, and starts
  threads for them.
  """
  if not hasattr(os, 'sched_setaffinity') or core < 0:
    return
  if os.sched_getaffinity(0) != {core}:
    os.sched_setaffinity(0, {core})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def in_turn(
    contestants: Sequence[Contestant], rounds: int, seconds: float
) -> Iterator[int]:
  """A B C A B C ...: what else the machine does meets all alike.

  Yields:
    How many rounds are done, after each.
  """
  for done in range(1, rounds + 1):
    for contestant in contestants:
      contestant.time(seconds)
    yield done


def spread(values: Sequence[float]) -> Spread:
  """The median, the smallest and the largest."""
  return Spread(statistics.median(values), min(values), max(values))


def ratio(one: Contestant, other: Contestant, clock: str) -> Spread:
  """Rates of one through rates of the other, round by round."""
  pairs = zip(one.rates(clock), other.rates(clock), strict=True)
  return spread([x / y for x, y in pairs])


def write_csv(
    path: str, contestants: Sequence[Contestant], device: str
) -> None:
  """Every timing as a row."""
  with pathlib.Path(path).open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(['device', 'contestant', 'round', *Timing._fields])
    for x in contestants:
      for i, timing in enumerate(x.timings):
        writer.writerow([device, x.name, i, *timing])
