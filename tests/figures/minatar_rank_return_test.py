import math
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized
from scipy import stats

from implicit_underparam.figures import (
    collection,
    game_verdicts,
    rank_return,
    rank_return_report,
    stratified,
    suites,
)

_NAMES = tuple(f'run{i}' for i in range(7))


def _points(seed=0, seeds=5, slope=0.0):
  """Points whose return goes with rank by a slope, and noise."""
  rng = np.random.default_rng(seed)
  course = rng.normal(size=(2, len(_NAMES), seeds, rank_return.PARTS))
  course[1] += slope * course[0]
  return rank_return.Points(
      _NAMES, course[..., -1], course, rng.uniform(-1, 1, (len(_NAMES), seeds)))


def _brute(points, view, seeds):
  """A view's correlation of a resample, by scipy."""
  def spearman(x, y):
    return stats.spearmanr(np.ravel(x), np.ravel(y))[0]

  final, course = points.final[:, :, seeds], points.course[:, :, seeds]
  if view is rank_return.FINAL:
    return spearman(*final)
  if view is rank_return.BETWEEN:
    return spearman(*final.mean(-1))
  if view is rank_return.POOLED:
    return spearman(*course)
  if view is rank_return.SAME_PART:
    parts = np.moveaxis(course, -1, 0)
    return np.mean([spearman(*part) for part in parts])
  return points.within[:, seeds].mean()


class CorrelationTest(parameterized.TestCase):

  @parameterized.parameters(*rank_return.VIEWS)
  def test_views_by_scipy(self, view):
    points = _points(slope=0.5)
    for seeds in ([0, 1, 2, 3, 4], [3, 3, 0, 1, 3]):
      times = np.bincount(seeds, minlength=5)[None]
      self.assertAlmostEqual(
          view.measure(points, times)[0], _brute(points, view, seeds),
          places=10)

  @parameterized.parameters(rank_return.FINAL, rank_return.BETWEEN)
  def test_interval_by_brute_force(self, view):
    games = {'a': _points(1, slope=1.0), 'b': _points(2, slope=0.3)}
    found, every = rank_return.correlation(games, view, 200)
    drawn = stratified.draws([5, 5], 200)
    resampled = [
        np.mean([_brute(x, view, rows[i])
                 for x, rows in zip(games.values(), drawn, strict=True)])
        for i in range(200)]
    share = stratified.expanded([5, 5])
    np.testing.assert_allclose(
        (found.low, found.high),
        np.quantile(resampled, [(1 - share) / 2, (1 + share) / 2]))
    self.assertAlmostEqual(found.mean, np.mean(list(every.values())))

  def test_known_effects(self):
    for slope, expected in ((5.0, 1), (-5.0, -1), (0.0, 0)):
      games = {x: _points(i, slope=slope) for i, x in enumerate('abc')}
      for view in (rank_return.FINAL, rank_return.SAME_PART):
        found, _ = rank_return.correlation(games, view, 300)
        if expected:
          self.assertGreater(expected * found.mean, 0.9)
          self.assertGreater(
              min(expected * found.low, expected * found.high), 0.8)
        else:
          self.assertLess(found.low, 0)
          self.assertGreater(found.high, 0)

  def test_time_alone_correlates_pooled_points_and_not_those_of_one_time(self):
    points = _points(3)
    course = points.course + 100 * np.arange(rank_return.PARTS)
    games = {'a': rank_return.Points(_NAMES, points.final, course,
                                     points.within)}
    pooled, _ = rank_return.correlation(games, rank_return.POOLED, 50)
    same, _ = rank_return.correlation(games, rank_return.SAME_PART, 50)
    self.assertGreater(pooled.mean, 0.95)
    self.assertLess(abs(same.mean), 0.3)

  def test_too_few_points(self):
    few = _points().take(_NAMES[:1])
    self.assertEqual(few.names, _NAMES[:1])
    found, every = rank_return.correlation({'a': few}, rank_return.BETWEEN, 9)
    self.assertEqual(found.count, 0)
    self.assertTrue(math.isnan(every['a']))

  def test_a_constant_return_is_undefined_and_its_game_left_out(self):
    flat = _points()
    flat.final[1] = 3.0
    games = {'a': flat, 'b': _points(slope=9.0)}
    found, every = rank_return.correlation(games, rank_return.FINAL, 50)
    self.assertTrue(math.isnan(every['a']))
    self.assertAlmostEqual(found.mean, every['b'])
    self.assertEqual(found.count, 5)


class CollectTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _games(self):
    found = collection.Collection(self.folder, suite=suites.MINATAR)
    return game_verdicts.Games(found)

  def _write(self, name, rank, returns):
    folder = self.folder / 'Asterix' / name
    synthetic_runs.write(folder, {'srank': rank, 'eval_return': returns})
    (folder / 'config.gin').write_text('x = @MinAtarEnvironment()\n')

  def test_end_course_and_correlation_of_a_run(self):
    rank = {0: list(range(20, 0, -1)), 2: list(range(40, 20, -1))}
    returns = {0: list(range(20)), 2: list(range(20, 0, -1))}
    self._write('dqn_online_n1', rank, returns)
    self._write('dqn_online_n4', {0: rank[0]}, {0: returns[0]})
    games = self._games()
    points = rank_return.collect(
        games.collections['Asterix'],
        ('dqn_online_n4', 'dqn_online_n1', 'dqn_online_n8'))
    self.assertEqual(points.names, ('dqn_online_n4', 'dqn_online_n1'))
    # Means of the last two rows; the first run has no seed 2.
    np.testing.assert_allclose(points.final, [
        [[1.5, np.nan], [1.5, 21.5]], [[18.5, np.nan], [18.5, 1.5]]])
    np.testing.assert_allclose(
        points.course[0, 1, 1], np.arange(39.5, 21, -2))
    np.testing.assert_allclose(points.within, [[-1, np.nan], [-1, 1]])

  def test_a_seed_that_stopped(self):
    self._write('dqn_online_n1', {0: [5.0] * 20, 1: [5.0] * 7},
                {0: [1.0] * 20, 1: [2.0] * 7})
    points = rank_return.collect(
        self._games().collections['Asterix'], ('dqn_online_n1',))
    np.testing.assert_allclose(
        points.course[1, 0, 1], [2] * 4 + [np.nan] * 6)
    self.assertEqual(points.final[1, 0, 1], 2)

  def test_report(self):
    names = [f'{agent}_{x}' for agent in ('dqn_offline', 'cql_offline')
             for x in ('5', '20', '20_alpha0.01', '100')]
    for i, name in enumerate(names):
      for game in ('Asterix', 'Breakout'):
        synthetic_runs.minatar(
            self.folder / game / name, [50 + 3 * i] * 10, 5)
    text = rank_return_report.report(self._games(), 50)
    rows = [x.strip('| ').split(' | ') for x in text.splitlines()
            if x.startswith('| MinAtar, offline')]
    # The return is twice the rank, in every run and seed.
    at_the_end = next(x for x in rows if x[2] == rank_return.FINAL.text)
    self.assertEqual(at_the_end[1:], [
        'all', rank_return.FINAL.text, '1 [1, 1]', 'Asterix 1, Breakout 1',
        '2 positive, 0 negative', '8', '5', '2'])
    # Nothing changes within a run.
    within = next(x for x in rows if x[2] == rank_return.WITHIN.text)
    self.assertEqual(within[3], 'undefined')
    self.assertIn(
        '- **MinAtar, offline** (8 runs, 5 seeds, 2 games): those that end '
        'with a higher rank end with a higher return, 1 [1, 1]; without the '
        'penalty positive, 1 [1, 1];', text)


if __name__ == '__main__':
  absltest.main()
