"""Offline Atari runs: killed, resumed, evaluated, played; the real commands."""

import csv
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import small_runs
from absl.testing import absltest

from implicit_underparam import errors, policies
from implicit_underparam.data import frame_store, prepare
from implicit_underparam.networks import NatureNetwork

_FIXTURE = pathlib.Path(__file__).parent / 'fixtures' / 'pong_replay_logs'
_FILES = ('gin_configs/atari/dqn_offline.gin', 'gin_configs/atari/short.gin')
_BINDINGS = (
    'Runner.seeds = (0, 3)',
    'Runner.num_iterations = 4',
    'Runner.checkpoint_every = 2',
    'OfflineLoop.gradient_steps = 3',
    'OfflineLoop.probe_size = 64',
    'NatureNetwork.num_units = 16',
    'EpisodeEvaluation.num_steps = 8',
    'EpisodeEvaluation.num_environments = 1',
    'AtariEnvironment.max_frames = 16',
)


class OfflineRunTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    holder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(holder.cleanup)
    cls.folder = pathlib.Path(holder.name)
    prepare.prepare(_FIXTURE, cls.folder / 'set', prepare.Options(game='Pong'))
    # For what looks at every state.
    cls.part = cls.folder / 'part'
    prepare.prepare(
        _FIXTURE, cls.part, prepare.Options(game='Pong', fraction=0.1)
    )
    cls.whole = cls.folder / 'whole'
    result = small_runs.run(cls.command(cls.whole))
    assert result.returncode == 0, result.stderr
    cls.printed = result.stdout

  @classmethod
  def bindings(cls):
    return *_BINDINGS, f"OfflineData.path = '{cls.folder / 'set'}'"

  @classmethod
  def command(cls, base_dir, bindings=()):
    return [
        sys.executable, '-m', 'implicit_underparam.train',
        f'--base_dir={base_dir}',
        *(f'--gin_files={x}' for x in _FILES),
        *(f'--gin_bindings={x}' for x in (*cls.bindings(), *bindings)),
    ]  # fmt: skip

  def rows(self, base_dir):
    with open(base_dir / 'metrics.csv', newline='') as file:
      return list(csv.DictReader(file))

  def test_the_choice_of_placement_is_printed(self):
    self.assertRegex(self.printed, r'frames: 0\.04 GB, on cpu \(.* GB free')

  def test_rows_have_everything(self):
    rows = self.rows(self.whole)
    self.assertLen(rows, 8)
    for name in (
        'srank', 'srank_lambda', 'sigma_1', 'sigma_100', 'sigma_min',
        'td_error_target', 'td_error_online', 'mean_q_value', 'feature_norm',
        'dormant_fraction', 'eval_return', 'loss',
    ):  # fmt: skip
      self.assertTrue(all(np.isfinite(float(x[name])) for x in rows), name)
    self.assertEqual(
        [int(x['gradient_steps']) for x in rows[::2]], [3, 6, 9, 12]
    )
    # Truncated after 4 agent steps, two episodes of 4 in 8.
    self.assertEqual({x['eval_episode_length'] for x in rows}, {'4.0'})

  def test_a_killed_run_ends_as_an_undisturbed_one(self):
    killed = self.folder / 'killed'
    for rows in (1, 5):
      process = subprocess.Popen(
          self.command(killed), env=small_runs.environment(),
          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
      )  # fmt: skip
      path = killed / 'metrics.csv'
      while process.poll() is None:
        if path.exists() and path.read_text().count('\n') - 1 >= rows:
          break
        time.sleep(0.005)
      process.send_signal(signal.SIGKILL)
      self.assertEqual(process.wait(), -signal.SIGKILL)
    result = small_runs.run(self.command(killed))
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(
        (killed / 'metrics.csv').read_bytes(),
        (self.whole / 'metrics.csv').read_bytes(),
    )

  def test_a_misfit_is_one_line(self):
    for binding, message in (
        ("game = 'Pnog'", "game 'Pnog' is not known: the nearest are Pong"),
        ("game = 'Qbert'", 'holds Pong, and the run is of Qbert'),
        ("OfflineData.path = '/none'", '/none'),
        ('OfflineData.path = None', 'OfflineData.path is missing'),
        ("OfflineData.placment = 'host'", "did you mean 'placement'"),
        ("EpisodeEvaluation.num_steps = '5'", 'EpisodeEvaluation.num_steps is'),
        ('AtariEnvironment.stack_size = 3', 'AtariEnvironment.stack_size = 4'),
        ('OfflineData.fraction = 0.05', 'holds a fraction of 1.0'),
        ('NatureNetwork.num_actions = 4', 'has 4 actions'),
        ("NatureNetwork.padding = 'same'", "padding is 'same'"),
    ):
      small_runs.check_refused(
          self, self.folder / 'bad', _FILES, [*self.bindings(), binding],
          message,
      )  # fmt: skip

  def test_the_command_prints_that_line_alone(self):
    result = small_runs.run(self.command(self.folder / 'bad', ["game = 'P'"]))
    self.assertEqual(result.returncode, 1)
    self.assertStartsWith(result.stderr, "error: game 'P' is not known")
    self.assertEqual(result.stderr.count('\n'), 1, result.stderr)

  def test_parameters_of_a_seed_are_those_of_its_checkpoint(self):
    params = policies.load_params(self.whole, None, 3)
    other = policies.load_params(self.whole, None, 0)
    kernel = params['params']['Dense_1']['kernel']
    self.assertEqual(kernel.shape, (16, 6))
    self.assertFalse(
        np.array_equal(kernel, other['params']['Dense_1']['kernel'])
    )
    # The run's features on any states are those that its network gives here.
    earlier = policies.load_params(self.whole, 2, 3)
    self.assertFalse(
        np.array_equal(kernel, earlier['params']['Dense_1']['kernel'])
    )

  def test_the_policy_is_greedy_in_every_state(self):
    store = frame_store.FrameStore.open(self.part)
    network = NatureNetwork(num_actions=6, padding='VALID', num_units=16)
    policy = policies.NetworkPolicy(str(self.whole), network, seed=3)
    actions = policy.actions(store)
    self.assertLen(actions, len(store.actions))
    params = policies.load_params(self.whole, None, 3)
    for row in (3, 128, 300, len(actions) - 1):
      state = np.stack(store.frames[row - 3 : row + 1], axis=-1)[None]
      q_values = network.apply(params, state).q_values
      self.assertEqual(actions[row], int(np.argmax(q_values)))

  def test_what_is_not_there_is_named(self):
    network = NatureNetwork(num_actions=6, padding='SAME', num_units=16)
    store = frame_store.FrameStore.open(self.part)
    with self.assertRaisesRegex(errors.UserError, 'NetworkPolicy.network does'):
      policies.NetworkPolicy(str(self.whole), network).actions(store)
    with self.assertRaisesRegex(errors.UserError, 'no seed 1, only'):
      policies.load_params(self.whole, None, 1)
    with self.assertRaisesRegex(errors.UserError, 'none of 5; there are'):
      policies.load_params(self.whole, 5, None)
    with self.assertRaisesRegex(errors.UserError, 'no checkpoint'):
      policies.load_params(self.folder, None, None)

  def test_fitted_q_evaluation_of_a_network(self):
    base_dir = self.folder / 'fqe'
    command = self.command(base_dir, [
        'Runner.num_iterations = 1',
        f"OfflineData.path = '{self.part}'",
        'OfflineData.fraction = 0.1',
        'OfflineData.policy = @NetworkPolicy()',
        f"NetworkPolicy.base_dir = '{self.whole}'",
        'NetworkPolicy.network = @evaluated/NatureNetwork()',
    ])  # fmt: skip
    command = [x.replace('dqn_offline', 'fitted_q_evaluation') for x in command]
    result = small_runs.run(command)
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertLen(self.rows(base_dir), 2)
    status = json.loads((base_dir / 'run.json').read_text())
    self.assertEqual(status['status'], 'finished')


if __name__ == '__main__':
  absltest.main()
