"""Moments and lengths of time, as people read them."""

import datetime


def moment(seconds: float | None) -> str:
  """A date and time in UTC; '' for None.

  Args:
    seconds: Unix time.
  """
  if seconds is None:
    return ''
  there = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
  return f'{there:%Y-%m-%d %H:%M} UTC'


def length(seconds: float | None) -> str:
  """A length of time in the unit that suits it; '' for None."""
  if seconds is None:
    return ''
  if seconds < 99.5:
    return f'{seconds:.0f} s'
  if seconds < 99.5 * 60:
    return f'{seconds / 60:.0f} min'
  return f'{seconds / 3600:.1f} h'


def unix(text: object) -> float | None:
  """Unix time of a run.json's date; None for what is none."""
  if not isinstance(text, str):
    return None
  try:
    return datetime.datetime.fromisoformat(text).timestamp()
  except ValueError:
    return None
