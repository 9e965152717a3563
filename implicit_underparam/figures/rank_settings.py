"""Which runs of a folder are correlated with each other: its settings.

A run's name tells its configuration through its suite, and with it the agent,
the penalty and n; its rows tell whether it took environment steps, as a run
does that is online.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from implicit_underparam.figures import rank_return, runs, suites
from implicit_underparam.figures.collection import Collection

OFFLINE, ONLINE = KINDS = ('offline', 'online')
ALL = 'all'
WITHOUT_PENALTY = 'without penalty'
_EVALUATIONS = ('fitted_q_evaluation', 'monte_carlo')
_VARIANT = re.compile(r'(.+)_(lr[\d.e-]+)')
_RATIO = re.compile(r'OnlineLoop\.data_reuse_ratio = (.+)')
# Of the gridworld: what the network sees, or what is rewarded, is another.
_OTHER_PROBLEM = re.compile(r'one_hot|random_observations|sparse_reward')
_LEAST = 2  # Runs of a setting.
# Status that is written into run.json by hand, where a run was made again.
_SET_ASIDE = 'superseded'


@dataclasses.dataclass(frozen=True)
class Traits:
  """What tells a run from others.

  Attributes:
    kind: of `KINDS`, with the variant of the name, as 'offline, lr5e-3'.
    agent: configuration, whatever the number of gradient steps.
    penalty: whether it has the penalty.
    steps: gradient steps, of an environment step or of an iteration.
  """

  kind: str
  agent: str
  penalty: bool
  steps: str


@dataclasses.dataclass(frozen=True)
class Setting:
  """Runs that are correlated with each other.

  Attributes:
    kind: see `Traits`.
    which: what its runs have in common, or lack.
    names: of the runs.
  """

  kind: str
  which: str
  names: tuple[str, ...]


def traits(name: str, run: runs.Run, suite: suites.Suite) -> Traits:
  """What a run's name and rows tell of it.

  Args:
    name: of its folder, with a variant that the collection does not take.
    run: its rows.
    suite: that it is of.
  """
  match = _VARIANT.fullmatch(name)
  name, variant = match.groups() if match else (name, '')
  files, bindings = suite.configuration(name)
  of_data = 'offline' in name or files[0] in _EVALUATIONS
  online = run.environment_steps > 0 and not of_data
  return Traits(
      ', '.join(filter(None, (KINDS[online], variant))),
      re.sub(r'_[tn]\d+$', '', files[0]),
      'penalty' in files,
      _steps(run, bindings, suite),
  )


def _steps(
    run: runs.Run, bindings: Sequence[str], suite: suites.Suite
) -> str:
  if suite is suites.GRIDWORLD:
    return f'{run.gradient_steps // run.num_iterations} gradient steps'
  found = (_RATIO.fullmatch(x) for x in bindings)
  return next((f'n = {x[1]}' for x in found if x is not None), '')


def by_kind(games: Mapping[str, Collection]) -> dict[str, dict[str, Traits]]:
  """The runs of a suite that measure rank and return, by their kind.

  Args:
    games: the runs, of every game.

  Returns:
    Kind -> name of a run of any game -> its traits; kinds without a run are
    left out.

  Raises:
    UserError: a run cannot be read.
  """
  found = dict(_all_traits(games))
  kinds = sorted({x.kind for x in found.values()})
  return {
      kind: {name: x for name, x in found.items() if x.kind == kind}
      for kind in kinds
  }


def find(games: Mapping[str, Collection]) -> list[Setting]:
  """The settings of a folder, the one with all runs of a kind before others.

  Args:
    games: the runs of a suite, of every game.

  Returns:
    Settings of two runs or more; of two with the same runs the first.

  Raises:
    UserError: a run cannot be read.
  """
  return [
      setting
      for kind, found in by_kind(games).items()
      for setting in _of_kind(kind, found)
  ]


def _all_traits(
    games: Mapping[str, Collection],
) -> Iterator[tuple[str, Traits]]:
  for collection in games.values():
    # The columns of an offline run of Atari could be an online one's, too.
    online_alone = collection.suite is suites.ATARI_ONLINE
    for name in collection.names():
      run = collection.get(name)
      if run is None or not _measures(run, collection.suite):
        continue
      found = traits(name, run, collection.suite)
      if not online_alone or found.kind.startswith(ONLINE):
        yield name, found


def _measures(run: runs.Run, suite: suites.Suite) -> bool:
  needed = {rank_return.RANK, rank_return.return_column(suite)}
  return needed <= set(run.columns) and not run.status.startswith(_SET_ASIDE)


def _of_kind(kind: str, found: Mapping[str, Traits]) -> Iterator[Setting]:
  tests: dict[str, Callable[[Traits], bool]] = {
      ALL: lambda _: True,
      WITHOUT_PENALTY: lambda x: not x.penalty,
      'with penalty': lambda x: x.penalty,
      'without FQE and Monte-Carlo': lambda x: x.agent not in _EVALUATIONS,
      'usual observations and reward': (
          lambda x: not _OTHER_PROBLEM.match(x.agent)
      ),
  }
  for agent in dict.fromkeys(x.agent for x in found.values()):
    tests[f'`{agent}`'] = functools.partial(_has_agent, agent)
  for steps in sorted({x.steps for x in found.values()} - {''}):
    tests[steps] = functools.partial(_has_steps, steps)
  seen: set[tuple[str, ...]] = set()
  for which, test in tests.items():
    names = tuple(name for name, x in found.items() if test(x))
    if len(names) >= _LEAST and names not in seen:
      seen.add(names)
      yield Setting(kind, which, names)


def _has_agent(agent: str, found: Traits) -> bool:
  return found.agent == agent


def _has_steps(steps: str, found: Traits) -> bool:
  return found.steps == steps
