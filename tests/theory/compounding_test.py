"""Proposition 4.2 and Theorem 4.2: what of them is true, and what is not."""

import hypothesis
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from implicit_underparam import metrics
from implicit_underparam.theory import compounding, deep_linear
from implicit_underparam.theory.gradient_flow import GradientFlow

_FEW = hypothesis.settings(max_examples=25, deadline=None)
_DELTAS = st.sampled_from([0.01, 0.1, 0.3])


@st.composite
def matrices(draw):
  """A [4, 3] matrix with singular values over three decades."""
  rng = np.random.default_rng(draw(st.integers(0, 2**32)))
  left = deep_linear.orthonormal(4, 3, rng)
  right = deep_linear.orthonormal(3, 3, rng)
  return (left * 10.0 ** -rng.uniform(0, 3, 3)) @ right


@st.composite
def unit_changes(draw):
  """A [4, 3] matrix of spectral norm 1, of rank 1 or more."""
  rng = np.random.default_rng(draw(st.integers(0, 2**32)))
  change = rng.standard_normal((4, 3))
  if draw(st.booleans()):
    change = np.outer(change[:, 0], change[0])
  return change / np.linalg.norm(change, 2)


def network(features, last):
  """Three layers, the first two of them balanced."""
  return deep_linear.balanced(
      np.asarray(features, np.float64), np.asarray(last, np.float64),
      [len(features[0])], np.random.default_rng(0),
  )  # fmt: skip


class TargetTest(absltest.TestCase):

  @_FEW
  @hypothesis.given(matrices(), st.integers(0, 2**32))
  def test_the_target_is_fit_by_the_least_change(self, features, seed):
    rng = np.random.default_rng(seed)
    weights = network(features, rng.standard_normal(4))
    inputs, epsilon = rng.standard_normal((3, 3)), rng.standard_normal(3)
    q_values = inputs @ deep_linear.end_to_end(weights)
    problem = deep_linear.moments(inputs, q_values + epsilon)
    zeta = compounding.target_change(weights, problem)
    wanted = np.linalg.pinv(weights[-1]) @ epsilon[None] @ np.linalg.pinv(
        inputs.T
    )
    np.testing.assert_allclose(
        zeta, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max()
    )
    np.testing.assert_allclose(
        weights[-1][0] @ compounding.target_features(weights, problem)
        @ inputs.T,
        q_values + epsilon, rtol=1e-5, atol=1e-6 * np.abs(q_values).max(),
    )  # fmt: skip

  def test_rank_one_features_fit_any_target(self):
    # What minimises eq. 5, with any constraint on W_N alone: TD error 0 and
    # srank 1. Q has one output, so only W_N W_phi counts.
    rng = np.random.default_rng(0)
    last, inputs = rng.standard_normal(4), rng.standard_normal((6, 3))
    targets = inputs @ rng.standard_normal(3)
    problem = deep_linear.moments(inputs, targets)
    features = np.outer(last / (last @ last), problem.solution())
    np.testing.assert_allclose(last @ features @ inputs.T, targets)
    self.assertEqual(metrics.srank(features), 1)

  def test_d12_needs_the_square_of_the_td_error(self):
    # Eq. 5 with one unit, x = 1, y = 0.5, lambda = 0.3: W_phi = 0 costs 0.25,
    # every other W_phi at least 0.3. W_phi^P = 0.5 has srank 1.
    target, strength = 0.5, 0.3
    w = np.linspace(-1, 1, 401)
    cost = (w - target) ** 2 + strength * (w != 0)
    best = w[np.argmin(cost)]
    self.assertEqual(best, 0)
    error, rank, target_rank = abs(best - target), 0, 1
    self.assertGreater(rank, target_rank - error / strength)
    self.assertLessEqual(rank, target_rank - error**2 / strength)


class PropositionTest(absltest.TestCase):

  def test_srank_stays_above_that_of_the_target(self):
    # W_phi = I / 2, W_N = (0.1, 0), X = I, y = (1, 0), delta = 0.1. With W_N
    # as it is the target takes diag(10, 0.5), of srank 1: c_1 = -1. Gradient
    # descent moves W_N too: sigma_1 = 1.19, and srank stays 2.
    weights = network(np.eye(2) / 2, [0.1, 0])
    problem = deep_linear.moments(np.eye(2), np.array([1.0, 0]))
    target = compounding.target_features(weights, problem)
    np.testing.assert_allclose(
        compounding.spectrum(target), [10, 0.5], rtol=1e-9
    )
    fitted = GradientFlow(5e-3, 2000).fit(weights, problem)
    sigma = compounding.spectrum(deep_linear.features_matrix(fitted))
    # W_N^2 and sigma_1 grow alike, and sigma_1^2 W_N^2 = 1 in the end.
    w = np.roots([1, 0, 0.5 - 0.1**2, -1])
    w = w[np.isreal(w)].real.item()
    np.testing.assert_allclose(sigma, [w**2 + 0.49, 0.5], rtol=2e-3)
    self.assertEqual(compounding.srank(target, 0.1), 1)
    self.assertEqual(
        compounding.srank(deep_linear.features_matrix(fitted), 0.1), 2
    )


