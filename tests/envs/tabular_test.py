import dataclasses
import itertools

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.envs import tabular
from implicit_underparam.errors import UserError


def random_mdp(seed=0, num_states=7, num_actions=3, sparse=True, **changes):
  rng = np.random.default_rng(seed)
  weights = rng.gamma(0.5, size=(num_states, num_actions, num_states))
  if sparse:
    # One, two, ... successors: rows of unequal width.
    for state in range(num_states):
      weights[state, :, (np.arange(num_states) - state) % num_states
              > state % 3] = 0
  fields = dict(
      transition_matrix=weights / weights.sum(axis=-1, keepdims=True),
      rewards=rng.normal(size=num_states),
      observations=rng.normal(size=(num_states, 2)),
      initial_state=2,
      discount=0.9,
      free_states=np.arange(num_states),
      horizon=6,
  )
  return tabular.TabularMDP(**(fields | changes))


def random_policy(seed, mdp, *batch):
  shape = (*batch, mdp.num_states)
  return np.random.default_rng(seed).dirichlet(
      np.full(mdp.num_actions, 0.7), size=shape)


class TabularMDPTest(parameterized.TestCase):

  def test_fields_are_typed_and_cannot_be_written(self):
    mdp = random_mdp()
    self.assertEqual(mdp.transition_matrix.dtype, np.float64)
    self.assertEqual(mdp.observations.dtype, np.float32)
    self.assertEqual((mdp.num_states, mdp.num_actions), (7, 3))
    with self.assertRaises(ValueError):
      mdp.rewards[0] = 1
    with self.assertRaises(dataclasses.FrozenInstanceError):
      mdp.discount = 0.5

  def test_changing_what_was_given_changes_nothing(self):
    rewards = np.zeros(7)
    mdp = random_mdp(rewards=rewards)
    rewards[0] = 1
    self.assertEqual(mdp.rewards[0], 0)

  def test_hash_is_identity(self):
    first, second = random_mdp(), random_mdp()
    self.assertNotEqual(first, second)
    self.assertLen({first, second, first}, 2)

  @parameterized.named_parameters(
      ('matrix_not_cubic', 'transition_matrix', np.ones((2, 1, 3)) / 3),
      ('matrix_flat', 'transition_matrix', np.eye(7)),
      ('rows_do_not_sum', 'transition_matrix', np.full((7, 3, 7), 0.1)),
      ('negative', 'transition_matrix',
       np.broadcast_to([2., -1, 0, 0, 0, 0, 0], (7, 3, 7))),
      ('nan', 'transition_matrix', np.full((7, 3, 7), np.nan)),
      ('rewards', 'rewards', np.zeros((7, 3))),
      ('observations_short', 'observations', np.zeros((6, 2))),
      ('observations_flat', 'observations', np.zeros(7)),
      ('discount_one', 'discount', 1.0),
      ('discount_negative', 'discount', -0.1),
      ('initial_state', 'initial_state', 7),
      ('free_states', 'free_states', [-1]),
      ('free_states_shape', 'free_states', [[0]]),
      ('horizon', 'horizon', 0),
  )
  def test_bad_field_is_refused(self, field, value):
    with self.assertRaises(UserError):
      random_mdp(**{field: value})

  @parameterized.parameters(True, False)
  def test_successors_rebuild_the_matrix(self, sparse):
    mdp = random_mdp(sparse=sparse)
    states, probabilities = mdp.successors
    self.assertEqual(len(states), 3 if sparse else 7)
    rebuilt = np.zeros_like(mdp.transition_matrix)
    for k, s, a in np.ndindex(*states.shape, mdp.num_actions):
      rebuilt[s, a, states[k, s]] += probabilities[a, k, s]
    np.testing.assert_array_equal(rebuilt, mdp.transition_matrix)


