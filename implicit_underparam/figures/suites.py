"""The suites of runs: how one is told from another, drawn and made."""

import dataclasses
from collections.abc import Collection, Mapping


@dataclasses.dataclass(frozen=True)
class Axis:
  """How a column is drawn.

  Attributes:
    label: what the axis says, with its unit.
    log: whether it is logarithmic; None: where the values span two decades.
  """

  label: str
  log: bool | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Suite:
  """What the runs of one setting have in common.

  Attributes:
    name: of their folder under gin_configs.
    x: the column that training is drawn against, 'iteration' or
      'gradient_steps'.
    x_label: what that axis says.
    axes: column -> how it is drawn, where its name does not say enough.
    own_columns: what the training loop of no other suite writes. Names of
      configurations repeat from suite to suite; by these a run is told.
    learning_rate: of runs without a variant; None where it is left unsaid.
    bindings: what a command needs besides the files; capitals are to be
      filled in.
  """

  name: str
  x: str
  x_label: str
  axes: Mapping[str, Axis]
  own_columns: frozenset[str]
  learning_rate: float | None = None
  bindings: tuple[str, ...] = ()

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

ATARI = Suite(
    name='atari',
    x='gradient_steps',
    x_label='Gradient updates',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(2048 transitions; at most 512)',
            log=False,
        ),
        'srank_lambda': Axis(
            'Effective rank srank$_{0.01, \\lambda}$\n'
            '(512 transitions; at most 512)',
            log=False,
        ),
        'ranks': Axis(
            'Effective rank, $\\delta = 0.01$\n(at most 512)', log=False
        ),
        'eval_return': Axis('Return\n(score of an episode)', log=False),
        'singular_values': Axis(
            'Singular value of the features\n(2048 transitions)', log=True
        ),
    },
    own_columns=frozenset({
        'td_error_huber', 'td_error_online', 'td_error_target',
    }),
    bindings=("game = 'GAME'", "OfflineData.path = 'PREPARED_SET'"),
)

SUITES = (GRIDWORLD, ATARI)


def belongs(columns: Collection[str], suite: Suite) -> bool:
  """Whether a run with these columns may be one of a suite.

  Args:
    columns: of its metrics.csv.
    suite: which.

  Returns:
    False if it has a column that only another suite's runs have.
  """
  others = (other for other in SUITES if other is not suite)
  return all(other.own_columns.isdisjoint(columns) for other in others)
