"""Checks configurations without running them.

  python -m implicit_underparam.check < PLAN.json

PLAN.json is a list of {"name", "gin_files", "gin_bindings", "base_dir"}, the
last of them where there may be a run already; what comes out is a list of
{"name", "error"}, of those that `train` would refuse.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, logging


def errors_of(
    plan: Sequence[dict[str, Any]],
) -> list[dict[str, str]]:
  """The configurations that cannot be parsed or built, or differ from a run's.

  Args:
    plan: name, gin_files and gin_bindings of each, and base_dir of some.

  Returns:
    Name and error, one line, of those that are wrong.
  """
  # Imported late: gin's configurables need JAX.
  import gin

  from implicit_underparam import errors, run_config, runner

  found = []
  for entry in plan:
    gin.clear_config(clear_constants=True)
    try:
      # As `train` does; this refuses values, and makes no file.
      runner.build(
          entry['name'], entry['gin_files'], entry['gin_bindings']
      )
      if base_dir := entry.get('base_dir'):
        run_config.check_bindings(base_dir, gin.config_str())
    except errors.UserError as error:
      found.append({'name': entry['name'], 'error': str(error)})
  return found


def main(argv: Sequence[str]) -> None:
  """Reads the plan and prints what is wrong with it."""
  if len(argv) > 1:
    sys.exit(f'error: {argv[1]!r} is not a flag: give the plan on the input')
  logging.set_verbosity(logging.WARNING)
  print(json.dumps(errors_of(json.load(sys.stdin))))


if __name__ == '__main__':
  app.run(main)
