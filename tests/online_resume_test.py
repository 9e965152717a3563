"""Online runs by the real commands: killed, resumed, logged, looked into.

An emulator's state cannot be saved: ale_py's vector environment has no call
for it, and neither have Gymnasium's environments. So every iteration begins
with new episodes in environments that are made anew, with seeds that follow
from the run's seed and the iteration. All else is in the checkpoint, which is
taken between iterations. A killed run therefore goes on bit for bit as an
undisturbed one, by playing again what came after its last checkpoint; the
price is an episode cut off at the end of each iteration, which the replay and
the log note as a limit of steps.
"""

import csv
import gzip
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import dopamine_shims
import gin
import jax
import numpy as np
import small_runs
from absl.testing import absltest, parameterized

from implicit_underparam import (
    checkpoints,
    diagnose,
    errors,
    metrics,
    policies,
    train,
)
from implicit_underparam.data import frame_store, prepare

_CARTPOLE = '''
include 'cartpole/rainbow.gin'
hidden_units = (16,)
Runner.seeds = (0, 3)
Runner.num_iterations = 6
Runner.checkpoint_every = 2
OnlineLoop.training_steps = 40
OnlineLoop.min_replay_history = 30
OnlineLoop.probe_size = 32
Replay.capacity = 200
Replay.batch_size = 8
CategoricalMLPNetwork.num_atoms = 5
EpisodeEvaluation.num_steps = 20
EpisodeEvaluation.num_environments = 1
'''
# 240 steps, and three frames of padding before each of three episodes: a ring
# of the log is full and another one begun. Convolutions compile for long.
_PONG = '''
include 'atari/dqn_online.gin'
import implicit_underparam.networks
DQNAgent.network = @MLPNetwork()
MLPNetwork.num_actions = @atari_num_actions()
MLPNetwork.hidden_units = (16,)
MLPNetwork.flatten = True
Runner.seeds = (0, 3)
Runner.num_iterations = 3
Runner.checkpoint_every = 2
Runner.log_replay = True
Runner.metrics = {'srank': @srank}
OnlineLoop.evaluation = None
OnlineLoop.training_steps = 80
OnlineLoop.min_replay_history = 30
OnlineLoop.probe_size = 32
Replay.capacity = 245
Replay.batch_size = 8
'''
_STEPS = 240
_CAPACITY = 245


def num_rows(base_dir: pathlib.Path) -> int:
  path = base_dir / 'metrics.csv'
  return path.read_text().count('\n') - 1 if path.exists() else 0


def payloads(folder: pathlib.Path) -> dict[str, bytes]:
  """What a log's files hold; gzip's header has the time in it."""
  return {
      str(path.relative_to(folder)): gzip.decompress(path.read_bytes())
      for path in sorted(folder.rglob('*.gz'))
  }


