from collections.abc import Iterator

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.envs import atari, gymnasium_env, minatar, vector
from implicit_underparam.errors import UserError

# All end episodes within 40 steps: by a limit, a fall, either.
FAMILY = (
    ('atari', atari.AtariEnvironment('Pong', max_frames=60)),
    ('cart_pole', gymnasium_env.GymnasiumEnvironment('CartPole-v1')),
    (
        'cart_pole_stacked',
        gymnasium_env.GymnasiumEnvironment(
            'CartPole-v1', stack_size=4, max_episode_steps=15
        ),
    ),
    (
        'mountain_car',
        gymnasium_env.GymnasiumEnvironment(
            'MountainCar-v0', stack_size=2, max_episode_steps=15
        ),
    ),
    (
        'minatar',
        minatar.MinAtarEnvironment('Breakout', max_episode_steps=15),
    ),
)
NUM_STEPS = 40


def actions_of(environment: vector.Environment, num_rows: int) -> np.ndarray:
  generator = np.random.default_rng(7)
  return generator.integers(
      environment.num_actions, size=(NUM_STEPS, num_rows)
  )


def walk(
    environments: vector.VectorEnvironment,
    observation: np.ndarray,
    actions: np.ndarray,
) -> Iterator[tuple[np.ndarray, vector.Step]]:
  """Pairs of what an action was chosen on and what it led to."""
  for row in actions:
    step = environments.step(row)
    yield observation, step
    observation = step.observation


def column(steps: list[vector.Step], row: int) -> list[np.ndarray]:
  """What one environment gave, field by field; where it ended, how."""
  names = (
      'observation', 'reward', 'is_terminal', 'truncated', 'episode_return',
      'episode_length',
  )  # fmt: skip
  found = [np.stack([getattr(x, name)[row] for x in steps]) for name in names]
  ends = [x.final_observation[row] for x in steps if x.episode_end[row]]
  return [*found, np.stack(ends)]


