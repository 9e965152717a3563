"""Metrics against float64 brute force and hand-computed examples."""

import functools
import inspect
import math

import gin
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, metrics

_SPECTRAL = (
    metrics.srank,
    metrics.effective_rank,
    metrics.stable_rank,
    metrics.numerical_rank,
    metrics.feature_rank,
    metrics.sigma_max,
    metrics.sigma_min,
)
_OF_FEATURES = (
    *_SPECTRAL,
    metrics.dormant_fraction,
    metrics.dead_fraction,
    metrics.feature_norm,
)
_COUNTS = (metrics.srank, metrics.numerical_rank, metrics.feature_rank)


def _orthogonal(rows, columns, seed=0):
  rng = np.random.default_rng(seed)
  return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def _with_spectrum(shape, sigma):
  left = _orthogonal(shape[0], min(shape), 1)
  right = _orthogonal(shape[1], min(shape), 2)
  return left * np.asarray(sigma) @ right.T


def _gaussian(shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape)


def _dead_relu(shape):
  return np.maximum(_gaussian(shape), 0) * (np.arange(shape[1]) % 4 > 0)


def _low_rank(shape, rank=20):
  product = _gaussian((shape[0], rank)) @ _gaussian((rank, shape[1]), 1)
  return product + 1e-2 * _gaussian(shape, 2)


def _power_law(shape, power):
  return _with_spectrum(shape, np.arange(1, min(shape) + 1.0) ** -power)


def _brute_force_srank(features, delta):
  """The definition, sum by sum, on a float64 SVD."""
  sigma = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
  total = math.fsum(sigma)
  for k in range(1, len(sigma) + 1):
    if math.fsum(sigma[:k]) >= (1 - delta) * total:
      return k
  raise AssertionError('unreachable')


_MATRICES = {
    'gaussian_tall': _gaussian((256, 64)),
    'gaussian_wide': _gaussian((64, 256)),
    'gaussian_square': _gaussian((48, 48)),
    'one_row': _gaussian((1, 9)),
    'one_column': _gaussian((9, 1)),
    'relu_with_dead_units': _dead_relu((256, 64)),
    'rank_20_and_noise': _low_rank((256, 64)),
    'power_law_0.5': _power_law((256, 64), 0.5),
    'power_law_1': _power_law((256, 64), 1),
    'power_law_1.5': _power_law((256, 64), 1.5),
    'power_law_2': _power_law((256, 64), 2),
    'power_law_3': _power_law((256, 64), 3),
    'power_law_3_wide': _power_law((64, 256), 3),
    'one_hot': np.eye(64)[np.arange(256) % 37],
}
_jit_srank = jax.jit(metrics.srank, static_argnames='delta')


