"""Says on the screen what is missing, beside what is drawn or judged."""

import sys
from collections.abc import Iterable

from implicit_underparam.figures import collection as collection_lib


def report_missing(
    names: Iterable[str], collection: collection_lib.Collection
) -> None:
  """Names the runs that are missing, of any game, and what makes them.

  Args:
    names: of configurations.
    collection: where they were looked for.
  """
  for name in names:
    lacking = [
        game for game, x in collection.games().items() if x.get(name) is None
    ]
    if not collection.has(name):
      report(collection_lib.missing_line(name, collection))
    elif lacking:
      report(f'there is no run {name} of {", ".join(lacking)}')


def report(line: str) -> None:
  """Shows a line beside what goes to the output.

  Args:
    line: what is to be known.
  """
  print(f'note: {line}', file=sys.stderr)
