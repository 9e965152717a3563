"""Deep linear networks: products, gradients, balanced starts."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from scipy import linalg

from implicit_underparam import errors
from implicit_underparam.theory import (
  deep_linear,
  feature_growth,
  linear_instances,
)


def draw(shapes, seed=0):
  rng = np.random.default_rng(seed)
  return tuple(rng.standard_normal(shape) for shape in shapes)


class GradientTest(parameterized.TestCase):
  """Layers of different widths, against jax on the loss as it is written."""

  @parameterized.parameters(
      ([(4, 3), (5, 4), (1, 5)],),
      ([(2, 6), (3, 2), (4, 3), (1, 4)],),
      ([(3, 3), (3, 3), (3, 3), (3, 3), (1, 3)],),
  )
  def test_is_that_of_jax(self, shapes):
    weights = draw(shapes)
    inputs, targets = draw([(7, shapes[0][1]), (7,)], 1)

    def loss(layers):
      hidden = inputs.T
      for w in layers:
        hidden = w @ hidden
      return jnp.sum((hidden[0] - targets) ** 2)

    jax.config.update('jax_enable_x64', True)
    self.addCleanup(jax.config.update, 'jax_enable_x64', False)
    value, wanted = jax.value_and_grad(loss)(list(map(jnp.array, weights)))
    wanted = [np.asarray(x) for x in wanted]
    problem = deep_linear.moments(inputs, targets)
    found = deep_linear.gradients(weights, problem)
    for one, other in zip(found, wanted, strict=True):
      np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-10)
    self.assertAlmostEqual(
        deep_linear.loss(weights, problem) + targets @ targets,
        float(value), places=8,
    )  # fmt: skip
    stepped = deep_linear.step(weights, problem, 0.1)
    for w, one, gradient in zip(weights, stepped, wanted, strict=True):
      np.testing.assert_allclose(one, w - 0.1 * gradient, rtol=1e-11, atol=1e-9)

  def test_products_are_taken_in_the_order_of_the_layers(self):
    weights = draw([(4, 3), (5, 4), (1, 5)])
    first, second, last = weights
    np.testing.assert_allclose(
        deep_linear.features_matrix(weights), second @ first
    )
    np.testing.assert_allclose(
        deep_linear.end_to_end(weights), (last @ second @ first)[0]
    )

  def test_the_features_move_as_their_difference_says(self):
    weights = draw([(4, 3), (5, 4), (5, 5), (1, 5)])
    problem = deep_linear.moments(*draw([(7, 3), (7,)], 1))
    before, after = (
        deep_linear.features_matrix(
            deep_linear.step(weights, problem, sign * 1e-7)
        )
        for sign in (-1, 1)
    )
    velocity = deep_linear.features_velocity(weights, problem)
    np.testing.assert_allclose(
        velocity, (after - before) / 2e-7, rtol=1e-5,
        atol=1e-5 * np.abs(velocity).max(),
    )  # fmt: skip


class MomentsTest(parameterized.TestCase):

  @parameterized.parameters((9, 4), (3, 5))
  def test_the_solution_is_that_of_least_squares(self, rows, columns):
    inputs, targets = draw([(rows, columns), (rows,)])
    np.testing.assert_allclose(
        deep_linear.moments(inputs, targets).solution(),
        np.linalg.lstsq(inputs, targets, rcond=None)[0],
        atol=1e-10,
    )

  @parameterized.parameters(
      (np.ones((3, 2)), np.ones(2), r'shape \(3, 2\) and targets \(2,\)'),
      (np.ones(3), np.ones(3), 'give'),
      (np.ones((0, 2)), np.ones(0), 'at least 1'),
      (np.full((3, 2), np.nan), np.ones(3), 'NaN'),
      (np.ones((3, 2)), np.array([1, np.inf, 1]), 'infinity'),
  )
  def test_bad_data_are_refused(self, inputs, targets, message):
    with self.assertRaisesRegex(errors.UserError, message):
      deep_linear.moments(inputs, targets)


class BalancedTest(parameterized.TestCase):

  @parameterized.parameters(
      ((5, 3), []), ((5, 3), [4]), ((3, 5), [3, 7]), ((4, 4), [4, 6, 5])
  )
  def test_splits_into_balanced_layers(self, shape, hidden):
    features, last = draw([shape, shape[:1]])
    weights = deep_linear.balanced(
        features, last, hidden, np.random.default_rng(1)
    )
    self.assertLen(weights, len(hidden) + 2)
    np.testing.assert_allclose(
        deep_linear.features_matrix(weights), features, atol=1e-12
    )
    np.testing.assert_array_equal(weights[-1], last[None])
    for below, above in zip(weights[:-1], weights[1:-1], strict=False):
      np.testing.assert_allclose(above.T @ above, below @ below.T, atol=1e-12)
    self.assertLess(deep_linear.relative_imbalance(weights), 1e-14)

  def test_a_network_that_is_not_balanced_is_seen(self):
    weights = (np.eye(2), 2 * np.eye(2), np.ones((1, 2)))
    # W_2^T W_2 - W_1 W_1^T = 3 I, and |W_1|^2 = 2.
    self.assertAlmostEqual(
        deep_linear.relative_imbalance(weights), 3 * np.sqrt(2) / 2
    )

  def test_a_rank_deficient_matrix_goes_through_narrow_layers(self):
    features = np.outer([1.0, 2, 3], [1, -1])
    weights = deep_linear.balanced(
        features, np.ones(3), [1, 2], np.random.default_rng(0)
    )
    self.assertEqual(weights[0].shape, (1, 2))
    np.testing.assert_allclose(
        deep_linear.features_matrix(weights), features, atol=1e-12
    )

  def test_a_layer_that_is_too_narrow_is_refused(self):
    with self.assertRaisesRegex(errors.UserError, 'width 2 .* rank 3'):
      deep_linear.balanced(
          np.eye(3), np.ones(3), [2], np.random.default_rng(0)
      )

  def test_a_last_layer_of_another_width_is_refused(self):
    with self.assertRaisesRegex(errors.UserError, r'\(3, 3\) and W_N \(2,\)'):
      deep_linear.balanced(
          np.eye(3), np.ones(2), [3], np.random.default_rng(0)
      )


class LemmaD02Test(parameterized.TestCase):
  """W_phi' from W_phi and W_N alone, at a balanced start."""

  @parameterized.parameters((3, (5, 3)), (4, (3, 5)), (5, (4, 4)))
  def test_the_corrected_exponents_hold_and_the_printed_do_not(
      self, num_layers, shape
  ):
    weights, problem = self.balanced_problem(num_layers, shape)
    velocity = deep_linear.features_velocity(weights, problem)
    np.testing.assert_allclose(
        feature_growth.predicted_velocity(weights, problem), velocity,
        atol=1e-9 * np.abs(velocity).max(),
    )  # fmt: skip
    printed = feature_growth.predicted_velocity(weights, problem, printed=True)
    self.assertGreater(
        feature_growth.relative_distance(velocity, printed), 0.1
    )

  @parameterized.parameters((3, (5, 3)), (4, (3, 5)))
  def test_the_printed_form_is_that_with_another_power(self, layers, shape):
    # Powers by eigendecomposition, where the package takes the SVD of W_phi.
    weights, problem = self.balanced_problem(layers, shape)
    phi = deep_linear.features_matrix(weights)
    gradient = feature_growth.feature_gradient(weights, problem)
    wanted = -sum(
        linalg.fractional_matrix_power(phi @ phi.T, (layers - j) / (layers - 1))
        @ gradient
        @ linalg.fractional_matrix_power(phi.T @ phi, (j - 1) / (layers - 1))
        for j in range(1, layers)
    )
    np.testing.assert_allclose(
        feature_growth.predicted_velocity(weights, problem, printed=True),
        np.real(wanted), rtol=1e-5, atol=1e-5 * np.abs(wanted).max(),
    )  # fmt: skip

  def test_smallest_counter_example_to_the_printed_exponents(self):
    # One unit a layer, N = 3, W_1 = W_2 = a: W_phi' = -2 a^2 g W_3, where the
    # printed sum is -2 a^4 g W_3. They agree at a = 1 only.
    weights = (np.full((1, 1), 2.0), np.full((1, 1), 2.0), np.ones((1, 1)))
    problem = deep_linear.Moments(np.eye(1), np.zeros(1))  # g = 2 w = 8.
    for printed, wanted in ((False, -64), (True, -256)):
      self.assertAlmostEqual(
          feature_growth.predicted_velocity(weights, problem, printed)[0, 0],
          wanted,
      )
    self.assertAlmostEqual(
        deep_linear.features_velocity(weights, problem)[0, 0], -64
    )

  def balanced_problem(self, num_layers, shape):
    features, last, inputs, targets = draw(
        [shape, shape[:1], (9, shape[1]), (9,)], num_layers
    )
    hidden = [5] * (num_layers - 2)
    weights = deep_linear.balanced(
        features, last, hidden, np.random.default_rng(1)
    )
    return weights, deep_linear.moments(inputs, targets)


