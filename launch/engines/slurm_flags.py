"""The flags of the Slurm engine."""

import os
import pathlib

from absl import flags

from launch import planning, storage
from launch.engines.slurm_options import Options
from launch.errors import SweepError

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines them."""
  flags.DEFINE_string(
      'slurm_partition', '', 'slurm: partition; the cluster\'s own if empty.'
  )
  flags.DEFINE_string('slurm_account', '', 'slurm: account that is charged.')
  flags.DEFINE_integer(
      'slurm_time',
      None,
      'slurm: minutes of a job, which goes on in another when they are over; '
      'some three times what it is expected to take if None.',
      lower_bound=3,
  )
  flags.DEFINE_float(
      'slurm_mem',
      None,
      'slurm: GB of memory a run; the cluster\'s own if None.',
  )
  flags.DEFINE_integer(
      'slurm_array_parallelism', None, 'slurm: runs of an array at once.', 1
  )
  flags.DEFINE_multi_string(
      'slurm_setup', [], 'slurm: line of a shell run before, as module load.'
  )
  flags.DEFINE_multi_string(
      'slurm_option', [], 'slurm: further option of sbatch, as qos=long.'
  )


def options() -> Options:
  """What the flags say."""
  return Options(
      FLAGS.slurm_partition,
      FLAGS.slurm_account,
      FLAGS.slurm_time,
      FLAGS.slurm_mem,
      FLAGS.slurm_array_parallelism,
      tuple(FLAGS.slurm_setup),
      tuple(FLAGS.slurm_option),
  )


def shared_folder(base_dir: str) -> pathlib.Path:
  """Where submitit and the nodes meet.

  Args:
    base_dir: the sweep's folder.

  Raises:
    SweepError: that is behind a URL, and no other is named.
  """
  if storage.is_remote(base_dir) and 'TMPDIR' not in os.environ:
    raise SweepError(
        f'--base_dir={base_dir}: for logs and for what is handed to Slurm, set '
        'TMPDIR to a folder that every node sees'
    )
  return pathlib.Path(planning.logs(base_dir))
