import contextlib
import io
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized
from matplotlib import image

from implicit_underparam.errors import UserError
from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    layout,
    minatar_figures,
    minatar_runs,
    rank_return_figure,
    suites,
)

_GAMES = ('Asterix', 'Breakout')
_SRANK = [90, 80, 75, 60, 50, 45]
_CURVES = {
    '2b': (2, 3), '4d': (1, 3), '6b': (2, 4), 'a3': (2, 2), 'a16': (2, 4),
    'a20': (1, 2), 'd1': (1, 3), '3b': (2, 4), '4b': (2, 4), 'a22': (2, 4),
    'a8': (2, 1), 'a17': (2, 2), 'onpen': (2, 4), 'd1b': (1, 3), 'd2': (1, 2),
}


class MinatarFiguresTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory()
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)
    cls.runs = cls.folder / 'runs'
    for i, game in enumerate(_GAMES):
      for name in minatar_runs.ALL:
        synthetic_runs.minatar(
            cls.runs / game / name, np.add(_SRANK, 10 * i).tolist(), 3)

  def _draw(self, id_, runs=None, **options):
    found = collection.Collection(runs or self.runs)
    figure = command.find_figures()[f'minatar_{id_}']
    return layout.draw(figure, found, **options)

  def _means(self, axes):
    """What the thick curves draw: [points] of x and y."""
    return [x.get_xydata().T for x in axes.lines if x.get_linewidth() > 1]

  def test_every_figure_of_atari_that_has_runs(self):
    atari = {
        y for x in command.find_figures().values()
        if x.suite in (suites.ATARI, suites.ATARI_ONLINE)
        and not x.id.endswith('rank_return')
        for y in (x.id, *x.also)}
    own = {y for x in minatar_figures.FIGURES for y in (x.id, *x.also)}
    # One aggregate of all there is.
    atari -= {'aggregate_20', 'aggregate_online'}
    self.assertEqual(own, {f'minatar_{x}' for x in atari})
    self.assertEqual(
        {x.id for x in minatar_figures.FIGURES if x.painter is None},
        {f'minatar_{x}' for x in _CURVES})

  @parameterized.parameters(*_CURVES)
  def test_a_column_a_game(self, id_):
    panels, curves = _CURVES[id_]
    drawn = self._draw(id_)
    self.assertLen(drawn.axes, panels * len(_GAMES))
    self.assertEqual(
        [x.get_title() for x in drawn.axes[:2]], list(_GAMES))
    for axes in drawn.axes:
      self.assertLen(self._means(axes), curves)
    for axes in drawn.axes[-2:]:
      self.assertNotEmpty(axes.get_xlabel())

  @parameterized.parameters(*minatar_figures.FIGURES)
  def test_nothing_says_atari(self, figure):
    texts = [figure.title, *(line.label for line in figure.lines)]
    for column in figure.columns:
      texts.append(suites.MINATAR.axis(column).label)
    self.assertIn('MinAtar', figure.title)
    for text in texts:
      self.assertNotIn(' Atari', f' {text}')
      self.assertNotIn('512', text)

  def test_games_side_by_side_with_their_own_values(self):
    rank = self._draw('2b').axes[:2]
    for i, axes in enumerate(rank):
      for x, y in self._means(axes):
        # Three seeds, seed s lies s higher; ten gradient steps an iteration.
        np.testing.assert_allclose(x, np.arange(0, 60, 10))
        np.testing.assert_allclose(y, np.add(_SRANK, 10 * i + 1))
    self.assertIn('at most 128', rank[0].get_ylabel())
    self.assertEqual(rank[1].get_ylabel(), '')

  def test_x_axes(self):
    self.assertEqual(
        self._draw('3b').axes[-1].get_xlabel(), 'Environment steps')
    self.assertEqual(self._draw('2b').axes[-1].get_xscale(), 'linear')
    self.assertEqual(self._draw('a22').axes[-1].get_xscale(), 'log')

  def test_one_game_alone(self):
    drawn = self._draw('4d', self.runs / 'Breakout')
    self.assertEqual([x.get_title() for x in drawn.axes], ['Breakout'])

  def test_files(self):
    out = self.folder / 'files'
    found = collection.Collection(self.runs)
    png, pdf = command.draw_figures('minatar_4b', found, out)
    self.assertEqual(png.name, 'figure_minatar_4b.png')
    self.assertGreater(image.imread(png).std(), 0.02)
    self.assertTrue(pdf.read_bytes().startswith(b'%PDF'))

  def test_all_without_atari_s(self):
    few = self.folder / 'few'
    synthetic_runs.minatar(few / 'Asterix' / 'mc_offline_100', _SRANK)
    synthetic_runs.minatar(few / 'Breakout' / 'fqe_offline_100', _SRANK)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
      written = command.draw_figures(
          'all', collection.Collection(few), self.folder / 'out')
    self.assertEqual(
        {x.stem for x in written},
        {'figure_minatar_4d', 'figure_minatar_rank_return'})
    self.assertIn(
        f'--base_dir={few}/GAME/dqn_online_n8 '
        '--gin_files=gin_configs/minatar/dqn_online.gin '
        '--gin_files=gin_configs/minatar/target_features.gin '
        '--gin_files=gin_configs/minatar/laptop.gin '
        '--gin_bindings="game = \'GAME\'" '
        '--gin_bindings="OnlineLoop.data_reuse_ratio = 8"\n',
        errors.getvalue())
    self.assertIn(
        'note: there is no run fqe_offline_100 of Asterix\n',
        errors.getvalue())
    self.assertNotIn('atari/', errors.getvalue().replace('minatar/', ''))
    # A game that lacks a run has an empty place.
    left, right = self._draw('4d', few).axes
    self.assertLen(self._means(left), 1)
    self.assertLen(self._means(right), 1)
    with self.assertRaisesRegex(UserError, 'figure 3b needs runs'):
      command.draw_figures('3b', collection.Collection(few), self.folder)

  def test_two_runs_of_one_game_and_name(self):
    twice = self.folder / 'twice'
    for part in ('old', 'new'):
      synthetic_runs.minatar(twice / part / 'Asterix' / 'dqn_log', _SRANK)
    with self.assertRaisesRegex(UserError, 'several runs are called dqn_log'):
      self._draw('rank_return', twice)


