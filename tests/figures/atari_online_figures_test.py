import contextlib
import io
import pathlib
import tempfile
from unittest import mock

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized
from matplotlib import colors, image

from implicit_underparam.errors import UserError
from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    drawing,
    layout,
    reuse,
)

_SRANK = [400, 390, 350, 300, 280, 260]
_ALL_N = tuple(f'dqn_online_n{n}' for n in ('0.25', '1', '2', '4', '8'))


class AtariOnlineFiguresTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))
    self.runs = self.folder / 'runs'

  def _write(self, *names, **options):
    for name in names:
      synthetic_runs.online(self.runs / 'Pong' / name, _SRANK, **options)

  def _draw(self, id_, **options):
    found = collection.Collection(self.runs)
    return layout.draw(command.find_figures()[id_], found, **options)

  def _means(self, axes):
    """What the thick curves draw: [points] of x and y."""
    return [x.get_xydata().T for x in axes.lines if x.get_linewidth() > 1]

  def _legend(self, drawn):
    return [x.get_text() for x in drawn.legends[0].get_texts()]

  @parameterized.parameters(
      ('3b', _ALL_N, 2, 5),
      ('4b', _ALL_N, 2, 5),
      ('a22', _ALL_N, 2, 5),
      ('a8', tuple(x.replace('dqn', 'rainbow') for x in _ALL_N), 2, 5),
      ('a17', ('rainbow_online_n4', 'rainbow_online_n4_penalty'), 2, 2),
      ('onpen', ('dqn_online_n4', 'dqn_online_n4_penalty'), 2, 2),
      ('d1b', ('dqn_online_n4',), 1, 5),
      ('d2', ('dqn_online_n4_target', 'dqn_online_n8_target'), 1, 4),
  )
  def test_panels_and_curves(self, id_, names, panels, curves):
    self._write(*names)
    self.assertCountEqual(command.find_figures()[id_].runs, names)
    found = collection.Collection(self.runs)
    png, pdf = command.draw_figures(id_, found, self.folder / 'out')
    self.assertGreater(image.imread(png).std(), 0.02)
    self.assertTrue(pdf.read_bytes().startswith(b'%PDF'))
    drawn = self._draw(id_)
    self.assertLen(drawn.axes, panels)
    for axes in drawn.axes:
      self.assertLen(self._means(axes), curves)

  def test_against_environment_steps(self):
    self._write(*_ALL_N)
    rank, returns = self._draw('3b').axes
    # Three seeds, seed s lies s higher; 20 environment steps an iteration.
    np.testing.assert_allclose(
        self._means(rank)[0], [np.arange(0, 120, 20), np.add(_SRANK, 1)])
    np.testing.assert_allclose(
        self._means(returns)[0][1], 2 * np.add(_SRANK, 1))
    self.assertStartsWith(returns.get_xlabel(), 'Environment steps')
    self.assertIn('4 frames', returns.get_xlabel())
    formatter = returns.xaxis.get_major_formatter()
    self.assertEqual(formatter(25_000_000), '25 M')

  def test_against_gradient_steps(self):
    self._write('dqn_online_n1', gradient_steps=20)
    self._write('dqn_online_n8', gradient_steps=160)
    drawn = self._draw('a22')
    for axes in drawn.axes:
      one, eight = self._means(axes)
      np.testing.assert_array_equal(one[0], 20 * np.arange(6))
      np.testing.assert_array_equal(eight[0], 160 * np.arange(6))
      self.assertEqual(axes.get_xscale(), 'log')
    self.assertEqual(drawn.axes[-1].get_xlabel(), 'Gradient updates')
    # A first row without a gradient step lies off the axis and moves nothing.
    drawn.canvas.draw()
    self.assertGreater(drawn.axes[-1].get_xlim()[0], 10)

  def test_td_error_above_srank(self):
    self._write(*_ALL_N, seeds=1)
    error, rank = self._draw('4b').axes
    np.testing.assert_allclose(
        self._means(error)[2][1], 1 / np.array(_SRANK))
    np.testing.assert_allclose(self._means(rank)[2][1], _SRANK)
    self.assertIn('Huber', error.get_ylabel())
    self.assertEqual(error.get_yscale(), 'log')

  def test_main_and_target(self):
    self._write('dqn_online_n4_target')
    self._write('dqn_online_n8_target', changes={'srank_target': [9.0] * 6})
    drawn = self._draw('d2')
    curves = [y for _, y in self._means(drawn.axes[0])]
    for y, expected in zip(curves, (
        np.add(_SRANK, 1), np.add(_SRANK, -20), np.add(_SRANK, 1), [9] * 6
    ), strict=True):
      np.testing.assert_allclose(y, expected)

  def test_legend_is_read_by_rows(self):
    self._write(*_ALL_N)
    drawn = self._draw('3b')
    drawn.canvas.draw()
    places = {}
    for text in drawn.legends[0].get_texts():
      box = text.get_window_extent()
      places[text.get_text()] = (round(-box.y0), box.x0)
    self.assertEqual(
        sorted(places, key=places.get),
        ['n = 0.25', 'n = 1', 'n = 2', 'n = 4', 'n = 8'])
    self.assertLess(box.x1, drawn.bbox.x1)

  def test_larger_n_are_darker(self):
    lines = reuse.lines('dqn_online')
    self.assertEqual([x.label for x in lines],
                     [f'n = {n}' for n in reuse.RATIOS])
    self.assertEqual(
        sorted(map(float, reuse.RATIOS)), list(map(float, reuse.RATIOS)))
    # Rec. 709.
    grey = [
        np.dot(colors.to_rgb(x.style.color), (0.2126, 0.7152, 0.0722))
        for x in lines]
    self.assertTrue((np.diff(grey) < -0.08).all(), grey)
    self.assertLess(grey[0], 0.8)
    self.assertLen({(x.style.dashes, x.style.marker) for x in lines}, 5)
    self.assertLen(drawing.RISING, 5)

  def test_missing_runs_leave_room_for_the_panels(self):
    self._write('dqn_online_n1')
    drawn = self._draw('3b')
    self.assertEqual(self._legend(drawn), [
        'n = 0.25: no run dqn_online_n0.25', 'n = 1',
        'n = 2: no run dqn_online_n2', 'n = 4: no run dqn_online_n4',
        'n = 8: no run dqn_online_n8'])
    drawn.canvas.draw()
    few = drawn.axes[0].get_window_extent().height
    self._write(*(x for x in _ALL_N if x != 'dqn_online_n1'))
    drawn = self._draw('3b')
    drawn.canvas.draw()
    self.assertAlmostEqual(
        few / drawn.axes[0].get_window_extent().height, 1, delta=0.1)

  def test_commands_of_missing_runs(self):
    self._write('dqn_online_n1')
    errors = io.StringIO()
    with (mock.patch.object(
        command, '_save', side_effect=lambda x, *_: [pathlib.Path(x.id)]),
        contextlib.redirect_stderr(errors)):
      written = command.draw_figures(
          'all', collection.Collection(self.runs), self.folder / 'out')
    self.assertEqual(
        set(map(str, written)),
        {'3b', '4b', 'a22', 'aggregate_online', 'atari_online_rank_return'})
    self.assertIn(
        f'--base_dir={self.runs}/GAME/dqn_online_n8_target '
        '--gin_files=gin_configs/atari/dqn_online.gin '
        '--gin_files=gin_configs/atari/target_features.gin '
        '--gin_bindings="game = \'GAME\'" '
        '--gin_bindings="OnlineLoop.data_reuse_ratio = 8"\n',
        errors.getvalue())
    self.assertNotIn('PREPARED_SET', errors.getvalue())

  def test_offline_and_online_runs_lie_side_by_side(self):
    self._write('dqn_online_n1', 'dqn_offline')
    synthetic_runs.atari(self.runs / 'Pong_5' / 'monte_carlo', _SRANK)
    with self.assertRaisesRegex(UserError, 'figure 2b needs runs'):
      self._draw('2b')
    self.assertLen(self._draw('4d').axes, 1)
    self.assertLen(self._draw('3b').axes, 2)

  def test_variant(self):
    self._write('dqn_online_n1', 'dqn_online_n1_penalty')
    found = collection.Collection(self.runs, 'penalty')
    drawn = layout.draw(command.find_figures()['3b'], found)
    self.assertIn('penalty', drawn.get_suptitle())
    self.assertIn('n = 2: no run dqn_online_n2_penalty', self._legend(drawn))


if __name__ == '__main__':
  absltest.main()
