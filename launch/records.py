"""Reads the small JSON files that runs and sweeps leave."""

import json
from typing import Any

from launch import storage


def read(path: str) -> dict[str, Any]:
  """What a JSON file holds; {} where it is missing, cut short or no mapping.

  Args:
    path: of the file, or its URL.
  """
  try:
    found = json.loads(storage.read_text(path) or '{}')
  except ValueError:
    return {}
  return found if isinstance(found, dict) else {}
