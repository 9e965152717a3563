"""The rules of the MinAtar games: gymnax's, where they are MinAtar's.

gymnax 1.0.1 was compared with MinAtar 1.0.15, state by state. Breakout, Freeway
and Space Invaders agree. Two games do not, and are corrected here:

- Asterix: when all eight rows are taken, MinAtar spawns nothing; gymnax takes
  something away, and it may do so with one row free.
- Seaquest: an enemy submarine whose turn it is to shoot does so in MinAtar
  even as it is hit, in gymnax no more. And surfacing without a diver, which
  ends the episode, leaves the gauges as they are in MinAtar.

Time limits are left to the caller; MinAtar has one only in Freeway.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from implicit_underparam import types
from implicit_underparam.errors import UserError

Game = Any
"""A state of gymnax's."""


class Outcome(NamedTuple):
  """What a step of a game led to.

  Attributes:
    game: the state.
    frame: [10, 10, C] float32, zeros and ones.
    reward: [] float32.
    is_terminal: [] bool.
  """

  game: Game
  frame: types.Array
  reward: types.Array
  is_terminal: types.Array


class Rules:
  """How a game begins and goes on; pure functions of one copy."""

  def __init__(
      self,
      environment: Any,
      before: Callable[[Game, types.Array], Game] | None = None,
  ):
    """Binds a game of gymnax's.

    Args:
      environment: with all six actions.
      before: changes the state before each step, with a random key.
    """
    self._environment = environment
    self._params = environment.default_params
    self._before = before

  def reset(self, rng: types.Array) -> tuple[Game, types.Array]:
    """The first state, and its frame [10, 10, C] float32."""
    frame, game = self._environment.reset_env(rng, self._params)
    # Python's numbers among the fields would be weakly typed.
    game = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), game)
    return game, frame

  def step(self, game: Game, action: types.Array, rng: types.Array) -> Outcome:
    """Takes one of the six actions."""
    before = game
    if self._before is not None:
      before_rng, rng = jax.random.split(rng)
      game = self._before(game, before_rng)
    frame, game, reward, is_terminal, _ = self._environment.step_env(
        rng, game, action, self._params
    )
    game = jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), game, before)
    return Outcome(game, frame, reward, is_terminal)


@functools.cache
def rules(game: str) -> Rules:
  """The rules of a game.

  Args:
    game: 'Asterix', 'Breakout', 'Freeway', 'Seaquest' or 'SpaceInvaders'.

  Raises:
    UserError: gymnax, or what it needs, is not installed.
  """
  try:
    from gymnax.environments import minatar
  except ImportError as error:
    package = (error.name or str(error)).split('.')[0]
    raise UserError(
        f'the MinAtar games need {package}, which is not installed: pip '
        "install 'implicit_underparam[minatar]'"
    ) from error
  # gymnax makes arrays; made while a program is traced, they would leak.
  with jax.ensure_compile_time_eval():
    kind = _seaquest() if game == 'Seaquest' else getattr(minatar, f'Min{game}')
    environment = kind(use_minimal_action_set=False)
    return Rules(environment, _spawn if game == 'Asterix' else None)


def _spawn(game: Game, rng: types.Array) -> Game:
  """Asterix: something comes in at an edge of a free row, if it is time.

  Leaves gymnax's own spawning nothing to do, as the timer is then not zero.
  """
  direction_rng, gold_rng, row_rng = jax.random.split(rng, 3)
  is_due = game.spawn_timer == 0
  is_free = game.entities[:, 4] == 0
  row = jax.random.categorical(row_rng, jnp.where(is_free, 0.0, -jnp.inf))
  to_the_right = jax.random.bernoulli(direction_rng, 1 / 2)
  is_gold = jax.random.bernoulli(gold_rng, 1 / 3)
  entity = jnp.stack(
      [jnp.where(to_the_right, 0, 9), row + 1, to_the_right, is_gold, True]
  )
  entities = game.entities.at[row].set(entity.astype(game.entities.dtype))
  spawns = is_due & jnp.any(is_free)
  return game.replace(
      entities=jnp.where(spawns, entities, game.entities),
      spawn_timer=jnp.where(is_due, game.spawn_speed, game.spawn_timer),
  )


def _seaquest() -> type:
  """gymnax's Seaquest with two steps mended."""
  from gymnax.environments.minatar import seaquest, seaquest_helpers

  class Seaquest(seaquest.MinSeaquest):
    """Its parts of a step are methods; a shot is judged before a hit."""

    def _step_enemy_subs(self, state: Game, params: Any) -> tuple[Any, ...]:
      after, reward, is_terminal = super()._step_enemy_subs(state, params)
      moved, count = seaquest_helpers.move_entities(
          state.e_subs, state.e_subs_count, state.move_speed
      )
      shoots = seaquest_helpers.active_mask(count) & (moved[:, 4] == 0)
      bullets, bullet_count = seaquest_helpers.append_many(
          state.e_bullets, state.e_bullet_count, moved[:, :3], shoots
      )
      after = after.replace(e_bullets=bullets, e_bullet_count=bullet_count)
      return after, reward, is_terminal

    def _step_timers(self, state: Game, params: Any) -> tuple[Any, ...]:
      after, reward, is_terminal = super()._step_timers(state, params)
      lost = (state.sub_y == 0) & ~state.surface & (state.diver_count == 0)
      kept = {
          name: jnp.where(lost, getattr(state, name), getattr(after, name))
          for name in ('oxygen', 'diver_count')
      }
      return after.replace(**kept), reward, is_terminal

  return Seaquest
