"""The engines by name, and their flags."""

import pathlib
from collections.abc import Callable, Mapping

from absl import flags

from launch import planning
from launch.engines import local, slurm_engine, slurm_flags
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


def _slurm(base_dir: str) -> Engine:
  folder = slurm_flags.shared_folder(base_dir)
  return slurm_engine.SlurmEngine(
      folder / '.slurm', folder / '.compiled', slurm_flags.options()
  )


ENGINES: Mapping[str, Callable[[str], Engine]] = {
    'local': _local,
    'slurm': _slurm,
}
