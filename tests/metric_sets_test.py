from absl.testing import absltest

from implicit_underparam import errors, metric_sets, metrics


class JoinedMetricsTest(absltest.TestCase):

  def test_has_those_of_both_and_leaves_them_alone(self):
    base = {'srank': metrics.srank}
    more = {'srank@target': metrics.srank, 'norm': metrics.feature_norm}
    joined = metric_sets.joined_metrics(base, more)
    self.assertEqual(list(joined), ['srank', 'srank@target', 'norm'])
    self.assertIs(joined['norm'], metrics.feature_norm)
    self.assertLen(base, 1)

  def test_a_column_of_both_is_one_line(self):
    base = {'srank': metrics.srank, 'norm': metrics.feature_norm}
    with self.assertRaisesRegex(errors.UserError, 'has norm, which'):
      metric_sets.joined_metrics(base, {'norm': metrics.srank})


if __name__ == '__main__':
  absltest.main()
