"""Dopamine's own modules, as its wheel ships them, for tests to compare with.

Nothing is imported before a test asks, what is imported prints nothing, and
it enters nothing into gin's registry, where names of the package could clash.
A stub stands only where the wheel needs what is no longer to be had:
`baselines.common.atari_wrappers`, and `pytype_aval_mappings` in
`jax.interpreters.xla` (TensorFlow Probability reads it once).
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import gin
import jax

_BASELINES = (
    'baselines', 'baselines.common', 'baselines.common.atari_wrappers',
)


def circular_replay_buffer() -> types.ModuleType:
  """The module of OutOfGraphReplayBuffer; takes TensorFlow's 4 s, once."""
  return load('dopamine.tf.replay_memory.circular_replay_buffer')


def jax_dqn_agent() -> types.ModuleType:
  """The module of JaxDQNAgent.

  Its `_build_replay_buffer` takes sizes from gin alone: override that method.
  """
  return load('dopamine.jax.agents.dqn.dqn_agent')


def load(name: str) -> types.ModuleType:
  """Imports a module of Dopamine; skips the test where there is none."""
  if importlib.util.find_spec('dopamine') is None:
    raise unittest.SkipTest('dopamine-rl is not installed')
  with _silence(), _stubs(), _without_gin():
    return importlib.import_module(name)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
  """Discards what is written to the process's standard error, C++ too."""
  sys.stderr.flush()
  saved = os.dup(2)
  with (
      open(os.devnull, 'w') as nowhere,
      contextlib.redirect_stderr(nowhere),
      mock.patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'),
      warnings.catch_warnings(),
  ):
    warnings.simplefilter('ignore')
    os.dup2(nowhere.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(saved, 2)
      os.close(saved)


@contextlib.contextmanager
def _stubs() -> Iterator[None]:
  from jax.interpreters import xla

  # Not mock.patch.dict: it would take out what the import puts in.
  missing = [name for name in _BASELINES if name not in sys.modules]
  stubs = {name: types.ModuleType(name) for name in missing}
  for name, module in stubs.items():
    parent, _, child = name.rpartition('.')
    if parent:
      setattr(stubs[parent], child, module)
  sys.modules.update(stubs)
  mappings = jax.core.pytype_aval_mappings
  try:
    with mock.patch.object(
        xla, 'pytype_aval_mappings', mappings, create=True
    ):
      yield
  finally:
    for name in stubs:
      del sys.modules[name]


def _undecorated(*args: Any, **kwargs: Any) -> Any:
  """Stands for gin.configurable: gives back what it decorates."""
  decorates = len(args) == 1 and callable(args[0]) and not kwargs
  return args[0] if decorates else lambda decorated: decorated


@contextlib.contextmanager
def _without_gin() -> Iterator[None]:
  with mock.patch.multiple(
      gin,
      configurable=_undecorated,
      register=_undecorated,
      external_configurable=lambda decorated, *args, **kwargs: decorated,
      constant=lambda name, value: None,
  ):
    yield
