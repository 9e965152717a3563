import functools
import sys
from typing import Any, NamedTuple
from unittest import mock

import gin
import jax
import numpy as np
import original_minatar as original
from absl.testing import absltest, parameterized

from implicit_underparam.envs import minatar, minatar_rules
from implicit_underparam.envs.pure import PureStep
from implicit_underparam.errors import UserError

# One program a game serves all tests.
COPIES = 64
LIMIT = 100
STEPS = 130
STICKY = 0.25
UP = np.array([0.04, 0.04, 0.8, 0.04, 0.04, 0.04])
GAMES = minatar.known_games()


@functools.cache
def environment(game: str) -> minatar.MinAtarEnvironment:
  return minatar.MinAtarEnvironment(game, STICKY, max_episode_steps=LIMIT)


@functools.cache
def step_all(game: str) -> Any:
  # Compiling takes longer than playing, but for the lists of Seaquest.
  level = int(game == 'Seaquest')
  return jax.jit(
      jax.vmap(environment(game).step),
      compiler_options={'xla_backend_optimization_level': level},
  )


@functools.cache
def reset_all(game: str) -> tuple[Any, Any]:
  keys = jax.random.split(jax.random.key(1), COPIES)
  return jax.jit(jax.vmap(environment(game).reset))(keys)


def weights(game: str) -> np.ndarray:
  return UP if game == 'Freeway' else np.full(6, 1 / 6)


class Played(NamedTuple):
  """Attributes: begun, frame; actions [T, K]; steps [T, K, ...]."""

  begun: Any
  frame: np.ndarray
  actions: np.ndarray
  steps: PureStep


@functools.cache
def played(game: str) -> Played:
  """All copies under a policy that looks at nothing."""
  begun, frame = reset_all(game)
  rng = np.random.default_rng(2)
  actions = rng.choice(6, size=(STEPS, COPIES), p=weights(game))
  state, steps = begun, []
  for t, row in enumerate(actions):
    keys = jax.random.split(jax.random.fold_in(jax.random.key(2), t), COPIES)
    step = step_all(game)(state, row.astype(np.int32), keys)
    state = step.state
    steps.append(step)
  steps = jax.tree.map(lambda *x: np.stack(x), *steps)
  return Played(jax.tree.map(np.asarray, begun), frame, actions, steps)


def of(tree: Any, *place: int) -> Any:
  return jax.tree.map(lambda x: x[place], tree)


def outcomes(
    game: str, states: list[Any], actions: list[int], seed: int = 0
) -> PureStep:
  """What follows on some of gymnax's states, COPIES at once; not sticky."""
  padded = -len(states) % COPIES
  states = states + states[:1] * padded
  actions = np.array(actions + actions[:1] * padded, np.int32)
  begun, _ = reset_all(game)
  found = []
  for i in range(0, len(states), COPIES):
    taken = actions[i : i + COPIES]
    games = jax.tree.map(lambda *x: np.stack(x), *states[i : i + COPIES])
    keys = jax.random.split(jax.random.key(seed + i), COPIES)
    # The action before is the same one, so that it is taken in any case.
    state = begun._replace(game=games, last_action=taken)
    found.append(step_all(game)(state, taken, keys))
  found = jax.tree.map(lambda *x: np.concatenate(x), *found)
  return jax.tree.map(lambda x: x[: len(states) - padded], found)


def template(game: str) -> Any:
  return of(jax.tree.map(np.asarray, reset_all(game)[0].game), 0)


