"""The sweep of the online Atari runs, against what figures and claims need."""

import collections
import shlex

import gin
from absl.testing import absltest, parameterized

from implicit_underparam import configuration, runner
from implicit_underparam.figures import __main__ as figures
from implicit_underparam.figures import (
    atari_online_claims,
    reuse,
    suites,
)
from implicit_underparam.figures import collection as collection_lib
from launch.sweeps import atari_online

_ALL = {run.name: run for run in atari_online.SWEEP.scales['paper']}
_SEAQUEST = tuple(x for x in _ALL if x.startswith('Seaquest/'))


class SweepTest(parameterized.TestCase):

  def test_games_of_each_experiment(self):
    games = collections.defaultdict(set)
    for name in _ALL:
      game, run = name.split('/')
      games[run].add(game)
    counts = {run: len(found) for run, found in games.items()}
    self.assertEqual(counts, {
        **{f'dqn_online_n{n}': 5 for n in reuse.RATIOS},
        **{f'dqn_online_n{n}_penalty': 5 for n in reuse.RATIOS},
        **{f'rainbow_online_n{n}': 16 for n in reuse.RATIOS},
        'rainbow_online_n4_penalty': 16,
        'dqn_online_n4_target': 1,
        'dqn_online_n8_target': 1,
    })
    self.assertEqual(
        games['dqn_online_n1'],
        {'Asterix', 'Qbert', 'Pong', 'Seaquest', 'Breakout'})
    self.assertEqual(games['dqn_online_n8_target'], {'Seaquest'})

  def test_figures_and_claims_find_their_runs(self):
    there = {name.split('/')[1] for name in _SEAQUEST}
    self.assertContainsSubset(set(atari_online_claims.FAMILY.runs), there)
    online = [
        x for x in figures.find_figures().values()
        if x.suite is suites.ATARI_ONLINE]
    self.assertNotEmpty(online)
    for figure in online:
      self.assertContainsSubset(set(figure.runs), there)

  @parameterized.parameters(*_SEAQUEST)
  def test_the_command_of_a_missing_run_is_the_sweep_s(self, name):
    run = name.split('/')[1]
    told = collection_lib.command(run, '', 'D', suites.ATARI_ONLINE)
    told = shlex.split(told.replace('GAME', 'Seaquest'))
    made = _ALL[name].command('D')
    seeds = '--gin_bindings=Runner.seeds = (0, 1, 2, 3, 4)'
    self.assertEqual([*told[3:], seeds], made[3:])

  @parameterized.parameters(*_SEAQUEST)
  def test_a_run_is_what_its_name_says(self, name):
    run = _ALL[name]
    gin.clear_config()
    configuration.parse(run.gin_files, run.gin_bindings)
    loop = runner.Runner('/nowhere').loop
    parts = name.split('/')[1].split('_')
    ratio = float(parts[2].removeprefix('n'))
    self.assertEqual(loop.data_reuse_ratio, ratio)
    self.assertEqual(loop.updates_by(loop.min_replay_history + 1000),
                     1000 * ratio)
    self.assertEqual(loop.learner.penalty is not None, 'penalty' in parts)
    self.assertEqual(loop.target_features is not None, 'target' in parts)
    self.assertEqual(loop.replay.prioritized, parts[0] == 'rainbow')
    self.assertEqual(loop.environment.game, 'Seaquest')

  def test_seeds_that_fit_a_device(self):
    for run in _ALL.values():
      self.assertLen(run.seeds, 5)
      # A million frames a seed, on a card of 80 GB of which 90% are usable.
      self.assertLess(
          run.resources.seeds_per_run * 7.07, run.resources.gpus * 72)

  def test_the_longest_are_started_first(self):
    costs = {name: run.cost for name, run in _ALL.items()}
    self.assertGreater(
        costs['Pong/dqn_online_n8'], 3 * costs['Pong/dqn_online_n1'])
    self.assertGreater(
        costs['Pong/dqn_online_n4'], costs['Pong/rainbow_online_n4'])


if __name__ == '__main__':
  absltest.main()
