"""Every configuration that is shipped parses, alone or where it belongs."""

import contextlib
import pathlib
import sys
from unittest import mock

import gin
from absl.testing import absltest, parameterized

from implicit_underparam import configuration, errors, runner
from implicit_underparam.agents import dqn, rainbow

_FOLDER = pathlib.Path(__file__).parents[1] / 'gin_configs'
_OFFLINE = ('atari/dqn_offline.gin', 'atari/cql_offline.gin')
_ONLINE = ('atari/dqn_online.gin', 'atari/rainbow_online.gin')
_MINATAR_ONLINE = ('minatar/dqn_online.gin', 'minatar/rainbow_online.gin')
_MINATAR_OFFLINE = (
    'minatar/dqn_offline.gin',
    'minatar/cql_offline.gin',
    'minatar/fitted_q_evaluation.gin',
    'minatar/monte_carlo.gin',
)
# What is added to others -> to which.
_ADDED = {
    'minatar/laptop.gin': _MINATAR_ONLINE + _MINATAR_OFFLINE,
    'minatar/laptop_log.gin': _MINATAR_ONLINE,
    'minatar/penalty.gin': _MINATAR_ONLINE + _MINATAR_OFFLINE,
    'minatar/target_features.gin': _MINATAR_ONLINE,
    'atari/data_5.gin': _OFFLINE,
    'atari/data_20.gin': _OFFLINE,
    'atari/dopamine_adam.gin': _OFFLINE + _ONLINE,
    'atari/dopamine_clock.gin': _ONLINE,
    'atari/penalty.gin': _OFFLINE + _ONLINE,
    'atari/short.gin': _OFFLINE,
    'atari/short_online.gin': _ONLINE,
    'atari/target_features.gin': _ONLINE,
    'base/offline_data.gin': ('base/gridworld.gin',),
    'base/online_data.gin': ('base/gridworld.gin',),
    'gridworld/penalty.gin': ('gridworld/offline_fqi.gin',),
}
_FILES = sorted(str(x.relative_to(_FOLDER)) for x in _FOLDER.rglob('*.gin'))


def build(*files: str, bindings: tuple[str, ...] = ()) -> runner.Runner:
  gin.clear_config()
  return runner.build(
      '/nowhere', [f'gin_configs/{x}' for x in files], bindings
  )


class EveryFileTest(parameterized.TestCase):

  @parameterized.parameters(*_FILES)
  def test_parses(self, file):
    for before in _ADDED.get(file, (None,)):
      gin.clear_config()
      files = [x for x in (before, file) if x is not None]
      configuration.parse([str(_FOLDER / x) for x in files], [])

  def test_a_misspelled_file_would_not(self):
    path = self.create_tempfile('bad.gin').full_path
    pathlib.Path(path).write_text(
        "include 'atari/dqn_online.gin'\nOnlineLoop.data_reuse_ration = 1\n"
    )
    gin.clear_config()
    with self.assertRaisesRegex(errors.UserError, 'data_reuse_ratio'):
      configuration.parse([path], [])

  def test_a_folder_of_the_same_name_is_no_hindrance(self):
    # Python takes it for a package.
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / 'base').mkdir()
    self.enterContext(contextlib.chdir(folder))
    self.enterContext(mock.patch.object(sys, 'path', ['', *sys.path]))
    build('gridworld/offline_fqi.gin')

  def test_what_is_added_is_there(self):
    self.assertContainsSubset(set(_ADDED), _FILES)


