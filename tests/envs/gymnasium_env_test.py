import gin
import gymnasium
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.envs import gymnasium_env
from implicit_underparam.errors import UserError

LIMIT = 5


class CountingEnv(gymnasium.Env):
  """As awkward as the interface allows.

  Shows its episode's number, the step's and the action in an array that it
  writes again, keeps counting over resets, and gives infos of any shape.
  Action 6 ends an episode, the others are 4 and 5.
  """

  def __init__(self, num_actions: int = 3, first: int = 1):
    self.action_space = gymnasium.spaces.Discrete(num_actions, start=4)
    # Zeros are no observation.
    self.observation_space = gymnasium.spaces.Box(1, 99, (3,), np.float64)
    self._shown = np.ones(3)
    self._shown[0] = first - 1

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._shown += [1, 0, 0]
    self._shown[1:] = 1
    return self._shown, {'walls': np.zeros(int(self._shown[0]))}

  def step(self, action):
    assert action in self.action_space
    self._shown[1] += 1
    self._shown[2] = action
    info = {'walls': np.zeros(int(self._shown[1]))}
    return self._shown, 0.1, bool(action == 6), False, info


class TupleActionsEnv(CountingEnv):

  def __init__(self):
    super().__init__()
    self.action_space = gymnasium.spaces.MultiDiscrete([2, 2])


gymnasium.register('Counting-v0', CountingEnv, max_episode_steps=LIMIT)
gymnasium.register('TupleActions-v0', TupleActionsEnv)


def act(observation: np.ndarray, coin: int, balances: bool) -> int:
  """Pushes a cart under its falling pole, or as a coin falls."""
  return int(observation[2] + observation[3] > 0) if balances else coin


class PlainTest(parameterized.TestCase):

  def check(self, environments, plain, seeds, choose, num_steps):
    """Plays and compares each row; the kinds of ends, and where."""
    space = plain[0].action_space
    coins = np.random.default_rng(3).integers(
        space.n, size=(num_steps, len(plain))
    )
    seen = environments.reset(seeds)[..., -1]
    lengths, ends = np.zeros(len(plain), int), []
    for row, (env, seed) in enumerate(zip(plain, seeds, strict=True)):
      np.testing.assert_array_equal(seen[row], env.reset(seed=seed)[0])
    for step_coins in coins:
      actions = [choose(seen[i], x, i) for i, x in enumerate(step_coins)]
      step = environments.step(actions)
      lengths += 1
      for row, env in enumerate(plain):
        frame, reward, terminated, over, _ = env.step(actions[row])
        self.assertEqual(step.reward[row], np.float32(reward))
        self.assertEqual(step.is_terminal[row], terminated)
        self.assertEqual(step.truncated[row], over and not terminated)
        if terminated or over:
          last = step.final_observation[row, ..., -1]
          np.testing.assert_array_equal(last, frame)
          ends.append((bool(terminated), int(lengths[row])))
          lengths[row] = 0
          frame, _ = env.reset()
        np.testing.assert_array_equal(step.observation[row, ..., -1], frame)
      seen = step.observation[..., -1]
    return ends

  def test_cart_pole_equals_gymnasium_step_by_step(self):
    environment = gymnasium_env.GymnasiumEnvironment('CartPole-v1')
    self.assertEqual(environment.observation_shape, (4, 1))
    self.assertEqual(environment.frame_dtype, np.float32)
    ends = self.check(
        environment.make(3),
        [gymnasium.make('CartPole-v1') for _ in range(3)],
        (21, 0, 2**31 - 1),
        # The last balances, and is cut after 500 steps.
        lambda seen, coin, row: act(seen, coin, row == 2),
        1100,
    )
    self.assertIn((False, 500), ends)
    fallen = [length for terminated, length in ends if terminated]
    self.assertGreater(len(fallen), 50)
    self.assertEqual(ends.count((False, 500)), len(ends) - len(fallen))

  @parameterized.parameters(('MountainCar-v0', 200), ('Acrobot-v1', 500))
  def test_a_limit_of_steps_cuts_as_gymnasium_does(self, name, limit):
    environment = gymnasium_env.GymnasiumEnvironment(name, stack_size=2)
    ends = self.check(
        environment.make(2), [gymnasium.make(name) for _ in range(2)], (4, 5),
        # The first never moves.
        lambda seen, coin, row: coin if row else 1, limit + 20,
    )  # fmt: skip
    self.assertIn((False, limit), ends)

  def test_another_limit_of_steps(self):
    environment = gymnasium_env.GymnasiumEnvironment(
        'MountainCar-v0', max_episode_steps=7
    )
    environments = environment.make(1)
    environments.reset([0])
    cut = [bool(environments.step([1]).truncated[0]) for _ in range(15)]
    self.assertEqual(np.flatnonzero(cut).tolist(), [6, 13])


class AwkwardTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    environment = gymnasium_env.GymnasiumEnvironment('Counting-v0', 2)
    self.assertEqual(environment.num_actions, 3)
    self.environments = environment.make(2)
    begun = self.environments.reset([0, 1])
    np.testing.assert_array_equal(begun[0].T, [[0, 0, 0], [1, 1, 1]])

  def test_actions_are_counted_from_0(self):
    observation = self.environments.step([0, 1]).observation
    np.testing.assert_array_equal(observation[:, 2, -1], [4, 5])
    with self.assertRaisesRegex(UserError, 'integers from 0 to 2'):
      self.environments.step([4, 5])

  def test_the_last_observation_outlives_the_reset(self):
    self.environments.step([0, 0])
    step = self.environments.step([2, 0])
    np.testing.assert_array_equal(
        step.final_observation[0].T, [[1, 2, 4], [1, 3, 6]]
    )
    np.testing.assert_array_equal(
        step.observation[0].T, [[0, 0, 0], [2, 1, 1]]
    )
    np.testing.assert_array_equal(
        step.observation[1].T, [[1, 2, 4], [1, 3, 4]]
    )

  def test_reset_undoes_what_an_environment_keeps(self):
    for _ in range(12):
      step = self.environments.step([2, 0])
    self.assertEqual(step.observation[0, 0, -1], 13)
    np.testing.assert_array_equal(
        self.environments.reset([0, 1])[:, 0, -1], [1, 1]
    )

  def test_a_terminal_at_the_limit_is_not_cut(self):
    for actions in ([0, 0], [0, 0], [0, 0], [0, 0], [2, 0]):
      step = self.environments.step(actions)
    np.testing.assert_array_equal(step.is_terminal, [True, False])
    np.testing.assert_array_equal(step.truncated, [False, True])
    np.testing.assert_array_equal(step.episode_length, [LIMIT, LIMIT])

  def test_returns_are_summed_before_they_are_rounded(self):
    for _ in range(LIMIT):
      step = self.environments.step([0, 0])
    np.testing.assert_allclose(step.episode_return, 0.5, rtol=1e-15)

  def test_receive_without_send_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'send'):
      self.environments.receive()
    self.environments.send([0, 0])
    self.environments.restart()
    with self.assertRaisesRegex(ValueError, 'send'):
      self.environments.receive()


class BadInputTest(parameterized.TestCase):

  @parameterized.parameters(
      ('CartPole', 'not known: the nearest are CartPole-v1'),
      ('cartpole-v1', 'not known: the nearest are CartPole-v1'),
      ('CartPole-v7', 'not known: the nearest are CartPole-v'),
      ('', 'give an id such as CartPole-v1'),
      ('no_module_of_mine:X-v0', 'no_module_of_mine cannot be imported'),
      ('numpy:X-v0', "'numpy:X-v0' is not known"),
      ('Pendulum-v1', 'Pendulum-v1 has continuous actions.*DQN.*discrete'),
      ('TupleActions-v0', 'actions of a MultiDiscrete space'),
      ('FrozenLake-v1', 'observed as Discrete, not as an array.*Box'),
      ('Blackjack-v1', 'observed as Tuple'),
  )
  def test_what_cannot_be_played_is_refused(self, name, message):
    for ask in (
        gymnasium_env.GymnasiumEnvironment, gymnasium_env.num_actions
    ):  # fmt: skip
      with self.assertRaisesRegex(UserError, message) as caught:
        ask(name)
      self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
      ({'stack_size': 0}, 'stack_size is 0'),
      ({'stack_size': None}, 'stack_size is None'),
      ({'max_episode_steps': 0}, 'max_episode_steps is 0'),
      ({'max_episode_steps': 2.5}, 'max_episode_steps is 2.5'),
      ({'arguments': {'colour': 3}}, 'cannot be made: .*colour'),
  )
  def test_options_that_make_no_sense_are_refused(self, options, message):
    with self.assertRaisesRegex(UserError, message) as caught:
      gymnasium_env.GymnasiumEnvironment('CartPole-v1', **options)
    self.assertNotIn('\n', str(caught.exception))


class GinTest(absltest.TestCase):

  def test_configures_the_environment_and_counts_its_actions(self):
    gin.parse_config("""
        arguments = {'num_actions': 7, 'first': 20}
        GymnasiumEnvironment.id = 'Counting-v0'
        GymnasiumEnvironment.stack_size = 3
        GymnasiumEnvironment.arguments = %arguments
        gymnasium_num_actions.id = 'Counting-v0'
        gymnasium_num_actions.arguments = %arguments
    """)
    make = gin.get_configurable('GymnasiumEnvironment')
    count = gin.get_configurable('gymnasium_num_actions')
    environment = make()
    self.assertEqual(environment.observation_shape, (3, 3))
    self.assertEqual((environment.num_actions, count()), (7, 7))
    self.assertEqual(environment.make(1).reset([0])[0, 0, -1], 20)
    self.assertEqual(hash(environment), hash(make()))
    self.assertEqual(environment, make())

  def test_a_module_before_the_colon_registers_the_id(self):
    name = (
        'implicit_underparam.envs.registration:'
        'implicit_underparam/Grid16OneHot-v0'
    )
    environment = gymnasium_env.GymnasiumEnvironment(name)
    self.assertEqual(environment.frame_shape, (32,))
    self.assertEqual(environment.num_actions, 5)
    # One of 16 columns and one of 16 rows.
    self.assertEqual(environment.make(1).reset([0]).sum(), 2)


if __name__ == '__main__':
  absltest.main()