class SrankTest(parameterized.TestCase):

  @parameterized.product(name=list(_MATRICES), delta=(0.01, 0.05, 0.3))
  def test_is_the_definition(self, name, delta):
    features = _MATRICES[name].astype(np.float32)
    expected = _brute_force_srank(features, delta)
    self.assertEqual(metrics.srank(features, delta), expected)
    self.assertEqual(metrics.srank(features.astype(float), delta), expected)
    if delta == 0.01:
      self.assertEqual(_jit_srank(features), expected)

  @parameterized.parameters(
      ('k^-0.5', 503), ('k^-1', 479), ('k^-1.5', 310), ('k^-2', 54), ('k^-3', 6)
  )
  def test_given_power_law(self, power, expected):
    sigma = np.arange(1, 513.0) ** float(power.removeprefix('k^'))
    actual = metrics.srank(None, singular_values=sigma)
    self.assertEqual(actual, expected)

  def test_at_full_size(self):
    features = _power_law((2048, 512), 2).astype(np.float32)
    expected = _brute_force_srank(features, 0.01)
    self.assertEqual(expected, 54)
    self.assertEqual(metrics.srank(features), expected)
    self.assertEqual(_jit_srank(features), expected)

  @parameterized.named_parameters(
      ('identity', np.eye(100), 99),
      ('scaled', 0.1 * np.eye(100), 99),
      ('orthogonal', _orthogonal(100, 100), 99),
      ('larger', np.eye(300), 297),
      ('tall', np.eye(307, 300), 297),
      ('tall_orthogonal', 7 * _orthogonal(307, 300), 297),
  )
  def test_equal_singular_values_are_tied(self, features, expected):
    features = features.astype(np.float32)
    self.assertEqual(metrics.srank(features), expected)
    self.assertEqual(metrics.srank(features.tolist()), expected)
    self.assertEqual(_jit_srank(features), expected)

  @parameterized.parameters(
      # 99 of 100, and 9 of 10, are there exactly.
      ((99, 1), 0.01, 1),
      ((5, 4, 1), 0.1, 2),
      ((50, 30, 10, 9, 1), 0.01, 4),
      ((50, 30, 10, 9, 1), 0.1, 3),
      # Missed by 1e-4 of the total.
      ((98.99, 1.01), 0.01, 2),
      ((4.9995, 4, 1.0005), 0.1, 3),
      # One is the least for features that are not zero.
      ((1, 1e-3), 0.999, 1),
  )
  def test_threshold(self, sigma, delta, expected):
    padded = np.pad(np.asarray(sigma, np.float64), (0, 5 - len(sigma)))
    rotated = _with_spectrum((8, 5), padded)
    for matrix in (np.diag(sigma), rotated, rotated.T, 1e4 * rotated):
      actual = metrics.srank(matrix.astype(np.float32), delta)
      self.assertEqual(actual, expected)
    for scale in (1, 1e-4, 1e4):
      features = (scale * rotated).astype(np.float32)
      self.assertEqual(_jit_srank(features, delta=delta), expected)

  @parameterized.parameters(((3, 2, 1), 3), ((3, 2, 0), 2), ((3, 0, 0), 1))
  def test_nothing_may_be_missing(self, sigma, expected):
    self.assertEqual(metrics.srank(np.diag(sigma), 0.0), expected)

  @parameterized.parameters((8, 5), (5, 8), (1, 9))
  def test_zero_features(self, *shape):
    features = np.zeros(shape, np.float32)
    self.assertEqual(metrics.srank(features), 0)
    self.assertEqual(_jit_srank(features), 0)

  def test_order_of_given_singular_values_does_not_matter(self):
    sigma = np.array([1.0, 90.0, 9.0])
    self.assertEqual(metrics.srank(None, 0.05, singular_values=sigma), 2)

  @parameterized.parameters(-0.1, 1.0, 2.0, float('nan'))
  def test_delta_out_of_range(self, delta):
    for function in (metrics.srank, metrics.srank_eigenvalues):
      with self.assertRaisesRegex(errors.UserError, 'delta is'):
        function(np.eye(3), delta)


class SrankEigenvaluesTest(parameterized.TestCase):

  def test_by_hand(self):
    # Complex pair of modulus 5, and -90: |lambda| = 90, 5, 5.
    matrix = np.zeros((3, 3))
    matrix[:2, :2] = [[3, 4], [-4, 3]]
    matrix[2, 2] = -90
    for delta, expected in ((0.2, 1), (0.05, 2), (0.04, 3)):
      metric = functools.partial(metrics.srank_eigenvalues, delta=delta)
      self.assertEqual(metric(matrix), expected)
      self.assertEqual(jax.jit(metric)(matrix.astype(np.float32)), expected)

  def test_is_srank_for_symmetric_matrices(self):
    rotation = _orthogonal(30, 30)
    matrix = rotation * np.linspace(-3, 1, 30) ** 3 @ rotation.T
    self.assertEqual(
        metrics.srank_eigenvalues(matrix), _brute_force_srank(matrix, 0.01)
    )

  def test_is_not_srank_for_others(self):
    matrix = np.array([[1.0, 1e6], [0.0, 1.0]])
    self.assertEqual(metrics.srank_eigenvalues(matrix), 2)
    self.assertEqual(metrics.srank(matrix), 1)

  def test_identity_and_zero(self):
    self.assertEqual(metrics.srank_eigenvalues(np.eye(100)), 99)
    self.assertEqual(metrics.srank_eigenvalues(np.zeros((4, 4))), 0)

  def test_bad_matrices(self):
    with self.assertRaisesRegex(errors.UserError, r'square .*\[3, 2\]'):
      metrics.srank_eigenvalues(np.ones((3, 2)))
    with self.assertRaisesRegex(errors.UserError, '1 of the 4 .* the matrix'):
      metrics.srank_eigenvalues([[1, 2], [3, np.inf]])


