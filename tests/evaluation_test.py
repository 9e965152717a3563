"""Tests of implicit_underparam.evaluation."""

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, evaluation, metrics, types
from implicit_underparam.envs import gridworld, tabular

ENV = gridworld.grid16smoothobs()
RNG = np.random.default_rng(0)


def make_probe(rows: int = 256) -> types.Probe:
  features = np.maximum(RNG.normal(size=(rows, 8)), 0).astype(np.float32)
  return types.Probe(features, RNG.normal(size=(rows, 5)).astype(np.float32))


class MeasureTest(parameterized.TestCase):

  def test_metrics_get_what_they_ask_for_by_name(self):
    probes = {'all': make_probe(), 'free': make_probe(205)}
    bound = evaluation.columns(
        {
            'rows': lambda features: len(features),
            'rows@free': lambda features: len(features),
            'best': lambda q_values, sign=1: sign * q_values.max(),
            'who': lambda environment: environment.discount,
            'size': lambda parameters, q_values: parameters * len(q_values),
            'srank': metrics.srank,
        },
        list(probes),
    )
    row = evaluation.measure(bound, probes, 3, ENV)
    self.assertEqual(row['rows'], 256)
    self.assertEqual(row['rows_free'], 205)
    self.assertEqual(row['best'], probes['all'].q_values.max())
    self.assertEqual(row['who'], 0.95)
    self.assertEqual(row['size'], 3 * 256)
    self.assertEqual(row['srank'], metrics.srank(probes['all'].features))

  def test_the_spectrum_is_computed_once_a_probe(self):
    probe = make_probe()
    measurement = evaluation.Measurement(probe, None, ENV)
    first = measurement.singular_values
    self.assertIs(measurement.singular_values, first)
    np.testing.assert_allclose(
        first, np.linalg.svd(np.float64(probe.features))[1], rtol=1e-6
    )

  @parameterized.parameters(
      ('srank@wall', metrics.srank, "no probe 'wall'"),
      ('new', lambda feature: 0, "asks for 'feature' .did you mean 'features'"),
      ('new', lambda x: 0, "asks for 'x'"),
  )
  def test_a_metric_that_cannot_work_is_named(self, key, metric, message):
    with self.assertRaisesRegex(errors.UserError, message):
      evaluation.columns({key: metric}, ['all', 'free'])


class GridworldMetricTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.q_star = tabular.q_star(ENV, 0.1).astype(np.float32)

  def test_q_star_itself_is_the_expert(self):
    expert = evaluation.eval_return(self.q_star, ENV)
    self.assertAlmostEqual(
        evaluation.normalized_return(self.q_star, ENV), 1, places=4
    )
    self.assertAlmostEqual(expert, 40.323, places=2)
    self.assertLess(evaluation.q_star_error(self.q_star, ENV), 1e-5)

  def test_equal_values_are_the_random_policy(self):
    q = np.zeros((256, 5), np.float32)
    self.assertAlmostEqual(evaluation.normalized_return(q, ENV), 0, places=6)

  def test_errors_are_over_free_cells_only(self):
    walls = np.setdiff1d(np.arange(256), ENV.free_states)
    q = self.q_star.copy()
    q[walls] = 1e4
    self.assertLess(evaluation.q_star_error(q, ENV), 1e-5)
    q[ENV.free_states] += 2
    self.assertAlmostEqual(evaluation.q_star_error(q, ENV), 2, places=4)

  def test_q_pi_error_is_zero_at_the_uniform_policys_values(self):
    q = tabular.q_pi(ENV, np.full((256, 5), 0.2))
    self.assertLess(evaluation.q_pi_error(q, ENV), 1e-9)

  def test_fit_error_against_least_squares_on_one_hot_rows(self):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(256, 20)).astype(np.float32)
    free = ENV.free_states
    design = np.hstack([np.float64(features[free]), np.ones((len(free), 1))])
    target = tabular.q_star(ENV, 0.1)[free]
    weights = np.linalg.lstsq(design, target, rcond=None)[0]
    expected = np.mean((design @ weights - target) ** 2)
    self.assertAlmostEqual(
        evaluation.q_star_fit_error(features, ENV), expected, places=6
    )
    whole = np.eye(256, dtype=np.float32)
    self.assertLess(evaluation.q_star_fit_error(whole, ENV), 1e-12)


if __name__ == '__main__':
  absltest.main()
