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
from implicit_underparam.figures import collection, layout

_SRANK = [400, 390, 350, 300, 280, 260]


class AtariFiguresTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))
    self.runs = self.folder / 'runs'

  def _write(self, *names, **options):
    for name in names:
      synthetic_runs.atari(self.runs / name, _SRANK, **options)

  def _draw(self, id_, **options):
    found = collection.Collection(self.runs)
    return layout.draw(command.find_figures()[id_], found, **options)

  def _means(self, axes):
    """What the thick curves draw: [points] of x and y."""
    return [x.get_xydata().T for x in axes.lines if x.get_linewidth() > 1]

  @parameterized.parameters(
      ('2b', ('dqn_offline',), 2, 1),
      ('4d', ('fitted_q_evaluation', 'monte_carlo'), 1, 2),
      ('6b', ('dqn_offline', 'dqn_offline_penalty'), 2, 2),
      ('a3', ('cql_offline',), 2, 1),
      ('a16', ('cql_offline', 'cql_offline_penalty'), 2, 2),
      ('a20', ('dqn_offline',), 1, 2),
      ('d1', ('dqn_offline',), 1, 5),
  )
  def test_panels_and_curves(self, id_, names, panels, curves):
    self._write(*names)
    found = collection.Collection(self.runs)
    png, pdf = command.draw_figures(id_, found, self.folder / 'out')
    self.assertGreater(image.imread(png).std(), 0.02)
    self.assertTrue(pdf.read_bytes().startswith(b'%PDF'))
    drawn = self._draw(id_)
    self.assertLen(drawn.axes, panels)
    for axes in drawn.axes:
      self.assertLen(self._means(axes), curves)

  def test_srank_and_return_against_gradient_updates(self):
    self._write('dqn_offline')
    rank, returns = self._draw('2b').axes
    # Three seeds, seed s lies s higher; ten gradient steps an iteration.
    np.testing.assert_allclose(
        self._means(rank)[0], [np.arange(0, 60, 10), np.add(_SRANK, 1)])
    np.testing.assert_allclose(
        self._means(returns)[0][1], 2 * np.add(_SRANK, 1))
    self.assertEqual(returns.get_xlabel(), 'Gradient updates')
    self.assertIn('2048 transitions; at most 512', rank.get_ylabel())
    self.assertIn('Return', returns.get_ylabel())

  def test_thousands_of_updates_are_short(self):
    self._write('monte_carlo')
    axes, = self._draw('4d').axes
    formatter = axes.xaxis.get_major_formatter()
    self.assertEqual(formatter(6_250_000), '6.25 M')

  def test_two_ranks_of_one_run(self):
    self._write('dqn_offline')
    axes, = self._draw('a20').axes
    rank, by_eigenvalues = (y for _, y in self._means(axes))
    np.testing.assert_allclose(rank, np.add(_SRANK, 1))
    np.testing.assert_allclose(by_eigenvalues, np.add(_SRANK, -8))

  def test_singular_values_on_a_log_axis(self):
    self._write('dqn_offline', seeds=1, changes={
        'sigma_1': [3.0] * 6, 'sigma_2': [2.0] * 6, 'sigma_10': [1.0] * 6,
        'sigma_100': [0.9] * 6, 'sigma_min': [0.8, 0.8, 0.0, 0.0, 0.8, 0.8]})
    with np.errstate(all='raise', under='ignore', invalid='warn'):
      axes, = self._draw('d1').axes
    self.assertEqual(axes.get_yscale(), 'log')
    self.assertIn('geometric mean', axes.get_ylabel())
    self.assertIn('zero lies below', axes.get_ylabel())
    ends = [y[-1] for _, y in self._means(axes)]
    np.testing.assert_allclose(ends, [3, 2, 1, 0.9, 0.8])
    np.testing.assert_allclose(
        self._means(axes)[4][1], [0.8, 0.8, 0, 0, 0.8, 0.8])

  def test_returns_of_several_decades_stay_on_a_linear_axis(self):
    self._write('dqn_offline', changes={'eval_return': [1, 9, 90, 900, 9, 1]})
    self.assertEqual(self._draw('2b').axes[1].get_yscale(), 'linear')

  def test_title_says_whose_data(self):
    self._write('dqn_offline')
    drawn = self._draw('2b', title='Pong, 5%')
    self.assertEqual(drawn.get_suptitle(), 'Atari, offline DQN\nPong, 5%')
    self.assertEqual(self._draw('2b').get_suptitle(), 'Atari, offline DQN')

  def test_legend_stays_in_the_picture(self):
    self._write('cql_offline')
    broken = {0: _SRANK, 1: _SRANK[:2]}
    synthetic_runs.write(
        self.runs / 'cql_offline_penalty',
        {'srank': broken, 'eval_return': broken})
    drawn = self._draw('a16')
    drawn.canvas.draw()
    legend = drawn.legends[0]
    self.assertLen(legend.get_texts(), 3)
    box = legend.get_window_extent()
    self.assertGreaterEqual(box.x0, 0)
    self.assertLessEqual(box.x1, drawn.bbox.x1)

  def test_missing_runs(self):
    self._write('dqn_offline')
    labels = [
        text.get_text() for text in self._draw('6b').legends[0].get_texts()]
    self.assertEqual(labels, [
        'without penalty', 'with penalty: no run dqn_offline_penalty'])
    with self.assertRaisesRegex(
        UserError, r'gin_configs/atari/cql_offline\.gin.*PREPARED_SET'):
      self._draw('a3')

  def test_all_draws_what_there_are_runs_for(self):
    self._write('monte_carlo')
    # Of this name there is one in the gridworld suite, too.
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
      written = command.draw_figures(
          'all', collection.Collection(self.runs), self.folder / 'out')
    self.assertEqual({x.stem for x in written}, {
        'figure_4d', 'figure_atari_rank_return'})
    self.assertIn('has no run fitted_q_evaluation', errors.getvalue())
    self.assertIn('figure 2b is not drawn', errors.getvalue())
    self.assertNotIn('gridworld', errors.getvalue())

  def test_gridworld_runs_of_the_same_name_are_not_drawn(self):
    synthetic_runs.gridworld(self.runs / 'monte_carlo', [20, 40, 30])
    found = collection.Collection(self.runs)
    with self.assertRaisesRegex(UserError, 'figure 4d needs runs that'):
      command.draw_figures('4d', found, self.folder / 'out')


if __name__ == '__main__':
  absltest.main()
