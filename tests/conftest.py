"""Settings for every test."""

import gc
import os
import pathlib
import sys
from collections.abc import Iterator
from importlib import metadata

import gin
import hypothesis
import pytest
from absl import flags
from absl.testing import absltest

# Before JAX is imported anywhere: a test may not depend on what a machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')
# To compile would be most of what the tests do, and what they compile runs for
# moments. A run by hand compiles with every optimisation.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
# A flag that jaxlib does not know ends the process; these are of 0.10.
if metadata.version('jaxlib').startswith('0.10.'):
  os.environ.setdefault(
      'XLA_FLAGS',
      '--xla_cpu_use_fusion_emitters=false '
      '--xla_cpu_parallel_codegen_split_count=1',
  )
# Programs that several tests compile are compiled once.
os.environ.setdefault(
    'JAX_COMPILATION_CACHE_DIR',
    os.path.join(os.environ.get('TMPDIR', '/tmp'), 'iup_test_programs'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.02')

# JAX keeps objects by the million for what it has compiled, and every full
# collection looks at all of them.
gc.set_threshold(100_000, 20, 100)

# A test tries the same examples each time: `--hypothesis-profile=default`
# looks for others.
hypothesis.settings.register_profile('same', derandomize=True)
hypothesis.settings.load_profile('same')

# absltest makes temporary folders from a flag; pytest parses none.
assert absltest
if not flags.FLAGS.is_parsed():
  flags.FLAGS.mark_as_parsed()

# What tests share stands beside them.
sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True, scope='module')
def no_bindings_of_another_module() -> Iterator[None]:
  """A configuration that a test parsed does not reach other files' tests."""
  gin.clear_config()
  # Nor is what another file's test has parsed the last that can be.
  with gin.unlock_config():
    yield
  gin.clear_config()


def _settings_of_jax() -> dict[str, object]:
  """Those that say how to compile and compute; none before it is imported."""
  if (jax := sys.modules.get('jax')) is None:
    return {}
  return {
      name: jax.config.read(name)
      for name in ('jax_disable_most_optimizations', 'jax_enable_x64')
  }


@pytest.fixture(autouse=True, scope='module')
def settings_of_jax_are_left_as_they_were() -> Iterator[None]:
  """One that a module changes for good is another for all that follow it."""
  before = _settings_of_jax()
  yield
  after = _settings_of_jax()
  assert not before or before == after
