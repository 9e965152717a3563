"""Tests of implicit_underparam.networks."""

import dopamine_shims
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, networks

A, ATOMS = 6, 5


def frames(num_states=3, size=44, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (num_states, size, size, 4), np.uint8)


def some_params(network, state):
  """Of order one, biases too: one that is not added would be seen."""
  tree = jax.eval_shape(network.init, jax.random.key(0), state)
  rng = np.random.default_rng(1)
  return jax.tree.map(
      lambda x: jnp.float32(
          rng.normal(size=x.shape) / np.sqrt(np.prod(x.shape[:-1]))
      ),
      tree,
  )


def shapes(params):
  return {
      '/'.join(x.key for x in path): leaf.shape
      for path, leaf in jax.tree_util.tree_leaves_with_path(params['params'])
  }


def linen_features(params, state, padding):
  """The layers again, of Linen's own convolutions."""
  x = state.astype(jnp.float32) / 255
  tree = params['params']
  for i, (channels, size, stride) in enumerate(
      [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
  ):
    layer = nn.Conv(channels, (size, size), (stride, stride), padding)
    x = jax.nn.relu(layer.apply({'params': tree[f'Conv_{i}']}, x))
  x = x.reshape(len(x), -1)
  return jax.nn.relu(x @ tree['Dense_0']['kernel'] + tree['Dense_0']['bias'])


class NatureNetworkTest(parameterized.TestCase):

  @parameterized.parameters(('SAME', 11), ('VALID', 7))
  def test_shapes(self, padding, side):
    network = networks.NatureNetwork(A, padding)
    output, params = jax.eval_shape(
        network.init_with_output, jax.random.key(0), frames(size=84)
    )
    self.assertEqual(shapes(params), {
        'Conv_0/kernel': (8, 8, 4, 32), 'Conv_0/bias': (32,),
        'Conv_1/kernel': (4, 4, 32, 64), 'Conv_1/bias': (64,),
        'Conv_2/kernel': (3, 3, 64, 64), 'Conv_2/bias': (64,),
        'Dense_0/kernel': (side * side * 64, 512), 'Dense_0/bias': (512,),
        'Dense_1/kernel': (512, A), 'Dense_1/bias': (A,),
    })
    self.assertEqual(output.q_values.shape, (3, A))
    self.assertEqual(output.features.shape, (3, 512))
    self.assertIsNone(output.atoms)

  @parameterized.parameters('SAME', 'VALID')
  def test_features_are_the_penultimate_layer(self, padding):
    network = networks.NatureNetwork(A, padding, num_units=16)
    params = some_params(network, frames(1))
    output = jax.jit(network.apply)(params, frames())
    np.testing.assert_allclose(
        output.features, linen_features(params, frames(), padding),
        rtol=1e-5, atol=1e-5,
    )
    head = params['params']['Dense_1']
    np.testing.assert_allclose(
        output.q_values, output.features @ head['kernel'] + head['bias'],
        rtol=1e-5, atol=1e-5,
    )

  @parameterized.parameters('SAME', 'VALID')
  def test_gradient_is_that_of_linens_convolutions(self, padding):
    state = frames(2)
    network = networks.NatureNetwork(A, padding, num_units=16)
    params = some_params(network, state)
    weight = np.random.default_rng(1).normal(size=(2, 16)).astype(np.float32)
    ours, theirs = jax.jit(
        lambda params: (
            jax.grad(
                lambda p: jnp.sum(weight * network.apply(p, state).features)
            )(params),
            jax.grad(
                lambda p: jnp.sum(weight * linen_features(p, state, padding))
            )(params),
        )
    )(params)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
        ours, theirs,
    )
    self.assertGreater(
        float(jnp.abs(ours['params']['Conv_0']['kernel']).max()), 1e-3
    )

  def test_bad_input(self):
    for network, size, message in (
        (networks.NatureNetwork(A, 'same'), 84, "is 'same': use 'SAME'"),
        (networks.NatureNetwork(A, 'VALID'), 35, "35 x 35 are .*use 'SAME'"),
        (networks.QuantileNetwork(A, padding='FULL'), 84, "padding is 'FULL'"),
    ):
      with self.assertRaisesRegex(errors.UserError, message):
        jax.eval_shape(network.init, jax.random.key(0), frames(1, size))
    # The smallest frame that leaves one number a channel.
    network = networks.NatureNetwork(A, 'VALID')
    params = jax.eval_shape(network.init, jax.random.key(0), frames(1, 36))
    self.assertEqual(shapes(params)['Dense_0/kernel'], (64, 512))


