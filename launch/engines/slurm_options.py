"""What is asked of Slurm for a run, and whether it has as much."""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence

from launch.engines.slurm_cluster import Nodes
from launch.errors import SweepError
from launch.run import Resources

# A machine may be slower than the one that minutes were measured on. A run
# whose time is up goes on in the next job, so that this need not be exact.
_GENEROUS = 3.0
_LEAST_MINUTES = 30
_MB = 1024


@dataclasses.dataclass(frozen=True)
class Options:
  """What flags say.

  Attributes:
    partition: one or more, with commas; '' for the cluster's own choice.
    account: that is charged; '' likewise.
    time: minutes that a job may take; None for what a run is expected to
      take, and more.
    memory: of a run, in GB; None for the cluster's own choice.
    array_parallelism: jobs of an array at once; None for all.
    setup: lines of a shell that are run before a run.
    more: of sbatch, each as 'qos=long' or 'exclusive'.
  """

  partition: str = ''
  account: str = ''
  time: int | None = None
  memory: float | None = None
  array_parallelism: int | None = None
  setup: Sequence[str] = ()
  more: Sequence[str] = ()

  def parameters(
      self, resources: Resources, time: int, name: str, size: int
  ) -> dict[str, object]:
    """What submitit is told.

    Args:
      resources: of each job.
      time: minutes of each.
      name: of the jobs.
      size: how many.
    """
    found: dict[str, object] = {
        'job_name': name,
        'time': time,
        'nodes': 1,
        'ntasks_per_node': 1,
        'cpus_per_task': resources.cpus,
        # Of sbatch's own number srun knows nothing.
        'srun_args': [f'--cpus-per-task={resources.cpus}'],
        'array_parallelism': self.array_parallelism or size,
        'stderr_to_stdout': True,
        'additional_parameters': {
            'requeue': True, **dict(map(_option, self.more))
        },
    }
    if resources.gpus:
      found['gpus_per_node'] = math.ceil(resources.gpus)
    if self.memory is not None:
      found['mem'] = f'{math.ceil(self.memory * _MB)}M'
    for key in ('partition', 'account'):
      if getattr(self, key):
        found[key] = getattr(self, key)
    if self.setup:
      found['setup'] = list(self.setup)
    return found

  def time_for(self, minutes: float, longest: int | None) -> int:
    """Minutes that a job may take.

    Args:
      minutes: that it is expected to take.
      longest: that the partition gives; None for no limit.
    """
    if self.time is not None:
      return self.time
    doublings = math.log2(max(1.0, _GENEROUS * minutes / _LEAST_MINUTES))
    # Rounded, so that runs that take much the same share an array.
    time = _LEAST_MINUTES * 2 ** math.ceil(doublings)
    return time if longest is None else min(time, longest)


def _option(text: str) -> tuple[str, object]:
  key, equals, value = text.lstrip('-').partition('=')
  return key, value if equals else True


def choose(options: Options, every: Sequence[Nodes]) -> list[Nodes]:
  """The nodes of the partitions that jobs go to.

  Args:
    options: which.
    every: nodes of the cluster.

  Raises:
    SweepError: there is no such partition, or it is down.
  """
  there = ', '.join(sorted({x.partition for x in every}))
  if not options.partition:
    chosen = [x for x in every if x.is_default]
    if not chosen:
      raise SweepError(
          'this cluster has no default partition: give --slurm_partition, '
          f'of {there}'
      )
  else:
    chosen = []
    for name in options.partition.split(','):
      found = [x for x in every if x.partition == name]
      if not found:
        raise SweepError(
            f'--slurm_partition={options.partition}: there is no {name} '
            f'(there are: {there})'
        )
      chosen += found
  if not any(x.is_up for x in chosen):
    raise SweepError(
        f'the partition {chosen[0].partition} is down: name another with '
        '--slurm_partition'
    )
  return chosen


def check(
    options: Options, chosen: Sequence[Nodes], needed: Sequence[Resources]
) -> None:
  """Looks whether some node has as much as each run takes.

  Args:
    options: of the jobs.
    chosen: nodes that they may go to.
    needed: by the runs.

  Raises:
    SweepError: none has.
  """
  limit = longest(chosen)
  if options.time and limit is not None and options.time > limit:
    raise SweepError(
        f'--slurm_time={options.time}: {_partitions(chosen)} gives no job more '
        f'than {limit} minutes'
    )
  for resources in dict.fromkeys(needed):
    if resources.tpus:
      raise SweepError(
          f'a run asks for {resources.tpus} TPU chips, which Slurm has none '
          'of: say --tpus=0, or take another --engine'
      )
    if not any(_fits(options, resources, x) for x in chosen):
      raise SweepError(_why_not(options, resources, chosen))
  if any(x.gpus % 1 for x in needed):
    print(
        'note: Slurm gives whole GPUs: a run that asks for a share of one has '
        'one to itself', file=sys.stderr,
    )


def longest(chosen: Sequence[Nodes]) -> int | None:
  """Minutes that a job may take; None for no limit."""
  limits = [x.minutes for x in chosen]
  known = [x for x in limits if x is not None]
  return max(known) if known and len(known) == len(limits) else None


def _fits(options: Options, resources: Resources, nodes: Nodes) -> bool:
  return (
      resources.cpus <= nodes.cpus
      and math.ceil(resources.gpus) <= nodes.gpus
      and (options.memory or 0) * _MB <= nodes.memory
  )


def _why_not(
    options: Options, resources: Resources, chosen: Sequence[Nodes]
) -> str:
  """The flag that asks for too much, or all of them together."""
  where = f'no node of {_partitions(chosen)}'
  wants: Mapping[str, tuple[str, float, float]] = {
      'cpus': ('cores', resources.cpus, max(x.cpus for x in chosen)),
      'gpus': ('GPUs', resources.gpus, max(x.gpus for x in chosen)),
      'slurm_mem': (
          'GB', options.memory or 0, max(x.memory for x in chosen) // _MB
      ),
  }
  for flag, (unit, wanted, there) in wants.items():
    if math.ceil(wanted) > there:
      return (
          f'a run asks for {wanted:g} {unit} and {where} has more than '
          f'{there:g}: name another --slurm_partition, or say '
          f'--{flag}={there:g}'
      )
  together = ' and '.join(f'{x:g} {unit}' for unit, x, _ in wants.values() if x)
  return f'a run asks for {together}, and {where} has all of it'


def _partitions(chosen: Sequence[Nodes]) -> str:
  return ', '.join(dict.fromkeys(x.partition for x in chosen))
