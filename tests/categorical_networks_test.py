"""Tests of implicit_underparam.categorical_networks."""

import itertools
import math
from unittest import mock

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import categorical_networks as networks
from implicit_underparam import errors

A, ATOMS, K = 4, 5, 6
MLP = networks.CategoricalMLPNetwork(
    num_actions=A, num_atoms=ATOMS, hidden_units=(8,)
)
OPTIONS = [
    {'dueling': dueling, 'noisy': noisy}
    for dueling, noisy in itertools.product((False, True), repeat=2)
]


def frames(num_states=3, size=36, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (num_states, size, size, 4), np.uint8)


def states(num_states=7):
  rng = np.random.default_rng(0)
  return rng.normal(size=(num_states, K)).astype(np.float32)


def some_params(network, state, *args):
  """Of order one, biases and sigmas too."""
  tree = jax.eval_shape(network.init, jax.random.key(0), state, *args)
  rng = np.random.default_rng(1)
  return jax.tree.map(
      lambda x: jnp.float32(
          rng.normal(size=x.shape) / np.sqrt(np.prod(x.shape[:-1]))
      ),
      tree,
  )


def assert_close(x, y, tolerance=1e-5):
  np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


class HeadTest(parameterized.TestCase):

  @parameterized.product(dueling=(False, True), v_min=(None, 0.5))
  def test_by_hand_in_float64(self, dueling, v_min):
    network = MLP.clone(dueling=dueling, v_max=3.0, v_min=v_min)
    params = some_params(network, states())
    dense = {
        name: (np.float64(x['kernel']), np.float64(x['bias']))
        for name, x in params['params'].items()
    }
    self.assertLen(dense, 3 if dueling else 2)
    apply = lambda name, x: x @ dense[name][0] + dense[name][1]
    features = np.maximum(apply('Dense_0', states()), 0)
    advantage = apply('Dense_1', features)
    support = np.linspace(-3.0 if v_min is None else v_min, 3.0, ATOMS)
    output = network.apply(params, states())
    assert_close(output.features, features)
    assert_close(output.support, support)
    for i, a in itertools.product(range(7), range(A)):
      own = lambda b, i=i: advantage[i, b * ATOMS:(b + 1) * ATOMS]
      logits = own(a)
      if dueling:
        value = apply('Dense_2', features[i])
        logits = value + logits - sum(own(b) for b in range(A)) / A
      weights = np.exp(logits)
      assert_close(output.logits[i, a], logits)
      assert_close(output.q_values[i, a], support @ weights / weights.sum())
    self.assertIsNone(output.atoms)

  def test_flatten(self):
    state = states().reshape(7, 2, 3)
    params = some_params(MLP, states())
    got = MLP.clone(flatten=True).apply(params, state)
    want = MLP.apply(params, states())
    np.testing.assert_array_equal(got.logits, want.logits)

  def test_sizes_of_the_papers(self):
    network = networks.RainbowNetwork(6, padding='VALID', dueling=True)
    output, params = jax.eval_shape(
        network.init_with_output, jax.random.key(0), frames(size=84)
    )
    shapes = {k: v['kernel'].shape for k, v in params['params'].items()}
    self.assertEqual(shapes['Dense_0'], (7 * 7 * 64, 512))
    self.assertEqual(shapes['Dense_1'], (512, 6 * 51))
    self.assertEqual(shapes['Dense_2'], (512, 51))
    self.assertEqual(output.features.shape, (3, 512))
    self.assertEqual(output.logits.shape, (3, 6, 51))

  @parameterized.parameters(
      ({'num_atoms': 1}, 'num_atoms is 1: .*at least 2'),
      ({'num_atoms': 2.0}, 'num_atoms is 2.0'),
      ({'v_max': '10'}, "v_max is '10': give a number"),
      ({'v_max': float('inf')}, 'v_max is inf'),
      ({'v_max': -1.0}, 'v_max is -1.0: give a number above v_min, here 1.0'),
      ({'v_min': 10.0}, 'v_max is 10.0: give a number above v_min, here 10.0'),
      ({'v_min': float('nan')}, 'v_min is nan'),
      ({'noisy': True, 'sigma_0': -1.0}, 'sigma_0 is -1.0: give a number'),
      ({'hidden_units': (0,)}, 'CategoricalMLPNetwork.hidden_units is'),
  )
  def test_bad_options(self, options, message):
    network = MLP.clone(**options)
    with self.assertRaisesRegex(errors.UserError, message) as raised:
      jax.eval_shape(network.init, jax.random.key(0), states())
    self.assertNotIn('\n', str(raised.exception))


class DopamineTest(parameterized.TestCase):

  def both(self, options):
    theirs = dopamine_shims.load('dopamine.jax.networks')
    ours = networks.RainbowNetwork(A, ATOMS, sigma_0=0.1, **options)
    if not options:
      return theirs.RainbowNetwork(A, ATOMS), ours
    return theirs.FullRainbowNetwork(A, ATOMS, **options), ours

  @parameterized.parameters({}, *OPTIONS[1:])
  def test_same_key_same_parameters(self, **options):
    theirs, ours = self.both(options)
    got = ours.init(jax.random.key(3), frames(1))
    support = jnp.linspace(-10.0, 10.0, ATOMS)
    expected = theirs.init(jax.random.key(3), frames()[0], support)
    # As equal trees: names and shapes are interchangeable.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=0),
        got, expected,
    )

  @parameterized.parameters({}, *OPTIONS)
  def test_same_parameters_same_output(self, **options):
    theirs, ours = self.both(options)
    support = jnp.linspace(-10.0, 10.0, ATOMS)
    params = some_params(theirs, frames()[0], support)
    last = {'eval_mode': True} if options else {}
    apply = lambda x: theirs.apply(
        params, x, support, capture_intermediates=True, **last
    )
    expected, hidden = jax.jit(jax.vmap(apply))(frames())
    got = jax.jit(ours.apply)(params, frames())
    assert_close(got.q_values, expected.q_values)
    assert_close(got.logits, expected.logits)
    name = 'NoisyNetwork_0' if ours.noisy else 'Dense_0'
    dense, = hidden['intermediates'][name]['__call__']
    assert_close(got.features, np.maximum(dense, 0))


class NoisyDenseTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.layer = networks.NoisyDense(5)
    self.params = some_params(self.layer, states())
    self.leaves = {
        k: np.float64(v) for k, v in self.params['params'].items()
    }

  def weights(self, seed, params=None):
    """The kernel and the bias of one draw, read from its outputs."""
    inputs = np.concatenate([np.zeros((1, K)), np.eye(K)]).astype(np.float32)
    outputs = np.float64(self.layer.apply(
        self.params if params is None else params, inputs,
        rngs={'noise': jax.random.key(seed)},
    ))
    return outputs[1:] - outputs[0], outputs[0]

  def test_without_noise_it_is_dense(self):
    want = states() @ self.leaves['kernel_mu'] + self.leaves['bias_mu']
    assert_close(self.layer.apply(self.params, states()), want)
    # With noise of no scale, too.
    params = jax.tree.map(lambda x: x, self.params)
    for name in ('kernel_sigma', 'bias_sigma'):
      params['params'][name] = jnp.zeros_like(params['params'][name])
    got = self.layer.apply(
        params, states(), rngs={'noise': jax.random.key(0)}
    )
    assert_close(got, want)

  def test_noise_is_factorised(self):
    kernel, bias = self.weights(0)
    noise = (kernel - self.leaves['kernel_mu']) / self.leaves['kernel_sigma']
    out = (bias - self.leaves['bias_mu']) / self.leaves['bias_sigma']
    sigma = np.linalg.svd(noise, compute_uv=False)
    self.assertLess(sigma[1], 1e-3 * sigma[0])
    # The factor of the outputs is the bias's noise.
    self.assertGreater(np.abs(out).min(), 1e-3)
    into = noise @ out / (out @ out)
    assert_close(noise, np.outer(into, out), 1e-3)
    self.assertGreater(np.abs(into).min(), 1e-3)

  def test_many_draws(self):
    """Means are mu; E f(e)^2 = E|e| = sqrt(2 / pi), squared for the kernel."""
    num_draws = 4000
    outputs = jax.vmap(
        lambda key: self.layer.apply(
            self.params, np.eye(K, dtype=np.float32), rngs={'noise': key}
        )
    )(jax.random.split(jax.random.key(1), num_draws))
    drawn = np.float64(outputs)
    mu, sigma, bias_mu, bias_sigma = (
        self.leaves[x]
        for x in ('kernel_mu', 'kernel_sigma', 'bias_mu', 'bias_sigma')
    )
    second = math.sqrt(2 / math.pi)
    # The noises of kernel and bias are uncorrelated, for f(p) has mean 0.
    std = np.sqrt((sigma * second) ** 2 + bias_sigma**2 * second)
    error = np.abs(drawn.mean(0) - mu - bias_mu) / (std / num_draws**0.5)
    self.assertLess(error.max(), 5)
    np.testing.assert_allclose(drawn.std(0), std, rtol=0.1)

  def test_a_key_is_a_draw(self):
    first, again, other = self.weights(0), self.weights(0), self.weights(1)
    np.testing.assert_array_equal(first[0], again[0])
    self.assertGreater(np.abs(first[0] - other[0]).max(), 0.1)
    # One draw for all states.
    same = np.repeat(states(1), 4, axis=0)
    output = np.asarray(self.layer.apply(
        self.params, same, rngs={'noise': jax.random.key(0)}
    ))
    np.testing.assert_array_equal(output, output[[0, 0, 0, 0]])

  def test_scale_at_the_start(self):
    leaves = self.layer.init(jax.random.key(0), states())['params']
    for name in ('kernel_sigma', 'bias_sigma'):
      np.testing.assert_allclose(leaves[name], 0.5 / K**0.5, rtol=1e-6)
    for name in ('kernel_mu', 'bias_mu'):
      self.assertBetween(np.abs(leaves[name]).max(), 0.1, K**-0.5)

  def test_noise_alone_moves_sigma(self):
    def total(params, rngs):
      return jnp.sum(jnp.square(self.layer.apply(params, states(), rngs=rngs)))

    without = jax.grad(total)(self.params, None)['params']
    noisy = jax.grad(total)(self.params, {'noise': jax.random.key(0)})['params']
    for name in ('kernel_sigma', 'bias_sigma'):
      self.assertEqual(float(jnp.abs(without[name]).max()), 0)
      self.assertGreater(float(jnp.abs(noisy[name]).min()), 0)

  @parameterized.parameters(False, True)
  def test_every_dense_layer_draws_its_own(self, dueling):
    network = MLP.clone(hidden_units=(K,), noisy=True, dueling=dueling)
    params = network.init(jax.random.key(0), states())
    draws, draw = [], networks.NoisyDense._noise

    def kept(self, fan_in):
      draws.append(draw(self, fan_in)[0])
      return draw(self, fan_in)

    with mock.patch.object(networks.NoisyDense, '_noise', kept):
      network.apply(params, states(), rngs={'noise': jax.random.key(0)})
    self.assertLen(draws, 3 if dueling else 2)
    for x, y in itertools.combinations(draws, 2):
      self.assertGreater(np.abs(x - y).max(), 0.1)


if __name__ == '__main__':
  absltest.main()