class SrankLambdaTest(parameterized.TestCase):

  def test_is_that_of_the_first_d_rows(self):
    features = _gaussian((30, 8))
    eigenvalues = np.abs(np.linalg.eigvals(features[:8].astype(np.float64)))
    share = np.cumsum(np.sort(eigenvalues)[::-1]) / eigenvalues.sum()
    for delta in (0.01, 0.3):
      self.assertEqual(
          metrics.srank_lambda(features, delta),
          int(np.argmax(share >= 1 - delta)) + 1,
      )

  def test_too_few_rows(self):
    with self.assertRaisesRegex(errors.UserError, 'at least d = 8 rows'):
      metrics.srank_lambda(_gaussian((7, 8)))

  def test_singular_values_by_index(self):
    features = _with_spectrum((6, 4), [8.0, 4.0, 2.0, 1.0])
    for index, expected in ((1, 8), (2, 4), (4, 1), (5, 0)):
      self.assertAlmostEqual(
          metrics.singular_value(features, index), expected, places=5
      )
    with self.assertRaisesRegex(errors.UserError, 'singular_value.index is 0'):
      metrics.singular_value(features, 0)


class SingularValuesTest(parameterized.TestCase):

  @parameterized.parameters(*_MATRICES)
  def test_matches_float64_svd(self, name):
    features = _MATRICES[name].astype(np.float32)
    exact = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    host = metrics.singular_values(features)
    self.assertEqual(host.dtype, np.float64)
    np.testing.assert_allclose(host, exact, rtol=0, atol=1e-7 * exact[0])
    np.testing.assert_allclose(
        metrics.singular_values(features.astype(np.float64)),
        exact,
        rtol=0,
        atol=1e-13 * exact[0],
    )
    traced = jax.jit(metrics.singular_values)(features)
    np.testing.assert_allclose(traced, exact, rtol=0, atol=3e-6 * exact[0])


