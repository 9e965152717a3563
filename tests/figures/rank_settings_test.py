"""Which runs are correlated with each other, by what their names tell."""

import json
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized
from scipy import stats

from implicit_underparam.figures import (
    collection,
    game_improvement,
    rank_return,
    rank_return_report,
    rank_settings,
    runs,
    suites,
)


class SettingsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _games(self, suite):
    return collection.Collection(self.folder, suite=suite).games()

  @parameterized.parameters(
      ('offline_fqi', 'GRIDWORLD', 0, ('offline', 'offline_fqi', False,
                                       '7 gradient steps')),
      ('offline_fqi_t10_penalty_lr5e-3', 'GRIDWORLD', 0, (
          'offline, lr5e-3', 'offline_fqi', True, '7 gradient steps')),
      # Data that grows is no agent's own.
      ('offline_growing', 'GRIDWORLD', 9, (
          'offline', 'offline_growing', False, '7 gradient steps')),
      ('one_hot_n10', 'GRIDWORLD', 9, (
          'online', 'one_hot', False, '7 gradient steps')),
      ('dqn_offline_20_alpha0.001', 'MINATAR', 0, (
          'offline', 'dqn_offline', True, '')),
      ('fqe_offline_100', 'MINATAR', 0, (
          'offline', 'fitted_q_evaluation', False, '')),
      ('dqn_log', 'MINATAR', 9, ('online', 'dqn_online', False, '')),
      ('rainbow_online_n4_penalty', 'ATARI_ONLINE', 9, (
          'online', 'rainbow_online', True, 'n = 4')),
      ('monte_carlo', 'ATARI', 9, ('offline', 'monte_carlo', False, '')),
      ('sac_online_n8', 'MUJOCO', 9, ('online', 'sac_online', False, 'n = 8')),
  )
  def test_traits(self, name, suite, steps, expected):
    run = runs.read(synthetic_runs.write(
        self.folder / name, {'srank': {0: [1.0] * 8}}, gradient_steps=8,
        environment_steps=steps))
    self.assertEqual(
        rank_settings.traits(name, run, getattr(suites, suite)),
        rank_settings.Traits(*expected))

  def test_settings_of_a_folder(self):
    for name in ('dqn_offline_20', 'dqn_offline_20_alpha0.01', 'mc_offline_100',
                 'cql_offline_20'):
      synthetic_runs.minatar(self.folder / 'Asterix' / name, [9] * 5)
    synthetic_runs.minatar(self.folder / 'Breakout' / 'dqn_log', [9] * 5)
    found = {
        (x.kind, x.which): set(x.names)
        for x in rank_settings.find(self._games(suites.MINATAR))}
    # One run alone is no setting, and none is told twice.
    self.assertEqual(found, {
        ('offline', 'all'): {
            'dqn_offline_20', 'dqn_offline_20_alpha0.01', 'mc_offline_100',
            'cql_offline_20'},
        ('offline', 'without penalty'): {
            'dqn_offline_20', 'mc_offline_100', 'cql_offline_20'},
        ('offline', 'without FQE and Monte-Carlo'): {
            'dqn_offline_20', 'dqn_offline_20_alpha0.01', 'cql_offline_20'},
        ('offline', '`dqn_offline`'): {
            'dqn_offline_20', 'dqn_offline_20_alpha0.01'},
    })
    kinds = rank_settings.by_kind(self._games(suites.MINATAR))
    self.assertEqual(set(kinds['online']), {'dqn_log'})

  def test_superseded_runs_are_left_out(self):
    for name in ('dqn_offline_5', 'dqn_offline_20'):
      folder = self.folder / 'Asterix' / name
      synthetic_runs.minatar(folder, [9] * 5)
    (folder / 'run.json').write_text(
        json.dumps({'status': 'superseded: run again'}))
    kinds = rank_settings.by_kind(self._games(suites.MINATAR))
    self.assertEqual(set(kinds['offline']), {'dqn_offline_5'})

  def test_offline_runs_are_none_of_online_atari(self):
    synthetic_runs.atari(self.folder / 'Pong_5' / 'dqn_offline', [9] * 5)
    synthetic_runs.online(self.folder / 'Pong' / 'dqn_online_n1', [9] * 5)
    self.assertEqual(
        {k: set(x) for k, x in rank_settings.by_kind(
            self._games(suites.ATARI_ONLINE)).items()},
        {'online': {'dqn_online_n1'}})
    self.assertEqual(
        {k: set(x) for k, x in rank_settings.by_kind(
            self._games(suites.ATARI)).items()},
        {'offline': {'dqn_offline'}})

  def test_the_gridworld_by_scipy(self):
    rng = np.random.default_rng(3)
    rank, returns = rng.normal(size=(2, 4, 5)).tolist()
    for i, name in enumerate(('exact', 'oracle', 'supervised', 'offline_fqi')):
      columns = {
          'srank': {s: [rank[i][s]] * 10 for s in range(5)},
          'normalized_return': {s: [returns[i][s]] * 10 for s in range(5)}}
      synthetic_runs.write(
          self.folder / name, columns, environment_steps=0)
    found = next(iter(rank_return_report.of_suite(
        self._games(suites.GRIDWORLD), 20)))
    self.assertEqual(found.view, rank_return.FINAL.text)
    self.assertEqual((found.runs, found.seeds), ((4,), 5))
    self.assertAlmostEqual(
        found.found.mean, stats.spearmanr(np.ravel(rank), np.ravel(returns))[0])


class CutTest(absltest.TestCase):

  def test_up_to_so_many_gradient_steps(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    run = runs.read(synthetic_runs.write(
        folder / 'run', {'srank': {0: [1.0] * 8}}, gradient_steps=10))
    self.assertEqual(game_improvement.cut(run, 45).gradient_steps, 40)
    self.assertEqual(game_improvement.cut(run, 70).gradient_steps, 70)
    self.assertEqual(game_improvement.cut(run, 999).num_iterations, 8)


if __name__ == '__main__':
  absltest.main()