class ConformanceTest(parameterized.TestCase):

  def assert_same(
      self, left: list[np.ndarray], right: list[np.ndarray]
  ) -> None:
    for one, other in zip(left, right, strict=True):
      np.testing.assert_array_equal(one, other)

  @parameterized.named_parameters(*FAMILY)
  def test_gives_the_shapes_and_types_that_it_says(self, environment):
    num_rows = 2
    environments = environment.make(num_rows)
    self.assertEqual(environments.num_environments, num_rows)
    self.assertEqual(environments.num_actions, environment.num_actions)
    self.assertIsInstance(environment.name, str)
    shape = (*environment.frame_shape, environment.stack_size)
    self.assertEqual(environment.observation_shape, shape)
    begun = environments.reset([3, 4])
    for before, step in walk(
        environments, begun, actions_of(environment, num_rows)
    ):
      seen = [before, step.observation, step.final_observation]
      for observation in seen[: 2 + step.episode_end.any()]:
        self.assertEqual(observation.shape, (num_rows, *shape))
        self.assertEqual(observation.dtype, environment.frame_dtype)
      fields = [
          step.reward, step.is_terminal, step.truncated, step.episode_return,
          step.episode_length,
      ]  # fmt: skip
      types = [np.float32, np.bool_, np.bool_, np.float64, np.int64]
      self.assertEqual([x.dtype for x in fields], types)
      self.assertEqual({x.shape for x in fields}, {(num_rows,)})

  @parameterized.named_parameters(*FAMILY)
  def test_stacks_the_frames_of_one_episode(self, environment):
    environments = environment.make(3)
    observation = environments.reset([1, 2, 3])
    self.assertFalse(observation[..., :-1].any())
    ends = 0
    for before, step in walk(
        environments, observation, actions_of(environment, 3)
    ):
      for row, ended in enumerate(step.episode_end):
        self.assertTrue(step.observation[row, ..., -1].any())
        following = step.observation
        if ended:
          self.assertFalse(step.observation[row, ..., :-1].any())
          following = step.final_observation
          self.assertTrue(following[row, ..., -1].any())
          ends += 1
        np.testing.assert_array_equal(
            following[row, ..., :-1], before[row, ..., 1:]
        )
    self.assertGreaterEqual(ends, 3)

  @parameterized.named_parameters(*FAMILY)
  def test_counts_episodes(self, environment):
    environments = environment.make(3)
    begun = environments.reset([5, 6, 7])
    total, length = np.zeros(3), np.zeros(3, np.int64)
    for _, step in walk(environments, begun, actions_of(environment, 3)):
      total, length = total + step.reward, length + 1
      np.testing.assert_array_equal(step.episode_return, total)
      np.testing.assert_array_equal(step.episode_length, length)
      self.assertFalse((step.is_terminal & step.truncated).any())
      ended = step.is_terminal | step.truncated
      np.testing.assert_array_equal(step.episode_end, ended)
      self.assertEqual(step.final_observation is not None, ended.any())
      total[ended] = length[ended] = 0

  @parameterized.named_parameters(*FAMILY)
  def test_follows_from_seeds_and_actions_alone(self, environment):
    actions = actions_of(environment, 3)
    used, alone = environment.make(3), environment.make(1)
    used.reset([8, 9, 8])
    for row in actions[::-1]:
      used.step(row)
    used.restart()
    used.step(actions[3])
    begun, expected = used.reset([11, 12, 11]), alone.reset([12])
    np.testing.assert_array_equal(begun[1], expected[0])
    np.testing.assert_array_equal(begun[0], begun[2])
    actions[:, 2] = actions[:, 0]
    together = [step for _, step in walk(used, begun, actions)]
    single = [step for _, step in walk(alone, expected, actions[:, 1:2])]
    self.assert_same(column(together, 1), column(single, 0))
    self.assert_same(column(together, 0), column(together, 2))

  @parameterized.named_parameters(*FAMILY)
  def test_send_and_receive_make_a_step(self, environment):
    halves, whole = environment.make(2), environment.make(2)
    halves.reset([1, 2])
    whole.reset([1, 2])
    for row in actions_of(environment, 2):
      halves.send(row)
      received, step = halves.receive(), whole.step(row)
      self.assert_same(received[:-1], step[:-1])

  @parameterized.named_parameters(*FAMILY)
  def test_what_was_handed_out_is_not_written_again(self, environment):
    environments = environment.make(2)
    begun = environments.reset([1, 2])
    held, copies = [begun], [begun.copy()]
    for _, step in walk(environments, begun, actions_of(environment, 2)):
      for array in step:
        if array is not None:
          held.append(array)
          copies.append(array.copy())
    environments.restart()
    environments.reset([1, 2])
    self.assert_same(held, copies)

  @parameterized.named_parameters(*FAMILY)
  def test_restart_begins_an_episode(self, environment):
    environments = environment.make(1)
    environments.reset([2])
    environments.step([0])
    observation = environments.restart()
    self.assertEqual(observation.shape, (1, *environment.observation_shape))
    self.assertFalse(observation[..., :-1].any())
    step = environments.step([0])
    np.testing.assert_array_equal(
        step.observation[..., :-1], observation[..., 1:]
    )
    self.assertEqual(step.episode_length[0], 1)
    self.assertEqual(step.episode_return[0], step.reward[0])

  @parameterized.named_parameters(*FAMILY)
  def test_bad_input_is_refused_and_changes_nothing(self, environment):
    environments = environment.make(1)
    with self.assertRaisesRegex(ValueError, 'reset'):
      environments.step([0])
    with self.assertRaisesRegex(UserError, 'num_environments is 0'):
      environment.make(0)
    environments.reset([2])
    last = environment.num_actions - 1
    for actions in ([last + 1], [-1], [0, 0], [0.5], []):
      with self.assertRaisesRegex(
          UserError, f'{environment.name}: give 1 integers from 0 to {last}'
      ):
        environments.step(actions)
    for seeds in ([-1], [2**31], [1, 2], []):
      with self.assertRaisesRegex(UserError, 'give 1 numbers from 0'):
        environments.reset(seeds)
    self.assertEqual(environments.step([last]).episode_length[0], 1)
    environments.reset([vector.MAX_SEED])


if __name__ == '__main__':
  absltest.main()
