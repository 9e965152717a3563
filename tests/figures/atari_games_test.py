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
    atari_scores,
    collection,
    game_runs,
    layout,
    suites,
)

_SRANK = [400, 350, 300]


class AtariGamesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.runs = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory())) / 'runs'

  def _write(self, folder, *names, level=0):
    for name in names:
      synthetic_runs.atari(
          self.runs / folder / name, np.add(_SRANK, level).tolist(), 2)

  def _draw(self, id_, runs=None):
    found = collection.Collection(runs or self.runs)
    return layout.draw(command.find_figures()[id_], found)

  def _first(self, axes):
    """Where the thick curves begin: their mean over the two seeds."""
    return [
        float(x.get_ydata()[0]) - 0.5
        for x in axes.lines if x.get_linewidth() > 1]

  def _legend(self, drawn):
    return [x.get_text() for x in drawn.legends[0].get_texts()]

  def test_a_column_a_game(self):
    self._write('Pong_5', 'dqn_offline')
    self._write('Qbert_5', 'dqn_offline', level=10)
    drawn = self._draw('6b')
    self.assertEqual(
        [x.get_title() for x in drawn.axes], ['Pong', 'Qbert', '', ''])
    self.assertEqual([self._first(x) for x in drawn.axes[:2]], [[400], [410]])
    self.assertEqual(self._legend(drawn)[1],
                     'with penalty: no run dqn_offline_penalty')

  def test_5_and_20_percent_of_a_game_share_a_panel(self):
    self._write('Pong_5', 'dqn_offline')
    self._write('Pong_20', 'dqn_offline', level=30)
    self._write('Qbert_5', 'dqn_offline', level=10)
    drawn = self._draw('2b')
    self.assertEqual(self._legend(drawn), [
        'DQN, 5% of the data', 'DQN, 20% of the data'])
    pong, qbert = drawn.axes[:2]
    self.assertEqual(self._first(pong), [400, 430])
    self.assertEqual(self._first(qbert), [410])
    self.assertEqual(
        qbert.get_title(), 'Qbert\nno run: DQN, 20% of the data')

  @parameterized.parameters(('6b', '5', 400), ('a14', '20', 430))
  def test_a_figure_of_one_share_draws_its_folders(self, id_, share, level):
    self._write('Pong_5', 'dqn_offline')
    self._write('Pong_20', 'dqn_offline', level=30)
    drawn = self._draw(id_)
    self.assertEqual(drawn.axes[0].get_title(), 'Pong')
    self.assertEqual(self._first(drawn.axes[0]), [level])
    self.assertEndsWith(drawn.get_suptitle(), f', {share}% of the data')

  def test_the_share_that_is_lacking_is_named(self):
    self._write('Pong_5', 'dqn_offline')
    with self.assertRaisesRegex(
        collection.MissingRuns,
        r'^figure a2 \(of folders called GAME_20\) needs .* dqn_offline; make '
        r'the first with .*--base_dir=\S*runs/GAME/dqn_offline '):
      self._draw('a2')

  def test_a_folder_without_a_share_is_drawn_by_both_and_once_by_all(self):
    self._write('Pong', 'monte_carlo', 'fitted_q_evaluation')
    self._write('Pong', 'dqn_offline')
    for id_ in ('2b', 'a2'):
      drawn = self._draw(id_)
      self.assertEqual(self._first(drawn.axes[0]), [400])
      self.assertEqual(self._legend(drawn), ['DQN'])
      self.assertEqual(drawn.get_suptitle(), 'Atari, offline DQN')
    self.assertEqual(self._legend(self._draw('4d')), [
        'fitted Q evaluation', 'Monte-Carlo returns'])
    errors = io.StringIO()
    with (mock.patch.object(
        command, '_save', side_effect=lambda x, *_: [x.id]),
        contextlib.redirect_stderr(errors)):
      written = command.draw_figures(
          'all', collection.Collection(self.runs), self.runs / 'out')
    self.assertContainsSubset(['2b', '4d', '6b', '7', 'aggregate'], written)
    self.assertNoCommonElements(
        ['a2', 'a14', 'a15a', 'aggregate_20'], written)
    self.assertIn('figure a2 is not drawn: no folder is called GAME_20',
                  errors.getvalue())

  @parameterized.parameters(
      ('Pong_5', 'Pong'), ('Pong', 'Pong'), ('atari_offline', ''))
  def test_one_folder_alone(self, folder, title):
    self._write(folder, 'dqn_offline')
    drawn = self._draw('6b', self.runs / folder)
    self.assertEqual(drawn.axes[0].get_title(), title)
    found = collection.Collection(self.runs / folder).of(suites.ATARI)
    self.assertTrue(found.flat)
    self.assertIn(
        f'--base_dir={self.runs / folder}/cql_offline ',
        collection.missing_line('cql_offline', found))

  def test_sixteen_games_are_wrapped(self):
    for i, game in enumerate(atari_scores.SIXTEEN_GAMES):
      self._write(f'{game}_5', 'monte_carlo', level=i)
    self.assertLen(atari_scores.SIXTEEN_GAMES, 16)
    drawn = self._draw('4d')
    drawn.draw_without_rendering()
    width, height = drawn.get_size_inches()
    self.assertLess(max(width, height), 17)
    self.assertBetween(width / height, 0.6, 1.6)
    titles = [x for x in drawn.axes if x.get_title()]
    self.assertEqual(
        sorted(x.get_title() for x in titles),
        sorted(atari_scores.SIXTEEN_GAMES))
    self.assertLen({round(x.get_position().y0, 3) for x in titles}, 4)
    self.assertLen({round(x.get_position().x0, 3) for x in titles}, 4)
    by_name = {x.get_title(): self._first(x) for x in titles}
    self.assertEqual(by_name, {
        game: [400 + i] for i, game in enumerate(atari_scores.SIXTEEN_GAMES)})
    # Labels stand beside their own panel.
    for axes in drawn.axes:
      box = axes.yaxis.label.get_window_extent()
      beside = axes.get_window_extent()
      self.assertLess(box.height, 1.15 * beside.height)

  def test_places_that_are_not_needed_are_empty(self):
    for game in atari_scores.SIXTEEN_GAMES[:6]:
      self._write(f'{game}_5', 'dqn_offline')
    self.assertLen(self._draw('6b').axes, 12)

  def test_few_seeds_are_said_to_cover_less(self):
    self._write('Pong_5', 'dqn_offline')
    title = self._draw('6b').legends[0].get_title().get_text()
    self.assertIn('95% bootstrap interval', title)
    self.assertIn('of 2 seeds it covers 50% at most', title)

  def test_split(self):
    for folder, expected in (
        ('Pong_5', ('Pong', '5')), ('Pong_20', ('Pong', '20')),
        ('Pong_1', ('Pong_1', '')), ('Pong', ('Pong', ''))):
      self.assertEqual(game_runs.split(folder, suites.ATARI), expected)
    self.assertEqual(
        game_runs.split('Pong_5', suites.ATARI_ONLINE), ('Pong_5', ''))


if __name__ == '__main__':
  absltest.main()
