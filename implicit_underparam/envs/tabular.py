"""Finite Markov decision processes, solved exactly on the host in float64.

Rewards depend on the state in which the action is taken:
Q(s, a) = r(s) + gamma E[V(s')]. A temperature is the alpha of soft Q-learning,
in units of reward; a negative one raises `UserError`.
"""

import dataclasses
import functools

import numpy as np

from implicit_underparam.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TabularMDP:
  """A Markov decision process with known dynamics; hashed by identity.

  Attributes:
    transition_matrix: [S, A, S] float64, P(s' | s, a).
    rewards: [S] float64, r(s) of the state in which an action is taken.
    observations: [S, d] float32, what a network sees of each state.
    initial_state: the state in which every episode starts.
    discount: gamma, in [0, 1).
    free_states: [F] int, the cells that are not walls.
    horizon: steps of a rollout; for returns only, bootstrapping never stops.
    name: what error messages call it.
  """

  transition_matrix: np.ndarray
  rewards: np.ndarray
  observations: np.ndarray
  initial_state: int
  discount: float
  free_states: np.ndarray
  horizon: int = 50
  name: str = 'tabular'

  def __post_init__(self) -> None:
    for field, dtype in (
        ('transition_matrix', np.float64), ('rewards', np.float64),
        ('observations', np.float32), ('free_states', np.int64)):
      # A copy that nobody can write to: solutions are cached by identity.
      array = np.array(getattr(self, field), dtype=dtype)
      array.setflags(write=False)
      object.__setattr__(self, field, array)
    if problem := self._wrong_shape() or self._wrong_value():
      raise UserError(f'{self.name}: {problem}')

  def _wrong_shape(self) -> str | None:
    shape = self.transition_matrix.shape
    if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
      return f'transition_matrix has shape {shape}; give [S, A, S]'
    if self.rewards.shape != shape[:1]:
      return f'rewards have shape {self.rewards.shape}; give [S]'
    if self.observations.ndim != 2 or len(self.observations) != shape[0]:
      return f'observations have shape {self.observations.shape}; give [S, d]'
    if self.free_states.ndim != 1:
      return f'free_states have shape {self.free_states.shape}; give [F]'
    return None

  def _wrong_value(self) -> str | None:
    rows = self.transition_matrix.sum(axis=-1)
    # Comparisons that NaN fails.
    if not (self.transition_matrix.min() >= 0 and abs(rows - 1).max() < 1e-9):
      return ('transition_matrix has rows that are negative or do not sum to 1 '
              'within 1e-9; normalise them in float64')
    states = np.append(self.free_states, self.initial_state)
    if states.min() < 0 or states.max() >= self.num_states:
      return f'states are numbered 0 to {self.num_states - 1}; give such states'
    if not 0 <= self.discount < 1:
      return f'discount is {self.discount}; give a number in [0, 1)'
    if self.horizon < 1:
      return f'horizon is {self.horizon}; give at least 1 step'
    return None

  @property
  def num_states(self) -> int:
    """S."""
    return self.transition_matrix.shape[0]

  @property
  def num_actions(self) -> int:
    """A."""
    return self.transition_matrix.shape[1]

  @functools.cached_property
  def successors(self) -> tuple[np.ndarray, np.ndarray]:
    """The states one step can reach [K, S] and P(. | s, a) [A, K, S]."""
    reachable = (self.transition_matrix > 0).any(axis=1)
    width = int(reachable.sum(axis=-1).max())
    # Sorted booleans put the reachable states first; where there are fewer than
    # K, states of probability 0 follow.
    states = np.argsort(~reachable, axis=-1, kind='stable')[:, :width]
    probabilities = np.take_along_axis(
        self.transition_matrix, states[:, None, :], axis=-1)
    # The axis S last, contiguous: sums over K are then fast.
    return np.copy(states.T), np.copy(probabilities.transpose(1, 2, 0))


