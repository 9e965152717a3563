"""Tests of implicit_underparam.minatar_networks."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import minatar_networks as networks

A, ATOMS, B, C, D = 6, 5, 3, 4, 128
NETWORK = networks.MinAtarNetwork(A)
CATEGORICAL = networks.CategoricalMinAtarNetwork(A, num_atoms=ATOMS, v_max=2.0)
OPTIONS = [
    {'dueling': dueling, 'noisy': noisy}
    for dueling, noisy in itertools.product((False, True), repeat=2)
]
INIT = nn.initializers.xavier_uniform()


def states(count=B, channels=C, stack=1, seed=0):
  rng = np.random.default_rng(seed)
  shape = (count, 10, 10, channels, stack)
  return rng.integers(0, 2, shape, np.uint8)


def some_params(module, x, seed=1):
  """Outputs of order one; biases too are drawn."""
  tree = jax.eval_shape(module.init, jax.random.key(0), x)
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: np.float32(
          rng.normal(size=x.shape) / np.sqrt(np.prod(x.shape[:-1]))
      ),
      tree,
  )


def draw(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(size=shape)) for shape in shapes]


def assert_close(got, want, tolerance=2e-5):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(
          x, y, rtol=tolerance, atol=tolerance
      ),
      got,
      want,
  )


def by_hand(params, state):
  """Section 3 of the MinAtar paper, entry by entry: (q_values, features)."""
  layer = lambda name: [np.float64(params['params'][name][x])
                        for x in ('kernel', 'bias')]  # fmt: skip
  kernel, bias = layer('Conv_0')
  image = np.float64(state).reshape(10, 10, -1)
  convolved = np.zeros((8, 8, 16))
  for i, j, k in np.ndindex(convolved.shape):
    convolved[i, j, k] = bias[k]
    for u, v in np.ndindex(3, 3):
      convolved[i, j, k] += image[i + u, j + v] @ kernel[u, v, :, k]
  hidden = np.maximum(convolved, 0).reshape(-1)
  kernel, bias = layer('Dense_0')
  features = np.maximum(hidden @ kernel + bias, 0)
  kernel, bias = layer('Dense_1')
  return features @ kernel + bias, features


class PatchConvTest(parameterized.TestCase):

  @parameterized.parameters((3, (10, 10)), (2, (4, 7)))
  def test_it_is_flax_convolution(self, size, image):
    (x,) = draw((B, *image, C))
    ours = networks.PatchConv(7, size, INIT)
    theirs = nn.Conv(7, (size, size), padding='VALID', kernel_init=INIT)
    params = some_params(theirs, x)
    jax.tree.map(np.testing.assert_array_equal, some_params(ours, x), params)
    rows, columns = (n - size + 1 for n in image)
    (weight,) = draw((B, rows, columns, 7), seed=2)

    def measure(module):
      def objective(params, x):
        value = module.apply(params, x)
        # All cotangents of the output differ.
        return jnp.sum(weight * jnp.sin(value)), value

      gradient = jax.grad(objective, argnums=(0, 1), has_aux=True)
      return jax.jit(gradient)(params, x)

    assert_close(measure(ours), measure(theirs))

  def test_bytes_are_numbers(self):
    x = states()[..., 0]
    conv = networks.PatchConv(16, 3, INIT)
    params = some_params(conv, x)
    got, want = jax.jit(
        lambda x: (conv.apply(params, x), conv.apply(params, jnp.float32(x)))
    )(x)
    self.assertEqual(got.dtype, jnp.float32)
    assert_close(got, want)


class ProductTest(parameterized.TestCase):

  @parameterized.parameters(True, False)
  def test_value_and_gradients(self, jitted):
    x, kernel, weight = draw((5, 8), (8, 3), (5, 3))
    f = lambda *args: jnp.sum(weight * networks.product(*args))
    both = jax.value_and_grad(f, argnums=(0, 1))
    value, got = (jax.jit(both) if jitted else both)(x, kernel)
    x, kernel, weight = (np.float64(array) for array in (x, kernel, weight))
    assert_close(value, np.sum(weight * (x @ kernel)))
    assert_close(got, (weight @ kernel.T, x.T @ weight))

  @parameterized.parameters((0, 0), (0, None), (None, 0))
  def test_under_vmap(self, *axes):
    x, kernel, weight = draw((4, 5, 8), (4, 8, 3), (5, 3))
    args = [
        array if axis == 0 else array[0]
        for array, axis in zip((x, kernel), axes, strict=True)
    ]
    gradients = lambda product: jax.vmap(
        jax.grad(
            lambda *args: jnp.sum(weight * jnp.sin(product(*args))),
            argnums=(0, 1),
        ),
        axes,
    )
    got, want = jax.jit(
        lambda *args: [
            gradients(f)(*args) for f in (networks.product, jnp.matmul)
        ]
    )(*args)
    assert_close(got, want)


class MinAtarNetworkTest(parameterized.TestCase):

  @parameterized.parameters((4, 1), (7, 1), (3, 2))
  def test_by_hand_in_float64(self, channels, stack):
    state = states(channels=channels, stack=stack)
    params = some_params(NETWORK, state)
    output = jax.jit(NETWORK.apply)(params, state)
    for i in range(B):
      q_values, features = by_hand(params, state[i])
      self.assertGreater(np.mean(features == 0), 0.1)
      assert_close(output.features[i], features)
      assert_close(output.q_values[i], q_values)
    self.assertIsNone(output.logits)

  def test_sizes_of_the_paper(self):
    output, params = jax.eval_shape(
        NETWORK.init_with_output, jax.random.key(0), states()
    )
    shapes = jax.tree.map(lambda x: x.shape, params['params'])
    self.assertEqual(
        shapes,
        {
            'Conv_0': {'kernel': (3, 3, C, 16), 'bias': (16,)},
            'Dense_0': {'kernel': (8 * 8 * 16, D), 'bias': (D,)},
            'Dense_1': {'kernel': (D, A), 'bias': (A,)},
        },
    )
    self.assertEqual(output.q_values.shape, (B, A))
    self.assertEqual(output.features.shape, (B, D))

  def test_features_are_what_the_head_reads(self):
    state = states(40)
    params = some_params(NETWORK, state)
    output = jax.jit(NETWORK.apply)(params, state)
    self.assertGreaterEqual(np.min(output.features), 0.0)
    self.assertGreater(np.max(output.features), 0.0)
    head = jax.tree.map(np.asarray, params['params']['Dense_1'])
    want = np.asarray(output.features) @ head['kernel'] + head['bias']
    assert_close(output.q_values, want)

  def test_gradients_are_those_of_flax_layers(self):
    class Plain(nn.Module):

      @nn.compact
      def __call__(self, state):
        x = jnp.float32(state.reshape(*state.shape[:-2], -1))
        x = nn.relu(nn.Conv(16, (3, 3), padding='VALID')(x))
        x = nn.relu(nn.Dense(D)(x.reshape(len(x), -1)))
        return nn.Dense(A)(x), x

    state = states(8)
    params = some_params(NETWORK, state)
    weights = draw((8, A), (8, D))

    def gradient(module):
      def objective(params):
        q_values, features = module.apply(params, state)[:2]
        return jnp.sum(weights[0] * q_values) + jnp.sum(weights[1] * features)

      return jax.jit(jax.grad(objective))(params)

    assert_close(gradient(NETWORK), gradient(Plain()), 1e-4)

  @parameterized.parameters(NETWORK, CATEGORICAL)
  def test_seeds_side_by_side(self, network):
    many = [states(seed=i) for i in range(3)]
    params = [some_params(network, x, seed=i) for i, x in enumerate(many)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *params)

    def measure(params, state):
      def objective(params):
        output = network.apply(params, state)
        return jnp.sum(output.q_values**2), output

      return jax.grad(objective, has_aux=True)(params)

    together = jax.jit(jax.vmap(measure))(stacked, np.stack(many))
    alone = jax.jit(measure)
    for i, (p, state) in enumerate(zip(params, many, strict=True)):
      got = jax.tree.map(lambda x, i=i: np.asarray(x)[i], together)
      assert_close(got, alone(p, state), 1e-4)


class CategoricalMinAtarNetworkTest(parameterized.TestCase):

  def test_by_hand_in_float64(self):
    state = states()
    params = some_params(CATEGORICAL, state)
    output = jax.jit(CATEGORICAL.apply)(params, state)
    support = np.linspace(-2.0, 2.0, ATOMS)
    assert_close(output.support, support)
    for i in range(B):
      logits, features = by_hand(params, state[i])
      assert_close(output.features[i], features)
      for a in range(A):
        own = logits[a * ATOMS : (a + 1) * ATOMS]
        p = np.exp(own) / np.sum(np.exp(own))
        assert_close(output.logits[i, a], own)
        assert_close(output.q_values[i, a], np.sum(p * support))

  @parameterized.parameters(*OPTIONS)
  def test_layers(self, dueling, noisy):
    network = CATEGORICAL.clone(dueling=dueling, noisy=noisy)
    output, params = jax.eval_shape(
        network.init_with_output, jax.random.key(0), states()
    )
    kind, kernel = ('NoisyNetwork', 'kernel_mu') if noisy else (
        'Dense', 'kernel',
    )  # fmt: skip
    want = {'Conv_0': (3, 3, C, 16), f'{kind}_0': (1024, D)}
    want[f'{kind}_1'] = (D, A * ATOMS)
    if dueling:
      want[f'{kind}_2'] = (D, ATOMS)
    self.assertEqual(set(params['params']), set(want))
    for name, shape in want.items():
      leaf = params['params'][name]['kernel' if name == 'Conv_0' else kernel]
      self.assertEqual(leaf.shape, shape)
    self.assertEqual(output.logits.shape, (B, A, ATOMS))
    self.assertEqual(output.features.shape, (B, D))

  def test_dueling_heads_add_up(self):
    network = CATEGORICAL.clone(dueling=True)
    state = states()
    params = some_params(network, state)
    output = jax.jit(network.apply)(params, state)
    head = jax.tree.map(np.asarray, params['params']['Dense_2'])
    value = np.asarray(output.features) @ head['kernel'] + head['bias']
    # Advantages are centred: over the actions only the value is left.
    assert_close(np.mean(output.logits, axis=1), value)

  def test_noise(self):
    network = CATEGORICAL.clone(noisy=True)
    state = states()
    params = some_params(network, state)
    noisy = jax.jit(
        lambda i: network.apply(
            params, state, rngs={'noise': jax.random.key(i)}
        )
    )
    quiet = jax.jit(network.apply)(params, state)
    plain = {
        name.replace('NoisyNetwork', 'Dense'): (
            {'kernel': x['kernel_mu'], 'bias': x['bias_mu']}
            if 'kernel_mu' in x
            else x
        )
        for name, x in params['params'].items()
    }
    want = jax.jit(CATEGORICAL.apply)({'params': plain}, state)
    assert_close(quiet, want)
    first, again, other = (noisy(i) for i in (0, 0, 1))
    for name in ('features', 'q_values'):
      x, same, y = (getattr(z, name) for z in (first, again, other))
      np.testing.assert_array_equal(x, same)
      self.assertGreater(np.max(np.abs(np.subtract(x, y))), 1e-3)


if __name__ == '__main__':
  absltest.main()