class OnlineAtariTest(parameterized.TestCase):

  def test_dqn_is_table_b1(self):
    built = build('atari/dqn_online.gin')
    loop = built.loop
    self.assertIsInstance(loop.agent, dqn.DQNAgent)
    self.assertEqual(built.num_iterations, 200)
    self.assertEqual(built.seeds, (0, 1, 2, 3, 4))
    self.assertEqual(loop.training_steps, 250_000)
    self.assertEqual(loop.data_reuse_ratio, 0.25)
    self.assertEqual(loop.min_replay_history, 20_000)
    self.assertEqual(loop.replay.capacity, 1_000_000)
    self.assertEqual(loop.replay.batch_size, 32)
    self.assertFalse(loop.replay.prioritized)
    self.assertEqual(loop.learner.target_update_period, 2000)
    self.assertEqual(loop.target_update_clock, 'gradient_steps')
    self.assertEqual(loop.probe_size, 2048)
    self.assertIsNone(loop.learner.penalty)
    self.assertIsNone(loop.target_features)
    # Epsilon is 1 until learning begins, 0.01 after 250,000 steps more.
    epsilons = [loop.epsilon(x) for x in (0, 20_000, 145_000, 270_000)]
    for epsilon, expected in zip(
        epsilons, (1, 1, 0.505, 0.01), strict=True
    ):
      self.assertAlmostEqual(epsilon, expected, places=5)

  def test_rainbow_is_dopamine_s(self):
    built = build('atari/rainbow_online.gin')
    agent, replay = built.loop.agent, built.loop.replay
    self.assertIsInstance(agent, rainbow.RainbowAgent)
    self.assertEqual(built.num_iterations, 100)
    self.assertEqual(agent.update_horizon, 3)
    self.assertAlmostEqual(agent.cumulative_gamma, 0.99**3)
    self.assertFalse(agent.double)
    network = agent.network
    self.assertEqual((network.num_atoms, network.v_max), (51, 10.0))
    self.assertFalse(network.dueling or network.noisy)
    self.assertEqual(network.padding, 'SAME')
    self.assertTrue(replay.prioritized)
    self.assertEqual(replay.importance_exponent, 0.5)
    self.assertEqual(gin.query_parameter('adam.learning_rate'), 6.25e-5)
    self.assertEqual(gin.query_parameter('adam.eps'), 1.5e-4)

  @parameterized.parameters(*_ONLINE)
  def test_everything_that_is_added_goes_together(self, file):
    alone = build(file)
    built = build(
        file, 'atari/penalty.gin', 'atari/target_features.gin',
        'atari/dopamine_clock.gin', 'atari/short_online.gin',
        bindings=("game = 'Seaquest'",),
    )  # fmt: skip
    loop = built.loop
    self.assertEqual(loop.environment.game, 'Seaquest')
    self.assertEqual(loop.evaluation.environment.game, 'Seaquest')
    self.assertEqual(loop.learner.penalty_coefficient, 0.001)
    self.assertEqual(loop.target_update_clock, 'agent_steps')
    self.assertEqual(loop.target_features.gradient_steps, 50)
    self.assertEqual(loop.agent.network.padding, 'VALID')
    added = {'srank@target', 'effective_rank@target'}
    self.assertEqual(set(built.metrics), set(alone.metrics) | added)

  def test_the_written_configuration_is_the_same_again(self):
    files = (_ONLINE[0], 'atari/target_features.gin')
    build(*files)
    text = gin.operative_config_str()
    self.assertIn('joined_metrics.base', text)
    gin.clear_config()
    configuration.parse([], [text])
    again = runner.Runner('/nowhere')
    self.assertIn('srank@target', again.metrics)
    self.assertEqual(gin.operative_config_str(), text)

  def test_the_clock_of_dopamine_is_every_8000_agent_steps(self):
    loop = build(_ONLINE[0], 'atari/dopamine_clock.gin').loop
    self.assertEqual(loop.target_updates_by(23_999), 0)
    self.assertEqual(loop.target_updates_by(24_000), 1)
    self.assertEqual(loop.target_updates_by(40_000), 3)