def soft_value(q_values: np.ndarray, temperature: float) -> np.ndarray:
  """V(s) = alpha logsumexp(Q(s, .) / alpha); the maximum at alpha = 0.

  Args:
    q_values: [..., A].
    temperature: alpha.

  Returns:
    [...] float64.
  """
  # V = Q - alpha log pi for every action; the likeliest cannot underflow.
  highest = boltzmann_policy(q_values, temperature).max(axis=-1)
  return np.max(q_values, axis=-1) - temperature * np.log(highest)


def boltzmann_policy(q_values: np.ndarray, temperature: float) -> np.ndarray:
  """pi(a | s) = softmax(Q(s, .) / alpha); greedy at alpha = 0.

  Args:
    q_values: [..., A].
    temperature: alpha; at 0 exact ties share evenly.

  Returns:
    [..., A] float64 probabilities.
  """
  if not temperature >= 0:
    raise UserError(f'temperature is {temperature}; give 0 or more')
  q_values = np.asarray(q_values, np.float64)
  advantages = q_values - q_values.max(axis=-1, keepdims=True)
  if temperature == 0:
    weights = (advantages == 0).astype(np.float64)
  else:
    weights = np.exp(advantages / temperature)
  return weights / weights.sum(axis=-1, keepdims=True)


def q_pi(
    mdp: TabularMDP, policy: np.ndarray, temperature: float = 0.0
) -> np.ndarray:
  """Q^pi, from one linear solve: V = r + alpha H(pi) + gamma P_pi V.

  Args:
    mdp: the process.
    policy: [..., S, A] probabilities.
    temperature: alpha; the entropy H is part of V(s), not of Q(s, .).

  Returns:
    [..., S, A] float64.

  Raises:
    UserError: the policy is not [..., S, A] probabilities.
  """
  policy = _checked(mdp, policy)
  surprise = -np.log(policy, out=np.zeros_like(policy), where=policy > 0)
  bonus = temperature * (policy * surprise).sum(axis=-1)
  matrix = np.einsum('...sa,sat->...st', policy, mdp.transition_matrix)
  values = np.linalg.solve(np.eye(mdp.num_states) - mdp.discount * matrix,
                           (mdp.rewards + bonus)[..., None])[..., 0]
  following = np.einsum('sat,...t->...sa', mdp.transition_matrix, values)
  return mdp.rewards[:, None] + mdp.discount * following


def q_star(mdp: TabularMDP, temperature: float = 0.0) -> np.ndarray:
  """The fixed point of Q = r + gamma P V with V = soft_value(Q, alpha).

  Found by (soft) policy iteration, which is Newton's method on that equation.

  Args:
    mdp: the process.
    temperature: alpha; 0 is ordinary optimality.

  Returns:
    [S, A] float64, to about 1e-13 / (1 - gamma) of its largest entry.

  Raises:
    ArithmeticError: the iteration does not settle.
  """
  q_values = np.zeros((mdp.num_states, mdp.num_actions))
  for _ in range(1000):
    policy = boltzmann_policy(q_values, temperature)
    previous, q_values = q_values, q_pi(mdp, policy, temperature)
    # Rounding in the linear solve grows with the effective horizon.
    scale = max(1, np.abs(q_values).max()) / (1 - mdp.discount)
    if np.abs(q_values - previous).max() <= 1e-13 * scale:
      return q_values
  raise ArithmeticError(f'{mdp.name}: policy iteration did not settle')


def finite_return(
    mdp: TabularMDP, policy: np.ndarray, horizon: int | None = None
) -> np.ndarray:
  """E[sum_{t < H} r(s_t)] from the initial state, undiscounted and exact.

  Args:
    mdp: the process.
    policy: [..., S, A] probabilities; leading axes are a batch of policies.
    horizon: H, in steps; None is the process's own.

  Returns:
    [...] float64.

  Raises:
    UserError: the policy is not probabilities, or the horizon is negative.
  """
  policy = _checked(mdp, policy)
  steps = mdp.horizon if horizon is None else horizon
  if steps < 0:
    raise UserError(f'{mdp.name}: horizon is {steps}; give 0 or more steps')
  states, probabilities = mdp.successors
  weights = np.einsum('...sa,aks->...ks', policy, probabilities)
  values = np.zeros(policy.shape[:-1])
  for _ in range(steps):
    following = np.take(values, states, axis=-1)
    values = mdp.rewards + np.einsum('...ks,...ks->...s', weights, following)
  return values[..., mdp.initial_state]


