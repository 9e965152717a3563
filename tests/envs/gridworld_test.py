import gin
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.envs import gridworld, tabular
from implicit_underparam.errors import UserError


class PublishedMapTest(parameterized.TestCase):
  """The published environment, by the numbers that describe it."""

  def setUp(self):
    super().setUp()
    self.mdp = gridworld.grid16smoothobs()

  def test_walls_and_goal(self):
    self.assertLen(set(self.mdp.walls), 51)
    self.assertEqual(self.mdp.walls[:6], (
        (13, 9), (6, 2), (12, 3), (14, 4), (6, 11), (0, 10)))
    self.assertEqual(self.mdp.goal, (0, 0))
    self.assertEqual(self.mdp.state(self.mdp.goal), 0)
    self.assertEqual(self.mdp.initial_state, 136)
    self.assertEqual(self.mdp.cell(136), (8, 8))
    self.assertEqual(self.mdp.cell(18), (2, 1))
    self.assertEqual((self.mdp.discount, self.mdp.horizon), (0.95, 50))

  def test_free_cells_are_those_that_can_be_reached(self):
    reached = np.zeros(256, bool)
    reached[self.mdp.initial_state] = True
    for _ in range(256):
      reached |= (self.mdp.transition_matrix[reached] > 0).any(axis=(0, 1))
    self.assertLen(self.mdp.free_states, 205)
    np.testing.assert_array_equal(
        np.flatnonzero(reached), self.mdp.free_states)

  def test_rewards(self):
    self.assertEqual((self.mdp.rewards > 0).sum(), 136)
    self.assertEqual(self.mdp.rewards[0], 1)
    self.assertEqual(self.mdp.rewards[136], 0)
    # (3, 2) is 5 of 16 steps from the goal.
    self.assertEqual(self.mdp.rewards[3 + 16 * 2], 1 - 5 / 16)

  def test_smooth_observations(self):
    observations = self.mdp.observations
    self.assertEqual(observations.shape, (256, 16))
    np.testing.assert_allclose(
        observations[0, :4], [0.42659, -0.39337, -0.31324, -0.03371], atol=6e-6)
    np.testing.assert_allclose(
        observations[136, :4], [0.12649, -0.19920, 0.08303, 0.16516], atol=6e-6)
    free = self.mdp.free_states
    walls = np.setdiff1d(np.arange(256), free)
    self.assertAlmostEqual(observations[free].std(), 0.236, delta=5e-4)
    self.assertAlmostEqual(observations[walls].std(), 0.955, delta=5e-4)
    np.testing.assert_array_equal(
        observations[walls],
        np.random.RandomState(0).randn(256, 16).astype(np.float32)[walls])

  def test_soft_q_star(self):
    q_values = tabular.q_star(self.mdp, 0.1)
    free = q_values[self.mdp.free_states]
    np.testing.assert_allclose(
        [free.min(), free.mean(), free.max(), free.std()],
        [6.96, 14.29, 22.34, 4.02], atol=5e-3)
    np.testing.assert_allclose(
        q_values[136], [13.820, 14.546, 13.820, 13.820, 13.193], atol=5.1e-4)
    np.testing.assert_allclose(
        np.linalg.svd(q_values, compute_uv=False),
        [494.3, 6.14, 5.28, 4.22, 1.32], rtol=1e-4, atol=5e-3)

  def test_hard_q_star(self):
    free = tabular.q_star(self.mdp)[self.mdp.free_states]
    np.testing.assert_allclose(
        [free.mean(), free.max()], [12.88, 19.97], atol=5e-3)


