"""Penalties against float64 singular value decompositions."""

import gin
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, penalties

_SHAPES = ((32, 512), (128, 64), (64, 64), (20, 7), (7, 20), (1, 5), (5, 1))

_value_and_grad = jax.jit(jax.value_and_grad(penalties.singular_value_penalty))


def _with_spectrum(shape, sigma, seed=0):
  rng = np.random.default_rng(seed)
  left, _ = np.linalg.qr(rng.standard_normal((shape[0], min(shape))))
  right, _ = np.linalg.qr(rng.standard_normal((shape[1], min(shape))))
  return left * np.asarray(sigma) @ right.T


def _gaussian(shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape)


def _features(kind, shape):
  index = np.arange(1, min(shape) + 1)
  if kind == 'gaussian':
    return _gaussian(shape)
  if kind == 'relu':
    return np.maximum(_gaussian(shape, 1), 0)
  if kind == 'power_law':
    return _with_spectrum(shape, index**-3.0)
  # Low rank and a floor of noise, the smallest singular value set apart.
  sigma = np.where(index <= 5, 1.0, 0.02)
  sigma[0], sigma[-1] = 2.0, 0.01
  return _with_spectrum(shape, sigma)


def _exact(features):
  """Value and gradient in float64, and the singular values."""
  u, sigma, vt = np.linalg.svd(np.asarray(features, np.float64), False)
  gradient = sigma[0] * np.outer(u[:, 0], vt[0])
  gradient -= sigma[-1] * np.outer(u[:, -1], vt[-1])
  return sigma[0] ** 2 - sigma[-1] ** 2, 2 * gradient, sigma


def _relative_error(actual, expected):
  error = np.linalg.norm(np.asarray(actual, np.float64) - expected)
  return error / max(np.linalg.norm(expected), 1e-30)


class SingularValuePenaltyTest(parameterized.TestCase):

  @parameterized.product(
      shape=_SHAPES,
      kind=('gaussian', 'relu', 'power_law', 'low_rank'),
      scale=(1e-4, 1.0, 1e4),
  )
  def test_matches_float64(self, shape, kind, scale):
    features = np.asarray(scale * _features(kind, shape), np.float32)
    value, gradient = _value_and_grad(features)
    expected, expected_gradient, sigma = _exact(features)
    self.assertLess(abs(value - expected), 2e-6 * sigma[0] ** 2)
    if min(shape) == 1:
      np.testing.assert_array_equal(gradient, np.zeros(shape))
      return
    # Singular values below 1e-3 sigma_1 are one to a float32 Gram matrix.
    resolved = sigma[-2] ** 2 - sigma[-1] ** 2 > 1e-6 * sigma[0] ** 2
    tolerance = 1e-4 if resolved else 5e-4
    self.assertLess(_relative_error(gradient, expected_gradient), tolerance)

  @parameterized.parameters((3, 9), (9, 3), (40, 64))
  def test_both_methods_find_the_same_vectors(self, *shape):
    features = _gaussian(shape, 2).astype(np.float32)
    if shape[0] < shape[1]:
      features = features.T
    gram = jnp.matmul(features.T, features, precision='highest')
    _, columns = np.linalg.eigh(np.asarray(gram, np.float64))
    expected = columns[:, [-1, 0]].T
    for method in (
        penalties._eigenvectors_dense,
        penalties._eigenvectors_tridiagonal,
    ):
      vectors = np.asarray(jax.jit(method)(gram), np.float64)
      cosines = np.abs(np.sum(vectors * expected, axis=1))
      np.testing.assert_allclose(cosines, 1, atol=2e-6)

  @parameterized.parameters(2, 130)
  def test_sizes_of_the_dense_method(self, n):
    features = _gaussian((n + 40, n), 3).astype(np.float32)
    _, gradient = _value_and_grad(features)
    self.assertLess(_relative_error(gradient, _exact(features)[1]), 1e-4)

  @parameterized.named_parameters(
      ('zeros', np.zeros((128, 64))),
      ('identity', np.eye(64)),
      ('tall_identity', np.eye(128, 64)),
      ('orthogonal', _with_spectrum((128, 64), np.ones(64))),
      ('all_equal', np.ones((128, 64))),
      ('one_row_repeated', np.repeat(_gaussian((1, 64)), 128, axis=0)),
      ('rows_twice', np.repeat(_gaussian((16, 512)), 2, axis=0)),
      ('dead_units', _gaussian((128, 64)) * (np.arange(64) % 3 > 0)),
      ('dead_rows', _gaussian((7, 20)) * (np.arange(7) > 2)[:, None]),
      ('one_hot', np.eye(64)[np.arange(128) % 60]),
      ('diagonal', np.diag(np.arange(1.0, 65.0))),
      ('largest_twice', _with_spectrum((20, 7), [3, 3, 2, 1, 1, 1, 1])),
      ('one_row', _gaussian((1, 5))),
      ('one_entry', np.full((1, 1), 2.0)),
      ('tiny', 1e-15 * _gaussian((128, 64))),
      ('huge', 1e15 * _gaussian((128, 64))),
  )
  def test_degenerate(self, features):
    features = np.asarray(features, np.float32)
    value, gradient = _value_and_grad(features)
    expected, _, sigma = _exact(features)
    self.assertLessEqual(abs(value - expected), 2e-6 * sigma[0] ** 2)
    self.assertTrue(np.all(np.isfinite(gradient)))
    # A subgradient is no longer than 2 (sigma_1^2 + sigma_n^2)^(1/2).
    bound = 2 * np.hypot(sigma[0], sigma[-1])
    norm = np.linalg.norm(np.asarray(gradient, np.float64))
    self.assertLessEqual(norm, bound * 1.001)

  def test_dead_unit_leaves_the_gradient_of_sigma_max(self):
    features = _gaussian((128, 64)).astype(np.float32)
    features[:, 3] = 0
    _, gradient = _value_and_grad(features)
    u, sigma, vt = np.linalg.svd(features.astype(np.float64), False)
    expected = 2 * sigma[0] * np.outer(u[:, 0], vt[0])
    self.assertLess(_relative_error(gradient, expected), 1e-5)
    np.testing.assert_allclose(gradient[:, 3], 0, atol=1e-4)

  @parameterized.parameters((20, 7), (7, 20), (128, 64))
  def test_directional_derivative(self, *shape):
    features = _gaussian(shape, 4)
    direction = _gaussian(shape, 5) / np.sqrt(np.prod(shape))
    step = 1e-4
    forward = _exact(features + step * direction)[0]
    backward = _exact(features - step * direction)[0]
    _, gradient = _value_and_grad(features.astype(np.float32))
    np.testing.assert_allclose(
        np.sum(np.asarray(gradient) * direction),
        (forward - backward) / (2 * step),
        rtol=1e-3,
    )

  def test_a_step_down_the_gradient_shrinks_the_gap(self):
    features = _gaussian((20, 7), 6).astype(np.float32)
    value, gradient = _value_and_grad(features)
    smaller, _ = _value_and_grad(features - 1e-3 * gradient)
    expected = value - 1e-3 * np.sum(np.square(gradient))
    np.testing.assert_allclose(smaller, expected, rtol=1e-3)

  def test_scan_over_steps_of_vmapped_seeds(self):
    steps = np.stack([_gaussian((3, 20, 7), k) for k in range(2)])
    steps = steps.astype(np.float32)
    gradient = jax.grad(jax.checkpoint(penalties.singular_value_penalty))
    body = lambda carry, x: (carry, jax.vmap(gradient)(x))
    _, actual = jax.jit(lambda x: jax.lax.scan(body, 0, x))(steps)
    for step in range(2):
      for seed in range(3):
        expected = _exact(steps[step, seed])[1]
        error = _relative_error(actual[step, seed], expected)
        self.assertLess(error, 1e-5)

  def test_chain_rule(self):
    weights, inputs = _gaussian((6, 7), 7), _gaussian((20, 6), 8)

    def loss(w):
      hidden = jnp.asarray(inputs, jnp.float32) @ w
      return 0.1 * penalties.singular_value_penalty(hidden[:, :5]) ** 2

    actual = jax.jit(jax.grad(loss))(weights.astype(np.float32))
    value, gradient, _ = _exact(inputs @ weights[:, :5])
    expected = np.zeros((6, 7))
    expected[:, :5] = 0.2 * value * inputs.T @ gradient
    self.assertLess(_relative_error(actual, expected), 1e-4)

  def test_bfloat16_is_computed_in_float32(self):
    features = jnp.asarray(_gaussian((20, 7)), jnp.bfloat16)
    value = jax.jit(penalties.singular_value_penalty)(features)
    self.assertEqual(value.dtype, jnp.float32)
    np.testing.assert_allclose(value, _exact(features)[0], rtol=1e-5)

  def test_nan_is_passed_on(self):
    features = np.full((20, 7), np.nan, np.float32)
    self.assertTrue(np.isnan(_value_and_grad(features)[0]))


