"""Tests of implicit_underparam.data.n_step."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import n_step

_BATCH = 100


class BatchOfTest(parameterized.TestCase):

  @parameterized.product(
      horizon=(1, 2, 5), stack_size=(1, 4), gamma=(0.0, 0.99)
  )
  def test_as_a_loop_in_float64(self, horizon, stack_size, gamma):
    rng = np.random.default_rng(horizon)
    shape = (_BATCH, stack_size + horizon, 3, 2)
    windows = rng.integers(0, 256, shape).astype(np.uint8)
    actions = rng.integers(0, 18, _BATCH).astype(np.uint8)
    rewards = rng.normal(size=(_BATCH, horizon)).astype(np.float32)
    terminals = rng.uniform(size=(_BATCH, horizon)) < 0.3
    batch = jax.device_get(
        jax.jit(n_step.batch_of, static_argnums=(4, 5))(
            *map(jnp.asarray, (windows, actions, rewards, terminals)),
            stack_size, gamma,
        )
    )  # fmt: skip
    self.assertEqual(batch.state.dtype, jnp.uint8)
    self.assertEqual(batch.action.dtype, jnp.int32)
    self.assertEqual(batch.reward.dtype, jnp.float32)
    for b in range(_BATCH):
      total, is_terminal = 0.0, False
      for k in range(horizon):
        total += float(gamma) ** k * float(rewards[b, k])
        if terminals[b, k]:
          is_terminal = True
          break
      self.assertAlmostEqual(float(batch.reward[b]), total, places=5)
      self.assertEqual(bool(batch.is_terminal[b]), is_terminal)
      self.assertEqual(int(batch.action[b]), actions[b])
      for j in range(stack_size):
        np.testing.assert_array_equal(batch.state[b, ..., j], windows[b, j])
        np.testing.assert_array_equal(
            batch.next_state[b, ..., j], windows[b, j + horizon]
        )

  def test_a_reward_behind_a_terminal_does_not_count(self):
    """Nor does it where it is not finite: 0 times it would."""
    batch = n_step.batch_of(
        jnp.zeros((1, 4, 2), jnp.uint8),
        jnp.zeros(1, jnp.uint8),
        jnp.array([[1.0, 2.0, jnp.inf]]),
        jnp.array([[False, True, False]]),
        1,
        0.5,
    )
    np.testing.assert_array_equal(batch.reward, [2.0])
    np.testing.assert_array_equal(batch.is_terminal, [1.0])


if __name__ == '__main__':
  absltest.main()
