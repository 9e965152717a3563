"""MinAtar (Young & Tian, 2019): Atari games at 10 x 10, as pure functions.

The games are gymnax's, see `minatar_rules`. What MinAtar has around them is
here: with probability `sticky_actions` the action taken last is taken again,
whatever was chosen, and an episode's last action may be repeated by the next
one's first step, since a reset does not forget it. Rewards are not clipped. A
frame has one channel for each kind of thing, and is a whole state: nothing is
stacked.
"""

import dataclasses
import difflib
import functools
from typing import NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import types
from implicit_underparam.envs import minatar_rules
from implicit_underparam.envs.pure import PureStep, PureVector
from implicit_underparam.errors import UserError

# MinAtar's own numbers of the actions: nothing, left, up, right, down, fire.
_ALL_ACTIONS = (0, 1, 2, 3, 4, 5)
_PREFIX, _MINIMAL = 'MinAtar-', '-minimal'
# MinAtar ends Freeway with this step; the other games may go on for ever.
_FREEWAY_STEPS = 2501


class _Game(NamedTuple):
  """What a game shows, and the actions that do something in it."""

  num_channels: int
  minimal_actions: tuple[int, ...]


_GAMES = {
    'Asterix': _Game(4, (0, 1, 2, 3, 4)),
    'Breakout': _Game(4, (0, 1, 3)),
    'Freeway': _Game(7, (0, 2, 4)),
    'Seaquest': _Game(10, _ALL_ACTIONS),
    'SpaceInvaders': _Game(6, (0, 1, 3, 5)),
}


class MinAtarState(NamedTuple):
  """One copy.

  Attributes:
    game: gymnax's state.
    last_action: [] int32, taken last, by MinAtar's number.
    episode_return: [] float32, so far.
    episode_length: [] int32, steps so far.
  """

  game: minatar_rules.Game
  last_action: types.Array
  episode_return: types.Array
  episode_length: types.Array


def known_games() -> tuple[str, ...]:
  """Names of the games, sorted."""
  return tuple(_GAMES)


@gin.register('minatar_num_actions')
def num_actions(game: str, minimal_actions: bool = False) -> int:
  """Actions of a game: MinAtar's six, or those that do something in it.

  Args:
    game: one of `known_games()`.
    minimal_actions: leave out those that do nothing.

  Raises:
    UserError: there is no such game.
  """
  return len(_actions(game, minimal_actions))


@gin.register('minatar_name')
def name(game: str, minimal_actions: bool = False) -> str:
  """What logs call a game: 'MinAtar-Breakout', for it is not Atari's.

  Args:
    game: one of `known_games()`.
    minimal_actions: another name, since actions are numbered otherwise.

  Raises:
    UserError: there is no such game.
  """
  _checked(game)
  return f'{_PREFIX}{game}{_MINIMAL * minimal_actions}'


def num_actions_of(name: str) -> int:
  """Actions of a game by the name that its logs have.

  Raises:
    UserError: there is no such game.
  """
  game = name.removeprefix(_PREFIX)
  return num_actions(game.removesuffix(_MINIMAL), game.endswith(_MINIMAL))


