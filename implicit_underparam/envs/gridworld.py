"""The 16x16 gridworld of Fu et al. (2019) that the paper analyses (B.2).

States are numbered x + size * y; actions are 0 stay, 1 up (y - 1), 2 down
(y + 1), 3 left (x - 1), 4 right (x + 1). One map, drawn with seed 0, serves
all repeats: a repeat varies what is learnt, not the environment.
"""

import dataclasses
import functools
import random

import gin
import numpy as np

from implicit_underparam.envs.tabular import TabularMDP
from implicit_underparam.errors import UserError

Cell = tuple[int, int]

MOVES = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
OBSERVATIONS = ('smooth', 'one_hot', 'random')
_SMOOTHING_SWEEPS = 10
_GOAL_CANDIDATES = 0.25  # Of all cells, walls included.


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class GridMDP(TabularMDP):
  """A tabular process that is drawn on a square grid.

  Attributes:
    size: cells along each side.
    walls: (x, y) of the walls, in the order in which they were drawn.
    goal: (x, y) of the cell with the highest reward.
  """

  size: int
  walls: tuple[Cell, ...]
  goal: Cell

  def cell(self, state: int) -> Cell:
    """(x, y) of a state."""
    return int(state) % self.size, int(state) // self.size

  def state(self, cell: Cell) -> int:
    """The number of the state at (x, y)."""
    return cell[0] + self.size * cell[1]


@gin.register(module='gridworld')
def make_grid(
    observation: str = 'smooth',
    dim_observation: int = 16,
    sparse_reward: bool = False,
    size: int = 16,
    wall_fraction: float = 0.2,
    noise: float = 0.05,
    discount: float = 0.95,
    seed: int = 0,
) -> GridMDP:
  """Builds a gridworld; the same arguments give the same object.

  Rewards are r(s) = max(0, 1 - L1(s, goal) / L1(start, goal)); sparse ones are
  1 at the goal and 0 elsewhere. The goal is neither terminal nor absorbing.

  Args:
    observation: 'smooth', Gaussian vectors averaged over neighbours;
      'one_hot', of x and of y, 2 * size numbers; 'random', uniform in [-1, 1].
    dim_observation: numbers an observation has, unless it is one-hot.
    sparse_reward: whether only the goal pays.
    size: cells along each side; the start is (size // 2, size // 2).
    wall_fraction: walls, as a fraction of all cells; in [0, 1).
    noise: probability that a uniformly random action replaces the chosen one.
    discount: gamma.
    seed: of the map and of the observations.

  Returns:
    The process, with float64 dynamics.

  Raises:
    UserError: an argument is out of range, or the map it gives has no goal
      that can be reached.
  """
  _check(observation, dim_observation, size, wall_fraction, noise)
  # Positional and complete: the cache tells f(1) from f(x=1).
  return _build(observation, dim_observation, sparse_reward, size,
                wall_fraction, noise, discount, seed)


@gin.register(module='gridworld')
def grid16smoothobs(sparse_reward: bool = False) -> GridMDP:
  """The paper's gridworld: 16 smoothed Gaussian numbers a state."""
  return make_grid('smooth', sparse_reward=sparse_reward)


@gin.register(module='gridworld')
def grid16onehot(sparse_reward: bool = False) -> GridMDP:
  """The same map seen as one-hot x and one-hot y, 32 numbers a state."""
  return make_grid('one_hot', sparse_reward=sparse_reward)


@gin.register(module='gridworld')
def grid16randomobs(sparse_reward: bool = False) -> GridMDP:
  """The same map with 16 unrelated uniform numbers a state."""
  return make_grid('random', sparse_reward=sparse_reward)


@gin.register(module='gridworld')
def grid16sparse() -> GridMDP:
  """The one-hot map where only the goal pays."""
  return make_grid('one_hot', sparse_reward=True)


def _check(
    observation: str,
    dim_observation: int,
    size: int,
    wall_fraction: float,
    noise: float,
) -> None:
  if observation not in OBSERVATIONS:
    raise UserError(f'make_grid.observation is {observation!r}; give one of '
                    f'{", ".join(OBSERVATIONS)}')
  if dim_observation < 1:
    raise UserError(f'make_grid.dim_observation is {dim_observation}; give '
                    'at least 1')
  if size < 2:
    raise UserError(f'make_grid.size is {size}; give at least 2')
  if not 0 <= wall_fraction < 1:
    raise UserError(f'make_grid.wall_fraction is {wall_fraction}; give a '
                    'number in [0, 1)')
  if not 0 <= noise <= 1:
    raise UserError(f'make_grid.noise is {noise}; give a number in [0, 1]')