class SoftValueTest(parameterized.TestCase):

  def test_hand_numbers(self):
    # Q / alpha = (log 1, log 3): V = alpha log 4, pi = (1/4, 3/4).
    q_values = 0.5 * np.log([[1.0, 3.0]])
    np.testing.assert_allclose(
        tabular.soft_value(q_values, 0.5), [0.5 * np.log(4)], rtol=1e-14)
    np.testing.assert_allclose(
        tabular.boltzmann_policy(q_values, 0.5), [[0.25, 0.75]], rtol=1e-14)

  def test_temperature_zero_is_the_maximum_and_ties_share(self):
    q_values = np.array([[1., 2, 2], [3, 0, 1]])
    np.testing.assert_array_equal(tabular.soft_value(q_values, 0.0), [2, 3])
    np.testing.assert_array_equal(
        tabular.boltzmann_policy(q_values, 0.0), [[0, 0.5, 0.5], [1, 0, 0]])

  def test_large_values_do_not_overflow(self):
    q_values = np.array([1e5, 1e5 - 0.1, -1e5], np.float32)
    difference = float(q_values[0]) - float(q_values[1])
    expected = 1e5 + 0.1 * np.log1p(np.exp(-difference / 0.1))
    np.testing.assert_allclose(
        tabular.soft_value(q_values, 0.1), expected, rtol=1e-15)

  @parameterized.parameters(-0.1, np.nan)
  def test_bad_temperature_is_refused(self, temperature):
    with self.assertRaises(UserError):
      tabular.soft_value(np.zeros(3), temperature)
    with self.assertRaises(UserError):
      tabular.boltzmann_policy(np.zeros(3), temperature)


def iterate_bellman(mdp, value_of, sweeps=400):
  q_values = np.zeros((mdp.num_states, mdp.num_actions))
  for _ in range(sweeps):
    values = value_of(q_values)
    for s, a in np.ndindex(*q_values.shape):
      q_values[s, a] = mdp.rewards[s] + mdp.discount * sum(
          mdp.transition_matrix[s, a, t] * values[t]
          for t in range(mdp.num_states))
  return q_values


def entropy_loop(policy):
  return np.array([-sum(p * np.log(p) for p in row if p > 0)
                   for row in policy])


class QPiTest(parameterized.TestCase):

  @parameterized.parameters(0.0, 0.3)
  def test_equals_iterated_backups(self, temperature):
    mdp = random_mdp()
    policy = random_policy(1, mdp)
    policy[3] = np.eye(mdp.num_actions)[0]
    expected = iterate_bellman(
        mdp, lambda q: (policy * q).sum(-1) + temperature * entropy_loop(policy)
    )
    np.testing.assert_allclose(
        tabular.q_pi(mdp, policy, temperature), expected, atol=1e-12)

  def test_batch_equals_one_by_one(self):
    mdp = random_mdp()
    policies = random_policy(2, mdp, 3)
    batched = tabular.q_pi(mdp, policies, 0.2)
    for policy, q_values in zip(policies, batched, strict=True):
      np.testing.assert_allclose(
          q_values, tabular.q_pi(mdp, policy, 0.2), atol=1e-12)

  def test_bad_policy_is_refused(self):
    mdp = random_mdp()
    for policy in (np.ones((3, 7)) / 7, np.zeros((7, 3)), np.ones((7, 3))):
      with self.assertRaises(UserError):
        tabular.q_pi(mdp, policy)


