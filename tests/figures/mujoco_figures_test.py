import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.errors import UserError
from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    layout,
    mujoco_figures,
    runs,
    suites,
)

_ENVIRONMENTS = ('Hopper', 'Walker2d')
_SRANK = [240, 200, 180, 150]
_CURVES = {'2c': 1, 'a4': 1, 'a5': 1, '3c': 5, 'a7': 5, 'a7_gradient': 5}


class MujocoFiguresTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory()
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)
    cls.runs = cls.folder / 'runs'
    for i, environment in enumerate(_ENVIRONMENTS):
      for name in ('sac_offline_20', 'cql_offline_20'):
        synthetic_runs.mujoco(
            cls.runs / environment / name, np.add(_SRANK, 5 * i).tolist())
      for ratio in map(int, mujoco_figures.RATIOS):
        synthetic_runs.mujoco(
            cls.runs / environment / f'sac_online_n{ratio}',
            np.add(_SRANK, ratio).tolist(), gradient_steps=20 * ratio)

  def _draw(self, id_, folder=None):
    figure, = command.choose_figures(id_)
    return layout.draw(figure, collection.Collection(folder or self.runs))

  def _means(self, axes):
    return [x.get_xydata().T for x in axes.lines if x.get_linewidth() > 1]

  @parameterized.parameters(*_CURVES)
  def test_a_column_an_environment_rank_above_return(self, id_):
    drawn = self._draw(id_)
    self.assertLen(drawn.axes, 4)
    self.assertEqual([x.get_title() for x in drawn.axes[:2]], [*_ENVIRONMENTS])
    self.assertIn('srank', drawn.axes[0].get_ylabel())
    self.assertIn('at most 256', drawn.axes[0].get_ylabel())
    self.assertIn('Return', drawn.axes[2].get_ylabel())
    for axes in drawn.axes:
      self.assertLen(self._means(axes), _CURVES[id_])
    self.assertIn('MuJoCo', drawn.get_suptitle())

  def test_offline_against_gradient_updates(self):
    for i, axes in enumerate(self._draw('2c').axes[:2]):
      (x, y), = self._means(axes)
      np.testing.assert_allclose(x, [0, 10, 20, 30])
      np.testing.assert_allclose(y, np.add(_SRANK, 5 * i + 1))

  @parameterized.parameters(
      ('3c', 'Environment steps', 'linear', [[0, 20, 40, 60]] * 5),
      ('a7_gradient', 'Gradient updates', 'log',
       [20 * n * np.arange(4) for n in (1, 2, 4, 8, 16)]),
  )
  def test_online(self, id_, label, scale, expected):
    axes = self._draw(id_).axes[2]
    self.assertEqual((axes.get_xlabel(), axes.get_xscale()), (label, scale))
    np.testing.assert_allclose([x for x, _ in self._means(axes)], expected)
    # n = 16 is the darkest; the return of seed 1 is 2 (srank + 1).
    np.testing.assert_allclose(
        self._means(axes)[-1][1], 2 * np.add(_SRANK, 16 + 1))

  def test_the_second_critic(self):
    figure, = command.choose_figures('a4')
    drawn = layout.draw(
        figure.with_rank_column('srank_critic_2'),
        collection.Collection(self.runs / 'Hopper'))
    (_, y), = self._means(drawn.axes[0])
    np.testing.assert_allclose(y, _SRANK)
    self.assertIn('second critic', drawn.axes[0].get_ylabel())

  def test_a_missing_run_and_what_makes_it(self):
    few = self.folder / 'few'
    synthetic_runs.mujoco(few / 'Ant' / 'sac_online_n1', _SRANK)
    there = collection.Collection(few, suite=suites.MUJOCO)
    self.assertEndsWith(
        collection.missing_line('sac_online_n8', there),
        f'--base_dir={few}/ENVIRONMENT/sac_online_n8 '
        '--gin_files=gin_configs/mujoco/sac_online.gin '
        '--gin_files=gin_configs/mujoco/laptop.gin '
        '--gin_bindings="environment_id = \'ENVIRONMENT-v4\'" '
        '--gin_bindings="OnlineLoop.data_reuse_ratio = 8" '
        '--gin_bindings="Runner.num_iterations = 5"')
    with self.assertRaisesRegex(UserError, 'figure a5 needs runs.*cql_laptop'):
      command.draw_figures('a5', collection.Collection(few), self.folder)

  def test_with_a_penalty(self):
    self.assertEqual(
        suites.MUJOCO.configuration('cql_offline_20_alpha0.01')[0],
        ('cql_offline', 'penalty', 'cql_laptop'))

  def test_runs_of_other_suites_are_another_matter(self):
    both = self.folder / 'both'
    synthetic_runs.mujoco(both / 'Hopper' / 'cql_offline_20', _SRANK)
    synthetic_runs.minatar(both / 'Breakout' / 'cql_offline_20', _SRANK)
    synthetic_runs.atari(both / 'Pong' / 'cql_offline_20', _SRANK)
    found = collection.Collection(both)
    for suite, games in (
        (suites.MUJOCO, ['Hopper']), (suites.MINATAR, ['Breakout'])):
      self.assertEqual(list(found.of(suite).games()), games)
    self.assertEqual(
        found.of(suites.ATARI).get('cql_offline_20').path.parts[-3], 'Pong')


class CutTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _run(self, name, length, steps, seeds=2):
    return runs.read(synthetic_runs.write(
        self.folder / name,
        {'srank': {s: [50.0] * length for s in range(seeds)}},
        gradient_steps=steps))

  def test_to_where_both_have_a_row(self):
    # 0, 10 to 290, and 0, 80, 160, 240, 320: both have rows at 240.
    one, many = runs.cut_to_common(
        [self._run('a', 30, 10), self._run('b', 5, 80)], 'gradient_steps')
    self.assertEqual((one.gradient_steps, many.gradient_steps), (240, 240))
    self.assertEqual((one.num_iterations, many.num_iterations), (25, 4))

  def test_seed_by_seed(self):
    one = self._run('a', 30, 10, seeds=3)
    many = runs.read(synthetic_runs.write(
        self.folder / 'b', {'srank': {0: [1.0] * 4, 2: [1.0] * 9}},
        gradient_steps=10))
    for run in runs.cut_to_common([one, many], 'environment_steps'):
      np.testing.assert_array_equal(run.seeds, [0, 2])
      np.testing.assert_array_equal(
          [run.has_row(s).sum() for s in (0, 2)], [4, 9])

  def test_no_common_seed(self):
    one = self._run('a', 3, 10, seeds=1)
    many = runs.read(synthetic_runs.write(
        self.folder / 'b', {'srank': {1: [1.0] * 3}}))
    for run in runs.cut_to_common([one, many], 'gradient_steps'):
      self.assertEmpty(run.rows)


if __name__ == '__main__':
  absltest.main()
