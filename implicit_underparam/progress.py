"""A bar for what goes on within an iteration."""

import sys

import tqdm


def bar(total: int, unit: str) -> tqdm.tqdm:
  """A bar below that of the iterations; none where there is no terminal.

  Args:
    total: how many there will be.
    unit: of what.
  """
  return tqdm.tqdm(
      total=total,
      unit='it',
      desc=unit,
      leave=False,
      position=1,
      disable=not sys.stderr.isatty(),
  )
