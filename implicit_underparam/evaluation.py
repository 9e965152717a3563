"""From an iteration's output to the numbers of one row of metrics.csv.

A metric is a function that asks, by argument name, for what it measures:

  features         [N, d]       of the probe
  singular_values  [min(N, d)]  of the probe's features, float64
  q_values         [N, A]       of the probe
  parameters       a pytree     the online network's
  environment                   the loop's

Its other arguments need defaults, which gin may bind. The column
`name@probe` in `Runner.metrics` measures on that probe and is written as
`name_probe`; a plain name measures on the probe 'all'.
"""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
import numpy as np

from implicit_underparam import errors, types, writers
from implicit_underparam import metrics as metrics_lib
from implicit_underparam.envs import tabular

AVAILABLE = (
    'features',
    'singular_values',
    'q_values',
    'parameters',
    'environment',
)


@dataclasses.dataclass
class Measurement:
  """One seed's probe on the host, with its spectrum computed once.

  Attributes:
    probe: features and q_values, numpy.
    parameters: a pytree.
    environment: the loop's.
  """

  probe: types.Probe
  parameters: Any
  environment: Any

  @property
  def features(self) -> np.ndarray:
    """[N, d]."""
    return np.asarray(self.probe.features)

  @property
  def q_values(self) -> np.ndarray:
    """[N, A]."""
    return np.asarray(self.probe.q_values)

  @functools.cached_property
  def singular_values(self) -> np.ndarray:
    """[min(N, d)], float64."""
    return metrics_lib.singular_values(self.features)


@dataclasses.dataclass(frozen=True)
class Column:
  """A metric bound to a probe and to the arguments that it asks for.

  Attributes:
    name: the column in metrics.csv.
    probe: the probe's name.
    metric: the function.
    arguments: names of `AVAILABLE` that it takes.
  """

  name: str
  probe: str
  metric: Callable[..., float]
  arguments: tuple[str, ...]

  def __call__(self, measurement: Measurement) -> float:
    """The metric's value."""
    given = {name: getattr(measurement, name) for name in self.arguments}
    return self.metric(**given)


def columns(
    metrics: Mapping[str, types.Metric],
    probes: Sequence[str],
    taken: Sequence[str] = (),
) -> list[Column]:
  """Binds `Runner.metrics` to probes and arguments.

  Args:
    metrics: 'name' or 'name@probe' -> metric.
    probes: the names of the probes that the loop gives.
    taken: names of columns that the loop itself writes.

  Returns:
    A column for each entry, in order.

  Raises:
    UserError: for an unknown probe, a name that is taken or cannot stand in
      a CSV, or a metric that asks for something that is not at hand.
  """
  bound = []
  for key, metric in metrics.items():
    name, _, probe = key.partition('@')
    if probe and probe not in probes:
      raise errors.UserError(
          f'Runner.metrics has {key!r}, but there is no probe {probe!r}: use '
          f'one of {", ".join(sorted(probes))}'
      )
    column = f'{name}_{probe}' if probe else name
    if column in (*taken, *writers.COLUMNS) or not column.isidentifier():
      raise errors.UserError(
          f'Runner.metrics has {key!r}: {column!r} is taken or is not a name; '
          'choose another'
      )
    if not callable(metric):
      raise errors.UserError(
          f'Runner.metrics has {metric!r} for {key!r}: give a function, for '
          'example @srank'
      )
    arguments = _arguments(key, metric)
    bound.append(Column(column, probe or 'all', metric, arguments))
  return bound


def measure(
    bound: Sequence[Column],
    probes: Mapping[str, types.Probe],
    parameters: Any,
    environment: Any,
) -> dict[str, float]:
  """Every column's value for one seed."""
  measurements = {
      name: Measurement(probe, parameters, environment)
      for name, probe in probes.items()
  }
  return {x.name: x(measurements[x.probe]) for x in bound}


