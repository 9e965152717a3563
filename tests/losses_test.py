"""Tests of implicit_underparam.losses, on hand-computed numbers."""

import math

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import losses

Q = np.array([1.0, 3.0, 2.0], np.float32)


class LossesTest(parameterized.TestCase):

  @parameterized.parameters(True, False)
  def test_soft_value_by_hand(self, jit):
    f = jax.jit(losses.soft_value, static_argnums=1) if jit else (
        losses.soft_value
    )
    expected = 0.5 * math.log(sum(math.exp(x / 0.5) for x in Q.tolist()))
    self.assertAlmostEqual(float(f(Q, 0.5)), expected, places=5)
    self.assertEqual(float(f(Q, 0)), 3.0)

  def test_soft_value_does_not_overflow(self):
    huge = np.array([1e5, 0.0, -1e5], np.float32)
    self.assertAlmostEqual(float(losses.soft_value(huge, 0.1)), 1e5, delta=0.1)

  def test_boltzmann_policy_by_hand(self):
    weights = np.exp(Q.astype(np.float64) / 0.5)
    np.testing.assert_allclose(
        losses.boltzmann_policy(Q, 0.5), weights / weights.sum(), rtol=1e-5
    )

  def test_greedy_policy_shares_ties(self):
    policy = losses.boltzmann_policy(jnp.array([2.0, 1.0, 2.0]), 0)
    np.testing.assert_array_equal(policy, [0.5, 0.0, 0.5])

  @parameterized.parameters(0, 1, 2)
  def test_squared_error_by_hand(self, action):
    value = losses.squared_error(Q, jnp.int32(action), jnp.float32(5.0))
    self.assertEqual(float(value), (float(Q[action]) - 5.0) ** 2)

  def test_squared_error_moves_only_the_chosen_action(self):
    gradient = jax.grad(losses.squared_error)(
        jnp.asarray(Q), jnp.int32(1), jnp.float32(5.0)
    )
    np.testing.assert_array_equal(gradient, [0.0, -4.0, 0.0])

  def test_mean_squared_error_by_hand(self):
    value = losses.mean_squared_error(Q, jnp.array([0.0, 0.0, 5.0]))
    self.assertAlmostEqual(float(value), (1 + 9 + 9) / 3, places=6)

  @parameterized.parameters(
      (2.5, 0.125), (4.0, 0.5), (6.0, 2.5), (0.0, 2.5), (3.0, 0.0)
  )
  def test_huber_error_by_hand(self, target, expected):
    value = losses.huber_error(Q, jnp.int32(1), jnp.float32(target))
    self.assertAlmostEqual(float(value), expected, places=6)

  @parameterized.parameters((2.5, 0.5), (7.0, -1.0), (-7.0, 1.0))
  def test_huber_gradient_is_clipped(self, target, expected):
    gradient = jax.grad(losses.huber_error)(
        jnp.asarray(Q), jnp.int32(1), jnp.float32(target)
    )
    np.testing.assert_allclose(gradient, [0.0, expected, 0.0], atol=1e-6)

  def test_a_batch_is_one_transition_at_a_time(self):
    batch = jax.vmap(losses.squared_error)(
        jnp.stack([Q, 2 * Q]), jnp.array([0, 1]), jnp.array([0.0, 1.0])
    )
    np.testing.assert_array_equal(batch, [1.0, 25.0])


class QuantileHuberErrorTest(parameterized.TestCase):

  def test_by_hand(self):
    # tau = 1/4, 3/4; u = 2 and -0.5: |1/4 - 0| 1.5 + |3/4 - 1| 0.125.
    value = losses.quantile_huber_error(
        jnp.array([1.0, 3.5]), jnp.array([3.0])
    )
    self.assertAlmostEqual(float(value), 0.25 * 1.5 + 0.25 * 0.125, places=6)

  @parameterized.product(kappa=(0.5, 1.0, 2.0), num_targets=(1, 3, 5))
  def test_two_sums_in_float64(self, kappa, num_targets):
    rng = np.random.default_rng(0)
    q = (2 * rng.normal(size=4)).astype(np.float32)
    y = (2 * rng.normal(size=num_targets)).astype(np.float32)
    expected = 0.0
    for i in range(4):
      for j in range(num_targets):
        u = float(y[j]) - float(q[i])
        tau = (2 * i + 1) / 8
        huber = (
            0.5 * u * u if abs(u) <= kappa
            else kappa * (abs(u) - 0.5 * kappa)
        )
        expected += abs(tau - (u < 0)) * huber / num_targets
    value = losses.quantile_huber_error(q, y, kappa)
    self.assertAlmostEqual(float(value), expected, places=5)

  def test_its_minimum_is_at_the_quantiles(self):
    """At a small kappa: of 0 .. 99, the 1/4 quantile and the 3/4 one."""
    y = jnp.arange(100.0)
    loss = lambda a, b: float(
        losses.quantile_huber_error(jnp.array([a, b]), y, 0.01)
    )
    best = loss(24.5, 74.5)
    for a, b in ((22.0, 74.5), (27.0, 74.5), (24.5, 72.0), (24.5, 77.0)):
      self.assertGreater(loss(a, b), best)


def projection64(target_support, probabilities, support):
  """One target after the other: between which two atoms does it lie?"""
  result = np.zeros(len(support))
  z = np.float64(support)
  for y, p in zip(np.float64(target_support), probabilities, strict=True):
    if y <= z[0]:
      result[0] += p
    elif y >= z[-1]:
      result[-1] += p
    else:
      i = int(np.searchsorted(z, y, side='right')) - 1
      share = (y - z[i]) / (z[i + 1] - z[i])
      result[i] += (1 - share) * p
      result[i + 1] += share * p
  return result