class PerturbationTest(absltest.TestCase):
  """Theorem 4.2 for a change zeta of W_phi."""

  @_FEW
  @hypothesis.given(matrices(), unit_changes(), _DELTAS)
  def test_srank_does_not_rise_below_either_bound(self, phi, change, delta):
    sigma = compounding.spectrum(phi)
    rank = compounding.srank(phi, delta)
    bounds = (
        compounding.perturbation_bound(sigma, delta),
        compounding.tight_perturbation_bound(sigma, delta),
    )
    self.assertLessEqual(bounds[0], bounds[1])
    for zeta in (change, compounding.worst_change(phi, delta)):
      for bound in bounds:
        self.assertLessEqual(
            compounding.srank(phi + 0.999 * bound * zeta, delta), rank
        )

  def test_just_above_the_tight_bound_srank_can_rise(self):
    # sigma = (10, 1, 0.5), delta = 0.2: r = 1, gap = 10 - 0.8 * 11.5 = 0.8,
    # and 0.8 / (0.8 * 2 + 0.2) = 4 / 9.
    phi = np.diag([10, 1, 0.5])
    sigma = compounding.spectrum(phi)
    self.assertAlmostEqual(compounding.gap(sigma, 0.2), 0.8)
    self.assertAlmostEqual(compounding.perturbation_bound(sigma, 0.2), 0.2)
    tight = compounding.tight_perturbation_bound(sigma, 0.2)
    self.assertAlmostEqual(tight, 4 / 9)
    worst = compounding.worst_change(phi, 0.2)
    np.testing.assert_allclose(worst, np.diag([-1, 1, 1]), atol=1e-12)
    ranks = [
        compounding.srank(phi + share * tight * worst, 0.2)
        for share in (0.999, 1.001)
    ]
    self.assertEqual(ranks, [1, 2])

  @_FEW
  @hypothesis.given(matrices(), unit_changes(), _DELTAS, st.floats(-4, 0))
  def test_alpha_bounds_the_rise_of_srank(self, phi, change, delta, decade):
    size = 10**decade
    sigma = compounding.spectrum(phi)
    alpha = compounding.rank_margin(sigma, size, delta)
    rank = compounding.srank(phi, delta)
    for zeta in (change, compounding.worst_change(phi, delta)):
      after = compounding.srank(phi + size * zeta, delta)
      self.assertLessEqual(after, rank + alpha)
    if size < 0.999 * compounding.perturbation_bound(sigma, delta):
      self.assertEqual(alpha, 0)

  def test_alpha_counts_up_to_the_first_that_stays(self):
    # h = 1 for all j, and h(3) - 6 * 0.2 / 10 < 0.9, but srank stays 1.
    sigma = np.array([10.0, 0, 0])
    self.assertAlmostEqual(compounding.perturbation_bound(sigma, 0.1), 0.25)
    self.assertEqual(compounding.rank_margin(sigma, 0.2, 0.1), 0)
    # 0.26 * 4 > 1: no j stays, but srank cannot pass N.
    self.assertEqual(compounding.rank_margin(sigma, 0.26, 0.1), 2)

  def test_singular_values_move_by_more_than_the_largest_entry(self):
    # Counter-example to D.16 as printed: zeta with entries 0.1 on ones.
    ones = np.ones((3, 3))
    moved = compounding.spectrum(1.1 * ones)[0] - compounding.spectrum(ones)[0]
    self.assertAlmostEqual(moved, 0.3)

  def test_the_printed_alpha_is_0_where_srank_rises(self):
    phi = np.diag([10, 1, 0.5])
    zeta = 0.6 * np.diag([-1, 1, 1])
    sigma = compounding.spectrum(phi)
    self.assertEqual(compounding.rank_margin(sigma, 0.6, 0.2, True), 0)
    self.assertEqual(compounding.srank(phi + zeta, 0.2), 2)
    self.assertEqual(compounding.srank(phi, 0.2), 1)
    self.assertGreaterEqual(compounding.rank_margin(sigma, 0.6, 0.2), 1)

  def test_srank_can_fall_below_the_bound(self):
    # Counter-example to "srank = r for all zeta" below gap / (r + N).
    phi, zeta = np.diag([0.8999, 0.1001]), 1e-3 * np.diag([1.0, -1])
    bound = compounding.perturbation_bound(compounding.spectrum(phi), 0.1)
    self.assertAlmostEqual(bound, 0.025)
    self.assertEqual(compounding.srank(phi, 0.1), 2)
    self.assertEqual(compounding.srank(phi + zeta, 0.1), 1)


