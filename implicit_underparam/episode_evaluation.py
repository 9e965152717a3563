"""How much a policy earns in an environment: the paper's evaluation protocol.

Epsilon-greedy with epsilon 0.001 on the sticky emulator, whole episodes until
125,000 agent steps are played, mean undiscounted return with the rewards as
the game pays them (paper, appendix A; Machado et al., 2018). Other environments
than Atari are played by the same rule.
"""

import dataclasses
from collections.abc import Callable, Sequence

import gin
import numpy as np

from implicit_underparam.envs import vector
from implicit_underparam.errors import UserError

SelectActions = Callable[[np.ndarray, int], np.ndarray]
"""(observations [S, K, *frame, stack], step) -> greedy actions [S, K, ...].

`step` counts the calls of one evaluation, for policies that draw numbers.
"""

_BLOCK = 1024  # Steps whose random numbers are drawn at once.
_STREAM = 0x6576616C  # Tells these numbers from others of the same seed.


class _Exploration:
  """The random part of epsilon-greedy, a stream for each environment."""

  def __init__(
      self,
      generators: Sequence[np.random.Generator],
      epsilon: float,
      num_actions: int,
  ):
    self._generators = generators
    self._epsilon = epsilon
    self._num_actions = num_actions

  def mix(self, greedy: np.ndarray, step: int) -> np.ndarray:
    """Replaces some of the actions [rows] at the step-th call."""
    if not self._epsilon:
      return greedy
    if step % _BLOCK == 0:
      self._explore = np.stack(
          [x.random(_BLOCK) < self._epsilon for x in self._generators]
      )
      self._random = np.stack(
          [x.integers(self._num_actions, size=_BLOCK) for x in self._generators]
      )
    place = step % _BLOCK
    return np.where(
        self._explore[:, place], self._random[:, place], greedy
    )


class _Tally:
  """Finished episodes of each row, up to the row's quota of steps."""

  def __init__(self, rows: int, quota: float):
    self._quota = quota
    self.returns = np.zeros(rows)
    self.steps = np.zeros(rows, np.int64)
    self.episodes = np.zeros(rows, np.int64)

  @property
  def going_on(self) -> np.ndarray:
    """[rows] bool, those that still owe steps."""
    return self.steps < self._quota

  def add(self, step: vector.Step) -> None:
    """Counts the episodes that ended with this step."""
    ended = step.episode_end & self.going_on
    self.returns[ended] += step.episode_return[ended]
    self.steps[ended] += step.episode_length[ended]
    self.episodes[ended] += 1


@gin.register
@dataclasses.dataclass(frozen=True)
class EpisodeEvaluation:
  """The protocol; the defaults of epsilon and of the steps are the paper's.

  Each seed's policy plays in `num_environments` environments side by side.
  Each of these plays whole episodes until it has played
  num_steps / num_environments steps, so that no episode is counted because it
  happened to end early. With 1 this is Dopamine's rule; with more, the steps
  beyond `num_steps` grow by up to an episode for each, and all environments go
  on until the last one has played its share. Episodes have to end, if only by
  a limit of steps.

  Attributes:
    environment: what is played.
    epsilon: probability of an action drawn uniformly.
    num_steps: agent steps for each seed, at least.
    num_environments: those of each seed.
    num_threads: that all emulators share; 0 is one a core.
  """

  environment: vector.Environment
  epsilon: float = 0.001
  num_steps: int = 125_000
  num_environments: int = 8
  num_threads: int = 0
  # By number of seeds: emulators take long to make, and a reset is as good.
  _vectors: dict[int, vector.VectorEnvironment] = dataclasses.field(
      default_factory=dict, init=False, repr=False, compare=False
  )

  def __post_init__(self) -> None:
    if not 0 <= self.epsilon <= 1:
      raise UserError(
          f'EpisodeEvaluation.epsilon is {self.epsilon}: give a probability'
      )
    if self.epsilon and vector.action_size(self.environment) is not None:
      raise UserError(
          f'EpisodeEvaluation.epsilon is {self.epsilon}, and '
          f'{self.environment.name} has continuous actions, of which none is '
          'drawn uniformly here: set it to 0'
      )
    for name in ('num_steps', 'num_environments'):
      number = getattr(self, name)
      if not isinstance(number, int) or number < 1:
        raise UserError(
            f'EpisodeEvaluation.{name} is {number!r}: give a whole number, at '
            'least 1'
        )

  def run(
      self, select_actions: SelectActions, seeds: Sequence[int], iteration: int
  ) -> dict[str, np.ndarray]:
    """Plays, for all S seeds at once.

    All random numbers come from (seed, iteration, number of the environment):
    a seed's result follows from its policy, the seed and the iteration, not
    from the other seeds, nor from earlier calls.

    Args:
      select_actions: chooses without exploring; see `SelectActions`. The
        observations may be a view, see `atari.AtariVector`.
      seeds: S numbers, 0 or more.
      iteration: 0 or more.

    Returns:
      eval_return: [S] float64, mean unclipped return of the episodes.
      eval_episodes: [S] int64, their number.
      eval_episode_length: [S] float64, their mean length in agent steps.

    Raises:
      UserError: a negative seed, or actions that there are not.
    """
    shape = (len(seeds), self.num_environments)
    environments = self._vector(len(seeds))
    generators = [
        _generator(seed, iteration, environment)
        for seed in seeds
        for environment in range(self.num_environments)
    ]
    exploration = _Exploration(
        generators, self.epsilon, self._num_actions(environments)
    )
    tally = _Tally(len(generators), self.num_steps / self.num_environments)
    observation = environments.reset(
        [int(x.integers(vector.MAX_SEED, endpoint=True)) for x in generators]
    )
    step = 0
    while tally.going_on.any():
      frames = observation.reshape(*shape, *observation.shape[1:])
      greedy = np.asarray(select_actions(frames, step))
      greedy = greedy.reshape(-1, *greedy.shape[2:])
      result = environments.step(exploration.mix(greedy, step))
      tally.add(result)
      observation = result.observation
      step += 1
    return _means(tally, shape)

  def _num_actions(self, environments: vector.VectorEnvironment) -> int:
    """Of which one is drawn; none, where nothing is."""
    return environments.num_actions if self.epsilon else 0

  def _vector(self, num_seeds: int) -> vector.VectorEnvironment:
    if num_seeds not in self._vectors:
      rows = num_seeds * self.num_environments
      # One set of emulators is kept: a run does not change its seeds.
      self._vectors.clear()
      self._vectors[num_seeds] = self.environment.make(rows, self.num_threads)
    return self._vectors[num_seeds]


def _generator(
    seed: int, iteration: int, environment: int
) -> np.random.Generator:
  if seed < 0 or iteration < 0:
    raise UserError(
        f'seed {seed} at iteration {iteration}: give numbers of 0 or more'
    )
  return np.random.default_rng((_STREAM, seed, iteration, environment))


def _means(tally: _Tally, shape: tuple[int, int]) -> dict[str, np.ndarray]:
  """Over the episodes of each seed's environments."""
  totals = (tally.returns, tally.steps, tally.episodes)
  returns, steps, episodes = (x.reshape(shape).sum(axis=1) for x in totals)
  return {
      'eval_return': returns / episodes,
      'eval_episodes': episodes,
      'eval_episode_length': steps / episodes,
  }
