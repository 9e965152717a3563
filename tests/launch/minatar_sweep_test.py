"""The sweep of the MinAtar runs, against what figures and claims need."""

import collections
import contextlib
import io
import pathlib
import runpy
import shlex
import sys
from unittest import mock

import gin
from absl.testing import absltest, parameterized

from implicit_underparam import configuration, runner
from implicit_underparam.data import prepare_options
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import (
  minatar_claims,
  minatar_figures,
  minatar_runs,
  suites,
)
from launch.sweeps import minatar

_ALL = {run.name: run for run in minatar.RUNS}
_BREAKOUT = tuple(x for x in _ALL if x.startswith('Breakout/'))


class SweepTest(parameterized.TestCase):

  def tearDown(self):
    gin.clear_config()
    super().tearDown()

  def test_every_game_has_every_run(self):
    self.assertLen(_ALL, len(minatar.RUNS))
    games = collections.defaultdict(set)
    for name in _ALL:
      game, run = name.split('/')
      games[game].add(run)
    self.assertEqual(set(games), {'Asterix', 'Breakout', 'SpaceInvaders'})
    for runs in games.values():
      self.assertEqual(runs, set(minatar_runs.ALL))
    self.assertLen(minatar_runs.ALL, 22)

  def test_figures_and_claims_find_their_runs(self):
    there = {name.split('/')[1] for name in _BREAKOUT}
    self.assertContainsSubset(set(minatar_claims.FAMILY.runs), there)
    for figure in minatar_figures.FIGURES:
      self.assertContainsSubset(set(figure.runs), there)
    for run, alphas in minatar_runs.TRIED.items():
      for alpha in alphas:
        self.assertIn(minatar_runs.penalized(run, alpha), there)

  @parameterized.parameters(*_BREAKOUT)
  def test_the_command_of_a_missing_run_is_the_sweep_s(self, name):
    run = name.split('/')[1]
    told = collection_lib.command(run, '', 'D', suites.MINATAR)
    told = shlex.split(told.replace('GAME', 'Breakout'))
    made = _ALL[name].command(pathlib.Path('D'))
    self.assertEqual(told[3:], made[3:])

  @parameterized.parameters(*_BREAKOUT)
  def test_a_run_is_what_its_name_says(self, name):
    run = _ALL[name]
    gin.clear_config()
    configuration.parse(run.gin_files, run.gin_bindings)
    loop = runner.Runner('/nowhere').loop
    parts = name.split('/')[1].split('_')
    agents = {'dqn': 'DQNAgent', 'cql': 'CQLAgent', 'fqe': 'FQEAgent',
              'mc': 'MonteCarloAgent', 'rainbow': 'RainbowAgent'}
    self.assertEqual(type(loop.learner.agent).__name__, agents[parts[0]])
    alpha = [x.removeprefix('alpha') for x in parts if 'alpha' in x]
    self.assertEqual(loop.learner.penalty is not None, bool(alpha))
    if alpha:
      self.assertEqual(loop.learner.penalty_coefficient, float(alpha[0]))
    if parts[1] == 'offline':
      self.assertEqual(
          gin.query_parameter('OfflineData.path'),
          f'data/Breakout_{{seed}}_{parts[2]}')
      return
    ratio = 0.25 if parts[1] == 'log' else float(parts[2].removeprefix('n'))
    self.assertEqual(loop.data_reuse_ratio, ratio)
    self.assertEqual(loop.target_features is not None, ratio == 8)
    self.assertEqual(loop.replay.prioritized, parts[0] == 'rainbow')
    self.assertEqual(loop.environment.game, 'Breakout')

  def test_the_log_is_longer_and_kept(self):
    run = _ALL['Breakout/dqn_log']
    gin.clear_config()
    configuration.parse(run.gin_files, run.gin_bindings)
    self.assertTrue(gin.query_parameter('Runner.log_replay'))
    steps = gin.query_parameter('OnlineLoop.training_steps')
    other = _ALL['Breakout/dqn_online_n0.25']
    gin.clear_config()
    configuration.parse(other.gin_files, other.gin_bindings)
    self.assertGreater(
        steps, gin.query_parameter('OnlineLoop.training_steps'))

  def test_each_offline_run_s_data_is_prepared(self):
    commands = minatar.preparations(pathlib.Path('D'))
    made = {}
    for command in commands:
      flags = dict(x.removeprefix('--').split('=', 1) for x in command[3:])
      made[flags.pop('out')] = flags
    self.assertLen(made, len(commands))
    gin.clear_config()
    configuration.parse(
        _ALL['Breakout/dqn_online_n1'].gin_files, ())
    seeds = gin.query_parameter('Runner.seeds')
    needed = set()
    for run in minatar.RUNS:
      for binding in run.gin_bindings:
        if binding.startswith('OfflineData.path'):
          path = binding.split("'")[1]
          needed |= {path.replace('{seed}', str(seed)) for seed in seeds}
    self.assertEqual(set(made), needed)
    for out, flags in made.items():
      game, seed, percent = pathlib.Path(out).name.split('_')
      self.assertAlmostEqual(float(flags['fraction']), int(percent) / 100)
      self.assertEqual(flags['seed'], seed)
      self.assertEqual(
          flags['source'],
          f'D/{game}/dqn_log/replay/MinAtar-{game}/{seed}/replay_logs')
      self.assertIn(f'{game}/dqn_log', _ALL)
      prepare_options.Options(
          fraction=float(flags['fraction']), mode=flags['mode'],
          seed=int(flags['seed'])).check()

  def test_the_module_prints_the_preparations(self):
    shown = io.StringIO()
    with (contextlib.redirect_stdout(shown),
          mock.patch.object(sys, 'argv', ['minatar', 'D'])):
      runpy.run_path(minatar.__file__, run_name='__main__')
    self.assertEqual(
        [shlex.split(line) for line in shown.getvalue().splitlines()],
        minatar.preparations(pathlib.Path('D')))

  def test_without_a_folder(self):
    with (self.assertRaisesRegex(SystemExit, 'give the sweep'),
          mock.patch.object(sys, 'argv', ['minatar'])):
      runpy.run_path(minatar.__file__, run_name='__main__')


if __name__ == '__main__':
  absltest.main()