class FeatureNormPenaltyTest(absltest.TestCase):

  def test_by_hand(self):
    features = jnp.array([[3.0, 4.0], [0.0, 1.0]])
    value, gradient = jax.value_and_grad(penalties.feature_norm_penalty)(
        features
    )
    self.assertAlmostEqual(float(value), 13.0)
    np.testing.assert_allclose(gradient, features)


class WeightedSumTest(absltest.TestCase):

  def test_by_hand(self):
    penalty = penalties.weighted_sum(
        (penalties.feature_norm_penalty, penalties.singular_value_penalty),
        (2.0, 0.5),
    )
    features = jnp.diag(jnp.array([3.0, 2.0, 1.0]))
    value, gradient = jax.jit(jax.value_and_grad(penalty))(features)
    # 2 (9 + 4 + 1) / 3 + (9 - 1) / 2.
    self.assertAlmostEqual(float(value), 28 / 3 + 4, places=5)
    expected = np.diag([4 + 3, 8 / 3, 4 / 3 - 1])
    np.testing.assert_allclose(gradient, expected, atol=1e-5)

  def test_needs_a_weight_each(self):
    one = (penalties.feature_norm_penalty,)
    with self.assertRaisesRegex(errors.UserError, '1 penalties and 2 weights'):
      penalties.weighted_sum(one, (1.0, 2.0))
    with self.assertRaisesRegex(errors.UserError, '0 penalties'):
      penalties.weighted_sum((), ())

  def test_from_gin(self):
    self.addCleanup(gin.clear_config)
    gin.parse_config("""
        weighted_sum.penalties = (@feature_norm_penalty,)
        weighted_sum.weights = (3.0,)
    """)
    penalty = gin.get_configurable(penalties.weighted_sum)()
    self.assertAlmostEqual(float(penalty(jnp.ones((2, 2)))), 6.0)


class InputTest(parameterized.TestCase):

  @parameterized.product(
      penalty=(
          penalties.singular_value_penalty,
          penalties.feature_norm_penalty,
      ),
      shape=((5,), (2, 3, 4), (0, 3), (3, 0), ()),
  )
  def test_not_a_matrix(self, penalty, shape):
    message = rf'{penalty.__name__} got .*\[{", ".join(map(str, shape))}\]'
    for function in (penalty, jax.jit(penalty)):
      with self.assertRaisesRegex(errors.UserError, message):
        function(jnp.zeros(shape))


if __name__ == '__main__':
  absltest.main()
