"""What is to be said of a suite of runs."""

import dataclasses
import re
from collections.abc import Mapping
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Axis:
  """How a column is drawn.

  Attributes:
    label: what the axis says, with its unit.
    log: whether it is logarithmic; None: where the values span two decades.
  """

  label: str
  log: bool | None = None


@dataclasses.dataclass(frozen=True)
class Ending:
  """What the end of a run's name, after '_', says of its configuration.

  Attributes:
    pattern: a regular expression, with one group if the binding needs it.
    file: a configuration that is given after the run's own; '' for none.
    binding: with {} for what the group matched; '' for none.
    last_file: a configuration that is given after all others; '' for none.
  """

  pattern: str
  file: str = ''
  binding: str = ''
  last_file: str = ''


PENALTY = Ending('penalty', file='penalty')


class Configuration(NamedTuple):
  """What a run is made with.

  Attributes:
    files: of the suite's folder, without their suffix, in order.
    bindings: applied after them.
  """

  files: tuple[str, ...]
  bindings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Suite:
  """What the runs of one setting have in common.

  Attributes:
    name: of their folder under gin_configs.
    x: the column that training is drawn against, 'iteration',
      'gradient_steps' or 'environment_steps'.
    x_label: what that axis says.
    axes: column -> how it is drawn, where its name does not say enough.
    own_columns: what its training loop writes, and not that of every suite.
      Names of configurations repeat from suite to suite; by these a run is
      told.
    learning_rate: of runs without a variant; None where it is left unsaid.
    bindings: what a command needs besides the files; capitals are to be
      filled in.
    endings: of names of runs, from the last one on.
    files: what is left of a name -> the configuration, where they differ.
    own_bindings: configuration, or a run's whole name -> what is given
      besides.
    last_files: configurations that every run is given at the end.
    own_last_files: configuration -> what its runs are given in their place.
    environment: of its runs, as `runs.read_environment` has it; '' for those
      that it knows nothing of.
    by_game: whether its runs lie in a folder for each game.
    place: what such a folder is called in tables; in capitals, in commands.
    shares: of the data, in percent, that the name of such a folder may end in,
      as Pong_5; the usual one first.
  """

  name: str
  x: str
  x_label: str
  axes: Mapping[str, Axis]
  own_columns: frozenset[str]
  learning_rate: float | None = None
  bindings: tuple[str, ...] = ()
  endings: tuple[Ending, ...] = (PENALTY,)
  files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  own_bindings: Mapping[str, tuple[str, ...]] = dataclasses.field(
      default_factory=dict
  )
  last_files: tuple[str, ...] = ()
  own_last_files: Mapping[str, tuple[str, ...]] = dataclasses.field(
      default_factory=dict
  )
  environment: str = ''
  by_game: bool = False
  place: str = 'game'
  shares: tuple[str, ...] = ()

  def configuration(self, name: str) -> Configuration:
    """What makes the run of a name, such as 'dqn_online_n4_penalty'."""
    whole = name
    files: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    bindings: tuple[str, ...] = ()
    for ending in self.endings:
      match = re.fullmatch(f'(.+)_{ending.pattern}', name)
      if match is None:
        continue
      name, *groups = match.groups()
      files = (*filter(None, [ending.file]), *files)
      last = (*last, *filter(None, [ending.last_file]))
      bindings = (*filter(None, [ending.binding.format(*groups)]), *bindings)
    own = self.files.get(name, name)
    last = (*self.own_last_files.get(own, self.last_files), *last)
    for key in dict.fromkeys((own, whole)):
      bindings = (*bindings, *self.own_bindings.get(key, ()))
    return Configuration((own, *files, *last), bindings)

  def axis(self, column: str) -> Axis:
    """How a column is drawn; by its bare name where nothing is said."""
    return self.axes.get(column, Axis(column))