class TargetBoundTest(absltest.TestCase):
  """Theorem 4.2 for a change epsilon of the target."""

  @_FEW
  @hypothesis.given(matrices(), st.integers(0, 2**32), _DELTAS)
  def test_srank_of_the_target_does_not_rise_below_epsilon_0(
      self, features, seed, delta
  ):
    rng = np.random.default_rng(seed)
    weights = network(features, rng.standard_normal(4))
    inputs = rng.standard_normal((6, 3)) * [1, 0.1, 0.01]
    bound = compounding.target_bound(weights, inputs, delta)
    directions = np.linalg.svd(inputs, full_matrices=False)[0].T
    for epsilon in 0.999 * bound * directions:
      q_values = inputs @ deep_linear.end_to_end(weights)
      problem = deep_linear.moments(inputs, q_values + epsilon)
      zeta = compounding.target_change(weights, problem)
      size = compounding.perturbation_bound(
          compounding.spectrum(deep_linear.features_matrix(weights)), delta
      )
      # The moments square a condition number of some 300 and more.
      self.assertLessEqual(np.linalg.norm(zeta, 2), size * (1 + 1e-6) + 1e-8)
      self.assertLessEqual(
          compounding.srank(features + zeta, delta),
          compounding.srank(features, delta),
      )

  def test_the_printed_epsilon_0_fails_for_inputs_of_different_size(self):
    # W_phi = diag(1, 0.05), W_N = (0, 1), X = diag(1, 0.1), delta = 0.1: the
    # printed bound is 0.055 / 3 = 0.0183; epsilon = (0, 0.018) needs sigma_2 =
    # 0.05 + 0.18, and srank rises from 1 to 2.
    weights = network(np.diag([1, 0.05]), [0, 1])
    inputs = np.diag([1, 0.1])
    printed = compounding.printed_target_bound(weights, 0.1)
    self.assertAlmostEqual(printed, 0.055 / 3)
    self.assertAlmostEqual(
        compounding.target_bound(weights, inputs, 0.1), 0.0055 / 3
    )
    targets = inputs @ deep_linear.end_to_end(weights) + [0, 0.018]
    problem = deep_linear.moments(inputs, targets)
    features = compounding.target_features(weights, problem)
    np.testing.assert_allclose(features, np.diag([1, 0.23]), atol=1e-12)
    self.assertEqual(compounding.srank(features, 0.1), 2)
    self.assertEqual(
        compounding.srank(deep_linear.features_matrix(weights), 0.1), 1
    )

  def test_below_epsilon_0_srank_need_not_drop(self):
    # W_phi = I, W_N = (1, 1): a fit this small moves no singular value by as
    # much as a rank needs, while the TD error on the way is not 0.
    weights = network(np.eye(2), [1, 1])
    bound = compounding.target_bound(weights, np.eye(2), 0.1)
    targets = deep_linear.end_to_end(weights) + [0.9 * bound, 0]
    problem = deep_linear.moments(np.eye(2), targets)
    fitted = GradientFlow(5e-3, 100).fit(weights, problem)
    error = np.linalg.norm(deep_linear.end_to_end(fitted) - targets)
    self.assertBetween(error, 1e-6, 0.9 * bound)
    self.assertEqual(
        compounding.srank(deep_linear.features_matrix(fitted), 0.1), 2
    )


class KernelSelfTrainingTest(parameterized.TestCase):

  @parameterized.parameters(1.0, 10.0)
  def test_srank_of_the_powers_of_a_falls(self, regularization):
    inputs = np.random.default_rng(0).standard_normal((12, 6))
    gram = inputs @ inputs.T
    hat = gram @ np.linalg.inv(gram + regularization * np.eye(12))
    ranks = [
        compounding.srank(np.linalg.matrix_power(hat, k), 0.01)
        for k in range(1, 100)
    ]
    self.assertEqual(ranks, sorted(ranks, reverse=True))
    self.assertLess(ranks[-1], ranks[0])


if __name__ == '__main__':
  absltest.main()
