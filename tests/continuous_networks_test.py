"""Tests of the networks for continuous actions against NumPy's float64."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_sac
from absl.testing import absltest, parameterized

from implicit_underparam import continuous_networks, errors

B, SIZE = 40, 3
STATES = np.float32(np.random.default_rng(0).normal(size=(B, 4, 2)))
ACTIONS = np.float32(np.random.default_rng(1).uniform(-1, 1, (B, SIZE)))
ACTOR = continuous_networks.GaussianActorNetwork(SIZE, (16, 12))
CRITIC = continuous_networks.CriticNetwork((16, 12))
RNG = jax.random.key(0)


def flat(states):
  return states.reshape(B, -1)


class ActorTest(parameterized.TestCase):

  def test_is_the_mlp_written_by_hand(self):
    params = ACTOR.init(RNG, STATES)
    found = ACTOR.apply(params, STATES)
    output, _ = plain_sac.mlp(params, flat(STATES))
    np.testing.assert_allclose(found.mean, output[:, :SIZE], atol=1e-5)
    np.testing.assert_allclose(found.log_std, output[:, SIZE:], atol=1e-5)
    self.assertEqual(found.mean.shape, (B, SIZE))

  def test_log_std_is_clipped_and_the_mean_is_not(self):
    params = jax.tree.map(lambda x: 12 * x, ACTOR.init(RNG, STATES))
    found = ACTOR.apply(params, STATES)
    output, _ = plain_sac.mlp(params, flat(STATES))
    self.assertGreater(output.max(), 40)
    self.assertLess(output.min(), -40)
    np.testing.assert_allclose(found.mean, output[:, :SIZE], rtol=1e-4,
                               atol=1e-3)
    self.assertEqual(found.log_std.max(), 2)
    self.assertEqual(found.log_std.min(), -20)
    inside = (output[:, SIZE:] > -20) & (output[:, SIZE:] < 2)
    self.assertTrue(inside.any())
    np.testing.assert_allclose(
        found.log_std[inside], output[:, SIZE:][inside], atol=1e-3
    )


class CriticTest(parameterized.TestCase):

  def test_is_the_mlp_written_by_hand(self):
    params = CRITIC.init(RNG, STATES, ACTIONS)
    found = CRITIC.apply(params, STATES, ACTIONS)
    both = np.concatenate([flat(STATES), ACTIONS], axis=1)
    q_values, features = plain_sac.mlp(params, both)
    self.assertEqual(found.q_values.shape, (B, 1))
    np.testing.assert_allclose(found.q_values, q_values, atol=1e-5)
    np.testing.assert_allclose(found.features, features, atol=1e-5)
    self.assertEqual(features.shape, (B, 12))
    # It reads the action.
    other = CRITIC.apply(params, STATES, -ACTIONS)
    self.assertGreater(jnp.abs(other.q_values - found.q_values).min(), 0)


class InitialTest(parameterized.TestCase):

  @parameterized.parameters(ACTOR, CRITIC)
  def test_layers_begin_as_pytorchs(self, network):
    arguments = (STATES, ACTIONS)[: 1 + (network is CRITIC)]
    layers = network.init(RNG, *arguments)['params']
    self.assertLen(layers, 3)
    for layer in layers.values():
      fan_in = layer['kernel'].shape[0]
      for numbers in (layer['kernel'], layer['bias']):
        self.assertLessEqual(jnp.abs(numbers).max(), fan_in**-0.5)
      # Of a uniform distribution, up to what so few numbers say.
      spread = float(jnp.std(layer['kernel'])) * (3 * fan_in) ** 0.5
      self.assertAlmostEqual(spread, 1, delta=0.35)

  @parameterized.parameters(
      (continuous_networks.GaussianActorNetwork(2, (8, 0)), 'Gaussian'),
      (continuous_networks.CriticNetwork(8), 'CriticNetwork.hidden_units is 8'),
  )
  def test_bad_widths(self, network, message):
    arguments = (STATES, ACTIONS)
    if isinstance(network, continuous_networks.GaussianActorNetwork):
      arguments = (STATES,)
    with self.assertRaisesRegex(errors.UserError, message):
      network.init(RNG, *arguments)


if __name__ == '__main__':
  absltest.main()
