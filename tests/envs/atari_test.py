import importlib.util
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import plain_atari
from absl.testing import absltest, parameterized
from gymnasium.utils.env_checker import check_env

from implicit_underparam.envs import atari, registration
from implicit_underparam.errors import UserError

# Of the 60 games of the DQN Replay data, the 16 that the paper uses.
PAPER_GAMES = (
    'Asterix', 'Seaquest', 'Pong', 'Breakout', 'Qbert', 'DoubleDunk',
    'Jamesbond', 'MsPacman', 'SpaceInvaders', 'Zaxxon', 'WizardOfWor',
    'YarsRevenge', 'Enduro', 'BeamRider', 'Freeway', 'IceHockey',
)  # fmt: skip


def actions_of(game: str, steps: int, environments: int) -> np.ndarray:
  generator = np.random.default_rng(5)
  return generator.integers(atari.num_actions(game), size=(steps, environments))


def play(vector: atari.AtariVector, actions: np.ndarray) -> list[atari.Step]:
  return [vector.step(row) for row in actions]


def column(steps: list[atari.Step], row: int) -> list[np.ndarray]:
  """What one environment saw, as three arrays."""
  return [
      np.stack([getattr(step, name)[row] for step in steps])
      for name in ('observation', 'reward', 'is_terminal')
  ]


