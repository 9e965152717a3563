"""Tests of the tanh-Gaussian: integrals, distribution functions, the edge."""

import math
import statistics

import jax
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import squashed_gaussian

# Of one number each: mean, standard deviation.
_GAUSSIANS = ((0.0, 0.5), (0.6, 0.8), (-1.3, 0.3), (0.2, 1.4))


def in_float64(test):
  jax.config.update('jax_enable_x64', True)
  test.addCleanup(jax.config.update, 'jax_enable_x64', False)


def nodes():
  """Numbers in (-1, 1), dense at the edge, and their weights in an integral."""
  t = np.linspace(-2.2, 2.2, 301)
  inner = np.pi / 2 * np.sinh(t)
  slope = np.pi / 2 * np.cosh(t) / np.cosh(inner) ** 2
  return np.tanh(inner), slope * (t[1] - t[0])


def density(mean, std, actions):
  """pi(a) of actions [N, k]."""
  return np.exp(_log_densities(np.asarray(mean), np.log(std), actions))


_log_densities = jax.jit(
    jax.vmap(squashed_gaussian.log_density, (None, None, 0))
)
_sample_and_slopes = jax.jit(
    lambda *x: (
        squashed_gaussian.sample(*x),
        jax.grad(lambda *x: squashed_gaussian.sample(*x)[1], (0, 1))(*x),
    )
)
_density_and_slopes = jax.jit(
    jax.value_and_grad(squashed_gaussian.log_density, (0, 1, 2))
)


class DensityTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    in_float64(self)

  @parameterized.parameters(*_GAUSSIANS)
  def test_integrates_to_one(self, mean, std):
    actions, weights = nodes()
    found = density([mean], [std], actions[:, None])
    self.assertAlmostEqual(np.sum(weights * found), 1, delta=1e-6)

  def test_of_two_numbers_integrates_to_one(self):
    actions, weights = nodes()
    pairs = np.stack(np.meshgrid(actions, actions, indexing='ij'), axis=-1)
    found = density([0.6, -1.3], [0.8, 0.3], pairs.reshape(-1, 2))
    both = np.outer(weights, weights).ravel()
    self.assertAlmostEqual(np.sum(both * found), 1, delta=1e-6)

  @parameterized.parameters(*_GAUSSIANS)
  def test_is_the_slope_of_the_distribution_function(self, mean, std):
    normal = statistics.NormalDist(mean, std)
    actions = np.linspace(-0.99, 0.99, 23)
    lower, upper = (
        np.array([normal.cdf(math.atanh(x + step)) for x in actions])
        for step in (-1e-5, 1e-5)
    )
    np.testing.assert_allclose(
        density([mean], [std], actions[:, None]), (upper - lower) / 2e-5,
        rtol=2e-5, atol=1e-9,
    )  # fmt: skip

  def test_changes_variables(self):
    rng = np.random.default_rng(0)
    for _ in range(20):
      mean, std = rng.normal(size=3), rng.uniform(0.2, 2, 3)
      action = rng.uniform(-0.999, 0.999, 3)
      want = math.prod(
          statistics.NormalDist(m, s).pdf(math.atanh(a)) / (1 - a * a)
          for m, s, a in zip(mean, std, action, strict=True)
      )
      np.testing.assert_allclose(
          density(mean, std, action[None])[0], want, rtol=1e-9
      )

  def test_sample_is_the_tanh_and_knows_its_density(self):
    rng = np.random.default_rng(1)
    mean, log_std, noise = 0.4 * rng.normal(size=(3, 50, 3))
    actions, log = jax.vmap(squashed_gaussian.sample)(mean, log_std, noise)
    np.testing.assert_allclose(
        actions, np.tanh(mean + np.exp(log_std) * noise), rtol=1e-12
    )
    want = jax.vmap(squashed_gaussian.log_density)(mean, log_std, actions)
    np.testing.assert_allclose(log, want, rtol=1e-9, atol=1e-9)


class Float32Test(parameterized.TestCase):

  def test_away_from_the_edge_both_densities_agree(self):
    rng = np.random.default_rng(2)
    mean, log_std, noise = np.float32(0.5 * rng.normal(size=(3, 200, 2)))
    before = mean + np.exp(log_std) * noise
    self.assertGreater(np.abs(before).max(), 1.5)
    actions, log = jax.vmap(squashed_gaussian.sample)(mean, log_std, noise)
    found = jax.vmap(squashed_gaussian.log_density)(mean, log_std, actions)
    near = np.abs(before).max(axis=1) < 3
    np.testing.assert_allclose(log[near], found[near], rtol=1e-4, atol=1e-4)

  @parameterized.product(before=(-100.0, -20.0, 20.0, 100.0), noise=(0.0, 1.5))
  def test_a_sample_far_out(self, before, noise):
    log_std = math.log(2)
    mean = before - 2 * noise
    (action, log), (mean_slope, std_slope) = _sample_and_slopes(
        *np.float32([[mean], [log_std], [noise]])
    )
    self.assertEqual(action[0], math.copysign(1, before))
    # 1 - tanh(u)^2 = 4 exp(-2 |u|) / (1 + exp(-2 |u|))^2.
    slope = math.log(4) - 2 * abs(before)
    slope -= 2 * math.log1p(math.exp(-2 * abs(before)))
    want = math.log(statistics.NormalDist(0, 2).pdf(2 * noise)) - slope
    np.testing.assert_allclose(log, want, rtol=1e-6)
    # d log pi / d u = 2 tanh(u), and the Gaussian's own share is constant.
    side = 2 * math.copysign(1, before)
    np.testing.assert_allclose(mean_slope, [side], rtol=1e-6)
    np.testing.assert_allclose(std_slope, [-1 + side * 2 * noise], rtol=1e-6)

  @parameterized.product(
      action=(-1.0, 1.0), mean=(-100.0, 0.0, 20.0), std=(0.01, 1.0)
  )
  def test_an_action_on_the_edge_is_the_nearest_number_inside(
      self, action, mean, std
  ):
    found, slopes = _density_and_slopes(
        *np.float32([[mean], [math.log(std)], [action]])
    )
    inside = float(np.nextafter(np.float32(action), np.float32(0)))
    before = math.atanh(inside)
    noise = (before - mean) / std
    want = -(noise**2) / 2 - math.log(std) - math.log(2 * math.pi) / 2
    want -= math.log((1 - inside) * (1 + inside))
    np.testing.assert_allclose(found, want, rtol=1e-5)
    np.testing.assert_allclose(slopes[0], [noise / std], rtol=1e-5)
    np.testing.assert_allclose(slopes[1], [noise**2 - 1], rtol=1e-5)
    self.assertTrue(np.isfinite(slopes[2]).all())


if __name__ == '__main__':
  absltest.main()
