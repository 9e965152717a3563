"""The experiments of section 4.2, small: what their columns say."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors
from implicit_underparam.theory import compounding, deep_linear
from implicit_underparam.theory.deep_linear_checks import DeepLinearIteration
from implicit_underparam.theory.gradient_flow import GradientFlow
from implicit_underparam.theory.linear_instances import LinearInstance
from implicit_underparam.theory.near_fixed_point import NearFixedPoint
from implicit_underparam.theory.self_training import SelfTraining

SMALL = LinearInstance(width=6, input_size=6, num_pairs=10)


def play(experiment, iterations, seed=0):
  """States before each iteration and after the last, and the columns."""
  states = [experiment.init(np.random.default_rng(seed))]
  rows = []
  for iteration in range(iterations):
    state, columns = experiment.iterate(states[-1], iteration)
    states.append(state)
    rows.append({name: float(x) for name, x in columns.items()})
  return states, rows


def features(state):
  return deep_linear.features_matrix(state.weights)


class DeepLinearIterationTest(parameterized.TestCase):

  @parameterized.parameters(3, 5)
  def test_columns_of_what_is_true_and_of_what_is_not(self, num_layers):
    instance = LinearInstance(
        num_layers=num_layers, width=6, input_size=6, num_pairs=10
    )
    experiment = DeepLinearIteration(instance, GradientFlow(2e-4, 500))
    states, rows = play(experiment, 3)
    for row in rows:
      for name in ('imbalance', 'growth', 'velocity'):
        self.assertLess(row[name], 0.01, name)
      for name in ('imbalance_excess', 'interlacing', 'srank_bounds_excess'):
        self.assertLess(row[name], 1e-9, name)
      # 1/(N - 1): what N makes of N - 1.
      self.assertAlmostEqual(
          row['growth_printed'], 1 / (num_layers - 1), delta=0.01
      )
      self.assertGreater(row['velocity_printed'], 0.1)
      for name in ('growth_constant', 'growth_constant_exact'):
        self.assertAlmostEqual(row[name], num_layers - 1, delta=0.05)
    for before, after, row in zip(states, states[1:], rows, strict=False):
      self.assertEqual(
          row['srank_start'], compounding.srank(features(before), 0.01)
      )
      self.assertEqual(row['srank'], compounding.srank(features(after), 0.01))
      self.assertEqual(row['fit_rank_rise'], row['srank'] - row['srank_start'])

  def test_the_bound_of_the_proposition_adds_up(self):
    experiment = DeepLinearIteration(
        SMALL, GradientFlow(1e-3, 300), delta=0.1
    )
    states, rows = play(experiment, 4, seed=1)
    first = compounding.srank(features(states[0]), 0.1)
    c_sum = 0.0
    for state, row in zip(states, rows, strict=False):
      c_sum += row['c']
      self.assertEqual(
          row['c'],
          row['srank_target'] - compounding.srank(features(state), 0.1),
      )
      self.assertEqual(row['compounded_excess'], row['srank'] - first - c_sum)
      self.assertEqual(
          row['lambda_infinite'], row['srank'] - row['srank_target'] + 1
      )

  def test_fits_the_bellman_backup_of_the_previous_q(self):
    experiment = DeepLinearIteration(SMALL, GradientFlow(1e-3, 3000), gamma=0.5)
    states, rows = play(experiment, 2)
    mdp = states[0].mdp
    before, after = (
        mdp.inputs @ deep_linear.end_to_end(x.weights) for x in states[1:]
    )
    wanted = mdp.reward + 0.5 * mdp.transition @ before
    error = np.linalg.norm(after - wanted) / np.linalg.norm(wanted)
    self.assertAlmostEqual(rows[1]['td_error_left'], error, places=9)
    self.assertLess(error, 0.1)

  @parameterized.parameters(
      ({'gamma': 1.0}, 'gamma'), ({'gamma': -0.1}, 'gamma'),
      ({'gamma': '1'}, 'gamma'),
      ({'delta': 0.0}, 'delta'), ({'delta': 1.0}, 'delta'),
      ({'probes': 0}, 'probes'), ({'probes': 301}, 'probes'),
      ({'flow': None}, 'flow'), ({'instance': LinearInstance}, 'instance'),
  )  # fmt: skip
  def test_bad_options_are_refused(self, options, name):
    options = {
        'instance': SMALL, 'flow': GradientFlow(steps=300), **options
    }
    with self.assertRaisesRegex(
        errors.UserError, f'DeepLinearIteration.{name} is'
    ):
      DeepLinearIteration(**options)


class SelfTrainingTest(absltest.TestCase):

  def test_copied_weights_stay_and_the_kernel_loses_rank(self):
    experiment = SelfTraining(SMALL, GradientFlow(2e-3, 200))
    states, rows = play(experiment, 3)
    for row in rows:
      self.assertLess(row['copied_move'], 1e-13)
      self.assertEqual(row['copied_missing_drop'], 1)
      self.assertLessEqual(row['kernel_rise'], 0)
    self.assertTrue(math.isnan(rows[0]['distilled_rise']))
    for before, after, row in zip(
        states[1:-1], states[2:], rows[1:], strict=True
    ):
      ranks = [
          compounding.srank(deep_linear.features_matrix(x.distilled), 0.01)
          for x in (before, after)
      ]
      self.assertEqual(row['distilled_rise'], ranks[1] - ranks[0])
      self.assertEqual(row['srank'], ranks[1])

  def test_bad_options_are_refused(self):
    flow = GradientFlow()
    with self.assertRaisesRegex(errors.UserError, 'SelfTraining.regulariza'):
      SelfTraining(SMALL, flow, regularization=0.0)
    with self.assertRaisesRegex(errors.UserError, 'SelfTraining.delta'):
      SelfTraining(SMALL, flow, delta=2.0)
    with self.assertRaisesRegex(errors.UserError, 'SelfTraining.flow'):
      SelfTraining(SMALL, 1)


class NearFixedPointTest(absltest.TestCase):

  def test_says_nothing_above_the_bound(self):
    instance = LinearInstance(
        width=6, input_size=6, num_pairs=10, decades=2.0
    )
    experiment = NearFixedPoint(
        instance, GradientFlow(2e-3, 300), smallest=0.3, factor=3.0, delta=0.1
    )
    _, rows = play(experiment, 4)
    np.testing.assert_allclose(
        [x['epsilon_over_bound'] for x in rows], [0.3, 0.9, 2.7, 8.1]
    )
    for row in rows:
      below = row['epsilon_over_bound'] < 1
      for name in ('c_not_zero', 'fit_missing_drop', 'alpha', 'worst_rise'):
        self.assertEqual(math.isnan(row[name]), not below, name)
      if below:
        for name in ('c_rise', 'alpha', 'worst_rise', 'tight_rise'):
          self.assertLessEqual(row[name], 0, name)
        # The direction that needs the largest zeta meets the bound exactly.
        self.assertAlmostEqual(
            row['bound_excess'], row['epsilon_over_bound'] - 1, places=6
        )
      self.assertLess(row['weyl'], 1e-9)
      self.assertLessEqual(row['alpha_excess'], 0)
      self.assertLess(row['td_error_left'], 1)

  def test_an_iteration_can_be_made_again(self):
    experiment = NearFixedPoint(SMALL, GradientFlow(2e-3, 20))
    state = experiment.init(np.random.default_rng(3))
    rows = [experiment.iterate(state, 2)[1] for _ in range(2)]
    np.testing.assert_equal(rows[0], rows[1])

  def test_bad_options_are_refused(self):
    for options in (
        {'smallest': 0.0}, {'factor': 1.0}, {'smallest': 'a'},
        {'smallest': math.inf},
    ):
      with self.assertRaisesRegex(errors.UserError, 'NearFixedPoint.smallest'):
        NearFixedPoint(SMALL, GradientFlow(), **options)
    with self.assertRaisesRegex(errors.UserError, 'NearFixedPoint.delta'):
      NearFixedPoint(SMALL, GradientFlow(), delta=0.0)
    with self.assertRaisesRegex(errors.UserError, 'NearFixedPoint.instance'):
      NearFixedPoint(None, GradientFlow())


if __name__ == '__main__':
  absltest.main()