class DynamicsTest(parameterized.TestCase):

  def test_moves_on_an_empty_grid(self):
    mdp = gridworld.make_grid(
        'one_hot', size=3, wall_fraction=0.0, noise=0.0, seed=1)
    following = mdp.transition_matrix.argmax(axis=-1)
    # Stay, up, down, left, right from the middle, a corner and an edge.
    np.testing.assert_array_equal(following[4], [4, 1, 7, 3, 5])
    np.testing.assert_array_equal(following[0], [0, 0, 3, 0, 1])
    np.testing.assert_array_equal(following[5], [5, 2, 8, 4, 5])

  def test_noise_is_a_uniform_action_now_and_then(self):
    mdp = gridworld.make_grid(size=3, wall_fraction=0.0, noise=0.2, seed=1)
    expected = np.zeros(9)
    expected[[4, 1, 7, 3, 5]] = [0.04, 0.84, 0.04, 0.04, 0.04]
    np.testing.assert_allclose(
        mdp.transition_matrix[4, 1], expected, atol=1e-15)

  def test_walls_block_and_absorb(self):
    mdp = gridworld.grid16smoothobs()
    # From (0, 9) only up is open: walls at (0, 10) and (1, 9), the edge left.
    self.assertAlmostEqual(
        mdp.transition_matrix[144, 2, 144], 0.95 + 0.05 * 4 / 5)
    self.assertEqual(mdp.transition_matrix[144, 2, 160], 0)
    np.testing.assert_allclose(mdp.transition_matrix[160, :, 160], 1)

  def test_observations_share_one_map(self):
    smooth = gridworld.grid16smoothobs()
    for other in (gridworld.grid16onehot(), gridworld.grid16randomobs(),
                  gridworld.grid16sparse()):
      self.assertEqual(other.walls, smooth.walls)
      np.testing.assert_array_equal(
          other.transition_matrix, smooth.transition_matrix)

  def test_one_hot_observations(self):
    observations = gridworld.grid16onehot().observations
    self.assertEqual(observations.shape, (256, 32))
    np.testing.assert_array_equal(observations.sum(axis=-1), 2)
    # State 35 is (3, 2).
    np.testing.assert_array_equal(np.flatnonzero(observations[35]), [3, 18])

  def test_random_observations(self):
    observations = gridworld.grid16randomobs().observations
    self.assertEqual(observations.shape, (256, 16))
    state = np.random.RandomState(0)
    np.testing.assert_array_equal(
        observations[0], [np.float32(2 * state.random_sample() - 1)
                          for _ in range(16)])
    self.assertBetween(np.abs(observations).max(), 0.99, 1)

  def test_sparse_reward_is_the_goal_alone(self):
    mdp = gridworld.grid16sparse()
    self.assertEqual(mdp.observations.shape, (256, 32))
    np.testing.assert_array_equal(mdp.rewards, np.eye(256)[0])

  def test_smoothing_loop_by_hand(self):
    mdp = gridworld.make_grid(size=2, dim_observation=3, wall_fraction=0.0)
    rows = np.random.RandomState(0).normal(size=(4, 3))
    neighbours = {0: (0, 0, 0, 1, 2), 1: (1, 1, 1, 0, 3),
                  2: (2, 2, 2, 0, 3), 3: (3, 3, 3, 1, 2)}
    for _ in range(10):
      for state, around in neighbours.items():
        rows[state] = np.mean([rows[other] for other in around], axis=0)
    np.testing.assert_allclose(mdp.observations, rows, atol=1e-6)


class ArgumentsTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'observation': 'blurred'}, 'observation'),
      ({'wall_fraction': 1.0}, 'wall_fraction'),
      ({'wall_fraction': -0.1}, 'wall_fraction'),
      ({'wall_fraction': 0.999}, 'wall_fraction'),
      ({'wall_fraction': 0.8}, 'cut the goal'),
      ({'noise': 1.5}, 'noise'),
      ({'noise': -0.1}, 'noise'),
      ({'size': 1}, 'size'),
      ({'dim_observation': 0}, 'dim_observation'),
      ({'discount': 1.0}, 'discount'),
  )
  def test_bad_argument_is_named(self, arguments, name):
    with self.assertRaisesRegex(UserError, name):
      gridworld.make_grid(**arguments)

  def test_same_arguments_give_the_same_object(self):
    mdp = gridworld.grid16smoothobs()
    self.assertIs(mdp, gridworld.grid16smoothobs(sparse_reward=False))
    self.assertIs(mdp, gridworld.make_grid(observation='smooth', size=16))
    self.assertIs(gridworld.grid16sparse(),
                  gridworld.grid16onehot(sparse_reward=True))
    self.assertIsNot(mdp, gridworld.grid16smoothobs(sparse_reward=True))

  def test_another_seed_is_another_map(self):
    mdp = gridworld.make_grid(seed=1)
    self.assertNotEqual(mdp.walls, gridworld.make_grid().walls)
    self.assertLen(mdp.free_states, 205)

  def test_gin_reaches_references_only(self):
    @gin.configurable(module='gridworld_test')
    def take_environment(environment):
      return environment

    self.addCleanup(gin.clear_config)
    gin.parse_config([
        'take_environment.environment = @gridworld.grid16smoothobs()',
        'gridworld.grid16smoothobs.sparse_reward = True',
    ])
    self.assertIs(
        take_environment(), gridworld.make_grid(sparse_reward=True))
    self.assertIs(gridworld.grid16smoothobs(), gridworld.make_grid())


if __name__ == '__main__':
  absltest.main()