@functools.lru_cache(maxsize=32)
def _build(
    observation: str,
    dim_observation: int,
    sparse_reward: bool,
    size: int,
    wall_fraction: float,
    noise: float,
    discount: float,
    seed: int,
) -> GridMDP:
  start = (size // 2, size // 2)
  walls, goal = _draw_map(size, start, wall_fraction, seed)
  transitions = _transitions(size, walls, noise)
  wall_states = [x + size * y for x, y in walls]
  mdp = GridMDP(
      transition_matrix=transitions,
      rewards=_rewards(size, start, goal, sparse_reward),
      observations=_observations(
          observation, dim_observation, size, transitions, seed),
      initial_state=start[0] + size * start[1],
      discount=discount,
      free_states=np.setdiff1d(np.arange(size**2), wall_states),
      name=f'{size}x{size} gridworld, {observation} observations',
      size=size,
      walls=walls,
      goal=goal,
  )
  if not _reachable(mdp)[mdp.state(goal)]:
    raise UserError(f'make_grid: walls cut the goal {goal} off with seed '
                    f'{seed}; give another seed or a lower wall_fraction')
  return mdp


def _draw_map(
    size: int, start: Cell, wall_fraction: float, seed: int
) -> tuple[tuple[Cell, ...], Cell]:
  """Walls, then the furthest of a random quarter of the cells as the goal."""
  # Python's generator and x-outer order, so that seed 0 is the published map.
  generator = random.Random(seed)
  cells = [(x, y) for x in range(size) for y in range(size) if (x, y) != start]
  walls = generator.sample(cells, int(size**2 * wall_fraction))
  free = [cell for cell in cells if cell not in frozenset(walls)]
  if not free:
    raise UserError(f'make_grid.wall_fraction is {wall_fraction}, which leaves '
                    'no cell for the goal; lower it')
  candidates = generator.sample(
      free, min(len(free), max(1, int(size**2 * _GOAL_CANDIDATES))))
  goal = max(candidates, key=lambda cell: (
      (cell[0] - start[0])**2 + (cell[1] - start[1])**2))
  return tuple(walls), goal


def _transitions(
    size: int, walls: tuple[Cell, ...], noise: float
) -> np.ndarray:
  """(1 - noise) P_det(a) + noise mean_a' P_det(a'), [S, A, S]."""
  blocked = frozenset(walls)
  matrix = np.zeros((size**2, len(MOVES), size**2))
  for state in range(size**2):
    x, y = state % size, state // size
    for action, (dx, dy) in enumerate(MOVES):
      target = (min(max(x + dx, 0), size - 1), min(max(y + dy, 0), size - 1))
      stays = target in blocked or (x, y) in blocked
      following = state if stays else target[0] + size * target[1]
      matrix[state, action, following] = 1
  return (1 - noise) * matrix + noise * matrix.mean(axis=1, keepdims=True)


def _rewards(
    size: int, start: Cell, goal: Cell, sparse_reward: bool
) -> np.ndarray:
  y, x = np.divmod(np.arange(size**2), size)
  distance = np.abs(x - goal[0]) + np.abs(y - goal[1])
  if sparse_reward:
    return (distance == 0).astype(np.float64)
  furthest = abs(start[0] - goal[0]) + abs(start[1] - goal[1])
  return np.maximum(0, 1 - distance / furthest)


def _observations(
    observation: str,
    dim_observation: int,
    size: int,
    transitions: np.ndarray,
    seed: int,
) -> np.ndarray:
  """[S, d] float32."""
  if observation == 'one_hot':
    y, x = np.divmod(np.arange(size**2), size)
    return np.eye(size, dtype=np.float32)[np.stack([x, y], 1)].reshape(
        size**2, 2 * size)
  generator = np.random.RandomState(seed)
  shape = (size**2, dim_observation)
  if observation == 'random':
    return generator.uniform(-1, 1, shape).astype(np.float32)
  return _smooth(generator.normal(size=shape), transitions.mean(axis=1))


def _smooth(noise: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Gauss-Seidel averaging: each row sees the rows already updated."""
  # Float32 storage between updates, as in the published map.
  smoothed = noise.astype(np.float32)
  for _ in range(_SMOOTHING_SWEEPS):
    for state, row in enumerate(weights):
      smoothed[state] = row @ smoothed
  return smoothed


def _reachable(mdp: GridMDP) -> np.ndarray:
  """[S] bool, the states that some behaviour leads to from the start."""
  reached = np.arange(mdp.num_states) == mdp.initial_state
  frontier = [mdp.initial_state]
  while frontier:
    state = frontier.pop()
    following = mdp.transition_matrix[state].any(axis=0) & ~reached
    reached |= following
    frontier.extend(np.flatnonzero(following).tolist())
  return reached