class CategoricalProjectionTest(parameterized.TestCase):

  @parameterized.parameters(
      # On an atom, between two, on both ends, beyond both.
      ([0.0], [1.0], [0, 0, 1, 0, 0]),
      ([0.25], [1.0], [0, 0, 0.75, 0.25, 0]),
      ([-2.0, 2.0], [0.4, 0.6], [0.4, 0, 0, 0, 0.6]),
      ([-7.0, 1.5], [0.4, 0.6], [0.4, 0, 0, 0.3, 0.3]),
      ([1e6, -0.5], [0.4, 0.6], [0, 0.3, 0.3, 0, 0.4]),
      ([1.0, 1.0, 1.0], [0.2, 0.3, 0.5], [0, 0, 0, 1, 0]),
  )
  def test_by_hand(self, target_support, probabilities, expected):
    value = losses.categorical_projection(
        jnp.array(target_support), jnp.array(probabilities),
        jnp.linspace(-2.0, 2.0, 5),
    )
    np.testing.assert_allclose(value, expected, atol=1e-6)

  @parameterized.product(
      num_atoms=(2, 7, 51), ends=((-10.0, 10.0), (0.0, 3.0)),
      scale=(0.1, 1.0, 5.0),
  )
  def test_a_loop_in_float64_and_dopamine(self, num_atoms, ends, scale):
    rng = np.random.default_rng(num_atoms)
    theirs = dopamine_shims.load('dopamine.jax.agents.rainbow.rainbow_agent')
    support = np.linspace(*ends, num_atoms, dtype=np.float32)
    p = rng.dirichlet(np.ones(num_atoms), 20).astype(np.float32)
    y = (scale * ends[1] * rng.normal(size=p.shape)).astype(np.float32)
    # Some exactly on atoms, as at a terminal state with a whole reward.
    y[:5] = rng.choice(support, y[:5].shape)
    project = lambda f: np.stack([f(y[i], p[i], support) for i in range(20)])
    got = project(losses.categorical_projection)
    np.testing.assert_allclose(got, project(projection64), atol=1e-5)
    np.testing.assert_allclose(
        got, project(theirs.project_distribution), atol=1e-5
    )

  def test_its_own_support_stays(self):
    support = jnp.linspace(-10.0, 10.0, 51)
    p = np.random.default_rng(0).dirichlet(np.ones(51)).astype(np.float32)
    np.testing.assert_allclose(
        losses.categorical_projection(support, p, support), p, atol=1e-6
    )


class CategoricalCrossEntropyTest(absltest.TestCase):

  def test_by_hand(self):
    total = sum(math.exp(x) for x in Q.tolist())
    expected = -0.25 * math.log(math.exp(1) / total) - 0.75 * math.log(
        math.exp(2) / total
    )
    value = losses.categorical_cross_entropy(Q, jnp.array([0.25, 0.0, 0.75]))
    self.assertAlmostEqual(float(value), expected, places=5)

  def test_gradient_is_the_difference_of_the_distributions(self):
    weights = np.exp(Q.astype(np.float64))
    p = np.array([0.5, 0.5, 0.0])
    gradient = jax.grad(losses.categorical_cross_entropy)(jnp.asarray(Q), p)
    np.testing.assert_allclose(
        gradient, weights / weights.sum() - p, atol=1e-6
    )

  def test_large_logits(self):
    huge = jnp.array([1e5, 0.0, -1e5])
    value = losses.categorical_cross_entropy(huge, jnp.array([0.0, 1.0, 0.0]))
    self.assertEqual(float(value), 1e5)


class ConservativeGapTest(parameterized.TestCase):

  @parameterized.parameters(0, 1, 2)
  def test_by_hand(self, action):
    expected = math.log(sum(math.exp(x) for x in Q.tolist())) - Q[action]
    value = losses.conservative_gap(Q, jnp.int32(action))
    self.assertAlmostEqual(float(value), float(expected), places=5)
    self.assertGreater(float(value), 0)

  def test_gradient_is_the_policy_less_the_action(self):
    weights = np.exp(Q.astype(np.float64))
    gradient = jax.grad(losses.conservative_gap)(jnp.asarray(Q), jnp.int32(1))
    np.testing.assert_allclose(
        gradient, weights / weights.sum() - [0.0, 1.0, 0.0], atol=1e-6
    )

  def test_large_values(self):
    huge = np.array([1e5, 0.0, -1e5], np.float32)
    for action, expected in ((0, 0.0), (1, 1e5), (2, 2e5)):
      value = losses.conservative_gap(huge, jnp.int32(action))
      self.assertEqual(float(value), expected)


class BootstrappedTargetTest(parameterized.TestCase):

  @parameterized.parameters((0.0, 2.0 + 0.81 * 5.0), (1.0, 2.0))
  def test_by_hand(self, terminal, expected):
    value = losses.bootstrapped_target(
        jnp.float32(2.0), jnp.float32(terminal), jnp.float32(5.0), 0.81
    )
    self.assertAlmostEqual(float(value), expected, places=5)

  @parameterized.parameters(jnp.bool_, jnp.uint8, jnp.int32)
  def test_terminals_of_any_type(self, dtype):
    value = losses.bootstrapped_target(
        jnp.array([2.0, 2.0]), jnp.array([0, 1], dtype), jnp.array([5.0, 5.0]),
        0.5,
    )
    np.testing.assert_array_equal(value, [4.5, 2.0])

  def test_quantiles_move_together(self):
    value = losses.bootstrapped_target(
        jnp.float32(1.0), jnp.float32(0.0), jnp.array([0.0, 2.0, 4.0]), 0.5
    )
    np.testing.assert_array_equal(value, [1.0, 2.0, 3.0])


if __name__ == '__main__':
  absltest.main()
