import contextlib
import io
import pathlib
import tempfile
from unittest import mock

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    improvement,
    layout,
    runs,
    stratified,
)
from implicit_underparam.figures.paper_figure import Undrawable

_LONG = improvement.OFFLINE_LIMIT // 100  # Steps of an iteration.


class ImprovementTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _run(self, name, returns, **options):
    path = synthetic_runs.write(
        self.folder / name, {'eval_return': returns}, **options)
    return runs.read(path)

  @parameterized.parameters(
      (3, 2, 0.5), (1, 2, -0.5), (-1, -2, 0.5), (1, -2, 1.5))
  def test_definition(self, x, base, expected):
    treated, baseline = (
        self._run(name, {0: [7, value], 1: [8, value]})
        for name, value in (('x', x), ('b', base)))
    found = improvement.measure(treated, baseline)
    self.assertEqual(found.effect.mean, expected)
    self.assertEqual((found.effect.low, found.effect.high), (expected,) * 2)

  def test_only_seeds_of_both_and_only_as_far_as_both_go(self):
    treated = self._run('x', {0: [0, 6, 9], 1: [0, 8, 9], 5: [0, 99, 99]})
    baseline = self._run('b', {0: [0, 2], 1: [0, 4], 3: [0, 99]})
    found = improvement.measure(treated, baseline)
    np.testing.assert_array_equal(found.returns, [[6, 2], [8, 4]])
    self.assertAlmostEqual(found.effect.mean, 7 / 3 - 1)
    self.assertEqual(found.steps, 10)

  def test_offline_at_iteration_100(self):
    # Of the last tenth of the first hundred iterations.
    values = [0] * 91 + [4] * 10 + [1000] * 50
    treated = self._run('x', {0: values}, gradient_steps=_LONG)
    baseline = self._run('b', {0: [2] * 151}, gradient_steps=_LONG)
    found = improvement.measure(treated, baseline, improvement.OFFLINE_LIMIT)
    self.assertEqual(found.steps, improvement.OFFLINE_LIMIT)
    self.assertEqual(found.effect.mean, 1)
    whole = improvement.measure(treated, baseline)
    self.assertEqual(whole.effect.mean, 499)

  def test_none_in_common_and_undefined(self):
    one, other = (self._run(str(s), {s: [1, 2]}) for s in (0, 1))
    self.assertIsNone(improvement.measure(one, other))
    zero = self._run('zero', {0: [0, 0]})
    self.assertTrue(np.isnan(improvement.measure(one, zero).effect.mean))

  def test_median_over_games(self):
    rng = np.random.default_rng(0)
    found = []
    for game in range(3):
      x = rng.normal(10 + game, 1, 5).tolist()
      b = rng.normal(10, 1, 5).tolist()
      found.append(improvement.measure(
          self._run(f'x{game}', {s: [0, x[s]] for s in range(5)}),
          self._run(f'b{game}', {s: [0, b[s]] for s in range(5)})))
    median = improvement.median(found)
    self.assertEqual(median.mean, np.median([x.effect.mean for x in found]))
    # By hand: a draw of pairs within each game, then the median over games.
    draws = stratified.draws([5] * 3)
    by_game = [
        x.returns[rows, 0].mean(1) / x.returns[rows, 1].mean(1) - 1
        for x, rows in zip(found, draws, strict=True)]
    share = stratified.expanded([5] * 3)
    ends = np.quantile(
        np.median(by_game, 0), [(1 - share) / 2, (1 + share) / 2])
    np.testing.assert_allclose((median.low, median.high), ends)


class BarsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.runs = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory())) / 'runs'

  def _write(self, folder, name, final, **options):
    values = [1.0] * 9 + [final]
    changes = {'eval_return': values}
    online = 'online' in name
    writer = synthetic_runs.online if online else synthetic_runs.atari
    writer(self.runs / folder / name, [300] * 10, 3, changes, **options)

  def _pair(self, folder, base, penalized, name='dqn_offline'):
    self._write(folder, name, base)
    self._write(folder, f'{name}_penalty', penalized)

  def _draw(self, id_):
    found = collection.Collection(self.runs)
    return layout.draw(command.find_figures()[id_], found)

  def _bars(self, axes):
    labels = [x.get_text() for x in axes.get_yticklabels()]
    bars = [x for x in axes.patches if x.get_width() or x.get_hatch()]
    return {
        label: (round(bar.get_width(), 6), bar.get_hatch())
        for label, bar in zip(labels, bars, strict=True)}

  def test_a_bar_a_game_the_best_first(self):
    self._pair('Pong_5', 2, 1)
    self._pair('Qbert_5', 2, 9)
    self._pair('Asterix_5', 2, 3)
    drawn = self._draw('7')
    dqn, cql = drawn.axes
    bars = self._bars(dqn)
    self.assertEqual(list(bars), ['Qbert', 'Asterix', 'Pong'])
    self.assertEqual([x for x, _ in bars.values()], [350, 50, -50])
    # In grey a loss is told by its hatching.
    self.assertEqual([bool(x) for _, x in bars.values()], [False, False, True])
    self.assertEqual(dqn.get_xscale(), 'symlog')
    self.assertEqual(
        [x.get_text() for x in dqn.texts], ['+350%', '+50%', '−50%'])
    self.assertIn('better in 2 of 3 games\nmedian 50%', dqn.get_title())
    self.assertIn('nothing to draw', cql.get_title())
    self.assertIn('5% of the data', drawn.get_suptitle())

  def test_what_is_written_below(self):
    self._pair('Pong_5', 2, 1)
    self._write('Qbert_5', 'dqn_offline', 2)
    self._pair('Zaxxon_5', 0, 1)
    below = ' '.join(self._draw('7').get_supxlabel().split())
    self.assertIn('(x − b) / |b|', below)
    self.assertIn('90 gradient updates', below)
    self.assertIn(
        'Not drawn, DQN: Qbert (no dqn_offline_penalty), Zaxxon (undefined: b '
        'is 0).', below)
    self.assertIn('3 a game; of 3, that of a game covers 75% at most', below)
    self.assertRegex(below, 'Of the paper\'s 16 games not run: .*YarsRevenge')
    self.assertNotIn('YarsRevenge, Zaxxon', below)

  def test_each_share_has_its_own_folders(self):
    self._pair('Pong_5', 2, 3)
    self._pair('Pong_20', 2, 4)
    self.assertEqual(self._bars(self._draw('7').axes[0]), {'Pong': (50, None)})
    axes, = self._draw('a15a').axes
    self.assertEqual(self._bars(axes), {'Pong': (100, None)})
    with self.assertRaisesRegex(collection.MissingRuns, 'figure a15b needs'):
      self._draw('a15b')

  def test_online(self):
    self._pair('Pong', 2, 3, 'rainbow_online_n4')
    axes, = self._draw('a18').axes
    self.assertEqual(self._bars(axes), {'Pong': (50, None)})

  def test_nothing_to_draw(self):
    self._write('Pong_5', 'dqn_offline', 2)
    with self.assertRaisesRegex(
        Undrawable,
        '^figure 7 has nothing to draw: DQN: Pong .no dqn_offline_penalty.; '
        'CQL'):
      self._draw('7')
    self._write('Pong_5', 'monte_carlo', 2)
    few = [command.find_figures()[x] for x in ('4d', '7')]
    errors = io.StringIO()
    with (mock.patch.object(command, 'choose_figures', return_value=few),
          contextlib.redirect_stderr(errors)):
      written = command.draw_figures(
          'all', collection.Collection(self.runs), self.runs / 'out')
    self.assertEqual({x.stem for x in written}, {'figure_4d'})
    self.assertIn('note: figure 7 has nothing to draw: ', errors.getvalue())

  def test_one_seed_has_no_interval(self):
    for name, value in (('dqn_offline', 2), ('dqn_offline_penalty', 3)):
      synthetic_runs.atari(
          self.runs / 'Pong_5' / name, [300] * 10, 1,
          {'eval_return': [value] * 10})
    axes, _ = self._draw('7').axes
    self.assertIn('no interval', axes.get_title())
    self.assertLen(axes.lines, 1, 'more than the zero line')

  def test_minatar(self):
    for game, value in (('Asterix', 3), ('Breakout', 1)):
      for name, final in (
          ('dqn_offline_20', 2), ('dqn_offline_20_alpha0.001', value)):
        synthetic_runs.minatar(
            self.runs / game / name, [80] * 10, 5,
            {'eval_return': [final] * 10})
    axes, _ = self._draw('minatar_7').axes
    self.assertEqual(
        self._bars(axes), {'Asterix': (50, None), 'Breakout': (-50, '////')})
    self.assertNotIn('16 games', self._draw('minatar_7').get_supxlabel())


if __name__ == '__main__':
  absltest.main()
