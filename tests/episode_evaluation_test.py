from collections.abc import Callable
from unittest import mock

import gymnasium
import numpy as np
import plain_atari
from absl.testing import absltest, parameterized

from implicit_underparam import episode_evaluation
from implicit_underparam.envs import atari, continuous, gymnasium_env
from implicit_underparam.errors import UserError

BLOCK = 100  # Steps whose random numbers are drawn at once.
BREAKOUT = atari.AtariEnvironment('Breakout')


def by_pixels(frame: np.ndarray, step: int) -> int:
  """A policy with eyes: any other pixel or step, another action."""
  return int(frame.sum() + step) % 4


def select_actions(observations: np.ndarray, step: int) -> np.ndarray:
  """`by_pixels` on the newest frames of [S, K, 84, 84, 4]."""
  newest = observations[..., -1].sum(axis=(-2, -1), dtype=np.int64)
  return (newest + step) % 4


def play_alone(
    seed: int, iteration: int, environment: int, epsilon: float, quota: int,
    max_frames: int = 108_000,
) -> list[tuple[float, int]]:
  """One environment's episodes, in a plain loop: returns and lengths."""
  generator = generator_of(seed, iteration, environment)
  emulator_seed = int(generator.integers(2**31))
  game = plain_atari.PlainAtari(
      'breakout', emulator_seed, max_frames=max_frames
  )
  choose = exploring(generator, epsilon, 4, by_pixels)
  episodes, steps = [], 0
  while steps < quota:
    episodes.append(plain_atari.play_episode(game, choose, steps))
    steps += episodes[-1][1]
  return episodes


def generator_of(
    seed: int, iteration: int, environment: int
) -> np.random.Generator:
  return np.random.default_rng((0x6576616C, seed, iteration, environment))


def exploring(
    generator: np.random.Generator, epsilon: float, num_actions: int,
    policy: Callable[[np.ndarray, int], int],
) -> Callable[[np.ndarray, int], int]:
  """The policy, epsilon-greedily, for one environment."""
  explores, actions = [], []

  def choose(frame: np.ndarray, step: int) -> int:
    if step == len(actions):
      explores.extend(generator.random(BLOCK) < epsilon)
      actions.extend(generator.integers(num_actions, size=BLOCK))
    return int(actions[step]) if explores[step] else policy(frame, step)

  return choose


def balance(frame: np.ndarray, step: int) -> int:
  """Pushes a cart under its falling pole, except every third step."""
  return int((frame[2] + frame[3] > 0) ^ (step % 3 == 0))


def balance_alone(
    seed: int, iteration: int, environment: int, epsilon: float, quota: int
) -> list[tuple[float, int]]:
  """As `play_alone`, in gymnasium's own CartPole."""
  generator = generator_of(seed, iteration, environment)
  env = gymnasium.make('CartPole-v1')
  frame, _ = env.reset(seed=int(generator.integers(2**31)))
  choose = exploring(generator, epsilon, 2, balance)
  episodes, steps = [], 0
  while steps < quota:
    total, length, done = 0.0, 0, False
    while not done:
      action = choose(frame, steps + length)
      frame, reward, terminated, truncated, _ = env.step(action)
      total, length = total + float(reward), length + 1
      done = terminated or truncated
    episodes.append((total, length))
    steps += length
    frame, _ = env.reset()
  return episodes


class EpisodeEvaluationTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(mock.patch.object(episode_evaluation, '_BLOCK', BLOCK))

  @parameterized.parameters(
      # Two episodes and more for each environment.
      {'epsilon': 0.3, 'num_steps': 700, 'environments': 2},
      # Dopamine's protocol: one environment.
      {'epsilon': 0.001, 'num_steps': 300, 'environments': 1},
      # Episodes that are cut count like the others.
      {'epsilon': 0.1, 'num_steps': 300, 'environments': 2, 'max_frames': 240},
  )
  def test_equals_a_sequential_loop(
      self, epsilon, num_steps, environments, max_frames=108_000
  ):
    evaluation = episode_evaluation.EpisodeEvaluation(
        atari.AtariEnvironment('Breakout', max_frames=max_frames),
        epsilon=epsilon, num_steps=num_steps, num_environments=environments,
    )  # fmt: skip
    seeds = (3, 11)
    measured = evaluation.run(select_actions, seeds, iteration=2)
    for i, seed in enumerate(seeds):
      episodes = []
      for environment in range(environments):
        quota = num_steps // environments
        episodes += play_alone(
            seed, 2, environment, epsilon, quota, max_frames
        )
      returns, lengths = np.transpose(episodes)
      self.assertEqual(measured['eval_episodes'][i], len(episodes))
      self.assertGreaterEqual(lengths.sum(), num_steps)
      np.testing.assert_allclose(
          measured['eval_return'][i], returns.mean(), rtol=1e-12
      )
      np.testing.assert_allclose(
          measured['eval_episode_length'][i], lengths.mean(), rtol=1e-12
      )

  def test_cart_pole_equals_a_sequential_loop(self):
    evaluation = episode_evaluation.EpisodeEvaluation(
        gymnasium_env.GymnasiumEnvironment('CartPole-v1', stack_size=3),
        epsilon=0.2, num_steps=900, num_environments=3,
    )  # fmt: skip

    def policy(observations: np.ndarray, step: int) -> np.ndarray:
      self.assertEqual(observations.shape, (2, 3, 4, 3))
      self.assertEqual(observations.dtype, np.float32)
      newest = observations[..., -1].reshape(-1, 4)
      return np.reshape([balance(x, step) for x in newest], (2, 3))

    seeds = (3, 11)
    measured = evaluation.run(policy, seeds, iteration=2)
    for i, seed in enumerate(seeds):
      episodes = sum(
          (balance_alone(seed, 2, row, 0.2, 300) for row in range(3)), []
      )
      self.assertGreater(len(episodes), 4)
      returns, lengths = np.transpose(episodes)
      self.assertEqual(measured['eval_episodes'][i], len(episodes))
      np.testing.assert_allclose(
          measured['eval_return'][i], returns.mean(), rtol=1e-12
      )
      np.testing.assert_allclose(
          measured['eval_episode_length'][i], lengths.mean(), rtol=1e-12
      )

  def test_a_seed_follows_from_itself_and_the_iteration_alone(self):
    evaluation = episode_evaluation.EpisodeEvaluation(
        BREAKOUT, epsilon=0.5, num_steps=200, num_environments=2
    )
    def run(seeds: tuple[int, ...], iteration: int) -> np.ndarray:
      found = evaluation.run(select_actions, seeds, iteration)
      return np.stack(list(found.values()), axis=-1)

    two = run((5, 9), 1)
    self.assertEqual(two.shape, (2, 3))
    np.testing.assert_array_equal(run((5, 9), 1), two)
    np.testing.assert_array_equal(run((9,), 1), two[1:])
    self.assertFalse(np.array_equal(run((9,), 2), two[1:]))
    self.assertFalse(np.array_equal(two[0], two[1]))

  def test_who_has_played_its_share_counts_no_more(self):
    evaluation = episode_evaluation.EpisodeEvaluation(
        atari.AtariEnvironment('Breakout', max_frames=2000),
        epsilon=0, num_steps=20, num_environments=2,
    )  # fmt: skip

    def policy(observations: np.ndarray, step: int) -> np.ndarray:
      # The second never serves the ball and is cut after 500 steps.
      return select_actions(observations, step) * [1, 0]

    measured = evaluation.run(policy, (7,), 0)
    (total, length), = play_alone(7, 0, 0, epsilon=0, quota=10)
    self.assertLess(length, 250)  # Others ended meanwhile.
    np.testing.assert_array_equal(measured['eval_episodes'], [2])
    np.testing.assert_array_equal(measured['eval_return'], [total / 2])
    lengths = measured['eval_episode_length']
    np.testing.assert_array_equal(lengths, [(length + 500) / 2])

  def test_gives_the_policy_what_it_is_promised(self):
    evaluation = episode_evaluation.EpisodeEvaluation(
        atari.AtariEnvironment('Breakout', max_frames=40),
        num_steps=25, num_environments=3,
    )  # fmt: skip
    steps = []

    def policy(observations: np.ndarray, step: int) -> np.ndarray:
      self.assertEqual(observations.shape, (2, 3, 84, 84, 4))
      self.assertEqual(observations.dtype, np.uint8)
      steps.append(step)
      return np.zeros((2, 3), np.int32)

    measured = evaluation.run(policy, (0, 1), 0)
    # Ten steps an episode, no share under 8 1/3 steps: one episode each.
    self.assertEqual(steps, list(range(10)))
    np.testing.assert_array_equal(measured['eval_episodes'], [3, 3])
    np.testing.assert_array_equal(measured['eval_episode_length'], [10, 10])

  @parameterized.parameters(
      ({'epsilon': 2}, 'epsilon is 2'),
      ({'num_steps': 0}, 'num_steps is 0'),
      ({'num_environments': 0}, 'num_environments is 0'),
  )
  def test_a_protocol_that_makes_no_sense_is_refused(self, options, message):
    with self.assertRaisesRegex(UserError, message):
      episode_evaluation.EpisodeEvaluation(BREAKOUT, **options)

  def test_a_negative_seed_is_refused(self):
    evaluation = episode_evaluation.EpisodeEvaluation(
        BREAKOUT, num_environments=1
    )
    with self.assertRaisesRegex(UserError, 'seed -1'):
      evaluation.run(select_actions, (-1,), 0)

  def test_a_random_share_of_continuous_actions_is_refused(self):
    with self.assertRaisesRegex(
        UserError, 'EpisodeEvaluation.epsilon is 0.05, and Pendulum-v1 has con'
    ):
      episode_evaluation.EpisodeEvaluation(
          continuous.ContinuousEnvironment('Pendulum-v1'), epsilon=0.05
      )


if __name__ == '__main__':
  absltest.main()