class InstanceTest(parameterized.TestCase):

  def test_the_backup_stays_in_the_span_of_the_inputs(self):
    instance = linear_instances.LinearInstance(num_pairs=30)
    mdp = instance.mdp(np.random.default_rng(0))
    np.testing.assert_allclose(mdp.transition.sum(axis=1), 1)
    self.assertGreaterEqual(mdp.transition.min(), 0)
    w = np.random.default_rng(1).standard_normal(8)
    targets = mdp.targets(w, 0.9)
    np.testing.assert_allclose(
        targets,
        mdp.reward + 0.9 * mdp.transition @ (mdp.inputs @ w),
    )
    fitted = mdp.inputs @ mdp.problem(targets).solution()
    np.testing.assert_allclose(fitted, targets, atol=1e-11)

  @parameterized.parameters(None, 3.0)
  def test_the_network_has_the_layers_and_scale_asked_for(self, decades):
    instance = linear_instances.LinearInstance(
        num_layers=4, width=30, input_size=20, num_pairs=20, feature_scale=2.0,
        decades=decades,
    )  # fmt: skip
    weights = instance.network(np.random.default_rng(0))
    self.assertEqual(
        [x.shape for x in weights], [(30, 20), (30, 30), (30, 30), (1, 30)]
    )
    sigma = np.linalg.svd(
        deep_linear.features_matrix(weights), compute_uv=False
    )
    if decades is None:
      # |W_phi|_F^2 has the expectation feature_scale^2 p.
      self.assertBetween(np.sum(sigma**2), 0.8 * 80, 1.2 * 80)
    else:
      self.assertLess(sigma[0], 2)
      self.assertGreater(sigma[-1], 2e-3)

  @parameterized.parameters(
      ('num_layers', 2), ('width', 7), ('num_pairs', 7), ('input_size', 1),
      ('feature_scale', 0.0), ('last_scale', -1.0), ('concentration', np.inf),
      ('decades', 0.0), ('decades', 'a'), ('num_layers', 3.5),
  )  # fmt: skip
  def test_bad_options_are_refused(self, name, value):
    with self.assertRaisesRegex(errors.UserError, f'LinearInstance.{name} is'):
      linear_instances.LinearInstance(**{name: value})


if __name__ == '__main__':
  absltest.main()