class QStarTest(parameterized.TestCase):

  @parameterized.parameters(0.0, 0.02, 1.0)
  def test_equals_value_iteration(self, temperature):
    mdp = random_mdp()

    def value_of(q_values):
      if temperature == 0:
        return q_values.max(axis=-1)
      return temperature * np.logaddexp.reduce(
          q_values / temperature, axis=-1)

    np.testing.assert_allclose(
        tabular.q_star(mdp, temperature), iterate_bellman(mdp, value_of),
        atol=1e-12)

  def test_soft_approaches_hard(self):
    mdp = random_mdp(discount=0.8)
    hard = tabular.q_star(mdp)
    # alpha log A / (1 - gamma) bounds what entropy can add.
    for temperature in (1e-1, 1e-2, 1e-4):
      surplus = tabular.q_star(mdp, temperature) - hard
      self.assertGreaterEqual(surplus.min(), -1e-12)
      self.assertLessEqual(surplus.max(), temperature * np.log(3) / 0.2)

  @parameterized.parameters(0.0, 0.1)
  def test_is_the_value_of_its_own_policy(self, temperature):
    mdp = random_mdp(3)
    best = tabular.q_star(mdp, temperature)
    policy = tabular.boltzmann_policy(best, temperature)
    np.testing.assert_allclose(
        tabular.q_pi(mdp, policy, temperature), best, atol=1e-11)

  @parameterized.parameters(0.0, 0.1)
  def test_soft_policy_improvement(self, temperature):
    mdp = random_mdp(4)
    best = tabular.q_star(mdp, temperature)
    q_values = tabular.q_pi(mdp, random_policy(5, mdp), temperature)
    improved = tabular.q_pi(
        mdp, tabular.boltzmann_policy(q_values, temperature), temperature)
    self.assertGreaterEqual((improved - q_values).min(), -1e-12)
    self.assertGreater((improved - q_values).max(), 1e-2)
    self.assertGreaterEqual((best - improved).min(), -1e-12)

  def test_long_effective_horizon_settles(self):
    mdp = random_mdp(discount=0.9999)
    q_values = tabular.q_star(mdp, 0.1)
    backup = mdp.rewards[:, None] + mdp.discount * (
        mdp.transition_matrix @ tabular.soft_value(q_values, 0.1))
    np.testing.assert_allclose(
        q_values, backup, rtol=0, atol=1e-11 * np.abs(q_values).max())


class ReturnTest(parameterized.TestCase):

  def test_equals_the_sum_over_all_trajectories(self):
    mdp = random_mdp(num_states=3, num_actions=2, sparse=False, horizon=4)
    policy = random_policy(6, mdp)
    expected = 0.0
    # The last action changes no reward, so three of them are enough.
    for actions in itertools.product(range(2), repeat=3):
      for path in itertools.product(range(3), repeat=3):
        states = (mdp.initial_state, *path)
        probability = np.prod([
            policy[s, a] * mdp.transition_matrix[s, a, t]
            for s, a, t in zip(states, actions, path, strict=False)])
        expected += probability * sum(mdp.rewards[s] for s in states)
    np.testing.assert_allclose(
        tabular.finite_return(mdp, policy), expected, rtol=1e-13)

  @parameterized.parameters(0, 1, 2, 50)
  def test_equals_matrix_powers(self, horizon):
    mdp = random_mdp()
    policy = random_policy(7, mdp)
    matrix = sum(np.diag(policy[:, a]) @ mdp.transition_matrix[:, a]
                 for a in range(mdp.num_actions))
    expected = sum(
        (np.linalg.matrix_power(matrix, t) @ mdp.rewards)[mdp.initial_state]
        for t in range(horizon))
    np.testing.assert_allclose(
        tabular.finite_return(mdp, policy, horizon), expected, atol=1e-12)

  def test_batch_equals_one_by_one(self):
    mdp = random_mdp()
    policies = random_policy(8, mdp, 2, 3)
    returns = tabular.finite_return(mdp, policies)
    self.assertEqual(returns.shape, (2, 3))
    for index in np.ndindex(2, 3):
      np.testing.assert_allclose(
          returns[index], tabular.finite_return(mdp, policies[index]),
          rtol=1e-12)

  def test_bad_input_is_refused(self):
    mdp = random_mdp()
    with self.assertRaises(UserError):
      tabular.finite_return(mdp, np.zeros((7, 3)))
    with self.assertRaises(UserError):
      tabular.finite_return(mdp, random_policy(0, mdp), horizon=-1)

  @parameterized.parameters(0.0, 0.1)
  def test_random_is_0_and_expert_is_1(self, temperature):
    mdp = random_mdp(9, horizon=50)
    uniform = np.full((7, 3), 1 / 3)
    expert = tabular.boltzmann_policy(
        tabular.q_star(mdp, temperature), temperature)
    policies = np.stack([uniform, expert, (uniform + expert) / 2])
    normalized = tabular.normalized_return(mdp, policies, temperature)
    np.testing.assert_allclose(normalized[:2], [0, 1], atol=1e-12)
    self.assertBetween(normalized[2], 0.01, 0.99)

  def test_no_scale_is_refused(self):
    mdp = random_mdp(rewards=np.full(7, 0.3))
    with self.assertRaises(UserError):
      tabular.normalized_return(mdp, random_policy(0, mdp))