def normalized_return(
    mdp: TabularMDP, policy: np.ndarray, temperature: float = 0.0
) -> np.ndarray:
  """(return - random) / (expert - random), over the process's horizon.

  Args:
    mdp: the process.
    policy: [..., S, A] probabilities; random is the uniform policy.
    temperature: alpha of the expert, the Boltzmann policy of q_star.

  Returns:
    [...] float64.

  Raises:
    UserError: the expert is no better than random, so there is no scale.
  """
  random, expert = reference_returns(mdp, temperature)
  return (finite_return(mdp, policy) - random) / (expert - random)


@functools.lru_cache(maxsize=64)
def reference_returns(
    mdp: TabularMDP, temperature: float
) -> tuple[float, float]:
  """Returns of the uniform policy and of the Boltzmann policy of soft Q*.

  Args:
    mdp: the process.
    temperature: alpha, of the expert's policy and of its Q*.

  Returns:
    random, expert: expected undiscounted returns over the horizon.

  Raises:
    UserError: if the expert is no better, so that nothing can be normalized.
  """
  best = q_star(mdp, temperature)
  random, expert = (
      float(finite_return(mdp, boltzmann_policy(q_values, temperature)))
      for q_values in (np.zeros_like(best), best))
  if expert - random <= 1e-9 * abs(random):
    raise UserError(f'{mdp.name}: the expert returns {expert:.4g} and a random '
                    f'policy {random:.4g}; lower the temperature')
  return random, expert


def linear_fit_error(
    features: np.ndarray, targets: np.ndarray, rcond: float = 1e-6
) -> float:
  """min_{W, b} mean((features W + b - targets)^2).

  Both sides are centred, which fits the bias b exactly whatever is cut; then
  the targets are projected on the left singular vectors of the centred
  features, by a float64 singular value decomposition.

  Args:
    features: [N, d].
    targets: [N, A]; the mean is over all N A residuals.
    rcond: directions whose singular value is at most rcond times the Frobenius
      norm of the features before centring are not used. Float32 rounding moves
      a singular value by up to 6e-8 of that norm, and fitting such noise would
      pass for rank; the default leaves a margin for the layers before.

  Returns:
    The mean squared error, in squared units of the targets.

  Raises:
    UserError: shapes that do not match, or values that are not finite.
  """
  features = np.asarray(features, np.float64)
  targets = np.asarray(targets, np.float64)
  if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
    raise UserError(f'features {features.shape} and targets {targets.shape} '
                    'do not match; give [N, d] and [N, A]')
  if not (np.isfinite(features).all() and np.isfinite(targets).all()):
    raise UserError('features or targets are not finite; give finite ones')
  wanted = targets - targets.mean(axis=0)
  left, singular_values, _ = np.linalg.svd(
      features - features.mean(axis=0), full_matrices=False)
  basis = left[:, singular_values > rcond * np.linalg.norm(features)]
  return float(np.mean((wanted - basis @ (basis.T @ wanted))**2))


def _checked(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
  policy = np.asarray(policy, np.float64)
  shape = (mdp.num_states, mdp.num_actions)
  # As tight as policies computed in float32 allow.
  if policy.shape[-2:] != shape or not (
      abs(policy.sum(axis=-1) - 1).max() < 1e-4):
    raise UserError(f'{mdp.name}: a policy of shape {policy.shape} is not made '
                    f'of probabilities; give [..., {shape[0]}, {shape[1]}]')
  return policy
