"""The suites of runs: how one is told from another, drawn and made."""

import dataclasses
import re
from collections.abc import Collection, Mapping
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
_ALPHA = Ending(
    r'alpha([\d.e-]+)', file='penalty',
    binding='Learner.penalty_coefficient = {}',
)


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
    own_bindings: configuration -> what every run of it is given besides.
    last_files: configurations that every run is given at the end.
    environment: of its runs, as `runs.read_environment` has it; '' for those
      that it knows nothing of.
    by_game: whether its runs lie in a folder for each game.
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
  environment: str = ''
  by_game: bool = False

  def configuration(self, name: str) -> Configuration:
    """What makes the run of a name, such as 'dqn_online_n4_penalty'."""
    files: tuple[str, ...] = ()
    last = self.last_files
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
    more = self.own_bindings.get(own, ())
    return Configuration((own, *files, *last), (*bindings, *more))

  def axis(self, column: str) -> Axis:
    """How a column is drawn; by its bare name where nothing is said."""
    return self.axes.get(column, Axis(column))


GRIDWORLD = Suite(
    name='gridworld',
    x='iteration',
    x_label='Fitting iteration',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(all states; at most 64)'
        ),
        'srank_free': Axis(
            'Effective rank srank$_{0.01}$\n(free cells; at most 64)'
        ),
        'srank_minibatch': Axis(
            'Effective rank srank$_{0.01}$\n(2048 transitions; at most 64)'
        ),
        'normalized_return': Axis(
            'Normalised return\n(0 uniform policy, 1 expert)'
        ),
        'q_star_fit_error': Axis(
            '$Q^*$ fitting error (reward$^2$)\nmean square'
        ),
    },
    own_columns=frozenset({
        'normalized_return', 'q_pi_error', 'q_star_error', 'q_star_fit_error',
        'srank_free',
    }),
    learning_rate=0.001,
)

_ATARI_AXES = {
    'srank': Axis(
        'Effective rank srank$_{0.01}$\n(2048 transitions; at most 512)',
        log=False,
    ),
    'srank_lambda': Axis(
        'Effective rank srank$_{0.01, \\lambda}$\n'
        '(512 transitions; at most 512)',
        log=False,
    ),
    'ranks': Axis('Effective rank, $\\delta = 0.01$\n(at most 512)', log=False),
    'eval_return': Axis('Return\n(score of an episode)', log=False),
    'singular_values': Axis(
        'Singular value of the features\n(2048 transitions)', log=True
    ),
    'td_error_huber': Axis('TD error\n(Huber loss)', log=True),
    'gradient_steps': Axis('Gradient updates', log=True),
}
_ATARI_COLUMNS = frozenset({
    'td_error_huber', 'td_error_online', 'td_error_target',
})

ATARI = Suite(
    name='atari',
    x='gradient_steps',
    x_label='Gradient updates',
    axes=_ATARI_AXES,
    own_columns=_ATARI_COLUMNS,
    bindings=("game = 'GAME'", "OfflineData.path = 'PREPARED_SET'"),
)

ATARI_ONLINE = Suite(
    name='atari',
    x='environment_steps',
    x_label='Environment steps (of the agent, 4 frames each)',
    axes=_ATARI_AXES,
    own_columns=_ATARI_COLUMNS | {
        'epsilon', 'target_updates', 'train_episodes', 'train_return',
    },
    bindings=("game = 'GAME'",),
    endings=(
        PENALTY,
        Ending('target', file='target_features'),
        Ending(r'n([\d.]+)', binding='OnlineLoop.data_reuse_ratio = {}'),
    ),
)

MINATAR = Suite(
    name='minatar',
    x='gradient_steps',
    x_label='Gradient updates',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(2048 transitions; at most 128)',
            log=False,
        ),
        'srank_lambda': Axis(
            'Effective rank srank$_{0.01, \\lambda}$\n'
            '(128 transitions; at most 128)',
            log=False,
        ),
        'ranks': Axis(
            'Effective rank, $\\delta = 0.01$\n(at most 128)', log=False
        ),
        'eval_return': Axis('Return\n(score of an episode)', log=False),
        'singular_values': _ATARI_AXES['singular_values'],
        'td_error_huber': _ATARI_AXES['td_error_huber'],
        'gradient_steps': _ATARI_AXES['gradient_steps'],
        'environment_steps': Axis('Environment steps', log=False),
    },
    own_columns=_ATARI_COLUMNS | ATARI_ONLINE.own_columns,
    bindings=("game = 'GAME'",),
    endings=(
        _ALPHA,
        # The rank of targets is a column of DQN with the largest n.
        Ending(
            'n8', file='target_features',
            binding='OnlineLoop.data_reuse_ratio = 8',
        ),
        Ending(r'n([\d.]+)', binding='OnlineLoop.data_reuse_ratio = {}'),
        Ending(
            r'(\d+)', binding="OfflineData.path = 'data/GAME_{{seed}}_{}'"
        ),
        Ending('log', last_file='laptop_log'),
    ),
    files={
        'dqn': 'dqn_online',
        'fqe_offline': 'fitted_q_evaluation',
        'mc_offline': 'monte_carlo',
    },
    own_bindings={
        'rainbow_online': ('Runner.num_iterations = 6',),
        **dict.fromkeys(
            ('dqn_offline', 'cql_offline', 'fitted_q_evaluation',
             'monte_carlo'),
            ('Runner.num_iterations = 12',),
        ),
    },
    last_files=('laptop',),
    environment='minatar',
    by_game=True,
)

SUITES = (GRIDWORLD, ATARI, ATARI_ONLINE, MINATAR)


def belongs(columns: Collection[str], suite: Suite) -> bool:
  """Whether a run with these columns may be one of a suite.

  Args:
    columns: of its metrics.csv.
    suite: which.

  Returns:
    False if it has a column that another suite's runs have, and not this
    one's.
  """
  others = frozenset[str]().union(*(other.own_columns for other in SUITES))
  return (others - suite.own_columns).isdisjoint(columns)
