"""Tests of implicit_underparam.losses, on hand-computed numbers."""

import math

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

  def test_a_batch_is_one_transition_at_a_time(self):
    batch = jax.vmap(losses.squared_error)(
        jnp.stack([Q, 2 * Q]), jnp.array([0, 1]), jnp.array([0.0, 1.0])
    )
    np.testing.assert_array_equal(batch, [1.0, 25.0])


if __name__ == '__main__':
  absltest.main()
