"""Actions in [-1, 1] and between the bounds that an environment has."""

from typing import Any

import numpy as np


def stretched(actions: np.ndarray, bounds: Any) -> np.ndarray:
  """Actions [..., k] in [-1, 1] as numbers between the bounds of a Box."""
  middle = 0.5 * (bounds.high + bounds.low)
  half = 0.5 * (bounds.high - bounds.low)
  native = middle + half * actions
  return np.clip(native, bounds.low, bounds.high).astype(bounds.dtype)


def shrunk(actions: np.ndarray, bounds: Any) -> np.ndarray:
  """Actions [..., k] between the bounds of a Box as numbers in [-1, 1]."""
  middle = 0.5 * (bounds.high + bounds.low)
  half = 0.5 * (bounds.high - bounds.low)
  return np.clip((actions - middle) / half, -1.0, 1.0).astype(np.float32)
