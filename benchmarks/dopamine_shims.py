"""Imports modules of Dopamine's wheel on the JAX of today.

Only what is no longer to be had is stubbed: `atari_wrappers` of baselines,
and `pytype_aval_mappings` of `jax.interpreters.xla`, which TensorFlow
Probability reads once. Nothing enters gin's registry, where names would clash
with the package's, and nothing is printed.
"""

import contextlib
import importlib
import os
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import gin
import jax

_BASELINES = (
    'baselines', 'baselines.common', 'baselines.common.atari_wrappers',
)


def load(name: str) -> types.ModuleType:
  """Imports a module, such as 'dopamine.jax.agents.dqn.dqn_agent'.

  Raises:
    ModuleNotFoundError: dopamine-rl is not installed.
  """
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
    if parent in stubs:
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