def _arguments(key: str, metric: types.Metric) -> tuple[str, ...]:
  """Which of `AVAILABLE` a metric takes."""
  parameters = inspect.signature(metric).parameters
  names = [x for x in parameters if x in AVAILABLE]
  missing = [
      name
      for name, parameter in parameters.items()
      if name not in AVAILABLE and parameter.default is parameter.empty
      and parameter.kind is not parameter.VAR_KEYWORD
  ]
  if missing:
    near = difflib.get_close_matches(missing[0], AVAILABLE, 1)
    hint = f' (did you mean {near[0]!r}?)' if near else ''
    raise errors.UserError(
        f'the metric {key!r} of Runner.metrics asks for {missing[0]!r}'
        f'{hint}: give the argument a default, or take one of '
        f'{", ".join(AVAILABLE)}'
    )
  return tuple(names)


@gin.register
def eval_return(
    q_values: np.ndarray,
    environment: tabular.TabularMDP,
    temperature: float = 0.1,
) -> float:
  """Expected undiscounted return of the Boltzmann policy of Q, exact.

  Args:
    q_values: [S, A].
    environment: gives the horizon, in steps.
    temperature: alpha.

  Returns:
    The expected sum of rewards over an episode.
  """
  q_values = np.ascontiguousarray(q_values, np.float32)
  return _boltzmann_return(environment, q_values.tobytes(), temperature)


@gin.register
def normalized_return(
    q_values: np.ndarray,
    environment: tabular.TabularMDP,
    temperature: float = 0.1,
) -> float:
  """(return - random) / (expert - random); expert: soft Q*'s own policy.

  Args:
    q_values: [S, A].
    environment: the MDP.
    temperature: alpha, of the policy and of the expert.

  Returns:
    0 for the uniform policy, 1 for the expert.
  """
  value = eval_return(q_values, environment, temperature)
  random, expert = tabular.reference_returns(environment, temperature)
  return (value - random) / (expert - random)


@gin.register
def q_star_error(
    q_values: np.ndarray,
    environment: tabular.TabularMDP,
    temperature: float = 0.1,
) -> float:
  """mean |Q(s, a) - Q*(s, a)| over free cells and actions, soft Q*.

  Args:
    q_values: [S, A].
    environment: the MDP.
    temperature: alpha of the soft Q*.

  Returns:
    The error in units of reward.
  """
  free = environment.free_states
  error = q_values[free] - _q_star(environment, temperature)[free]
  return float(np.mean(np.abs(error)))


@gin.register
def q_pi_error(
    q_values: np.ndarray,
    environment: tabular.TabularMDP,
) -> float:
  """mean |Q(s, a) - Q^pi(s, a)| over free cells, pi the uniform policy.

  Args:
    q_values: [S, A].
    environment: the MDP.

  Returns:
    The error in units of reward.
  """
  free = environment.free_states
  error = q_values[free] - _uniform_q_pi(environment)[free]
  return float(np.mean(np.abs(error)))


@gin.register
def q_star_fit_error(
    features: np.ndarray,
    environment: tabular.TabularMDP,
    temperature: float = 0.1,
    rcond: float = 1e-6,
) -> float:
  """min_W mean (W [phi(s), 1] - Q*(s, .))^2 over free cells (Figure 4a).

  Float64 least squares with a bias; singular values below rcond times the
  largest are float32 rounding of the features and are cut.

  Args:
    features: [S, d].
    environment: the MDP.
    temperature: alpha of the soft Q*.
    rcond: relative cut-off.

  Returns:
    The mean squared error of the best linear map.
  """
  free = environment.free_states
  targets = _q_star(environment, temperature)[free]
  return float(tabular.linear_fit_error(features[free], targets, rcond))


@functools.lru_cache(maxsize=16)
def _boltzmann_return(
    environment: tabular.TabularMDP, q_values: bytes, temperature: float
) -> float:
  """Cached, since two columns show it in different units."""
  table = np.frombuffer(q_values, np.float32)
  table = table.reshape(environment.num_states, environment.num_actions)
  policy = tabular.boltzmann_policy(table, temperature)
  return float(tabular.finite_return(environment, policy))


@functools.lru_cache(maxsize=8)
def _q_star(
    environment: tabular.TabularMDP, temperature: float
) -> np.ndarray:
  return tabular.q_star(environment, temperature)


@functools.lru_cache(maxsize=8)
def _uniform_q_pi(environment: tabular.TabularMDP) -> np.ndarray:
  shape = (environment.num_states, environment.num_actions)
  return tabular.q_pi(environment, np.full(shape, 1 / shape[1]))