@gin.register
@dataclasses.dataclass(frozen=True)
class MinAtarEnvironment:
  """A game and its protocol, as pure functions and on the host.

  A `pure.PureEnvironment` and a `vector.Environment`. Difficulty ramps in the
  games that have a ramp, as by default in MinAtar.

  Attributes:
    game: one of `known_games()`.
    sticky_actions: probability of repeating the last action; MinAtar's 0.1.
    max_episode_steps: steps after which an episode is truncated. The default
      is where MinAtar ends Freeway, as a limit and not as a terminal.
    minimal_actions: only the actions that do something in the game; else
      all six, as Dopamine has it.
  """

  game: str
  sticky_actions: float = 0.1
  max_episode_steps: int = _FREEWAY_STEPS
  minimal_actions: bool = False

  def __post_init__(self) -> None:
    _checked(self.game)
    if not 0 <= self.sticky_actions <= 1:
      raise UserError(
          f'MinAtarEnvironment.sticky_actions is {self.sticky_actions}: give '
          'a probability'
      )
    steps = self.max_episode_steps
    if not isinstance(steps, int) or steps < 1:
      raise UserError(
          f'MinAtarEnvironment.max_episode_steps is {steps!r}: give a whole '
          'number, at least 1'
      )
    minatar_rules.rules(self.game)

  @property
  def name(self) -> str:
    """See `minatar_name`."""
    return name(self.game, self.minimal_actions)

  @property
  def num_actions(self) -> int:
    """6, or fewer."""
    return num_actions(self.game, self.minimal_actions)

  @property
  def frame_shape(self) -> tuple[int, int, int]:
    """(10, 10, C), C = 4 to 10 channels."""
    return (10, 10, _GAMES[self.game].num_channels)

  @property
  def frame_dtype(self) -> np.dtype:
    """uint8, of zeros and ones."""
    return np.dtype(np.uint8)

  @property
  def stack_size(self) -> int:
    """1."""
    return 1

  @property
  def observation_shape(self) -> tuple[int, int, int, int]:
    """(10, 10, C, 1)."""
    return (*self.frame_shape, self.stack_size)

  def make(self, num_environments: int, num_threads: int = 0) -> PureVector:
    """K copies on the host, behind one call.

    Args:
      num_environments: K.
      num_threads: not used.
    """
    return PureVector(self, num_environments, num_threads)

  def reset(self, rng: types.Array) -> tuple[MinAtarState, types.Array]:
    """Begins as if just made: the last action is to do nothing.

    Args:
      rng: random key.

    Returns:
      The state and the first frame [10, 10, C] uint8.
    """
    game, frame = minatar_rules.rules(self.game).reset(rng)
    state = MinAtarState(game, jnp.int32(0), jnp.float32(0), jnp.int32(0))
    return state, frame.astype(self.frame_dtype)

  def step(
      self, state: MinAtarState, action: types.Array, rng: types.Array
  ) -> PureStep:
    """Takes one agent step, and begins the next episode where one ended.

    Args:
      state: of `reset` or of a step before.
      action: [] integer in [0, num_actions), which is not checked.
      rng: random key.
    """
    sticky_rng, game_rng, reset_rng = jax.random.split(rng, 3)
    action = self._taken(state, action, sticky_rng)
    outcome = minatar_rules.rules(self.game).step(state.game, action, game_rng)
    length = state.episode_length + 1
    total = state.episode_return + outcome.reward
    is_last = outcome.is_terminal | (length >= self.max_episode_steps)
    begun, first = self.reset(reset_rng)
    after = MinAtarState(outcome.game, action, total, length)
    begun = begun._replace(last_action=action)
    final_frame = outcome.frame.astype(self.frame_dtype)
    return PureStep(
        state=jax.tree.map(functools.partial(jnp.where, is_last), begun, after),
        frame=jnp.where(is_last, first, final_frame),
        reward=outcome.reward,
        is_terminal=outcome.is_terminal,
        truncated=is_last & ~outcome.is_terminal,
        episode_return=total,
        episode_length=length,
        final_frame=final_frame,
    )

  def _taken(
      self, state: MinAtarState, action: types.Array, rng: types.Array
  ) -> types.Array:
    """The action that is taken where one was chosen, by MinAtar's number."""
    chosen = jnp.array(_actions(self.game, self.minimal_actions))[action]
    repeats = jax.random.uniform(rng) < self.sticky_actions
    return jnp.where(repeats, state.last_action, chosen)


def _actions(game: str, minimal_actions: bool) -> tuple[int, ...]:
  """MinAtar's numbers of the actions that can be chosen."""
  known = _checked(game)
  return known.minimal_actions if minimal_actions else _ALL_ACTIONS


def _checked(game: str) -> _Game:
  """What is known of a game.

  Raises:
    UserError: there is no such game; says which may have been meant.
  """
  if game in _GAMES:
    return _GAMES[game]
  plain = {name.lower(): name for name in _GAMES}
  wanted = str(game).lower().replace('_', '').removeprefix('minatar')
  found = difflib.get_close_matches(wanted.strip('-/'), plain, n=1)
  if found:
    raise UserError(
        f'MinAtar has no game {game!r}: write {plain[found[0]]!r}'
    )
  raise UserError(
      f'MinAtar has no game {game!r}: give one of {", ".join(_GAMES)}'
  )
