"""Tests of implicit_underparam.acting."""

import dataclasses

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import acting, types

TABLE = jnp.array([[0.0, 2.0, 1.0, -5.0], [-1.0, -3.0, -2.0, -0.5]])
DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class TableAgent:
  """Q is the first frame's row of the parameters, plus noise."""

  noise: types.Array

  def apply(self, params, state, rng):
    q_values = params[state[..., 0].astype(int)]
    noise = jax.random.normal(rng, q_values.shape) * self.noise
    return types.NetworkOutput(q_values + noise, q_values)


class PushFrameTest(parameterized.TestCase):

  @parameterized.parameters((1, np.float32), (4, np.uint8))
  def test_a_state_is_the_last_frames_of_the_episode(self, size, dtype):
    rng = np.random.default_rng(size)
    shape = (3, 2, 5)  # K, then a frame.
    stack = jnp.asarray(rng.integers(1, 255, (*shape, size)), dtype)
    episodes = [[] for _ in range(3)]
    for step in range(40):
      frame = rng.integers(1, 255, shape).astype(dtype)
      begins = rng.random(3) < 0.3 if step else np.ones(3, bool)
      stack = acting.push_frame(stack, frame, begins)
      self.assertEqual(stack.dtype, dtype)
      for k in range(3):
        if begins[k]:
          episodes[k] = [np.zeros(shape[1:], dtype)] * size
        episodes[k].append(frame[k])
        np.testing.assert_array_equal(
            stack[k], np.stack(episodes[k][-size:], axis=-1)
        )


class EpsilonTest(parameterized.TestCase):

  @parameterized.parameters(
      (250_000, 20_000, 0.01), (10, 0, 0.5), (7, 3, 0.0), (1, 5, 1.0)
  )
  def test_decays_as_dopamines(self, period, warmup, epsilon):
    dopamine = dopamine_shims.jax_dqn_agent().linearly_decaying_epsilon
    for step in (
        0, 1, 2, 5, 8, 9, 10, 11, warmup - 1, warmup, warmup + 1,
        warmup + period // 3, warmup + period - 1, warmup + period,
        warmup + period + 1, 10**7,
    ):  # fmt: skip
      self.assertAlmostEqual(
          acting.linearly_decaying_epsilon(step, period, warmup, epsilon),
          float(dopamine(period, step, warmup, epsilon)),
          places=6,
          msg=f'step {step}',
      )

  def test_without_a_period_it_falls_after_the_warm_up(self):
    values = [
        acting.linearly_decaying_epsilon(x, 0, 3, 0.1) for x in range(6)
    ]
    self.assertEqual(values, [1.0, 1.0, 1.0, 0.1, 0.1, 0.1])


@jax.jit
def act(states, epsilon, noise):
  """[draws, K], each with a key of its own."""
  return jax.vmap(
      lambda key: acting.epsilon_greedy(
          TableAgent(noise).apply, TABLE, states, key, epsilon
      )
  )(jax.random.split(jax.random.key(3), DRAWS))


class EpsilonGreedyTest(parameterized.TestCase):

  def test_epsilon_0_is_greedy(self):
    actions = np.asarray(act(jnp.array([[0], [1]]), 0.0, 0.0))
    self.assertEqual(actions.dtype, np.int32)
    np.testing.assert_array_equal(actions, np.tile([1, 3], (DRAWS, 1)))

  @parameterized.parameters(1.0, 0.3)
  def test_frequencies(self, epsilon):
    actions = np.asarray(act(jnp.array([[0], [1]]), epsilon, 0.0))
    for k, best in enumerate((1, 3)):
      expected = np.full(4, epsilon / 4)
      expected[best] += 1 - epsilon
      found = np.bincount(actions[:, k], minlength=4) / DRAWS
      # Five standard deviations.
      spread = np.sqrt(expected * (1 - expected) / DRAWS)
      np.testing.assert_array_less(np.abs(found - expected), 5 * spread)
    # The environments explore by themselves.
    both = np.mean((actions[:, 0] == 2) & (actions[:, 1] == 2))
    self.assertAlmostEqual(both, (epsilon / 4) ** 2, delta=0.01)

  def test_noise_of_the_network_is_drawn_anew(self):
    actions = np.asarray(act(jnp.array([[0], [0]]), 0.0, 6.0))
    self.assertSameElements(actions[:50, 0].tolist(), range(4))


if __name__ == '__main__':
  absltest.main()