class DopamineTest(parameterized.TestCase):

  def both(self, kind):
    theirs = dopamine_shims.load('dopamine.jax.networks')
    if kind == 'nature':
      return theirs.NatureDQNNetwork(A), networks.NatureNetwork(A)
    return theirs.QuantileNetwork(A, ATOMS), networks.QuantileNetwork(A, ATOMS)

  @parameterized.parameters('nature', 'quantile')
  def test_same_parameters_same_output(self, kind):
    theirs, ours = self.both(kind)
    params = some_params(theirs, frames()[0])
    apply = lambda x: theirs.apply(params, x, capture_intermediates=True)
    expected, hidden = jax.jit(jax.vmap(apply))(frames())
    got = jax.jit(ours.apply)(params, frames())
    np.testing.assert_allclose(
        got.q_values, expected.q_values, rtol=1e-5, atol=1e-5
    )
    dense, = hidden['intermediates']['Dense_0']['__call__']
    np.testing.assert_allclose(
        got.features, np.maximum(dense, 0), rtol=1e-5, atol=1e-5
    )
    if kind == 'quantile':
      np.testing.assert_allclose(
          got.atoms, expected.logits, rtol=1e-5, atol=1e-5
      )

  @parameterized.parameters('nature', 'quantile')
  def test_same_key_same_parameters(self, kind):
    theirs, ours = self.both(kind)
    got = ours.init(jax.random.key(3), frames(1))
    expected = theirs.init(jax.random.key(3), frames()[0])
    # As equal trees: names and shapes are interchangeable.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=0),
        got, expected,
    )


class QuantileNetworkTest(absltest.TestCase):

  def test_values_are_the_means_of_the_atoms(self):
    network = networks.QuantileNetwork(A, ATOMS, 'VALID', num_units=16)
    params = some_params(network, frames(1))
    output = jax.jit(network.apply)(params, frames())
    self.assertEqual(output.atoms.shape, (3, A, ATOMS))
    self.assertEqual(output.features.shape, (3, 16))
    np.testing.assert_allclose(
        output.q_values, np.float64(output.atoms).mean(-1), atol=1e-6
    )
    head = params['params']['Dense_1']
    flat = output.features @ head['kernel'] + head['bias']
    for a in range(A):
      np.testing.assert_allclose(
          output.atoms[:, a], flat[:, a * ATOMS:(a + 1) * ATOMS], atol=1e-5
      )


class MLPNetworkTest(parameterized.TestCase):

  def test_by_hand(self):
    network = networks.MLPNetwork(3, (4, 5))
    state = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    params = some_params(network, state)
    x = np.float64(state)
    for i in range(3):
      layer = params['params'][f'Dense_{i}']
      features = x
      x = x @ np.float64(layer['kernel']) + np.float64(layer['bias'])
      x = np.maximum(x, 0) if i < 2 else x
    output = network.apply(params, state)
    np.testing.assert_allclose(output.q_values, x, atol=1e-6)
    np.testing.assert_allclose(output.features, features, atol=1e-6)

  def test_flatten_makes_vectors_of_any_states(self):
    state = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    network = networks.MLPNetwork(3, (4,), flatten=True)
    params = some_params(network, state)
    self.assertEqual(shapes(params)['Dense_0/kernel'], (6, 4))
    want = networks.MLPNetwork(3, (4,)).apply(
        params, np.stack([x.ravel() for x in state])
    )
    got = network.apply(params, state)
    np.testing.assert_array_equal(got.q_values, want.q_values)
    self.assertEqual(got.q_values.shape, (7, 3))

  @parameterized.parameters(((64, 0),), ((1.5,),), (64,))
  def test_bad_widths(self, hidden_units):
    network = networks.MLPNetwork(3, hidden_units)
    with self.assertRaisesRegex(errors.UserError, 'MLPNetwork.hidden_units is'):
      jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 2)))


if __name__ == '__main__':
  absltest.main()