class AgainstOriginalTest(parameterized.TestCase):

  @parameterized.parameters(*GAMES)
  def test_every_step_of_the_original_is_the_same_here(self, game):
    like = template(game)
    known = original.transitions(game, 12 * COPIES, like)
    before, actions, frames, rewards, terminals = zip(*known, strict=True)
    states = [like.replace(**x) for x in before]
    found = outcomes(game, states, list(actions))
    np.testing.assert_array_equal(found.final_frame, frames)
    np.testing.assert_array_equal(found.reward, rewards)
    np.testing.assert_array_equal(found.is_terminal, terminals)
    # Freeway's are not among these.
    self.assertTrue(np.any(rewards) or game == 'Freeway')
    self.assertTrue(np.any(terminals) or game == 'Freeway')

  @parameterized.parameters('Asterix', 'Breakout', 'Freeway', 'SpaceInvaders')
  def test_the_original_replays_whole_episodes(self, game):
    run = played(game)
    inner = original.make(game).env
    ends = rewards = 0
    for copy in range(12):
      begun, frame = of(run.begun.game, copy), run.frame[copy]
      inner.random = original.first_dice(game, begun)
      inner.reset()
      np.testing.assert_array_equal(inner.state(), frame)
      for t in range(STEPS):
        step = of(run.steps, t, copy)
        inner.random = original.dice(game, begun, step)
        reward, is_terminal = inner.act(int(step.state.last_action))
        self.assertEqual((reward, is_terminal), (step.reward, step.is_terminal))
        np.testing.assert_array_equal(inner.state(), step.final_frame)
        rewards += reward
        if step.episode_end:
          inner.random = original.first_dice(game, step.state.game)
          inner.reset()
          ends += 1
        np.testing.assert_array_equal(inner.state(), step.frame)
        begun = step.state.game
    self.assertGreaterEqual(ends, 12)
    self.assertGreater(rewards, 0)

  @parameterized.parameters(*GAMES)
  def test_returns_and_lengths_are_distributed_alike(self, game):
    number = 200
    steps = played(game).steps
    first = np.argmax(steps.episode_end, axis=0), np.arange(COPIES)
    ours = np.stack([steps.episode_return[first], steps.episode_length[first]])
    theirs = original.first_episodes(
        game, number, LIMIT, weights(game), STICKY
    )
    error = np.sqrt(ours.var(axis=1) / COPIES + theirs.var(axis=1) / number)
    difference = np.abs(ours.mean(axis=1) - theirs.mean(axis=1))
    np.testing.assert_array_less(difference, 4 * error + 1e-9)

  @parameterized.parameters(*GAMES)
  def test_has_the_shapes_and_actions_of_the_original(self, game):
    known, made = original.make(game), environment(game)
    self.assertEqual(made.frame_shape, tuple(known.state_shape()))
    self.assertEqual(made.observation_shape, (*made.frame_shape, 1))
    self.assertEqual(made.num_actions, known.num_actions())
    minimal = known.minimal_action_set()
    self.assertEqual(minatar._actions(game, True), tuple(minimal))
    self.assertEqual(minatar.num_actions(game, True), len(minimal))
    _, frame = reset_all(game)
    self.assertEqual(frame.dtype, made.frame_dtype)


