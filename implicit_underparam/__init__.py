"""Rank collapse in value-based RL: run it, measure it, fight it."""

import importlib
from typing import Any

__version__ = '0.1.0'

# Imported when first touched, so that importing the package costs nothing.
_SUBMODULES = frozenset((
    'agents', 'checkpoints', 'configuration', 'convolutions', 'data',
    'envs', 'errors', 'evaluation', 'figures', 'learner', 'loops', 'losses',
    'metrics', 'networks', 'offline', 'penalties', 'program', 'rows',
    'run_folder', 'runner', 'seeds', 'serialization', 'types', 'writers',
))


def __getattr__(name: str) -> Any:
  if name in _SUBMODULES:
    return importlib.import_module(f'{__name__}.{name}')
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted(_SUBMODULES | set(globals()))