class KinTest(parameterized.TestCase):

  @parameterized.named_parameters(
      # sigma = 2, 1, 1: p = 1/2, 1/4, 1/4; entropy 3/2 log 2.
      ('effective_rank', metrics.effective_rank, {}, 2**1.5),
      # (4 + 1 + 1) / 4.
      ('stable_rank', metrics.stable_rank, {}, 1.5),
      ('numerical_rank', metrics.numerical_rank, {}, 3),
      ('with_tolerance', metrics.numerical_rank, {'tolerance': 0.6}, 1),
      # sigma / sqrt(4) = 1, 1/2, 1/2.
      ('feature_rank', metrics.feature_rank, {}, 3),
      ('with_epsilon', metrics.feature_rank, {'epsilon': 0.7}, 1),
      ('sigma_max', metrics.sigma_max, {}, 2.0),
      ('sigma_min', metrics.sigma_min, {}, 1.0),
      ('srank', metrics.srank, {'delta': 0.25}, 2),
      # Rows 2, 1, 1, 0.
      ('feature_norm', metrics.feature_norm, {}, 1.0),
      # Means 1/2, 1/4, 1/4, of mean 1/3: 1.5, 0.75, 0.75.
      ('dormant_fraction', metrics.dormant_fraction, {}, 0.0),
      ('with_tau', metrics.dormant_fraction, {'tau': 0.8}, 2 / 3),
      ('with_tau_of_all', metrics.dormant_fraction, {'tau': 1.5}, 1.0),
      ('dead_fraction', metrics.dead_fraction, {}, 0.0),
  )
  def test_by_hand(self, metric, options, expected):
    features = np.array(
        [[0, 1, 0], [2, 0, 0], [0, 0, -1], [0, 0, 0]], np.float32
    )
    actual = metric(features, **options)
    self.assertIsInstance(actual, type(expected))
    self.assertAlmostEqual(actual, expected, places=6)
    traced = jax.jit(functools.partial(metric, **options))(features)
    self.assertAlmostEqual(float(traced), expected, places=6)

  def test_numerical_rank_at_its_tolerance(self):
    # max(N, d) = 8: the limit is 8 * 2^-23 = 2^-20.
    for last, expected in ((2.0**-19, 2), (2.0**-20, 1), (0.0, 1)):
      features = np.zeros((8, 2))
      features[0, 0], features[1, 1] = 1, last
      self.assertEqual(metrics.numerical_rank(features), expected)
    self.assertEqual(metrics.numerical_rank(np.zeros((8, 2))), 0)

  def test_feature_rank_depends_on_the_scale(self):
    # All singular values of Phi / sqrt(N) are 0.02, then 0.005.
    features = 0.02 * np.sqrt(50) * _orthogonal(50, 6)
    self.assertEqual(metrics.feature_rank(features), 6)
    self.assertEqual(metrics.feature_rank(features / 4), 0)

  def test_dormant_and_dead_units(self):
    # Means 1, 1, 0.02, 0 of mean 0.505: the third scores 0.0396.
    features = np.array([[2, -1, 0.04, 0], [0, 1, 0.0, 0]], np.float32)
    for tau, expected in ((0.025, 0.25), (0.039, 0.25), (0.04, 0.5)):
      self.assertEqual(metrics.dormant_fraction(features, tau), expected)
    self.assertEqual(metrics.dead_fraction(features), 0.25)
    with self.assertRaisesRegex(errors.UserError, 'tau is -1'):
      metrics.dormant_fraction(features, -1)

  @parameterized.parameters(
      (metrics.effective_rank, 0),
      (metrics.stable_rank, 0),
      (metrics.numerical_rank, 0),
      (metrics.feature_rank, 0),
      (metrics.sigma_max, 0),
      (metrics.sigma_min, 0),
      (metrics.dormant_fraction, 1),
      (metrics.dead_fraction, 1),
      (metrics.feature_norm, 0),
  )
  def test_zero_features(self, metric, expected):
    features = np.zeros((5, 3), np.float32)
    self.assertEqual(metric(features), expected)
    self.assertEqual(jax.jit(metric)(features), expected)

  def test_equal_singular_values(self):
    features = 3 * _orthogonal(40, 12)
    self.assertAlmostEqual(metrics.effective_rank(features), 12, places=9)
    self.assertAlmostEqual(metrics.stable_rank(features), 12, places=9)

  def test_smallest_of_a_wide_matrix_is_not_zero(self):
    features = _with_spectrum((3, 50), (4, 2, 0.5))
    self.assertAlmostEqual(metrics.sigma_min(features), 0.5, places=9)

  def test_q_values(self):
    q_values = np.array([[1.0, -4.0], [2.0, 3.0]], np.float32)
    for wrap in (lambda f: f, jax.jit):
      self.assertEqual(wrap(metrics.mean_q_value)(q_values), 0.5)
      self.assertEqual(wrap(metrics.max_abs_q_value)(q_values), 4.0)

  def test_parameter_norm(self):
    parameters = {'a': {'kernel': jnp.full((2, 2), 2.0)}, 'b': jnp.array(3.0)}
    self.assertEqual(metrics.parameter_norm(parameters), 5.0)
    self.assertEqual(jax.jit(metrics.parameter_norm)(parameters), 5.0)
    self.assertEqual(metrics.parameter_norm({}), 0.0)


