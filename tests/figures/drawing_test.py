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
    drawing,
    layout,
    runs,
    suites,
    summary,
)

_GRIDWORLD = ('2a', '3a', '4a', '4c', '6a', 'a11a', 'a11b')
_ATARI = ('2b', '4d', '6b', '7', 'a14', 'a15a', 'a15b', 'a16', 'a2', 'a20',
          'a3', 'aggregate', 'aggregate_20', 'd1')
_ONLINE = ('3b', '4b', 'a17', 'a18', 'a22', 'a8', 'aggregate_online', 'd1b',
           'd2', 'onpen', 'onpen_bars')
_SHARES = ('a14', 'a15a', 'a15b', 'a2', 'aggregate_20', 'aggregate_online')
_MINATAR = tuple(
    f'minatar_{x}' for x in (*_ATARI, *_ONLINE)
    if x not in _SHARES)
_MUJOCO = ('2c', '3c', 'a5', 'a7_gradient')
_THEORY = ('5', 'a21', 'th_compound', 'th_kernel',
           'th_kernel_gridworld', 'th_sv')
_RANK_RETURN = tuple(f'{x}_rank_return' for x in (
    'gridworld', 'atari', 'atari_online', 'minatar', 'mujoco'))


def _pixels(path):
  pixels = image.imread(path)
  assert pixels.std() > 0.02, 'an empty picture'
  return pixels


class FiguresTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))
    self.out = self.folder / 'out'

  def _runs(self, *names):
    for name in names:
      synthetic_runs.gridworld(
          self.folder / 'runs' / name, [20, 45, 40, 30, 25, 24])
    return collection.Collection(self.folder / 'runs')

  def test_all_figures_of_the_paper_are_found(self):
    found = command.find_figures()
    self.assertCountEqual(
        found, _GRIDWORLD + _ATARI + _ONLINE + _MINATAR + _MUJOCO + _THEORY
        + _RANK_RETURN)
    for ids, suite in (
        (_GRIDWORLD, suites.GRIDWORLD), (_ATARI, suites.ATARI),
        (_ONLINE, suites.ATARI_ONLINE), (_MINATAR, suites.MINATAR),
        (_MUJOCO, suites.MUJOCO), (_THEORY, suites.THEORY)):
      for id_ in ids:
        self.assertIs(found[id_].suite, suite)

  def test_a_figure_stands_for_others_of_the_paper(self):
    # What the paper draws, but for Figure 1, a schematic one.
    for place in (
        *'2a 2b 2c 3a 3b 3c 4a 4b 4c 4d 5 6a 6b 7 a11a a11b a15a a15b'.split(),
        *(f'a{i}' for i in range(1, 23) if i not in (11, 15)), 'd1', 'd2'):
      self.assertLen(command.choose_figures(place), 1)
    for id_, name in (('a6', '3b'), ('a12', '4b'), ('a19', 'a17'),
                      ('a1', '2b'), ('a10', '4d'), ('a13', '6b')):
      self.assertEqual([x.id for x in command.choose_figures(id_)], [name])
    for id_, names in (
        ('A.15', ['a15a', 'a15b']), ('A.6', ['3b']), ('6', ['6a', '6b']),
        ('a11', ['a11a', 'a11b']), ('4', ['4a', '4b', '4c', '4d']),
        ('2', ['2a', '2b', '2c']), ('D.1', ['d1']), ('7', ['7'])):
      found = [x.id for x in command.choose_figures(id_)]
      self.assertCountEqual(found, names)
    ids = [y for x in command.find_figures().values() for y in (x.id, *x.also)]
    self.assertLen(set(ids), len(ids))

  @parameterized.parameters(*_GRIDWORLD, *_ATARI, *_ONLINE)
  def test_every_run_of_a_figure_has_a_configuration(self, id_):
    figure = command.find_figures()[id_]
    configurations = pathlib.Path(__file__).parents[2] / 'gin_configs'
    for name in figure.runs:
      for file in figure.suite.configuration(name).files:
        path = configurations / figure.suite.name / f'{file}.gin'
        self.assertTrue(path.is_file(), path)

  @parameterized.parameters(*_GRIDWORLD)
  def test_drawn(self, id_):
    figure = command.find_figures()[id_]
    found = self._runs(*(line.run for line in figure.lines))
    png, pdf = command.draw_figures(id_, found, self.out)
    height, width, _ = _pixels(png).shape
    self.assertBetween(width, 800, 1200)
    self.assertBetween(height, 500, 1500)
    self.assertTrue(pdf.read_bytes().startswith(b'%PDF'))
    self.assertEqual(
        sorted(self.out.iterdir()), sorted((png, pdf)), 'a file left over')

  def test_the_same_runs_give_the_same_bytes(self):
    found = self._runs('offline_fqi', 'oracle')
    first = [
        p.read_bytes() for p in command.draw_figures('a11a', found, self.out)]
    again = command.draw_figures('a11a', found, self.folder / 'again')
    self.assertEqual(first, [path.read_bytes() for path in again])

  def test_curves_are_mean_and_seeds(self):
    drawn = layout.draw(
        command.find_figures()['a11a'], self._runs('offline_fqi', 'oracle'))
    lines = [line.get_ydata() for line in drawn.axes[0].lines]
    # Two runs of three seeds, and their means; seed s lies s higher.
    self.assertLen(lines, 8)
    np.testing.assert_array_equal(lines[2], np.add([20, 45, 40, 30, 25, 24], 2))
    np.testing.assert_allclose(lines[3], np.add([20, 45, 40, 30, 25, 24], 1))

  def test_missing_run_is_named_and_not_drawn(self):
    drawn = layout.draw(
        command.find_figures()['2a'], self._runs('offline_fqi'))
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    self.assertIn('T = 10: no run offline_fqi_t10', labels)
    self.assertIn('T = 200', labels)
    self.assertLen(drawn.axes[0].lines, 4)

  def test_another_rank_column(self):
    figure = command.find_figures()['2a'].with_rank_column('srank_free')
    drawn = layout.draw(figure, self._runs('offline_fqi'))
    np.testing.assert_allclose(
        drawn.axes[0].lines[0].get_ydata(), [10, 22.5, 20, 15, 12.5, 12])
    with self.assertRaisesRegex(UserError, 'figure 4a does not draw'):
      command.find_figures()['4a'].with_rank_column('srank_free')

  def test_running_mean(self):
    figure = command.find_figures()['a11a']
    drawn = layout.draw(figure, self._runs('oracle'), window=3)
    line = drawn.axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(
        line.get_ydata(), np.array([105, 115, 95, 79]) / 3)

  def test_log_axis_has_the_geometric_mean(self):
    errors = {0: [1.0, 1e-4], 1: [4.0, 4e-4]}
    for name in ('online_fqi', 'online_fqi_n10'):
      synthetic_runs.write(
          self.folder / 'runs' / name, {'q_star_fit_error': errors})
    drawn = layout.draw(
        command.find_figures()['4a'],
        collection.Collection(self.folder / 'runs'))
    axes = drawn.axes[0]
    self.assertEqual(axes.get_yscale(), 'log')
    self.assertIn('geometric mean', axes.get_ylabel())
    np.testing.assert_allclose(axes.lines[2].get_ydata(), [2, 2e-4])

  def test_when_a_log_axis_suits(self):
    self.assertTrue(drawing.spans_decades(np.array([1, 101, np.nan, np.inf])))
    for values in ([1, 99], [0, 1000], [-1, 1000], [np.nan]):
      self.assertFalse(drawing.spans_decades(np.array(values, float)))

  def test_stopped_seed_ends_in_a_cross(self):
    synthetic_runs.write(self.folder / 'runs' / 'oracle', {
        'srank': {0: [9, 8, 7, 6, 5], 1: [9, 8]}})
    drawn = layout.draw(
        command.find_figures()['a11a'],
        collection.Collection(self.folder / 'runs'))
    crosses = [x for x in drawn.axes[0].lines if x.get_marker() == 'X']
    self.assertLen(crosses, 1)
    self.assertEqual(
        (*crosses[0].get_xdata(), *crosses[0].get_ydata()), (1, 8))
    self.assertIn('a seed stopped', [
        text.get_text() for text in drawn.legends[0].get_texts()])

  def test_runs_of_different_length_and_one_row(self):
    self._runs('oracle')
    synthetic_runs.gridworld(
        self.folder / 'runs' / 'offline_fqi', [40], seeds=1)
    found = collection.Collection(self.folder / 'runs')
    _pixels(command.draw_figures('a11a', found, self.out)[0])

  def test_unwritable(self):
    found = self._runs('oracle')
    self.out.write_text('a file where the folder should be')
    with self.assertRaisesRegex(UserError, 'figure_a11a.png could not be'):
      command.draw_figures('a11a', found, self.out)


class SummaryTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _draw(self, columns):
    path = synthetic_runs.write(self.folder / 'run', columns)
    drawn = summary.draw(path)
    self.assertEqual(drawn, path / 'summary.png')
    self.assertEqual(
        {x.name for x in path.iterdir()}, {'metrics.csv', 'summary.png'})
    return _pixels(drawn)

  def test_gridworld(self):
    path = synthetic_runs.gridworld(self.folder / 'run', [20, 40, 30])
    self.assertEqual(_pixels(summary.draw(str(path))).shape[:2], (600, 1600))

  @parameterized.parameters(
      {'columns': {'loss': {0: [1.0]}}},
      {'columns': {'srank': {0: [5]}, 'eval_return': {0: [-3.0]}}},
      {'columns': {'eval_return': {0: [1.0, 2.0], 4: [3.0]}}},
      {'columns': {'loss': {0: [1e-3, float('nan'), float('inf'), 1e4]}}},
      {'columns': {'other': {0: [0.0, 1.0]}}},
      {'columns': {'srank': {0: [float('nan')] * 3}}},
  )
  def test_any_run(self, columns):
    self._draw(columns)

  @parameterized.parameters(
      ('loss,srank,srank_free,normalized_return,eval_return',
       [('srank', 'srank_free'), ('normalized_return',)]),
      ('loss,eval_return', [('eval_return',), ('loss',)]),
      ('loss,srank', [('srank',), ('loss',)]),
      ('td_error,loss', [('loss',)]),
      ('td_error,other', [('td_error',)]),
  )
  def test_panels(self, names, expected):
    columns = runs.COLUMNS + tuple(names.split(','))
    self.assertEqual(summary.choose_panels(columns), expected)

  def test_panels_without_metrics(self):
    self.assertEqual(
        summary.choose_panels(runs.COLUMNS), [('environment_steps',)])

  def test_replaces_an_old_picture(self):
    path = synthetic_runs.gridworld(self.folder / 'run', [20, 40])
    (path / 'summary.png').write_text('old')
    _pixels(summary.draw(path))

  def test_nothing_to_draw(self):
    with self.assertRaisesRegex(UserError, 'holds no metrics.csv'):
      summary.draw(self.folder)
    (self.folder / 'metrics.csv').write_text('')
    with self.assertRaisesRegex(UserError, 'no row'):
      summary.draw(self.folder)

  def test_unwritable(self):
    path = synthetic_runs.gridworld(self.folder / 'run', [20, 40])
    (path / 'summary.png').mkdir()
    with self.assertRaisesRegex(UserError, r'summary.png could not be written'):
      summary.draw(path)
    self.assertEqual(
        {x.name for x in path.iterdir()}, {'metrics.csv', 'summary.png'})

  def test_atari(self):
    path = synthetic_runs.atari(self.folder / 'run', [400, 300])
    columns = runs.read(path).columns
    self.assertEqual(
        summary.choose_panels(columns), [('srank',), ('eval_return',)])
    self.assertEqual(_pixels(summary.draw(path)).shape[:2], (600, 1600))

  def test_a_single_row_is_seen(self):
    one = self._draw({'srank': {0: [5]}, 'eval_return': {0: [1.0]}})
    blue = np.abs(one[..., :3] - [0, 0.447, 0.698]).max(-1) < 0.02
    self.assertGreater(blue.sum(), 100)


class WriteTest(absltest.TestCase):

  def test_the_canvas_is_agg_and_needs_no_display(self):
    with drawing.settings():
      figure = drawing.new_figure(1, 1, 'tight')
      buffer = io.BytesIO()
      figure.savefig(buffer, format='png')
    buffer.seek(0)
    self.assertEqual(image.imread(buffer).shape[:2], (200, 200))


if __name__ == '__main__':
  absltest.main()
