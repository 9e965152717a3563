"""What the config.gin files of runs say, and where they differ."""

import dataclasses
import re
from collections.abc import Mapping

_NAME = re.compile(r'[\w./]+ *=')
ABSENT = ''  # The value of a binding in a run that does not have it.


@dataclasses.dataclass(frozen=True)
class Difference:
  """A binding that is not the same in all runs.

  Attributes:
    binding: its name.
    values: value as text -> the runs that have it; `ABSENT` for those
      without.
  """

  binding: str
  values: Mapping[str, tuple[str, ...]]

  @property
  def is_everywhere(self) -> bool:
    """Whether every run has the binding."""
    return ABSENT not in self.values

  def of(self, run: str) -> str:
    """The value in a run."""
    return next(x for x, names in self.values.items() if run in names)


def parse(config: str) -> dict[str, str]:
  """The bindings of an operative configuration, each value on one line.

  Args:
    config: text of a config.gin.
  """
  found: dict[str, str] = {}
  name = ''
  for line in config.splitlines():
    if not line.strip() or line.lstrip().startswith('#'):
      continue
    if _NAME.match(line):
      name, line = (x.strip() for x in line.split('=', 1))
      found[name] = ''
    elif not line[0].isspace():
      name = ''  # An import.
    if name:
      more = line.strip().removesuffix('\\').strip()
      found[name] = f'{found[name]} {more}'.strip()
  return found


def differences(configs: Mapping[str, Mapping[str, str]]) -> list[Difference]:
  """The bindings in which runs differ, those that all runs have first.

  Args:
    configs: run -> its bindings.
  """
  names = dict.fromkeys(x for config in configs.values() for x in config)
  found = []
  for name in names:
    values: dict[str, list[str]] = {}
    for run, config in configs.items():
      values.setdefault(config.get(name, ABSENT), []).append(run)
    if len(values) > 1:
      named = {value: tuple(there) for value, there in values.items()}
      found.append(Difference(name, named))
  return sorted(found, key=lambda x: (not x.is_everywhere, x.binding))


def num_iterations(config: Mapping[str, str]) -> int | None:
  """How many iterations a configuration plans; None where it does not say."""
  value = config.get('Runner.num_iterations', '')
  return int(value) if value.isdigit() else None
