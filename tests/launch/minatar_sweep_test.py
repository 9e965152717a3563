"""The sweep of the MinAtar runs, against what figures and claims need."""

import collections
import pathlib
import shlex

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
from launch.run import Preparation, Run
from launch.sweeps import minatar

_TASKS = minatar.SWEEP.scales['laptop']
_ALL = {run.name: run for run in _TASKS if isinstance(run, Run)}
_BREAKOUT = tuple(x for x in _ALL if x.startswith('Breakout/'))


class SweepTest(parameterized.TestCase):

  def tearDown(self):
    gin.clear_config()
    super().tearDown()

  def test_every_game_has_every_run(self):
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
    made = _ALL[name].command('D')
    seeds = '--gin_bindings=Runner.seeds = (0, 1, 2, 3, 4)'
    self.assertEqual([*told[3:], seeds], made[3:])

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
          f'{{base_dir}}/prepared/Breakout_{{seed}}_{parts[2]}')
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

  def test_each_offline_run_s_data_is_prepared_of_the_log(self):
    made = {x.name: x for x in _TASKS if isinstance(x, Preparation)}
    needed = set()
    for run in _ALL.values():
      for binding in run.gin_bindings:
        if binding.startswith('OfflineData.path'):
          path = binding.split("'")[1].removeprefix('{base_dir}/')
          paths = {path.replace('{seed}', str(seed)) for seed in run.seeds}
          self.assertEqual(set(run.after), paths)
          needed |= paths
    self.assertEqual(set(made), needed)
    self.assertLen(made, 3 * 5 * 3)
    for name, task in made.items():
      game, seed, percent = pathlib.Path(name).name.split('_')
      flags = dict(
          x.removeprefix('--').split('=', 1) for x in task.command('D')[3:])
      self.assertAlmostEqual(float(flags['fraction']), int(percent) / 100)
      self.assertEqual(flags['seed'], seed)
      self.assertEqual(flags['out'], f'D/{name}')
      self.assertEqual(
          flags['source'],
          f'D/{game}/dqn_log/replay/MinAtar-{game}/{seed}/replay_logs')
      self.assertEqual(task.after, (f'{game}/dqn_log',))
      self.assertIn(int(seed), _ALL[f'{game}/dqn_log'].seeds)
      prepare_options.Options(
          fraction=float(flags['fraction']), mode=flags['mode'],
          seed=int(flags['seed'])).check()

  def test_it_is_no_scale_of_the_paper(self):
    self.assertEqual(tuple(minatar.SWEEP.scales), ('smoke', 'laptop'))


if __name__ == '__main__':
  absltest.main()