class GamesTest(parameterized.TestCase):

  def test_knows_the_games_of_the_paper(self):
    self.assertContainsSubset(PAPER_GAMES, atari.known_games())
    self.assertNotIn('Warlords', atari.known_games())  # For two players only.

  @parameterized.parameters(
      ('Pong', False, 6),
      ('Breakout', False, 4),
      ('MsPacman', False, 9),
      ('Seaquest', False, 18),
      ('Pong', True, 18),
  )
  def test_counts_actions(self, game, full, expected):
    self.assertEqual(atari.num_actions(game, full), expected)

  @parameterized.parameters(
      ('pong', "write 'Pong'"),
      ('ms_pacman', "write 'MsPacman'"),
      ('ALE/UpNDown-v5', "write 'UpNDown'"),
      ('QbertNoFrameskip-v4', "write 'Qbert'"),
      ('Seaqest', 'the nearest are Seaquest'),
      ('', 'Pong'),
  )
  def test_an_unknown_game_is_told_the_nearest(self, game, hint):
    for ask in (atari.rom_id, atari.num_actions, atari.AtariEnvironment):
      with self.assertRaisesRegex(UserError, hint) as caught:
        ask(game)
      self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
      ({'sticky_actions': 1.5}, 'sticky_actions is 1.5'),
      ({'frame_skip': 0}, 'frame_skip is 0'),
      ({'max_frames': 30}, 'multiple of frame_skip'),
      ({'stack_size': 0}, 'stack_size is 0'),
  )
  def test_a_protocol_that_makes_no_sense_is_refused(self, options, message):
    with self.assertRaisesRegex(UserError, message):
      atari.AtariEnvironment('Pong', **options)

  def test_nothing_is_printed(self):
    program = (
        'from implicit_underparam.envs import atari\n'
        'environment = atari.AtariEnvironment("Pong")\n'
        'vector = environment.make(2)\n'
        'vector.reset([1, 2])\n'
        'vector.step([0, environment.num_actions - 1])\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))


class ProtocolTest(parameterized.TestCase):

  # Breakout and Seaquest end episodes, Carnival has a screen of 214 lines.
  @parameterized.parameters(
      ('Pong', 'pong', 150, 0),
      ('Breakout', 'breakout', 300, 1),
      ('Seaquest', 'seaquest', 500, 1),
      ('Carnival', 'carnival', 100, 0),
  )
  def test_equals_a_plain_loop_over_the_emulator(
      self, game, rom, num_steps, num_ends
  ):
    actions = actions_of(game, num_steps, 3)
    vector = atari.AtariEnvironment(game).make(3)
    plain = plain_atari.PlainAtari(rom, seed=21)
    self.assertEqual(vector.num_actions, plain.num_actions)
    screen, observation = plain.reset(), vector.reset([20, 21, 22])[1]
    before, ends = np.zeros((84, 84, 3), np.uint8), 0
    for row in actions:
      np.testing.assert_array_equal(observation[..., :-1], before)
      self.assertTrue(plain_atari.is_area_mean(observation[..., -1], screen))
      mine, theirs = vector.step(row), plain.step(row[1])
      self.assertEqual(mine.reward[1], theirs.reward)
      self.assertEqual(mine.is_terminal[1], theirs.is_terminal)
      self.assertFalse(mine.truncated[1])
      screen, before = theirs.screen, observation[..., 1:]
      if theirs.is_terminal:
        screen, before = plain.reset(), np.zeros_like(before)
        ends += 1
      observation = mine.observation[1]
    self.assertGreaterEqual(ends, num_ends)

  @absltest.skipUnless(importlib.util.find_spec('cv2'), 'needs OpenCV')
  def test_resizes_as_dopamine_does_bit_for_bit(self):
    import cv2

    vector = atari.AtariEnvironment('Qbert').make(1)
    plain = plain_atari.PlainAtari('qbert', seed=3)
    frame, screen = vector.reset([3])[0, ..., -1], plain.reset()
    for action in actions_of('Qbert', 250, 1)[:, 0]:
      resized = cv2.resize(screen, (84, 84), interpolation=cv2.INTER_AREA)
      np.testing.assert_array_equal(frame, resized)
      screen = plain.step(action).screen
      step = vector.step([action])
      if step.is_terminal[0]:
        screen = plain.reset()
      frame = step.observation[0, ..., -1]

  def test_without_sticky_actions_the_seed_changes_nothing(self):
    actions = actions_of('Breakout', 60, 1).repeat(2, axis=1)
    for probability, same in ((0.25, False), (0.0, True)):
      environment = atari.AtariEnvironment(
          'Breakout', sticky_actions=probability
      )
      vector = environment.make(2)
      vector.reset([1, 2])
      steps = play(vector, actions)
      first, second = (column(steps, row)[0] for row in (0, 1))
      self.assertEqual(np.array_equal(first, second), same)

  def test_a_cut_episode_is_not_terminal(self):
    environment = atari.AtariEnvironment('Breakout', max_frames=400)
    vector = environment.make(2)
    vector.reset([8, 9])
    # The first presses FIRE and loses its lives at times, the second never.
    actions = actions_of('Breakout', 450, 2)
    actions[:, 1] = 0
    steps = play(vector, actions)
    cut, over, length = (
        np.stack([getattr(step, name) for step in steps])
        for name in ('truncated', 'is_terminal', 'episode_length')
    )
    self.assertEqual(np.flatnonzero(cut[:, 1]).tolist(), [99, 199, 299, 399])
    self.assertFalse(over[:, 1].any())
    self.assertFalse((cut & over).any())
    np.testing.assert_array_equal(cut, (length == 100) & ~over)

  def test_counts_the_return_and_the_length_of_each_episode(self):
    vector = atari.AtariEnvironment('Breakout').make(2)
    vector.reset([8, 9])
    total, length, ends = np.zeros(2), np.zeros(2), 0
    for step in play(vector, actions_of('Breakout', 400, 2)):
      total, length = total + step.reward, length + 1
      np.testing.assert_array_equal(step.episode_return, total)
      np.testing.assert_array_equal(step.episode_length, length)
      total[step.episode_end] = length[step.episode_end] = 0
      ends += step.episode_end.sum()
      self.assertEqual(
          step.final_observation is not None, step.episode_end.any()
      )
    self.assertGreater(ends, 2)


class SeedTest(absltest.TestCase):

  def test_an_environment_does_not_feel_the_others(self):
    actions = actions_of('Breakout', 250, 3)
    three = atari.AtariEnvironment('Breakout').make(3, num_threads=2)
    one = atari.AtariEnvironment('Breakout').make(1)
    first = three.reset([4, 5, 6])[2], one.reset([6])[0]
    np.testing.assert_array_equal(*first)
    together = column(play(three, actions), 2)
    alone = column(play(one, actions[:, 2:]), 0)
    for expected, actual in zip(alone, together, strict=True):
      np.testing.assert_array_equal(actual, expected)
    self.assertTrue(together[2].any())  # Over the end of an episode, too.

  def test_a_reset_gives_what_a_fresh_environment_gives(self):
    actions = actions_of('Seaquest', 150, 2)
    used, fresh = (atari.AtariEnvironment('Seaquest').make(2) for _ in range(2))
    used.reset([1, 2])
    play(used, actions[::-1])
    used.restart()
    play(used, actions[:10])
    np.testing.assert_array_equal(used.reset([30, 31]), fresh.reset([30, 31]))
    expected, actual = play(fresh, actions), play(used, actions)
    for row in (0, 1):
      pairs = zip(column(actual, row), column(expected, row), strict=True)
      for left, right in pairs:
        np.testing.assert_array_equal(left, right)
    self.assertEqual(actual[-1].episode_length[0], 150)

  def test_what_was_handed_out_is_not_written_again(self):
    vector = atari.AtariEnvironment('Pong').make(1)
    vector.reset([0])
    held = vector.step([2]).observation
    before = held.copy()
    self.assertTrue(held[..., -1].flags.c_contiguous)
    play(vector, actions_of('Pong', 30, 1))
    np.testing.assert_array_equal(held, before)

  def test_restart_begins_an_episode(self):
    vector = atari.AtariEnvironment('Pong').make(1)
    vector.reset([0])
    vector.step([2])
    self.assertFalse(vector.restart()[..., :-1].any())
    self.assertEqual(vector.step([2]).episode_length[0], 1)


class BadInputTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.vector = atari.AtariEnvironment('Pong').make(1)
    cls.vector.reset([0])

  @parameterized.parameters(([6],), ([-1],), ([0, 0],), ([0.5],), ([],))
  def test_an_action_that_is_none_is_refused_and_nothing_hangs(self, actions):
    self.vector.restart()
    with self.assertRaisesRegex(UserError, 'integers from 0 to 5'):
      self.vector.step(actions)
    self.assertEqual(self.vector.step([5]).episode_length[0], 1)

  @parameterized.parameters(([-1],), ([2**31],), ([1, 2],), ([],))
  def test_seeds_that_do_not_fit_are_refused(self, seeds):
    with self.assertRaisesRegex(UserError, 'numbers from 0'):
      self.vector.reset(seeds)

  def test_a_step_before_a_reset_is_refused(self):
    vector = atari.AtariEnvironment('Pong').make(1)
    with self.assertRaisesRegex(ValueError, 'reset'):
      vector.step([0])
    with self.assertRaisesRegex(UserError, 'num_environments is 0'):
      atari.AtariEnvironment('Pong').make(0)


class GymnasiumTest(absltest.TestCase):

  def test_the_id_makes_the_game_and_passes_the_checker(self):
    self.assertIn('implicit_underparam/Atari-v0', registration.ENVIRONMENT_IDS)
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      env = gymnasium.make('implicit_underparam/Atari-v0', game='Breakout')
      check_env(env.unwrapped)
    self.assertEqual(env.observation_space.shape, (84, 84, 4))
    self.assertEqual(env.action_space.n, 4)

  def test_plays_what_the_emulator_plays(self):
    env, again = (
        gymnasium.make(
            'implicit_underparam/Atari-v0', game='Breakout', max_frames=200
        )
        for _ in range(2)
    )
    observation, _ = env.reset(seed=3)
    np.testing.assert_array_equal(again.reset(seed=3)[0], observation)
    for action in actions_of('Breakout', 120, 1)[:, 0]:
      left, right = env.step(action), again.step(action)
      np.testing.assert_array_equal(left[0], right[0])
      self.assertEqual(left[1:], right[1:])
      if left[2] or left[3]:
        self.assertEqual(left[4]['episode_length'], 50)
        # The last state has a past, the first of the next episode has none.
        self.assertTrue(left[0][..., 0].any())
        observation, _ = env.reset()
        np.testing.assert_array_equal(again.reset()[0], observation)
        self.assertFalse(observation[..., :3].any())

  def test_wants_a_reset_first_and_after_an_end(self):
    env = gymnasium.make(
        'implicit_underparam/Atari-v0', game='Pong', max_frames=8
    ).unwrapped
    with self.assertRaises(gymnasium.error.ResetNeeded):
      env.step(0)
    env.reset(seed=0)
    env.step(0)
    self.assertTrue(env.step(0)[3])
    with self.assertRaises(gymnasium.error.ResetNeeded):
      env.step(0)


if __name__ == '__main__':
  absltest.main()
