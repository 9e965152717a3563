"""Runs jobs on this machine, without sharing a core or a GPU's memory twice."""

import glob
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from launch import processes
from launch.engines.engine import Job, Outcome
from launch.errors import SweepError
from launch.run import Resources

# JAX keeps this share for what it does not allocate itself.
_USABLE_MEMORY = 0.9
_ROUNDING = 1e-9


class _Place(NamedTuple):
  """Where a job runs.

  Fields:
    cores: numbers.
    gpus: as CUDA_VISIBLE_DEVICES names them -> share.
    tpus: chips.
  """

  cores: tuple[int, ...]
  gpus: dict[str, float]
  tpus: int


class LocalEngine:
  """See `Engine`; a process a job.

  Args:
    cache: folder for compiled programs, which runs that differ only in traced
      numbers share.
    processes: jobs at once; None for as many as there is room for.
    cores: numbers of those to use; None for those of this process.
    gpus: as CUDA_VISIBLE_DEVICES names them; None to ask nvidia-smi.
    num_tpus: chips that there are; None to look for them.
  """

  def __init__(
      self,
      cache: pathlib.Path,
      processes: int | None = None,
      cores: Sequence[int] | None = None,
      gpus: Sequence[str] | None = None,
      num_tpus: int | None = None,
  ):
    self._cache = cache
    self._processes = processes
    self._cores = list(_available_cores() if cores is None else cores)
    self._gpus = dict.fromkeys(_visible_gpus() if gpus is None else gpus, 1.0)
    self._tpus = _count_tpus() if num_tpus is None else num_tpus
    self._running: dict[str, tuple[Job, subprocess.Popen, _Place]] = {}
    self._totals = Resources(
        len(self._cores), float(len(self._gpus)), self._tpus
    )

  def check(self, needed: Sequence[Resources]) -> None:
    """See `Engine`."""
    for resources in dict.fromkeys(needed):
      for name, wanted, there in (
          ('cores', resources.cpus, self._totals.cpus),
          ('GPUs', resources.gpus, self._totals.gpus),
          ('TPU chips', resources.tpus, self._totals.tpus),
      ):
        if wanted > there:
          flag = {'cores': 'cpus', 'GPUs': 'gpus'}.get(name, 'tpus')
          raise SweepError(
              f'a run asks for {wanted:g} {name} and this machine has '
              f'{there:g}: take another --engine, a smaller --scale, or say '
              f'--{flag}={int(there)}'
          )

  def has_room(self, resources: Resources) -> bool:
    """See `Engine`."""
    if self._processes is not None and len(self._running) >= self._processes:
      return False
    return self._place(resources) is not None

  def start(self, job: Job) -> None:
    """See `Engine`."""
    place = self._place(job.resources)
    assert place is not None
    process = processes.start(
        job.command, job.log, self._environment(place), place.cores
    )
    self._take(place)
    self._running[job.name] = (job, process, place)

  def queued(self) -> set[str]:
    """See `Engine`."""
    return set()

  def poll(self) -> list[Outcome]:
    """See `Engine`."""
    ended = []
    for name, (job, process, place) in list(self._running.items()):
      code = process.poll()
      if code is not None:
        del self._running[name]
        self._give_back(place)
        reason = processes.describe(code, job.log) if code else ''
        ended.append(Outcome(name, code, reason))
    return ended

  def stop(self) -> None:
    """See `Engine`."""
    for _, process, _ in self._running.values():
      process.terminate()
    for _, process, _ in self._running.values():
      processes.stop(process)
    self._running.clear()

  def _place(self, resources: Resources) -> _Place | None:
    """Free cores and devices, or None."""
    if len(self._cores) < resources.cpus or self._tpus < resources.tpus:
      return None
    gpus = self._free_gpus(resources.gpus)
    if gpus is None:
      return None
    return _Place(tuple(self._cores[:resources.cpus]), gpus, resources.tpus)

  def _free_gpus(self, wanted: float) -> dict[str, float] | None:
    if wanted <= 0:
      return {}
    share = min(wanted, 1.0)
    free = [i for i, x in self._gpus.items() if x >= share - _ROUNDING]
    # The fullest that still has room: whole ones are left for whole jobs.
    free.sort(key=lambda i: self._gpus[i])
    count = max(1, round(wanted))
    return dict.fromkeys(free[:count], share) if len(free) >= count else None

  def _take(self, place: _Place) -> None:
    self._cores = [x for x in self._cores if x not in place.cores]
    self._tpus -= place.tpus
    for index, share in place.gpus.items():
      self._gpus[index] -= share

  def _give_back(self, place: _Place) -> None:
    self._cores = sorted((*self._cores, *place.cores))
    self._tpus += place.tpus
    for index, share in place.gpus.items():
      self._gpus[index] += share

  def _environment(self, place: _Place) -> dict[str, str]:
    environment = {
        'OMP_NUM_THREADS': str(len(place.cores)),
        'JAX_COMPILATION_CACHE_DIR': os.environ.get(
            'JAX_COMPILATION_CACHE_DIR', str(self._cache)
        ),
    }
    if place.gpus:
      share = min(place.gpus.values()) * _USABLE_MEMORY
      environment['CUDA_VISIBLE_DEVICES'] = ','.join(place.gpus)
      environment['XLA_PYTHON_CLIENT_MEM_FRACTION'] = f'{share:.3f}'
    elif not place.tpus and (self._totals.gpus or self._totals.tpus):
      # Without this it would take the memory of a device it was not given.
      environment['JAX_PLATFORMS'] = 'cpu'
    return environment


def _available_cores() -> list[int]:
  if sys.platform == 'linux':
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def _visible_gpus() -> list[str]:
  """The GPUs that this process may use."""
  if shutil.which('nvidia-smi') is None:
    return []
  if chosen := os.environ.get('CUDA_VISIBLE_DEVICES'):
    return chosen.split(',')
  listed = subprocess.run(
      ['nvidia-smi', '--list-gpus'], capture_output=True, text=True, check=False
  )
  if listed.returncode:
    return []
  count = sum(x.startswith('GPU ') for x in listed.stdout.splitlines())
  return [str(i) for i in range(count)]


def _count_tpus() -> int:
  return len(glob.glob('/dev/accel*') or glob.glob('/dev/vfio/[0-9]*'))