class MinAtarTest(parameterized.TestCase):

  @parameterized.parameters('Asterix', 'Breakout', 'Freeway', 'SpaceInvaders')
  def test_dqn_is_dopamines_on_the_network_of_young_and_tian(self, game):
    built = build(_MINATAR_ONLINE[0], bindings=(f"game = '{game}'",))
    loop = built.loop
    self.assertEqual(loop.environment.name, f'MinAtar-{game}')
    self.assertEqual(loop.evaluation.environment, loop.environment)
    self.assertEqual(loop.environment.sticky_actions, 0.1)
    network = loop.agent.network
    self.assertEqual((network.num_actions, network.num_units), (6, 128))
    self.assertEqual(loop.agent.gamma, 0.99)
    self.assertEqual(loop.agent.update_horizon, 1)
    self.assertEqual(loop.data_reuse_ratio, 0.25)
    self.assertEqual(loop.min_replay_history, 1000)
    self.assertEqual(loop.replay.capacity, 100_000)
    self.assertEqual(loop.replay.batch_size, 32)
    self.assertIsNone(loop.reward_clip)
    self.assertEqual(gin.query_parameter('adam.learning_rate'), 2.5e-4)
    self.assertEqual(gin.query_parameter('adam.eps'), 3.125e-4)
    # Dopamine's 1,000 agent steps at its n.
    self.assertEqual(
        loop.learner.target_update_period / loop.data_reuse_ratio, 1000
    )
    self.assertEqual(built.num_iterations * loop.training_steps, 5_000_000)

  def test_rainbow_is_dopamines(self):
    loop = build(_MINATAR_ONLINE[1]).loop
    self.assertIsInstance(loop.agent, rainbow.RainbowAgent)
    self.assertEqual(loop.agent.update_horizon, 3)
    network = loop.agent.network
    self.assertEqual((network.num_atoms, network.v_max), (51, 100.0))
    self.assertFalse(network.dueling or network.noisy or loop.agent.double)
    self.assertTrue(loop.replay.prioritized)

  @parameterized.parameters(*_MINATAR_OFFLINE)
  def test_offline_runs_read_the_log_of_their_game(self, file):
    path = "OfflineData.path = 'data/Asterix_{seed}_20'"
    built = build(
        file, 'minatar/penalty.gin', 'minatar/laptop.gin',
        bindings=("game = 'Asterix'", path),
    )  # fmt: skip
    loop = built.loop
    self.assertEqual(loop.data.game, 'MinAtar-Asterix')
    self.assertTrue(loop.data.by_seed)
    self.assertEqual(loop.learner.penalty_coefficient, 0.001)
    self.assertEqual(loop.gradient_steps, 500)

  @parameterized.parameters(*_MINATAR_ONLINE)
  def test_everything_that_is_added_goes_together(self, file):
    built = build(
        file, 'minatar/penalty.gin', 'minatar/target_features.gin',
        'minatar/laptop.gin', 'minatar/laptop_log.gin',
    )  # fmt: skip
    self.assertTrue(built.log_replay)
    self.assertEqual(built.loop.training_steps, 5000)
    self.assertIn('srank@target', built.metrics)


class CartPoleTest(parameterized.TestCase):

  @parameterized.parameters('dqn', 'rainbow')
  def test_network_and_environment_fit(self, name):
    loop = build(f'cartpole/{name}.gin').loop
    self.assertEqual(loop.environment.id, 'CartPole-v1')
    self.assertEqual(loop.agent.network.num_actions, 2)
    self.assertTrue(loop.agent.network.flatten)
    self.assertEqual(loop.replay.prioritized, name == 'rainbow')
    self.assertIsNone(loop.reward_clip)

  def test_rainbow_s_atoms_hold_every_return(self):
    network = build('cartpole/rainbow.gin').loop.agent.network
    # A reward of 1 a step, for ever.
    self.assertAlmostEqual(network.v_max, sum(0.99**i for i in range(5000)))
    self.assertEqual(network.v_min, 0)


if __name__ == '__main__':
  absltest.main()