class ExecutionTest(parameterized.TestCase):

  @parameterized.parameters(*_OF_FEATURES)
  def test_vmap_over_seeds(self, metric):
    seeds = np.stack([
        _gaussian((24, 8)), _power_law((24, 8), 2), _dead_relu((24, 8))
    ]).astype(np.float32)
    expected = [metric(features) for features in seeds]
    actual = jax.jit(jax.vmap(metric))(seeds)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)

  @parameterized.parameters(*_SPECTRAL)
  def test_given_singular_values(self, metric):
    features = _gaussian((24, 8)).astype(np.float32)
    given = metrics.singular_values(features)
    expected = metric(features)
    self.assertEqual(metric(features, singular_values=given), expected)
    # They are used: twice as large ones give another answer, or are counted.
    if metric in (metrics.sigma_max, metrics.sigma_min):
      doubled = metric(None, singular_values=2 * given)
      self.assertAlmostEqual(doubled, 2 * expected, places=9)

  @parameterized.parameters(*_OF_FEATURES)
  def test_host_numbers_are_of_python(self, metric):
    for features in (np.eye(3, 2), jnp.eye(3, 2), np.eye(3, 2).tolist()):
      self.assertIn(type(metric(features)), (int, float))
    half = jnp.asarray(_gaussian((24, 8)), jnp.bfloat16)
    exact = metric(np.asarray(half, np.float64))
    self.assertAlmostEqual(metric(half), exact, places=5)

  @parameterized.parameters(*_OF_FEATURES, metrics.singular_values)
  def test_not_finite(self, metric):
    features = np.ones((4, 3), np.float32)
    features[0, 0], features[2, 1] = np.nan, np.inf
    with self.assertRaisesRegex(errors.UserError, '2 of the 12 entries'):
      metric(features)
    for bad in (features, np.where(np.isnan(features), 0, features)):
      traced = np.asarray(jax.jit(metric)(bad))
      if metric in _COUNTS:
        self.assertEqual(traced, -1)
      else:
        self.assertFalse(np.any(np.isfinite(traced)))

  @parameterized.product(
      metric=(
          *_OF_FEATURES,
          metrics.singular_values,
          metrics.srank_eigenvalues,
          metrics.mean_q_value,
      ),
      shape=((5,), (2, 3, 4), (0, 3), (3, 0)),
  )
  def test_not_a_matrix(self, metric, shape):
    message = rf'\[{", ".join(map(str, shape))}\].*\[N, d\]'
    for function in (metric, jax.jit(metric)):
      with self.assertRaisesRegex(errors.UserError, message):
        function(np.zeros(shape, np.float32))

  def test_bad_singular_values(self):
    for given in (np.eye(2), [], [1.0, np.nan]):
      with self.assertRaisesRegex(errors.UserError, 'non-empty vector'):
        metrics.srank(None, singular_values=given)

  def test_shape_is_needed(self):
    for metric in (metrics.numerical_rank, metrics.feature_rank):
      with self.assertRaisesRegex(errors.UserError, 'for their shape'):
        metric(None, singular_values=[1.0])
    actual = metrics.numerical_rank(None, 0.1, singular_values=[1.0, 0.01])
    self.assertEqual(actual, 1)

  def test_gin_configures_references_only(self):
    self.addCleanup(gin.clear_config)
    gin.parse_config('half/srank.delta = 0.5')
    with gin.config_scope('half'):
      configured = gin.get_configurable('srank')
    features = np.eye(100)
    self.assertEqual(metrics.srank(features), 99)
    with gin.config_scope('half'):
      self.assertEqual(configured(features), 50)
    names = list(inspect.signature(configured).parameters)
    self.assertEqual(names, ['features', 'delta', 'singular_values'])


if __name__ == '__main__':
  absltest.main()