class ProtocolTest(parameterized.TestCase):

  @parameterized.parameters(*GAMES)
  def test_repeats_the_last_action_also_over_the_end_of_an_episode(self, game):
    run = played(game)
    taken = np.concatenate(
        [run.begun.last_action[None], run.steps.state.last_action]
    )
    last, taken = taken[:-1], taken[1:]
    self.assertTrue(np.all((taken == run.actions) | (taken == last)))
    self.assertFalse(np.any(taken[0] & (taken[0] != run.actions[0])))
    for among in (run.actions != last, run.steps.episode_end[:-1]):
      # After an end, those steps that follow one.
      if among.shape != last.shape:
        among = np.pad(among, ((1, 0), (0, 0))) & (run.actions != last)
      share = np.mean(taken[among] == last[among])
      error = np.sqrt(STICKY * (1 - STICKY) / among.sum())
      self.assertLess(abs(share - STICKY), 4 * error)

  @parameterized.parameters(*GAMES)
  def test_counts_and_cuts_episodes(self, game):
    steps = played(game).steps
    total, length = np.zeros(COPIES), np.zeros(COPIES, int)
    for t in range(STEPS):
      step = of(steps, t)
      total, length = total + step.reward, length + 1
      np.testing.assert_array_equal(step.episode_return, total)
      np.testing.assert_array_equal(step.episode_length, length)
      cut = (length == LIMIT) & ~step.is_terminal
      np.testing.assert_array_equal(step.truncated, cut)
      ended = step.is_terminal | step.truncated
      np.testing.assert_array_equal(step.episode_end, ended)
      np.testing.assert_array_equal(
          step.final_frame[~ended], step.frame[~ended]
      )
      total[ended] = length[ended] = 0
    self.assertTrue(np.any(steps.episode_end))
    self.assertEqual(np.any(steps.is_terminal), game != 'Freeway')

  @parameterized.parameters((5, False), (6, True), (7, True))
  def test_a_limit_on_a_terminal_is_none(self, limit, is_terminal):
    # From the left, the ball falls past a paddle that does not move.
    state, _ = reset_all('Breakout')
    left = np.asarray(state.game.ball_x == 0)
    state = state._replace(episode_length=state.episode_length + LIMIT - limit)
    keys = jax.random.split(jax.random.key(0), COPIES)
    nothing = np.zeros(COPIES, np.int32)
    for _ in range(min(limit, 6)):
      step = step_all('Breakout')(state, nothing, keys)
      state = step.state
    np.testing.assert_array_equal(step.is_terminal[left], is_terminal)
    np.testing.assert_array_equal(step.truncated[left], not is_terminal)
    np.testing.assert_array_equal(state.episode_length[left], 0)

  def test_the_limit_is_by_default_where_the_original_ends_freeway(self):
    inner = original.make('Freeway').env
    limit = minatar.MinAtarEnvironment('Freeway').max_episode_steps
    ends = [inner.act(0)[1] for _ in range(limit)]
    self.assertEqual(np.flatnonzero(ends).tolist(), [limit - 1])

  def test_minimal_actions_are_those_of_the_game(self):
    made = minatar.MinAtarEnvironment('Breakout', 0.0, minimal_actions=True)
    few, all_six = made.make(1), environment('Breakout').make(1)
    self.assertEqual((few.num_actions, all_six.num_actions), (3, 6))
    few.reset([0])
    paddles = [
        int(np.argmax(few.step([x]).observation[0, 9, :, 0, 0]))
        for x in (0, 1, 1, 2)
    ]
    self.assertEqual(paddles, [4, 3, 2, 3])


