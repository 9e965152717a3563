"""Deep linear Q-networks on the gridworld: figures A.21 and 5.

Algorithm 1 with Q(s, a) = W_N W_phi x(s, a) on the 16x16 gridworld: as many
features as pairs (s, a), gradient descent on the whole data, exact backups.
W_phi maps p inputs to d = |S||A| features: Phi = X W_phi^T has at most p
singular values and eigenvalues that are not 0.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import gin
import numpy as np

from implicit_underparam import errors, metrics
from implicit_underparam.envs import tabular
from implicit_underparam.theory import deep_linear
from implicit_underparam.theory.bindings import check_count, check_number
from implicit_underparam.theory.gradient_flow import GradientFlow
from implicit_underparam.theory.kernel_regression import check_positive


class Gathered(NamedTuple):
  """A first-in first-out ring of pairs (s, a).

  Attributes:
    pairs: [capacity] int64, s A + a; -1 where nothing is yet.
    added: [] int64, pairs ever added.
  """

  pairs: np.ndarray
  added: np.int64


class State(NamedTuple):
  """What an instance carries from one fitting iteration to the next.

  Attributes:
    weights: (W_1, ..., W_N).
    data: the pairs that are fitted.
    key: [] int64, of what is drawn from here on.
    first: [2] int64, srank and srank_lambda at the start.
    srank: [] int64, of the iteration before; at first that of the start.
    distance: [] of Q to the fixed point, of the iteration before.
  """

  weights: deep_linear.Weights
  data: Gathered
  key: np.int64
  first: np.ndarray
  srank: np.int64
  distance: np.float64


@gin.register
@dataclasses.dataclass(frozen=True)
class LinearGridworld:
  """Fitted Q-iteration with a deep linear network on a gridworld.

  Attributes:
    environment: the gridworld.
    flow: T and the size of gradient steps.
    backup: 'control' for the soft maximum over next actions, 'evaluation' for
      the mean, that of the uniform policy.
    data: 'offline' for a fixed set of the uniform policy, 'online' for what
      the Boltzmann policy of Q_{k-1} gathers.
    inputs: 'concatenation' for x = [s; a], 'outer' for the observation in the
      place of the action, that is a block of inputs for each action.
    num_layers: N, 3 or more.
    capacity: transitions in the data.
    transitions_per_iteration: gathered online before each fit.
    temperature: alpha of soft Q-learning, in units of reward.
    scale: of the features and of the last layer at the start: 1 gives W_phi
      singular values, and W_N a norm, of about 1.
    start: 'random', or 'fixed_point' for weights whose Q is off the projected
      fixed point by `perturbation` of its size (evaluation offline only).
    perturbation: relative, for `start`.
  """

  environment: tabular.TabularMDP
  flow: GradientFlow
  backup: Literal['control', 'evaluation'] = 'control'
  data: Literal['offline', 'online'] = 'offline'
  inputs: Literal['concatenation', 'outer'] = 'concatenation'
  num_layers: int = 3
  capacity: int = 10_000
  transitions_per_iteration: int = 128
  temperature: float = 0.1
  scale: float = 1.0
  start: Literal['random', 'fixed_point'] = 'random'
  perturbation: float = 0.01

  def __post_init__(self) -> None:
    for name, allowed in (
        ('backup', ('control', 'evaluation')),
        ('data', ('offline', 'online')),
        ('inputs', ('concatenation', 'outer')),
        ('start', ('random', 'fixed_point')),
    ):
      _check_choice(name, getattr(self, name), allowed)
    if not isinstance(self.num_layers, int) or self.num_layers < 3:
      raise errors.UserError(
          f'LinearGridworld.num_layers is {self.num_layers!r}: give a whole '
          'number, at least 3'
      )
    for name in ('capacity', 'transitions_per_iteration'):
      check_count(f'LinearGridworld.{name}', getattr(self, name))
    check_positive(self.scale, 'LinearGridworld.scale')
    for name in ('temperature', 'perturbation'):
      check_number(f'LinearGridworld.{name}', getattr(self, name), 0)
    if self.start == 'fixed_point' and not self._has_fixed_point:
      raise errors.UserError(
          "LinearGridworld.start = 'fixed_point' needs a fixed point: bind "
          "LinearGridworld.backup = 'evaluation' and .data = 'offline'"
      )

  @property
  def _has_fixed_point(self) -> bool:
    return (self.backup, self.data) == ('evaluation', 'offline')

  @property
  def gradient_steps(self) -> int:
    """T, taken in a fitting iteration."""
    return self.flow.steps

  def init(self, rng: np.random.Generator) -> State:
    """Draws the data and the weights."""
    data = self._first_data(rng)
    weights = self._first_weights(data, rng)
    ranks = self._ranks(weights)
    return State(
        weights, data, np.int64(rng.integers(2**62)), np.array(ranks),
        np.int64(ranks[0]), np.float64(self._distance(weights, data)),
    )

  def iterate(
      self, state: State, iteration: int
  ) -> tuple[State, Mapping[str, float]]:
    """Gathers, backs up and fits."""
    rng = np.random.default_rng([int(state.key), iteration])
    q_values = self._q_values(state.weights)
    data = state.data
    if self.data == 'online':
      policy = tabular.boltzmann_policy(q_values, self.temperature)
      count = self.transitions_per_iteration
      data = _added(data, _gather(self.environment, policy, count, rng))
    shares = self._shares(data)
    problem = self._problem(shares, self._targets(q_values))
    weights = self.flow.fit(state.weights, problem)
    columns = self._columns(weights, data, problem, q_values, state)
    new = state._replace(
        weights=weights, data=data, srank=np.int64(columns['srank']),
        distance=np.float64(columns.get('distance', np.nan)),
    )
    return new, columns

  def _columns(
      self,
      weights: deep_linear.Weights,
      data: Gathered,
      problem: deep_linear.Moments,
      q_before: np.ndarray,
      before: State,
  ) -> dict[str, float]:
    rank, rank_lambda = self._ranks(weights)
    w = deep_linear.end_to_end(weights)
    q_values = self._q_values(weights)
    columns: dict[str, float] = {
        'srank': rank,
        'srank_lambda': rank_lambda,
        'change': float(np.sqrt(np.mean((q_values - q_before) ** 2))),
        'gradient_norm': float(np.linalg.norm(problem.gradient(w))),
        'normalized_return': self._return(q_values),
        'mean_q_value': float(q_values.mean()),
    }
    if self.backup == 'control':
      columns['a21_srank_rise'] = rank - int(before.first[0])
      columns['a21_srank_lambda_rise'] = rank_lambda - int(before.first[1])
      gap = abs(rank - rank_lambda)
      columns['a21_rank_difference'] = gap / max(rank, rank_lambda)
    if self._has_fixed_point:
      distance = self._distance(weights, data)
      columns['distance'] = distance
      columns['drop_without_growth'] = _drop_without_growth(
          rank - int(before.srank), distance / float(before.distance)
      )
    return columns

  def _return(self, q_values: np.ndarray) -> float:
    policy = tabular.boltzmann_policy(q_values, self.temperature)
    return float(tabular.normalized_return(
        self.environment, policy, self.temperature
    ))

  @functools.cached_property
  def _inputs(self) -> np.ndarray:
    """[S A, p], rows x(s, a)."""
    return pair_inputs(self.environment, self.inputs)

  @functools.cached_property
  def _root(self) -> np.ndarray:
    """[p, p], the triangular R of X = Q R."""
    return np.linalg.qr(self._inputs)[1]

  def _ranks(self, weights: deep_linear.Weights) -> tuple[int, int]:
    """srank and srank_lambda of Phi = X W_phi^T on all pairs."""
    phi = deep_linear.features_matrix(weights)
    # With X = Q R, Phi's singular values are those of R W_phi^T; but for
    # zeros its eigenvalues are those of W_phi^T X: p x p, not |S||A| x |S||A|.
    rank = metrics.srank(self._root @ phi.T)
    return int(rank), int(metrics.srank_eigenvalues(phi.T @ self._inputs))

  def _q_values(self, weights: deep_linear.Weights) -> np.ndarray:
    """[S, A]."""
    values = self._inputs @ deep_linear.end_to_end(weights)
    return values.reshape(self.environment.num_states, -1)

  def _targets(self, q_values: np.ndarray) -> np.ndarray:
    """[S A], y = r + gamma E[V(s')]."""
    mdp = self.environment
    if self.backup == 'control':
      values = tabular.soft_value(q_values, self.temperature)
    else:
      values = q_values.mean(axis=-1)
    following = mdp.transition_matrix @ values
    return (mdp.rewards[:, None] + mdp.discount * following).ravel()

  def _shares(self, data: Gathered) -> np.ndarray:
    """[S A], the share of each pair in the data."""
    pairs = data.pairs[data.pairs >= 0]
    counts = np.bincount(pairs, minlength=len(self._inputs))
    return counts / counts.sum()

  def _problem(
      self, shares: np.ndarray, targets: np.ndarray
  ) -> deep_linear.Moments:
    root = np.sqrt(shares)
    return deep_linear.moments(
        root[:, None] * self._inputs, root * targets
    )

  def _first_data(self, rng: np.random.Generator) -> Gathered:
    mdp = self.environment
    empty = Gathered(np.full(self.capacity, -1), np.int64(0))
    if self.data == 'online':
      return empty
    uniform = np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    return _added(empty, _gather(mdp, uniform, self.capacity, rng))

  def _first_weights(
      self, data: Gathered, rng: np.random.Generator
  ) -> deep_linear.Weights:
    """Balanced but for the last layer, which is as wide as the pairs."""
    num_pairs, num_inputs = self._inputs.shape
    scale = self.scale / float(np.sqrt(num_pairs))
    phi: np.ndarray = scale * rng.standard_normal((num_pairs, num_inputs))
    last: np.ndarray = scale * rng.standard_normal((num_pairs,))
    if self.start == 'fixed_point':
      wanted = self._fixed_point(data)
      noise = rng.standard_normal(num_inputs)
      size = float(np.linalg.norm(wanted))
      noise = noise * (size / float(np.linalg.norm(noise)))
      # Every layer of a like size: a large last one needs tiny steps.
      phi = phi * size ** ((self.num_layers - 1) / self.num_layers)
      last = np.linalg.pinv(phi.T) @ (wanted + self.perturbation * noise)
    hidden = [num_inputs] * (self.num_layers - 2)
    return deep_linear.balanced(phi, last, hidden, rng)

  def _fixed_point(self, data: Gathered) -> np.ndarray:
    """[p], w of the projected fixed point: X^T D (X w - T X w) = 0."""
    mdp, x = self.environment, self._inputs
    average = x.reshape(mdp.num_states, mdp.num_actions, -1).mean(axis=1)
    following = mdp.transition_matrix.reshape(len(x), -1) @ average
    weighted = x.T * self._shares(data)
    rewards = np.repeat(mdp.rewards, mdp.num_actions)
    matrix = weighted @ (x - mdp.discount * following)
    # [s; a] has columns that add up alike: the w of least norm.
    return np.linalg.lstsq(matrix, weighted @ rewards, rcond=1e-10)[0]

  def _distance(
      self, weights: deep_linear.Weights, data: Gathered
  ) -> float:
    """Root mean square of Q - Q*, over the data; NaN where there is no Q*."""
    if not self._has_fixed_point:
      return float('nan')
    w = deep_linear.end_to_end(weights) - self._fixed_point(data)
    return float(np.sqrt(self._shares(data) @ (self._inputs @ w) ** 2))


def pair_inputs(
    mdp: tabular.TabularMDP, kind: Literal['concatenation', 'outer']
) -> np.ndarray:
  """x(s, a) of every pair, s A + a.

  Args:
    mdp: with observations [S, d].
    kind: 'concatenation' for [s; one-hot a], 'outer' for a block of inputs
      for each action, which holds the observation in that of a.

  Returns:
    [S A, d + A] or [S A, d A], float64.
  """
  states = np.repeat(
      mdp.observations.astype(np.float64), mdp.num_actions, axis=0
  )
  actions = np.tile(np.eye(mdp.num_actions), (mdp.num_states, 1))
  if kind == 'concatenation':
    return np.concatenate([states, actions], axis=1)
  return (actions[:, :, None] * states[:, None, :]).reshape(len(states), -1)


def _gather(
    mdp: tabular.TabularMDP,
    policy: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
  """[count] pairs of whole episodes from the initial state, shuffled."""
  episodes = -(-count // mdp.horizon)
  states = np.full(episodes, mdp.initial_state)
  pairs = []
  for _ in range(mdp.horizon):
    actions = _draw(policy[states], rng)
    pairs.append(states * mdp.num_actions + actions)
    states = _draw(mdp.transition_matrix[states, actions], rng)
  return rng.permutation(np.concatenate(pairs))[:count]


def _draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """[n], one index for each row of [n, m]."""
  bounds = np.cumsum(probabilities, axis=-1)
  uniform = rng.random(len(bounds))[:, None] * bounds[:, -1:]
  return (uniform >= bounds).sum(axis=-1)


def _added(data: Gathered, pairs: np.ndarray) -> Gathered:
  capacity = len(data.pairs)
  places = (int(data.added) + np.arange(len(pairs))) % capacity
  ring = data.pairs.copy()
  ring[places] = pairs
  return Gathered(ring, np.int64(int(data.added) + len(pairs)))


def _drop_without_growth(rank_change: int, distance_ratio: float) -> float:
  """How far Q came nearer, as -log, where srank fell; NaN elsewhere."""
  if rank_change >= 0 or not distance_ratio > 0:
    return float('nan')
  return -float(np.log(distance_ratio))


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
  if value not in allowed:
    raise errors.UserError(
        f'LinearGridworld.{name} is {value!r}: give one of '
        f'{", ".join(map(repr, allowed))}'
    )