class LinearFitErrorTest(parameterized.TestCase):

  def lstsq_error(self, features, targets):
    design = np.column_stack([features, np.ones(len(features))])
    solution, *_ = np.linalg.lstsq(design, targets, rcond=None)
    return np.mean((design @ solution - targets)**2)

  @parameterized.parameters((205, 64), (20, 5), (4, 9), (6, 1))
  def test_equals_least_squares_with_a_column_of_ones(self, rows, columns):
    rng = np.random.default_rng(rows)
    features = rng.normal(loc=3, size=(rows, columns))
    targets = rng.normal(loc=-7, size=(rows, 5))
    np.testing.assert_allclose(
        tabular.linear_fit_error(features, targets),
        self.lstsq_error(features, targets), rtol=1e-9, atol=1e-20)

  def test_hand_numbers(self):
    # Slope 1 and bias 1/3 through (0, 0), (1, 2), (2, 2).
    error = tabular.linear_fit_error([[0], [1], [2]], [[0], [2], [2]])
    np.testing.assert_allclose(error, 2 / 9, rtol=1e-12)

  def test_what_a_linear_map_made_is_fitted_exactly(self):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 8))
    targets = features @ rng.normal(size=(8, 5)) + rng.normal(size=5)
    self.assertLess(tabular.linear_fit_error(features, targets), 1e-25)

  @parameterized.parameters(1e-6, 1.0, 1e6)
  def test_float32_rounding_is_no_rank(self, scale):
    rng = np.random.default_rng(2)
    low_rank = scale * (rng.normal(size=(205, 5)) @ rng.normal(size=(5, 64))
                        + 4 * rng.normal(size=64))
    targets = rng.normal(size=(205, 5))
    expected = self.lstsq_error(low_rank[:, :5], targets)
    rounded = low_rank.astype(np.float32)
    np.testing.assert_allclose(
        tabular.linear_fit_error(rounded, targets), expected, rtol=1e-4)
    # Without the cut the rounding errors would be fitted like features.
    self.assertLess(
        tabular.linear_fit_error(rounded, targets, rcond=1e-12), expected / 1.2)

  def test_constant_features_leave_the_variance(self):
    targets = np.random.default_rng(3).normal(size=(40, 5))
    for features in (np.zeros((40, 3)), np.full((40, 3), 0.1, np.float32)):
      np.testing.assert_allclose(
          tabular.linear_fit_error(features, targets),
          targets.var(axis=0).mean(), rtol=1e-12)

  def test_bad_input_is_refused(self):
    for features, targets in (
        (np.zeros((4, 2)), np.zeros((5, 2))), (np.zeros(4), np.zeros((4, 1))),
        (np.zeros((4, 2)), np.zeros(4)), (np.full((4, 2), np.nan),
                                          np.zeros((4, 1)))):
      with self.assertRaises(UserError):
        tabular.linear_fit_error(features, targets)


if __name__ == '__main__':
  absltest.main()