class CorrectionTest(parameterized.TestCase):

  def asterix(self, rows: list[int], copies: int = 1) -> PureStep:
    """After a step at which it is time, with some rows taken."""
    entities = np.zeros((8, 5), np.int32)
    entities[rows] = [[4, row + 1, 1, 0, 1] for row in rows]
    state = template('Asterix').replace(
        entities=entities, spawn_timer=np.int32(0), player_y=np.int32(1)
    )
    return outcomes('Asterix', [state] * copies, [0] * copies)

  def test_asterix_spawns_nothing_on_a_full_board(self):
    rows = [1, 2, 3, 4, 5, 6, 7]
    entities = self.asterix([0, *rows], COPIES).state.game.entities
    np.testing.assert_array_equal(entities[:, :, 4], 1)
    np.testing.assert_array_equal(entities[:, :, 0], 4)
    found = self.asterix(rows, COPIES).state.game
    np.testing.assert_array_equal(found.entities[:, :, 4], 1)
    np.testing.assert_array_equal(found.spawn_timer, found.spawn_speed - 1)

  def test_asterix_spawns_fairly(self):
    number = 12 * COPIES
    entities = self.asterix([0, 5], number).state.game.entities
    entities[:, [0, 5]] = 0
    np.testing.assert_array_equal(entities[..., 4].sum(axis=1), 1)
    (_, row), new = np.nonzero(entities[..., 4]), entities.sum(axis=1)
    np.testing.assert_array_equal(new[:, 1], row + 1)
    np.testing.assert_array_equal(new[:, 0], np.where(new[:, 2], 0, 9))
    self.assert_shares(row, dict.fromkeys((1, 2, 3, 4, 6, 7), 1 / 6))
    self.assert_shares(new[:, 2], {0: 1 / 2, 1: 1 / 2})
    self.assert_shares(new[:, 3] * 2 + new[:, 2], {2: 1 / 6, 3: 1 / 6})

  def test_seaquest_spawns_fairly(self):
    state = template('Seaquest').replace(
        e_spawn_timer=np.int32(0), d_spawn_timer=np.int32(0)
    )
    number = 12 * COPIES
    after = outcomes('Seaquest', [state] * number, [0] * number).state.game
    is_sub = after.e_subs_count
    np.testing.assert_array_equal(is_sub + after.e_fish_count, 1)
    np.testing.assert_array_equal(after.divers_count, 1)
    enemy = np.where(is_sub[:, None], after.e_subs[:, 0, :3],
                     after.e_fish[:, 0, :3])  # fmt: skip
    self.assert_shares(is_sub * 2 + enemy[:, 2], {2: 1 / 6, 3: 1 / 6})
    for x, y, to_the_right in (enemy.T, after.divers[:, 0, :3].T):
      np.testing.assert_array_equal(x, np.where(to_the_right, 0, 9))
      self.assert_shares(to_the_right, {0: 1 / 2, 1: 1 / 2})
      self.assert_shares(y, dict.fromkeys(range(1, 9), 1 / 8))

  def assert_shares(self, values: np.ndarray, shares: dict[int, float]) -> None:
    for value, share in shares.items():
      error = np.sqrt(share * (1 - share) / len(values))
      self.assertLess(abs(np.mean(values == value) - share), 4 * error)

  @parameterized.parameters((0, True), (1, False))
  def test_seaquest_shoots_as_it_is_hit(self, timer, shoots):
    inner = original.make('Seaquest').env
    # To the right by one, onto a bullet that comes from the right.
    inner.e_subs = [[3, 4, True, 0, timer]]
    inner.f_bullets = [[5, 4, False]]
    self.assert_same_step(inner, action=0)
    self.assertEqual((inner.e_subs, inner.f_bullets), ([], []))
    self.assertLen(inner.e_bullets, shoots)

  def test_seaquest_surfaces_without_a_diver(self):
    inner = original.make('Seaquest').env
    inner.sub_y, inner.surface, inner.oxygen = 1, False, 60
    self.assert_same_step(inner, action=2)
    self.assertTrue(inner.terminal)

  def assert_same_step(self, inner: Any, action: int) -> None:
    like = template('Seaquest')
    state = like.replace(**original.fields('Seaquest', inner, like))
    reward, is_terminal = inner.act(action)
    step = of(outcomes('Seaquest', [state], [action]), 0)
    self.assertEqual((step.reward, step.is_terminal), (reward, is_terminal))
    np.testing.assert_array_equal(step.final_frame, inner.state())


class BadInputTest(parameterized.TestCase):

  @parameterized.parameters(
      ('breakout', "no game 'breakout': write 'Breakout'"),
      ('space_invaders', "write 'SpaceInvaders'"),
      ('MinAtar/Asterix-v1', "write 'Asterix'"),
      ('Pong', 'give one of Asterix, Breakout, Freeway, Seaquest, Space'),
  )
  def test_an_unknown_game_is_named(self, game, message):
    for make in (minatar.MinAtarEnvironment, minatar.num_actions):
      with self.assertRaisesRegex(UserError, message):
        make(game)

  @parameterized.parameters(
      ({'sticky_actions': 1.1}, 'sticky_actions is 1.1: give a probability'),
      ({'max_episode_steps': 0}, 'max_episode_steps is 0: give a whole'),
      ({'max_episode_steps': None}, 'max_episode_steps is None: give a whole'),
  )
  def test_numbers_that_make_no_protocol_are_refused(self, numbers, message):
    with self.assertRaisesRegex(UserError, message):
      minatar.MinAtarEnvironment('Breakout', **numbers)

  @parameterized.parameters('gymnax', 'six')
  def test_a_missing_package_is_named(self, package):
    gone = [x for x in sys.modules if x.split('.')[0] in ('gymnax', package)]
    with mock.patch.dict(sys.modules):
      for name in gone:
        del sys.modules[name]
      sys.modules[package] = None
      minatar_rules.rules.cache_clear()
      with self.assertRaisesRegex(
          UserError, rf"need {package},.*'implicit_underparam\[minatar\]'"
      ):
        minatar.MinAtarEnvironment('Breakout')

  def test_gin_counts_actions(self):
    gin.parse_config("minatar_num_actions.game = 'Freeway'")
    self.assertEqual(gin.get_configurable('minatar_num_actions')(), 6)


if __name__ == '__main__':
  absltest.main()
