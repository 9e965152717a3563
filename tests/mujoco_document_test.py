"""Runs the commands of docs/mujoco.md as they stand, made small."""

import csv
import os
import pathlib
import re
import warnings
from unittest import mock

import document_commands
import gin
import gymnasium
import jax
import minari
import transition_sets
from absl.testing import absltest

from implicit_underparam import configuration, errors, runner
from implicit_underparam.data import offline_sets

_SMALL = (
    'Runner.num_iterations = 1',
    'Runner.tensorboard = False',
    'Runner.seeds = (0, 1)',
    'EpisodeEvaluation.num_steps = 2',
    'EpisodeEvaluation.num_environments = 1',
    'OnlineLoop.training_steps = 60',
    'OnlineLoop.min_replay_history = 50',
    'OnlineLoop.probe_size = 64',
    'Replay.capacity = 300',
    'Replay.batch_size = 8',
    'OfflineLoop.gradient_steps = 3',
    'OfflineLoop.probe_size = 64',
    'TransitionData.batch_size = 8',
    'GaussianActorNetwork.hidden_units = (16,)',
    'CriticNetwork.hidden_units = (16,)',
)


class MuJoCoDocumentTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    # By the folder that each leaves.
    self.commands = {}
    for module, *words in document_commands.of('mujoco.md'):
      self.assertEqual(module, 'implicit_underparam.train')
      flags = [x.removeprefix('--').partition('=') for x in words]
      name = dict((x, y) for x, _, y in flags)['base_dir']
      self.commands[name.removeprefix('/tmp/')] = [
          (x, y.replace('/tmp/', f'{self.folder}/')) for x, _, y in flags
      ]
    self.assertSameElements(self.commands, [
        'pendulum', 'hopper', 'hopper_n8', 'hopper_sac', 'hopper_cql',
        'hopper_d4rl', 'hopper_minari', 'hopper_penalty',
    ])  # fmt: skip

  def build(self, name, *bindings):
    """What the command makes, before it runs."""
    given = self.commands[name]
    named = lambda flag: [y for x, y in given if x == flag]
    gin.clear_config()
    # A configuration before has locked what can be configured.
    with gin.unlock_config():
      configuration.parse(
          [str(document_commands.ROOT / x) for x in named('gin_files')],
          [*named('gin_bindings'), *bindings],
      )
    with configuration.readable_errors():
      return runner.Runner(named('base_dir')[0])

  def rows(self, name):
    with open(self.folder / name / 'metrics.csv', newline='') as file:
      return list(csv.DictReader(file))

  def test_a_run_is_logged_and_learnt_from(self):
    self.build('hopper', *_SMALL).run()
    self.build('hopper_cql', *_SMALL).run()
    for name, steps in (('hopper', 10), ('hopper_cql', 3)):
      rows = self.rows(name)
      self.assertEqual([x['seed'] for x in rows], ['0', '1'])
      self.assertEqual({x['gradient_steps'] for x in rows}, {str(steps)})
      for row in rows:
        self.assertBetween(int(row['srank']), 1, 16)
        self.assertBetween(int(row['srank_critic_2']), 1, 16)
        self.assertGreater(float(row['eval_episodes']), 0)
    text = (document_commands.ROOT / 'docs' / 'mujoco.md').read_text()
    table = text.partition('| column')[2].partition('\n\n')[0]
    found = {**self.rows('hopper_cql')[0], **self.rows('hopper')[0]}
    # The multiplier is there where it is learnt.
    self.assertContainsSubset(
        set(re.findall(r'`([a-z_0-9]+)`', table)) - {'cql_multiplier'}, found
    )
    # That SAC runs from a log is seen in `mujoco_resume_test`.
    built = self.build('hopper_sac', *_SMALL)
    sets = offline_sets.OfflineSets(built.loop.data, built.seeds)
    self.assertEqual(sets.columns(1, 0.99, False).num_starts.tolist(), [12, 12])
    for binding, message in (
        ("environment_id = 'Walker2d-v4'", 'is of Hopper-v4, and .*Walker2d'),
        ('Runner.seeds = (0, 2)', 'Hopper-v4/2/transitions: there is no such'),
    ):
      with self.assertRaisesRegex(errors.UserError, message):
        self.build('hopper_sac', *_SMALL, binding).run()

  def test_files_of_others_are_read(self):
    columns = transition_sets.columns(shown=11, done=3)
    columns['actions'] /= 2
    self.enter_context(
        mock.patch.dict(os.environ, MINARI_DATASETS_PATH=str(self.folder))
    )
    transition_sets.write(
        self.folder / 'hopper_full_replay-v2.hdf5', columns
    )
    with warnings.catch_warnings():
      # Of what a set in a test need not say about itself.
      warnings.simplefilter('ignore')
      recorder = minari.DataCollector(gymnasium.make('Hopper-v5'))
      recorder.reset(seed=0)
      for _ in range(9):
        recorder.step(recorder.action_space.sample())
      recorder.create_dataset(dataset_id='mujoco/hopper/medium-v0')
    for name, count in (('hopper_d4rl', 12), ('hopper_minari', 9)):
      built = self.build(name, 'TransitionData.batch_size = 8')
      sets = offline_sets.OfflineSets(built.loop.data, built.seeds)
      self.assertFalse(sets.by_seed)
      self.assertLen(sets.columns(1, 0.99, False).starts, count)

  def test_the_others_say_what_they_mean(self):
    pendulum = self.build('pendulum')
    self.assertEqual(pendulum.loop.environment.name, 'Pendulum-v1')
    self.assertEqual(pendulum.num_iterations, 10)
    self.assertEqual(self.build('hopper_n8').loop.data_reuse_ratio, 8)
    learner = self.build('hopper_penalty').loop.learner
    self.assertEqual(learner.agent.penalized_critics, (1,))
    self.assertEqual(learner.penalty_coefficient, 0.001)
    params = jax.eval_shape(
        learner.agent.init, jax.random.key(0), jax.numpy.zeros((1, 11, 1))
    )
    self.assertEqual(params['actor']['params']['Dense_2']['kernel'].shape[1], 6)


if __name__ == '__main__':
  absltest.main()