class RankReturnFigureTest(absltest.TestCase):

  def test_points(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    for name, srank, value in (
        ('dqn_online_n1', 80, 5.0), ('dqn_online_n1_alpha0.01', 90, 10.0),
        ('cql_offline_20', 30, 2.5)):
      synthetic_runs.minatar(
          folder / 'Asterix' / name, [srank] * 10, 5,
          {'eval_return': [value] * 10})
    figure = command.find_figures()['minatar_rank_return']
    drawn = layout.draw(figure, collection.Collection(folder), title='20 k')
    offline, online = drawn.axes
    points = [x.get_xydata() for x in online.lines]
    # Seed s lies s higher; the best run has 10.
    np.testing.assert_allclose(
        points, [[[80 + s, 0.5] for s in range(5)],
                 [[90 + s, 1.0] for s in range(5)]])
    np.testing.assert_allclose(
        [x.get_xydata()[:, 1] for x in offline.lines], [[0.25] * 5])
    self.assertEqual(
        [x.get_markerfacecolor() == 'none' for x in online.lines],
        [False, True])
    self.assertEqual(
        drawn.get_suptitle().splitlines()[1], '20 k')
    self.assertIn('online', online.get_title())
    # Five ties of 0.5 below five of 1: 25 / sqrt(33 * 25) of Spearman's.
    self.assertIn('Spearman 0.87', online.get_title())
    self.assertEqual(
        [x.get_text() for x in drawn.legends[0].get_texts()],
        ['offline CQL', 'online DQN', 'hollow: with penalty'])

  def test_agents_that_nothing_is_known_of_look_different(self):
    looks = rank_return_figure._looks([f'agent {i}' for i in range(40)])
    self.assertLen({(x.color, x.marker) for x in looks.values()}, 40)

  def test_a_panel_a_kind_where_there_are_no_games(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    for name, srank, steps in (
        ('offline_fqi', 20, 0), ('offline_fqi_penalty', 30, 0),
        ('offline_growing', 25, 9), ('online_fqi', 40, 9),
        ('online_fqi_lr5e-3', 10, 9)):
      synthetic_runs.gridworld(
          folder / name, [srank] * 10, 5, environment_steps=steps)
    figure = command.find_figures()['gridworld_rank_return']
    drawn = layout.draw(figure, collection.Collection(folder))
    self.assertEqual(
        [x.get_title().splitlines()[0] for x in drawn.axes],
        ['offline', 'online', 'online, lr5e-3'])
    self.assertEqual([len(x.lines) for x in drawn.axes], [3, 1, 1])
    # Normalised returns are not divided: srank / 64, seed s lies s higher.
    np.testing.assert_allclose(
        drawn.axes[1].lines[0].get_xydata(),
        [[40 + s, (40 + s) / 64] for s in range(5)])
    self.assertIn('[1, 1]', drawn.axes[0].get_ylabel())
    with self.assertRaisesRegex(UserError, 'every run of minatar that has a'):
      command.draw_figures(
          'minatar_rank_return', collection.Collection(folder), folder)


if __name__ == '__main__':
  absltest.main()