class RunTest(parameterized.TestCase):
  """One undisturbed run, and others like it."""

  CONFIGURATION = ''

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if not cls.CONFIGURATION:
      raise absltest.SkipTest('what the others share')
    holder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(holder.cleanup)
    cls.folder = pathlib.Path(holder.name)
    cls.gin_file = cls.folder / 'small.gin'
    cls.gin_file.write_text(cls.CONFIGURATION)
    cls.whole = cls.folder / 'whole'
    result = small_runs.run(cls.command(cls.whole))
    assert result.returncode == 0, result.stderr
    cls.printed = result.stdout

  @classmethod
  def command(cls, base_dir, bindings=()):
    return [
        sys.executable, '-m', 'implicit_underparam.train',
        f'--base_dir={base_dir}', f'--gin_files={cls.gin_file}',
        *(f'--gin_bindings={x}' for x in bindings),
    ]  # fmt: skip

  def rows(self):
    with open(self.whole / 'metrics.csv', newline='') as file:
      return list(csv.DictReader(file))

  def kill(self, base_dir, rows):
    """Starts the run, and kills it a moment after some rows are there."""
    process = subprocess.Popen(
        self.command(base_dir), env=small_runs.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and num_rows(base_dir) < rows:
      time.sleep(0.002)
    time.sleep(random.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    # An end of its own would be as good, but should not be the rule.
    process.wait()

  def check_goes_on(self, kills):
    base_dir = self.folder / 'killed'
    for rows in kills:
      self.kill(base_dir, rows)
    result = small_runs.run(self.command(base_dir))
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(
        (base_dir / 'metrics.csv').read_bytes(),
        (self.whole / 'metrics.csv').read_bytes(),
    )
    status = json.loads((base_dir / 'run.json').read_text())
    self.assertEqual(status['status'], 'finished')
    self.assertGreater(status['times_resumed'], 0)
    return base_dir

  def check_refused(self, bindings, message, base_dir=None):
    base_dir = base_dir or self.create_tempdir().full_path + '/run'
    small_runs.check_refused(
        self, base_dir, [str(self.gin_file)], bindings, message
    )


class CartPoleTest(RunTest):

  CONFIGURATION = _CARTPOLE

  def test_rows(self):
    rows = self.rows()
    self.assertEqual(
        [(int(x['iteration']), int(x['seed'])) for x in rows],
        [(i, s) for i in range(6) for s in (0, 3)],
    )
    steps = [40 * (i + 1) for i in range(6)]
    self.assertEqual([int(x['environment_steps']) for x in rows[::2]], steps)
    self.assertEqual(
        [int(x['gradient_steps']) for x in rows[::2]], [x - 30 for x in steps]
    )
    for name in (
        'loss', 'srank', 'eval_return', 'td_error_target', 'td_error_online',
        'target_updates', 'epsilon', 'train_episodes',
    ):  # fmt: skip
      self.assertTrue(all(np.isfinite(float(x[name])) for x in rows), name)
    for row in rows:
      self.assertEqual(
          np.isfinite(float(row['train_return'])),
          float(row['train_episodes']) > 0,
      )
    self.assertRegex(self.printed, 'replay: 0.00 GB for 2 seeds, on cpu')

  def test_a_killed_run_ends_as_an_undisturbed_one(self):
    # Before the first checkpoint, and after it.
    self.check_goes_on((random.randint(1, 2), random.randint(5, 9)))

  def test_parameters_of_a_seed_are_its_own(self):
    saved = checkpoints.Checkpointer(self.whole / 'checkpoints').load(4)
    # Both in one lane.
    self.assertLen(saved['lanes'], 1)
    for i, seed in enumerate((0, 3)):
      jax.tree.map(
          lambda x, y, i=i: np.testing.assert_array_equal(x, y[i]),
          policies.load_params(self.whole, 4, seed),
          saved['lanes']['0']['train']['params'],
      )

  @parameterized.parameters(
      ("GymnasiumEnvironment.id = 'CartPol-v1'", 'CartPole'),
      ('OnlineLoop.data_reuse_ratio = 0', 'OnlineLoop.data_reuse_ratio is 0'),
      ('OnlineLoop.data_reuse_ratio = -1', 'OnlineLoop.data_reuse_ratio is -1'),
      ("OnlineLoop.data_reuse_ratio = '4'", "data_reuse_ratio is '4'"),
      ('Replay.capacity = 7', 'Replay.capacity is 7, fewer than a batch of 8'),
      ('Replay.capacity = 9', 'Replay.capacity is 9, too small for batches'),
      ('Replay.capacity = 100000000000000', 'Replay.capacity is 1000000'),
      ('OnlineLoop.min_replay_history = 4', 'min_replay_history is 4: give at'),
      ('CategoricalMLPNetwork.num_actions = 3', 'num_actions is 3, and CartPo'),
      ('OnlineLoop.num_environments = 3', 'a multiple of num_environments (3)'),
      ('OnlineLoop.training_steps = 3', 'training_steps is 3: give at least 4'),
      ("OnlineLoop.target_update_clock = 'steps'", 'use one of gradient_steps'),
      ('OnlineLoop.epsilon_train = 2', 'OnlineLoop.epsilon_train is 2'),
      ('OnlineLoop.reward_clip = 0', 'OnlineLoop.reward_clip is 0'),
      ('OnlineLoop.num_environments = 0', 'num_environments is 0'),
      ('OnlineLoop.environment = 3', 'OnlineLoop.environment is 3'),
      ('OnlineLoop.replay = None', 'OnlineLoop.replay is None'),
      ('Learner.target_update_period = None', 'Learner.target_update_period'),
      ('OnlineLoop.data_reuse_ration = 1', "did you mean 'data_reuse_ratio'"),
      ("Runner.metrics = {'srank@target': @srank}", 'target'),
      ('Runner.log_replay = True', 'of CartPole-v1 are float32'),
  )
  def test_a_misfit_is_one_line(self, binding, message):
    self.check_refused([binding], message)

  def test_the_command_prints_that_line_alone(self):
    base_dir = self.folder / 'bad'
    result = small_runs.run(
        self.command(base_dir, ['OnlineLoop.data_reuse_ratio = 0'])
    )
    self.assertNotEqual(result.returncode, 0)
    self.assertLen(result.stderr.strip().splitlines(), 1, result.stderr)
    self.assertStartsWith(
        result.stderr, 'error: OnlineLoop.data_reuse_ratio is 0: give'
    )

  def test_a_run_of_another_environment_is_named(self):
    copy = self.folder / 'another'
    shutil.copytree(self.whole, copy)
    for bindings in (
        ["environment_id = 'Acrobot-v1'"],
        ['OnlineLoop.data_reuse_ratio = 4'],
    ):
      name = bindings[0].split(' = ')[0]
      self.check_refused(bindings, name, copy)
    self.assertEqual(
        (copy / 'metrics.csv').read_bytes(),
        (self.whole / 'metrics.csv').read_bytes(),
    )


class PongTest(RunTest):

  CONFIGURATION = _PONG

  def ring(self, lane):
    """A seed's replay: frames, actions, rewards, terminals, ends, by step."""
    saved = checkpoints.Checkpointer(self.whole / 'checkpoints').load(3)
    ring = saved['replay'][str(lane)]['ring']
    rows = (np.arange(_STEPS) + 3) % _CAPACITY
    return [
        ring[x][rows]
        for x in ('frames', 'actions', 'rewards', 'terminals', 'ends')
    ]

  def stream(self, lane):
    """The same, with the rows of zeros before each episode."""
    columns = [[] for _ in range(5)]
    begins = True
    for row in zip(*self.ring(lane), strict=True):
      for _ in range(3 if begins else 0):
        for column, value in zip(columns, row, strict=True):
          column.append(np.zeros_like(value))
      for column, value in zip(columns, row, strict=True):
        column.append(value)
      begins = row[-1]
    return [np.array(x) for x in columns]

  def log(self, seed):
    return self.whole / 'replay' / 'Pong' / str(seed)

  def test_the_log_is_what_was_played(self):
    for lane, seed in enumerate((0, 3)):
      out = self.folder / f'set_{seed}'
      report = prepare.prepare(self.log(seed), out)
      self.assertEqual(
          (report.meta['game'], report.meta['run']), ('Pong', seed)
      )
      store = frame_store.FrameStore.open(out)
      frames, actions, rewards, terminals, ends = self.stream(lane)
      count = len(actions)
      self.assertGreater(count, _CAPACITY)
      self.assertEqual(report.meta['counts']['rows'], count)
      np.testing.assert_array_equal(store.frames[:count], frames)
      np.testing.assert_array_equal(store.actions[:count], actions)
      np.testing.assert_array_equal(store.rewards[:count], rewards)
      np.testing.assert_array_equal(store.terminals[:count], terminals)
      # A row that ends an iteration starts nothing.
      np.testing.assert_array_equal(
          store.valid[:count][ends & ~terminals.astype(bool)], 0
      )
      self.assertContainsSubset(
          np.flatnonzero(ends), [82, 165, count - 1]
      )
      self.assertLess(rewards.min(), 0)
      self.assertGreater(len(set(actions.tolist())), 3)
    self.assertFalse(np.array_equal(self.ring(0)[1], self.ring(1)[1]))

  def test_dopamine_loads_it(self):
    module = dopamine_shims.circular_replay_buffer()
    buffer = module.OutOfGraphReplayBuffer(
        (84, 84), 4, _CAPACITY, batch_size=8, gamma=0.99
    )
    frames, actions, rewards, terminals, _ = self.stream(1)
    # The first file holds the first ring but for its last row.
    buffer.load(str(self.log(3) / 'replay_logs'), 0)
    for name, column in (
        ('observation', frames), ('action', actions), ('reward', rewards),
        ('terminal', terminals),
    ):  # fmt: skip
      np.testing.assert_array_equal(
          buffer._store[name][: _CAPACITY - 1], column[: _CAPACITY - 1]
      )
    self.assertEqual(buffer.add_count, _CAPACITY - 1)
    batch = buffer.sample_transition_batch()
    for row, state in zip(batch[-1], batch[0], strict=True):
      np.testing.assert_array_equal(
          state, np.moveaxis(frames[row - 3 : row + 1], 0, -1)
      )

  def test_a_killed_run_logs_as_an_undisturbed_one(self):
    base_dir = self.check_goes_on((random.randint(1, 5),))
    found = payloads(base_dir / 'replay')
    expected = payloads(self.whole / 'replay')
    self.assertSameElements(found, expected)
    self.assertLen(found, 2 * 2 * 7)
    for name, content in expected.items():
      if name.split('/')[-1].startswith('episode_end_indices'):
        self.assertEqual(*(_indices(x) for x in (content, found[name])), name)
      else:
        self.assertEqual(content, found[name], name)
    names = {
        x.name for x in (base_dir / 'replay').rglob('*') if x.is_file()
    }
    self.assertEqual({x for x in names if not x.endswith('.gz')}, set())

  def test_parameters_of_a_seed_are_those_of_its_lane(self):
    saved = checkpoints.Checkpointer(self.whole / 'checkpoints').load(3)
    # On a CPU each seed has one of its own.
    self.assertLen(saved['lanes'], 2)
    for lane, seed in (('0', 0), ('1', 3)):
      params = policies.load_params(self.whole, None, seed)
      jax.tree.map(
          np.testing.assert_array_equal, params,
          saved['lanes'][lane]['train']['params'],
      )  # fmt: skip
    earlier = policies.load_params(self.whole, 2, 3)
    self.assertFalse(
        np.array_equal(
            params['params']['Dense_0']['kernel'],
            earlier['params']['Dense_0']['kernel'],
        )
    )

  def test_a_finished_run_can_be_looked_into_and_leaves_the_log_alone(self):
    before = payloads(self.whole / 'replay')
    gin.clear_config()
    features = diagnose.run_features(self.whole, None)
    for (seed, found), row in zip(
        features.items(), self.rows()[-2:], strict=True
    ):
      self.assertEqual(seed, f'seed {row["seed"]}')
      self.assertEqual(metrics.srank(found), int(row['srank']))
    self.assertEqual(payloads(self.whole / 'replay'), before)
    gin.clear_config()
    table = (self.whole / 'metrics.csv').read_bytes()
    train.run(str(self.whole), [str(self.gin_file)], [])
    self.assertEqual(payloads(self.whole / 'replay'), before)
    self.assertEqual((self.whole / 'metrics.csv').read_bytes(), table)

  @parameterized.parameters(
      ("game = 'Pnog'", "game 'Pnog' is not known: the nearest are Pong"),
      ('OnlineLoop.num_environments = 2', 'OnlineLoop.num_environments to 1'),
      ('MLPNetwork.num_actions = 4', 'num_actions is 4, and Pong has 6'),
  )
  def test_a_misfit_is_one_line(self, binding, message):
    self.check_refused([binding], message)

  def test_a_run_of_another_game_is_named(self):
    self.check_refused(["game = 'Seaquest'"], "'Seaquest'", self.whole)


def _indices(content):
  return sorted(int(x) for x in np.load(io.BytesIO(content), allow_pickle=True))


class OfflineTest(absltest.TestCase):

  def test_a_loop_that_does_not_play_logs_nothing(self):
    gin.clear_config()
    base_dir = self.create_tempdir().full_path + '/run'
    bindings = [*small_runs.BINDINGS, 'Runner.log_replay = True']
    with self.assertRaisesRegex(errors.UserError, 'the loop plays nothing'):
      train.run(base_dir, [small_runs.GIN_FILE], bindings)
    self.assertFalse(os.path.exists(base_dir + '/metrics.csv'))


if __name__ == '__main__':
  absltest.main()
