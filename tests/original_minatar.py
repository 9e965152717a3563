"""The original MinAtar beside gymnax's states: converted, replayed, played.

gymnax's states hold the numbers of MinAtar's environments under MinAtar's
names; lists of things are arrays there, with a count or a flag.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from minatar import Environment

NAMES = {
    'Asterix': 'asterix',
    'Breakout': 'breakout',
    'Freeway': 'freeway',
    'Seaquest': 'seaquest',
    'SpaceInvaders': 'space_invaders',
}
_FIELDS = {
    'Asterix': (
        'player_x player_y spawn_speed spawn_timer move_speed move_timer '
        'ramp_timer ramp_index'
    ),
    'Breakout': 'ball_y ball_x ball_dir pos brick_map strike last_y last_x',
    'Freeway': 'pos cars move_timer',
    'Seaquest': (
        'oxygen sub_x sub_y sub_or diver_count e_spawn_speed e_spawn_timer '
        'd_spawn_timer move_speed ramp_index shot_timer surface'
    ),
    'SpaceInvaders': (
        'pos f_bullet_map e_bullet_map alien_map alien_dir '
        'enemy_move_interval alien_move_timer alien_shot_timer ramp_index '
        'shot_timer'
    ),
}
_SEAQUEST_LISTS = {
    'f_bullets': 'f_bullet_count',
    'e_bullets': 'e_bullet_count',
    'e_fish': 'e_fish_count',
    'e_subs': 'e_subs_count',
    'divers': 'divers_count',
}


def make(game: str, sticky_actions: float = 0.0, seed: int = 0) -> Environment:
  """The original, seeded and begun."""
  environment = Environment(NAMES[game], sticky_action_prob=sticky_actions)
  environment.seed(seed)
  environment.reset()
  return environment


def fields(game: str, inner: Any, like: Any) -> dict[str, np.ndarray]:
  """Fields of gymnax's state that say what the original's game is in.

  Args:
    game: its name here.
    inner: `Environment.env`.
    like: a state of gymnax's, for shapes and types.
  """
  found = {name: getattr(inner, name) for name in _FIELDS[game].split()}
  if game == 'Asterix':
    rows = [[0] * 5 if x is None else [*x, 1] for x in inner.entities]
    found['entities'] = rows
  if game == 'Seaquest':
    for name, count in _SEAQUEST_LISTS.items():
      rows = getattr(inner, name)
      found[count] = len(rows)
      found[name] = np.zeros(getattr(like, name).shape)
      for i, row in enumerate(rows):
        found[name][i] = row
  return {
      name: np.array(x, jnp.asarray(getattr(like, name)).dtype)
      for name, x in found.items()
  }


class Dice:
  """Stands in for RandomState, and gives what was prepared."""

  def __init__(self, uniform: Any = (), integers: Any = ()):
    self._uniform = list(uniform)
    self._integers = list(integers)

  def rand(self, size: int | None = None) -> Any:
    if size is None:
      return self._uniform.pop(0)
    return np.array([self._uniform.pop(0) for _ in range(size)])

  def randint(self, *bounds: int) -> Any:
    if len(bounds) < 3:
      return self._integers.pop(0)
    return np.array([self._integers.pop(0) for _ in range(bounds[2])])


def first_dice(game: str, begun: Any) -> Dice:
  """Those that begin an episode in a state of gymnax's."""
  if game == 'Breakout':
    return Dice(integers=[int(begun.ball_x == 9)])
  if game == 'Freeway':
    return _car_dice(begun)
  return Dice()


def dice(game: str, before: Any, step: Any) -> Dice:
  """Those by which the original does what a step here did.

  Args:
    game: one of those but Seaquest.
    before: gymnax's state.
    step: of one copy, a `PureStep`.
  """
  if game == 'Freeway' and step.reward:
    assert not step.episode_end  # The state is that of another episode.
    return _car_dice(step.state.game)
  if game == 'Asterix' and before.spawn_timer == 0:
    return _entity_dice(before, step.final_frame)
  return Dice()


def _car_dice(game: Any) -> Dice:
  speeds = game.cars[:, 3]
  return Dice(np.where(speeds > 0, 0.75, 0.25), np.abs(speeds))


def _entity_dice(before: Any, frame: np.ndarray) -> Dice:
  """Row, direction and kind of what came in, from what is then seen."""
  free = np.flatnonzero(before.entities[:, 4] == 0)
  if not free.size:
    return Dice([0.9, 0.9])
  is_enemy, is_gold = frame[1:9, :, 1], frame[1:9, :, 3]
  new = [row for row in free if (is_enemy | is_gold)[row].any()]
  if new:
    (row,) = new
    x = int(np.argmax((is_enemy | is_gold)[row]))
    gold = bool(is_gold[row].any())
  else:  # Gold that was taken as it came.
    (y,), (x,) = np.nonzero(frame[..., 0])
    row, gold = y - 1, True
  uniform = [0.1 if x < 5 else 0.9, 0.1 if gold else 0.9]
  return Dice(uniform, [int(np.flatnonzero(free == row)[0])])


def transitions(
    game: str, number: int, like: Any
) -> list[tuple[dict[str, np.ndarray], int, np.ndarray, int, bool]]:
  """Steps of the original in which no random number is drawn.

  It plays on where it would end, to see faster and fuller boards.

  Returns:
    Fields before, action, frame after, reward, whether it is terminal.
  """
  rng = np.random.default_rng(3)
  inner = make(game, seed=3).env
  found = []
  while len(found) < number:
    action = _player(game, inner, rng)
    before = fields(game, inner, like)
    timers = ('spawn_timer', 'e_spawn_timer', 'd_spawn_timer')
    draws = any(getattr(inner, x, 1) == 0 for x in timers)
    reward, is_terminal = inner.act(action)
    if not draws and not (game == 'Freeway' and reward):
      found.append((before, action, inner.state(), reward, is_terminal))
    if is_terminal and (game in ('Breakout', 'Freeway') or rng.random() < 0.02):
      inner.reset()
    inner.terminal = False
  return found


def _player(game: str, inner: Any, rng: np.random.Generator) -> int:
  """One that gets somewhere; in Seaquest, somewhat by magic."""
  if game == 'Breakout' and rng.random() < 0.9:
    return int(np.choose(np.sign(inner.ball_x - inner.pos) + 1, [1, 0, 3]))
  if game == 'Freeway' and rng.random() < 0.8:
    return 2
  if game == 'Seaquest':
    if rng.random() < 0.02:
      inner.diver_count = int(rng.integers(7))
    if inner.oxygen < 0 and rng.random() < 0.5:
      inner.oxygen = int(rng.integers(1, 200))
  if game in ('Seaquest', 'SpaceInvaders') and rng.random() < 0.4:
    return 5
  return int(rng.integers(6))


def first_episodes(
    game: str, number: int, limit: int, weights: np.ndarray, sticky: float
) -> np.ndarray:
  """Returns and lengths [2, number] under a policy that looks at nothing."""
  rng = np.random.default_rng(4)
  environment = make(game, sticky, seed=4)
  found = []
  for _ in range(number):
    environment.reset()
    total, length, is_terminal = 0, 0, False
    while not is_terminal and length < limit:
      reward, is_terminal = environment.act(rng.choice(6, p=weights))
      total, length = total + reward, length + 1
    found.append((total, length))
  return np.transpose(found)
