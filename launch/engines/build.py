"""The engines by name, and their flags."""

import pathlib
from collections.abc import Callable, Mapping

from absl import flags

from launch import planning
from launch.engines import local, ray_engine, slurm_engine, slurm_flags
from launch.engines.engine import Engine

__all__ = ('ENGINES', 'Engine', 'define_flags', 'engine')

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the engines' flags."""
  flags.DEFINE_integer(
      'processes',
      None,
      'local: runs at once; as many as cores and devices allow if None.',
      lower_bound=1,
  )
  flags.DEFINE_string(
      'ray_address',
      '',
      'ray: a running cluster, as auto, host:6379 or ray://host:10001; Ray is '
      'started on this machine if empty.',
  )
  flags.DEFINE_string(
      'ray_working_dir',
      '',
      'ray: folder sent to workers that lack it, say a checkout.',
  )
  slurm_flags.define_flags()


def engine(name: str, base_dir: str) -> Engine:
  """An engine.

  Args:
    name: of `ENGINES`.
    base_dir: the sweep's folder.

  Raises:
    SweepError: what it needs is not there.
  """
  return ENGINES[name](base_dir)


def _local(base_dir: str) -> Engine:
  cache = pathlib.Path(planning.logs(base_dir)) / '.compiled'
  return local.LocalEngine(cache, FLAGS.processes)


def _ray(base_dir: str) -> Engine:
  cache = pathlib.Path(planning.logs(base_dir)) / '.compiled'
  return ray_engine.RayEngine(cache, FLAGS.ray_address, FLAGS.ray_working_dir)


def _slurm(base_dir: str) -> Engine:
  folder = slurm_flags.shared_folder(base_dir)
  return slurm_engine.SlurmEngine(
      folder / '.slurm', folder / '.compiled', slurm_flags.options()
  )


ENGINES: Mapping[str, Callable[[str], Engine]] = {
    'local': _local,
    'ray': _ray,
    'slurm': _slurm,
}
