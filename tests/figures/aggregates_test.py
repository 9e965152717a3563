import pathlib
import sys
import tempfile
from unittest import mock

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized
from rliable import metrics

from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    aggregates,
    atari_scores,
    collection,
    layout,
)
from implicit_underparam.figures.paper_figure import Undrawable


def _scores(seeds, games, seed=0):
  return np.random.default_rng(seed).normal(size=(seeds, games))


def _trimmed(values):
  """The mean of what is left without a quarter at either end."""
  ranked = sorted(values)
  quarter = len(ranked) // 4
  kept = ranked[quarter:len(ranked) - quarter]
  return sum(kept) / len(kept)


def _counted(first, second):
  """P(X > Y), pair by pair."""
  shares = []
  for x, y in zip(first.T, second.T, strict=True):
    points = [(a > b) + 0.5 * (a == b) for a in x for b in y]
    shares.append(sum(points) / len(points))
  return sum(shares) / len(shares)


class AggregatesTest(parameterized.TestCase):

  @parameterized.parameters((5, 3), (2, 1), (7, 16), (3, 5))
  def test_of_rliable_against_brute_force(self, seeds, games):
    x, y = _scores(seeds, games), _scores(seeds, games, 1).round(1)
    found = aggregates.summarize(x)
    self.assertAlmostEqual(found['IQM'].mean, _trimmed(x.ravel().tolist()))
    by_game = sorted(x.mean(0).tolist())
    middle = (by_game[(games - 1) // 2] + by_game[games // 2]) / 2
    self.assertAlmostEqual(found['median'].mean, middle)
    self.assertAlmostEqual(found['mean'].mean, sum(by_game) / games)
    x = x.round(1)  # Ties.
    self.assertAlmostEqual(aggregates.probability(x, y).mean, _counted(x, y))

  @parameterized.parameters((5, 3), (1, 1), (7, 16), (3, 5), (2, 3))
  def test_what_is_resampled_is_rliable_s(self, seeds, games):
    x, y = _scores(seeds, games).round(1), _scores(seeds, games, 1).round(1)
    self.assertAlmostEqual(
        aggregates.interquartile_mean(x), metrics.aggregate_iqm(x))
    self.assertAlmostEqual(
        aggregates.share_above(x, y), metrics.probability_of_improvement(x, y))

  def test_intervals_are_percentiles_of_seeds_drawn_within_games(self):
    x = _scores(5, 3)
    found = aggregates.summarize(x)
    rng = np.random.default_rng(7)
    rows = rng.integers(5, size=(20_000, 5, 3))
    drawn = x[rows, np.arange(3)]
    for name, resampled in (
        ('mean', drawn.mean((1, 2))), ('median', np.median(drawn.mean(1), 1)),
        ('IQM', np.sort(drawn.reshape(-1, 15), 1)[:, 3:12].mean(1))):
      low, high = np.quantile(resampled, [0.025, 0.975])
      delta = 0.08 * (high - low)
      self.assertAlmostEqual(found[name].low, low, delta=delta)
      self.assertAlmostEqual(found[name].high, high, delta=delta)

  def test_the_same_every_time_and_numpy_s_state_is_left_alone(self):
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    first = aggregates.summarize(_scores(3, 2))
    self.assertEqual(np.random.random(), expected)
    self.assertEqual(aggregates.summarize(_scores(3, 2)), first)

  def test_one_seed_has_no_interval(self):
    found = aggregates.summarize(_scores(1, 3))
    self.assertTrue(np.isnan(found['IQM'].low))
    self.assertTrue(
        np.isnan(aggregates.probability(_scores(1, 3), _scores(1, 3, 1)).high))


class AggregateFigureTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.runs = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory())) / 'runs'
    self.enterContext(mock.patch.object(aggregates, 'RESAMPLES', 20))

  def _write(self, folder, name, score, seeds=3):
    writer = synthetic_runs.online if 'online' in name else synthetic_runs.atari
    writer(self.runs / folder / name, [300] * 10, seeds,
           {'eval_return': [score] * 10})

  def _draw(self, id_='aggregate'):
    found = collection.Collection(self.runs)
    return layout.draw(command.find_figures()[id_], found)

  def _points(self, axes):
    return [
        float(x.get_xdata()[0]) for x in axes.lines
        if x.get_linestyle() == 'None']

  def _human(self, game, share):
    scores = atari_scores.SCORES[game]
    return scores.random + share * (scores.human - scores.random)

  def test_human_normalised(self):
    for game, without, penalized in (
        ('Pong', 0.5, 0.75), ('Qbert', 0.25, 0.125), ('Asterix', 0.0, 1.0)):
      self._write(f'{game}_5', 'dqn_offline', self._human(game, without))
      self._write(
          f'{game}_5', 'dqn_offline_penalty', self._human(game, penalized))
    drawn = self._draw()
    median, iqm, mean, above = drawn.axes
    np.testing.assert_allclose(self._points(median), [0.25, 0.75], atol=1e-9)
    # Nine scores, of which two are left out on either side.
    np.testing.assert_allclose(
        self._points(iqm), [1.25 / 5, (0.125 + 3 * 0.75 + 1) / 5], atol=1e-9)
    np.testing.assert_allclose(self._points(mean), [0.25, 0.625], atol=1e-9)
    np.testing.assert_allclose(self._points(above), [2 / 3])
    labels = [x.get_text() for x in median.get_yticklabels()]
    self.assertEqual(labels, [
        'DQN (3 games, 3 seeds)', 'without penalty', 'with penalty',
        'CQL: no game has all runs'])
    self.assertIn('human', drawn.get_supxlabel())
    self.assertIn('5% of the data', drawn.get_suptitle())

  def test_only_games_and_seeds_that_all_have(self):
    self._write('Pong_5', 'dqn_offline', -20.7)
    self._write('Pong_5', 'dqn_offline_penalty', 14.6, seeds=2)
    self._write('Qbert_5', 'dqn_offline', 0)
    self._write('Qbert_5', 'cql_offline', 0)
    self._write('Nonesuch_5', 'cql_offline', 1)
    drawn = self._draw()
    labels = [x.get_text() for x in drawn.axes[0].get_yticklabels()]
    self.assertEqual(labels[0], 'DQN (1 game, 2 seeds)')
    np.testing.assert_allclose(
        self._points(drawn.axes[0])[:2], [0, 1], atol=1e-9)
    below = ' '.join(drawn.get_supxlabel().split())
    self.assertIn('Left out, DQN, for want of a run or of known scores: Qbert.',
                  below)
    self.assertIn('Left out, CQL, for want of a run or of known scores: '
                  'Nonesuch.', below)
    self.assertIn('with penalty: no run', labels)

  def test_n_and_online(self):
    for n, share in (('1', 0.5), ('8', 0.25)):
      self._write('Pong', f'dqn_online_n{n}', self._human('Pong', share))
    drawn = self._draw('aggregate_online')
    np.testing.assert_allclose(
        self._points(drawn.axes[0]), [0.5, 0.25], atol=1e-9)

  def test_minatar_by_the_best_run_of_the_game(self):
    for game, values in (('Asterix', (2, 4)), ('Breakout', (30, 10))):
      names = ('dqn_offline_20', 'dqn_offline_20_alpha0.001')
      for name, value in zip(names, values, strict=True):
        synthetic_runs.minatar(
            self.runs / game / name, [80] * 10, 5,
            {'eval_return': [value] * 10})
    drawn = self._draw('minatar_aggregate')
    np.testing.assert_allclose(
        self._points(drawn.axes[2]), [(0.5 + 1) / 2, (1 + 1 / 3) / 2])
    np.testing.assert_allclose(self._points(drawn.axes[3]), [0.5])

  def test_nothing_known(self):
    self._write('Nonesuch_5', 'dqn_offline', 1)
    with self.assertRaisesRegex(Undrawable, r'left out: Nonesuch'):
      self._draw()

  def test_without_rliable(self):
    self._write('Pong_5', 'dqn_offline', 1)
    self.enterContext(mock.patch.dict(sys.modules, {'rliable': None}))
    with self.assertRaisesRegex(
        Undrawable,
        r"^aggregates need rliable.*: pip install '\.\[analysis\]'$"):
      self._draw()


if __name__ == '__main__':
  absltest.main()
