"""Gradient descent as the flow, and what the flow keeps and changes."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import integrate

from implicit_underparam import errors, metrics
from implicit_underparam.theory import (
  deep_linear,
  feature_growth,
  linear_instances,
)
from implicit_underparam.theory.gradient_flow import GradientFlow, local_error


def draw(num_layers=3, seed=0, **options):
  """A balanced network of 5 units and 4 inputs, and a target of its MDP."""
  rng = np.random.default_rng(seed)
  instance = linear_instances.LinearInstance(
      num_layers=num_layers, width=5, input_size=4, num_pairs=8, **options
  )
  mdp = instance.mdp(rng)
  weights = instance.network(rng)
  return weights, mdp.problem(3 * mdp.reward)


def exact_flow(weights, problem, times):
  """The weights at times, by an integrator of order 8."""
  shapes = [w.shape for w in weights]
  ends = np.cumsum([w.size for w in weights])[:-1]

  def unpack(flat):
    parts = np.split(flat, ends)
    return tuple(x.reshape(s) for x, s in zip(parts, shapes, strict=True))

  def derivative(_, flat):
    gradients = deep_linear.gradients(unpack(flat), problem)
    return -np.concatenate([x.ravel() for x in gradients])

  start = np.concatenate([w.ravel() for w in weights])
  solution = integrate.solve_ivp(
      derivative, (0, times[-1]), start, 'DOP853', times, rtol=1e-11,
      atol=1e-12,
  )  # fmt: skip
  return [unpack(x) for x in solution.y.T]


def spectrum(weights):
  return np.linalg.svd(
      deep_linear.features_matrix(weights), compute_uv=False
  )


class FitTest(parameterized.TestCase):

  def test_a_chain_of_equal_units_shrinks_by_the_closed_form(self):
    # N = 3, one unit, target 0: a' = -2 a^5, so a = (a_0^-4 + 8 t)^(-1/4).
    weights = (np.ones((1, 1)),) * 3
    problem = deep_linear.Moments(np.eye(1), np.zeros(1))
    flow = GradientFlow(step_size=1e-4, steps=5000)
    for w in flow.fit(weights, problem):
      self.assertAlmostEqual(w.item(), (1 + 8 * 0.5) ** -0.25, delta=1e-4)

  @parameterized.parameters(3, 4)
  def test_ends_where_the_flow_does_the_closer_the_smaller_the_step(self, n):
    weights, problem = draw(n)
    (wanted,) = exact_flow(weights, problem, [0.5])
    errors_ = [
        deep_linear.norm(deep_linear.difference(
            GradientFlow(0.5 / steps, steps).fit(weights, problem), wanted
        ))
        for steps in (500, 1000)
    ]
    self.assertLess(errors_[1], 1e-3)
    self.assertBetween(errors_[0] / errors_[1], 1.9, 2.1)

  def test_the_path_is_that_of_single_steps(self):
    weights, problem = draw()
    flow = GradientFlow(step_size=1e-3, steps=10, checks=3)
    points = list(flow.path(weights, problem, 4))
    self.assertLen(points, 5)
    squares, stepped = [0.0], [weights]
    for _ in range(10):
      after = deep_linear.step(stepped[-1], problem, 1e-3)
      length = deep_linear.norm(deep_linear.difference(after, stepped[-1]))
      squares.append(squares[-1] + length**2)
      stepped.append(after)
    for point, index in zip(points, (0, 2, 5, 7, 10), strict=True):
      self.assertAlmostEqual(point.squared_steps, squares[index], places=14)
      for one, other in zip(point.weights, stepped[index], strict=True):
        np.testing.assert_array_equal(one, other)

  def test_a_fitted_target_leaves_the_weights_where_they_are(self):
    weights, problem = draw()
    w = deep_linear.end_to_end(weights)
    fitted = problem._replace(cross=problem.covariance @ w)
    after = GradientFlow(steps=100).fit(weights, fitted)
    move = deep_linear.norm(deep_linear.difference(after, weights))
    self.assertLess(move, 1e-13)


class StepSizeTest(parameterized.TestCase):

  def test_the_local_error_of_one_unit_by_hand(self):
    # One layer w = 3 and target 0 with C = 1: w' = -2 w; a step of 0.1 takes
    # 0.6 off, two halves 0.3 and 0.27.
    weights = (np.eye(1), np.full((1, 1), 3.0))
    problem = deep_linear.Moments(np.eye(1), np.zeros(1))
    frozen = (np.zeros((1, 1)), *weights[1:])
    self.assertEqual(local_error(frozen, problem, 0.1), 0)
    one = (np.full((1, 1), 3.0),)
    self.assertAlmostEqual(local_error(one, problem, 0.1), 0.03 / 0.6)

  @parameterized.parameters(0.05, 0.5, 1e6)
  def test_too_large_a_step_is_refused_with_one_that_would_do(self, size):
    weights, problem = draw(feature_scale=3.0, last_scale=3.0)
    with self.assertRaisesRegex(
        errors.UserError, r'^GradientFlow.step_size = .* follow'
    ) as caught:
      GradientFlow(size, 100).fit(weights, problem)
    message = str(caught.exception)
    self.assertNotIn('\n', message)
    if size == 1e6:
      self.assertIn('no step down to a ten-thousandth', message)
      return
    remedy = float(message.split('bind it to ')[1].split(',')[0])
    self.assertLess(remedy, size)
    GradientFlow(remedy, 100).fit(weights, problem)

  def test_a_step_that_becomes_too_large_on_the_way_is_refused(self):
    # Small weights let a large step pass at first; they grow with the target.
    weights, problem = draw(feature_scale=0.1, last_scale=0.1)
    problem = problem._replace(cross=30 * problem.cross)
    size = 2e-3
    self.assertLess(local_error(weights, problem, size), 0.02)
    with self.assertRaisesRegex(errors.UserError, 'GradientFlow.step_size'):
      GradientFlow(size, 4000).fit(weights, problem)

  @parameterized.parameters(
      ('step_size', 0.0), ('step_size', np.nan), ('step_size', '1'),
      ('tolerance', -1.0), ('steps', 0), ('steps', 2.5), ('checks', 0),
  )  # fmt: skip
  def test_bad_options_are_refused(self, name, value):
    with self.assertRaisesRegex(errors.UserError, f'GradientFlow.{name} is'):
      GradientFlow(**{name: value})


class BalanceTest(parameterized.TestCase):

  @parameterized.parameters(3, 5)
  def test_the_flow_keeps_layers_balanced(self, num_layers):
    weights, problem = draw(num_layers)
    (after,) = exact_flow(weights, problem, [1.0])
    self.assertLess(deep_linear.relative_imbalance(after), 1e-9)
    move = deep_linear.norm(deep_linear.difference(after, weights))
    self.assertGreater(move, 0.5)

  def test_gradient_descent_loses_it_in_proportion_to_its_step(self):
    weights, problem = draw()
    drifts = []
    for steps in (500, 1000):
      *_, last = GradientFlow(1 / steps, steps).path(weights, problem, 1)
      (gap,) = deep_linear.imbalances(last.weights)
      drifts.append(np.linalg.norm(gap))
      self.assertLessEqual(drifts[-1], last.squared_steps + 1e-13)
    self.assertBetween(drifts[0] / drifts[1], 1.9, 2.1)


class GrowthTest(parameterized.TestCase):
  """Proposition 4.1 on the path of the integrator, by differences of it."""

  @parameterized.parameters(3, 4, 5)
  def test_the_constant_is_the_number_of_factors(self, num_layers):
    weights, problem = draw(num_layers)
    early, now, late = exact_flow(
        weights, problem, [0.3 - 1e-4, 0.3, 0.3 + 1e-4]
    )
    growth = (spectrum(late) - spectrum(early)) / 2e-4
    direction = feature_growth.growth_direction(now, problem)
    self.assertAlmostEqual(
        feature_growth.fitted_constant(growth, direction), num_layers - 1,
        places=5,
    )  # fmt: skip
    np.testing.assert_allclose(
        growth, (num_layers - 1) * direction, atol=1e-5 * np.abs(growth).max()
    )
    np.testing.assert_allclose(
        growth, feature_growth.growth(now, problem),
        atol=1e-5 * np.abs(growth).max(),
    )  # fmt: skip

  def test_equal_singular_values_are_compared_by_their_sum(self):
    last = np.array([0.8, 0.6, 0])
    weights = deep_linear.balanced(
        np.eye(3), last, [3], np.random.default_rng(0)
    )
    problem = deep_linear.Moments(np.eye(3), np.array([3.0, -1, 1]))
    measured, exact, direction = feature_growth.summed(weights, problem, 1e-5)
    self.assertLen(measured, 1)
    # The trace of W_phi' = -2 W_N^T g at W_phi = I, with g = 2 (w - b).
    wanted = -2 * last @ (2 * (last - problem.cross))
    np.testing.assert_allclose(exact, wanted, rtol=1e-10)
    np.testing.assert_allclose(2 * direction, wanted, rtol=1e-10)
    np.testing.assert_allclose(measured, wanted, rtol=1e-3)

  def test_clusters_are_runs_of_close_values(self):
    sigma = np.array([3.0, 2.0, 1.95, 1.9, 1.0])
    np.testing.assert_array_equal(
        feature_growth.clusters(sigma, 0.06), [0, 1, 1, 1, 2]
    )
    np.testing.assert_array_equal(feature_growth.clusters(sigma[:1], 1), [0])

  def test_discordant_pairs_by_hand(self):
    # Of (3, 2), (3, 1), (2, 1) the last only has its smaller one faster.
    share = feature_growth.discordant_share(
        np.array([3.0, 2, 1]), np.array([-5.0, 1, 2])
    )
    self.assertAlmostEqual(share, 1 / 3)


class RankWithinAFitTest(parameterized.TestCase):

  def test_srank_rises_where_the_target_is_smaller_than_q(self):
    # Counter-example to D.1. W_phi = diag(2, 0.1) in two balanced layers,
    # W_N = (sqrt 2, 0), X = I, y = 0: sigma_1 = (1/4 + 8 t)^(-1/2) falls and
    # sigma_2 stays; srank_0.1 is 1 until sigma_1 = 0.9 at t = 0.123, then 2.
    layer = np.diag(np.sqrt([2, 0.1]))
    weights = (layer, layer, np.array([[np.sqrt(2), 0]]))
    problem = deep_linear.Moments(np.eye(2), np.zeros(2))
    flow = GradientFlow(step_size=1e-4, steps=2000)
    points = list(flow.path(weights, problem, 2000))
    ranks = [
        metrics.srank(deep_linear.features_matrix(x.weights), 0.1)
        for x in points
    ]
    self.assertEqual((ranks[0], ranks[1200], ranks[1260]), (1, 1, 2))
    np.testing.assert_allclose(
        spectrum(points[-1].weights), [(1 / 4 + 8 * 0.2) ** -0.5, 0.1],
        rtol=1e-3,
    )  # fmt: skip

  def test_a_smaller_singular_value_grows_faster_where_the_target_lies(self):
    # W_phi = diag(2, 1), W_N = (1, 1), y along the second input alone.
    layer = np.diag(np.sqrt([2.0, 1]))
    weights = (layer, layer, np.ones((1, 2)))
    problem = deep_linear.Moments(np.eye(2), np.array([2.0, 5]))
    rates = feature_growth.growth(weights, problem)
    np.testing.assert_allclose(rates, [0, 16], atol=1e-12)
    self.assertEqual(feature_growth.discordant_share(spectrum(weights), rates),
                     1)

  @parameterized.product(num_layers=(3, 5), scale=(0.3, 1.5), seed=(0, 1))
  def test_all_but_the_first_stay_between_two_of_the_start(
      self, num_layers, scale, seed
  ):
    weights, problem = draw(
        num_layers, seed, feature_scale=scale, last_scale=scale
    )
    start = spectrum(weights)
    for after in exact_flow(weights, problem, [0.2, 1.0, 5.0]):
      sigma = spectrum(after)
      self.assertLess(feature_growth.interlacing_excess(sigma, start), 1e-9)
      for delta in (0.01, 0.1, 0.3):
        low, high = feature_growth.rank_bounds(start, sigma[0], delta)
        rank = metrics.srank(None, delta, singular_values=sigma)
        self.assertBetween(rank, low, high)

  def test_interlacing_by_hand(self):
    start = np.array([4.0, 2, 1])
    excess = feature_growth.interlacing_excess
    self.assertLessEqual(excess(np.array([9.0, 4, 2]), start), 0)
    self.assertLessEqual(excess(np.array([2.0, 1, 0]), start), 0)
    self.assertAlmostEqual(excess(np.array([9.0, 5, 2]), start), 1 / 4)
    self.assertAlmostEqual(excess(np.array([9.0, 0.5, 0]), start), 0.5 / 4)

  @parameterized.parameters(0.01, 0.1, 0.25, 0.5)
  def test_the_bounds_on_srank_are_those_of_the_extreme_spectra(self, delta):
    start = np.array([2.0, 1.5, 0.4, 0.3, 0.05])
    rng = np.random.default_rng(0)
    ranks = set()
    low, high = feature_growth.rank_bounds(start, 3.0, delta)
    lower = np.append(start[2:], 0)
    for _ in range(300):
      # Any spectrum that interlaces, extremes among them.
      u = rng.beta(0.1, 0.1, 4)
      rest = np.sort(lower + u * (start[:-1] - lower))[::-1]
      sigma = np.concatenate([[3.0], rest])
      ranks.add(metrics.srank(None, delta, singular_values=sigma))
    self.assertBetween(min(ranks), low, low + 1)
    self.assertBetween(max(ranks), high - 1, high)


if __name__ == '__main__':
  absltest.main()
