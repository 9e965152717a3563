"""The gridworld as a kernel regression problem."""

import dataclasses
from typing import Literal, get_args

import gin
import numpy as np

from implicit_underparam.envs import tabular
from implicit_underparam.errors import UserError
from implicit_underparam.theory.kernel_instances import (
  check_kernel_function,
  pair_transition,
)
from implicit_underparam.theory.kernel_regression import KernelProblem
from implicit_underparam.theory.kernels import Kernel, Pairs

Sampling = Literal['visited', 'uniform']


@gin.register
@dataclasses.dataclass(frozen=True)
class GridworldInstance:
  """Policy evaluation on a gridworld, with a part of its pairs as data.

  Pairs are those of the cells that are not walls.

  Attributes:
    environment: the gridworld.
    kernel: between pairs (s, a).
    num_data: n.
    sampling: 'visited' for pairs that the uniform policy comes by from the
      start, again and again; 'uniform' for distinct pairs.
    temperature: of the evaluated policy, the Boltzmann policy of soft Q*; None
      for the uniform policy.
  """

  environment: tabular.TabularMDP
  kernel: Kernel
  num_data: int = 256
  sampling: Sampling = 'visited'
  temperature: float | None = None

  def __post_init__(self) -> None:
    if self.sampling not in get_args(Sampling):
      raise UserError(
          f'GridworldInstance.sampling is {self.sampling!r}: give one of '
          f'{", ".join(get_args(Sampling))}'
      )
    count = self.environment.free_states.size * self.environment.num_actions
    most = np.inf if self.sampling == 'visited' else count
    if not (isinstance(self.num_data, int) and 0 < self.num_data <= most):
      raise UserError(
          f'GridworldInstance.num_data is {self.num_data!r}: give a whole '
          f'number from 1 to {count}, the pairs that there are'
      )
    value = self.temperature
    numbers = isinstance(value, (int, float)) and 0 <= value < np.inf
    if not (value is None or numbers):
      raise UserError(
          f'GridworldInstance.temperature is {value!r}: give None for the '
          'uniform policy, or 0 or more'
      )
    check_kernel_function('GridworldInstance.kernel', self.kernel)

  def draw(self, rng: np.random.Generator) -> KernelProblem:
    """Draws the data, and what the kernel draws."""
    mdp = self.environment
    data = self._visited(rng) if self.sampling == 'visited' else rng.choice(
        mdp.free_states.size * mdp.num_actions, self.num_data, replace=False
    )
    places, actions = np.divmod(data, mdp.num_actions)
    states = mdp.free_states[places]
    following = mdp.transition_matrix[states, actions][:, mdp.free_states]
    policy = self._policy()[mdp.free_states]
    return KernelProblem(
        self.kernel(self._pairs(), rng),
        data,
        pair_transition(following, policy),
        mdp.rewards[states],
    )

  def _policy(self) -> np.ndarray:
    """[S, A] probabilities."""
    if self.temperature is None:
      shape = (self.environment.num_states, self.environment.num_actions)
      return np.full(shape, 1 / shape[1])
    best = tabular.q_star(self.environment, self.temperature)
    return tabular.boltzmann_policy(best, self.temperature)

  def _pairs(self) -> Pairs:
    mdp = self.environment
    observations = mdp.observations[mdp.free_states]
    actions = np.tile(np.arange(mdp.num_actions), len(observations))
    return Pairs(
        np.repeat(observations, mdp.num_actions, axis=0), actions,
        mdp.num_actions,
    )

  def _visited(self, rng: np.random.Generator) -> np.ndarray:
    """[n], pairs along rollouts of the uniform policy, from the start each."""
    mdp = self.environment
    place = {int(s): i for i, s in enumerate(mdp.free_states)}
    state, pairs = mdp.initial_state, []
    for step in range(self.num_data):
      if step % mdp.horizon == 0:
        state = mdp.initial_state
      action = int(rng.integers(mdp.num_actions))
      pairs.append(place[state] * mdp.num_actions + action)
      following = mdp.transition_matrix[state, action]
      state = int(rng.choice(mdp.num_states, p=following))
    return np.array(pairs)
