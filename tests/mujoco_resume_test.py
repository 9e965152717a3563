"""SAC runs by the real command, killed and resumed: online, then offline.

What continuous environments are in is not saved, as `online_resume_test` says
of emulators; a killed run plays again what came after its last checkpoint, and
what it logs is what an undisturbed one logs.
"""

import csv
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import gin
import gymnasium
import numpy as np
import small_runs
from absl.testing import absltest

from implicit_underparam import playing, train
from implicit_underparam.data import transition_files

_SEEDS = (0, 3)
_ITERATIONS = 6
_STEPS = 40  # Agent steps an iteration.
_LIMIT = 25  # Agent steps an episode.
_BOTH = f'''
environment_id = 'Pendulum-v1'
ContinuousEnvironment.max_episode_steps = {_LIMIT}
Runner.seeds = {_SEEDS}
Runner.num_iterations = {_ITERATIONS}
Runner.checkpoint_every = 2
Runner.tensorboard = False
Runner.metrics = {{
    'srank': @srank, 'srank@critic_2': @srank,
    'sigma_1': @sigma_max, 'sigma_1@critic_2': @sigma_max,
}}
GaussianActorNetwork.hidden_units = (8,)
CriticNetwork.hidden_units = (8,)
EpisodeEvaluation.num_steps = 20
EpisodeEvaluation.num_environments = 1
'''
_ONLINE = f'''
include 'mujoco/sac_online.gin'
{_BOTH}
Runner.log_replay = True
OnlineLoop.training_steps = {_STEPS}
OnlineLoop.min_replay_history = 30
OnlineLoop.probe_size = 32
Replay.capacity = 200
Replay.batch_size = 8
'''
_OFFLINE = f'''
include 'mujoco/sac_offline.gin'
{_BOTH}
Runner.seed_axis = 'map'
OfflineLoop.gradient_steps = 5
OfflineLoop.steps_per_dispatch = 4
OfflineLoop.probe_size = 32
TransitionData.batch_size = 8
'''


def num_rows(base_dir):
  path = base_dir / 'metrics.csv'
  return path.read_text().count('\n') - 1 if path.exists() else 0


class Experiment:
  """A configuration, and runs of it."""

  def __init__(self, folder: pathlib.Path, name: str, configuration: str):
    self.gin_file = folder / f'{name}.gin'
    self.gin_file.write_text(configuration)
    self.whole = folder / f'{name}_whole'
    self.killed = folder / f'{name}_killed'

  def run(self, base_dir):
    """To the end, in this process: it spares the start of another."""
    gin.clear_config()
    with gin.unlock_config():
      train.run(str(base_dir), [str(self.gin_file)], [])

  def kill(self):
    """A run that has a checkpoint, and rows after it, and more to do."""
    process = subprocess.Popen(
        [
            sys.executable, '-m', 'implicit_underparam.train',
            f'--base_dir={self.killed}', f'--gin_files={self.gin_file}',
        ],
        env=small_runs.environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    least = random.randint(5, 8)
    while process.poll() is None and num_rows(self.killed) < least:
      time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

  def rows(self):
    with open(self.whole / 'metrics.csv', newline='') as file:
      return list(csv.DictReader(file))


class ResumeTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    holder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(holder.cleanup)
    cls.folder = pathlib.Path(holder.name)
    cls.online = Experiment(cls.folder, 'online', _ONLINE)
    cls.online.run(cls.online.whole)

  def log(self, base_dir, seed):
    folder = base_dir / 'replay' / 'Pendulum-v1' / str(seed) / 'transitions'
    self.assertLen(transition_files.parts(folder), 3)
    return transition_files.read_log(folder)

  def check_goes_on(self, experiment):
    experiment.kill()
    self.assertLess(num_rows(experiment.killed), _ITERATIONS * len(_SEEDS))
    experiment.run(experiment.killed)
    self.assertEqual(
        (experiment.killed / 'metrics.csv').read_bytes(),
        (experiment.whole / 'metrics.csv').read_bytes(),
    )
    status = json.loads((experiment.killed / 'run.json').read_text())
    self.assertEqual(status['status'], 'finished')
    self.assertEqual(status['times_resumed'], 1)

  def test_the_log_is_what_a_loop_by_hand_sees(self):
    for seed in _SEEDS:
      found = self.log(self.online.whole, seed)
      self.assertLen(found['rewards'], _ITERATIONS * _STEPS)
      env = gymnasium.make('Pendulum-v1', max_episode_steps=_LIMIT)
      for row, action in enumerate(found['actions']):
        if row % _STEPS == 0:
          begin = playing._environment_seed(seed, row // _STEPS, 0)
          seen, _ = env.reset(seed=begin)
        then, reward, terminated, over, _ = env.step(action)
        is_last = row % _STEPS == _STEPS - 1
        for name, expected in (
            ('observations', seen), ('next_observations', then),
            ('rewards', np.float32(reward)), ('terminals', terminated),
            ('timeouts', over or is_last),
        ):  # fmt: skip
          np.testing.assert_array_equal(found[name][row], expected, name)
        seen = env.reset()[0] if over else then
      # The bounds are used, and not those of [-1, 1].
      self.assertGreater(np.abs(found['actions']).max(), 1.5)
      self.assertLessEqual(np.abs(found['actions']).max(), 2)

  def test_rows_have_both_critics(self):
    rows = self.online.rows()
    self.assertLen(rows, _ITERATIONS * len(_SEEDS))
    for name in (
        'srank', 'srank_critic_2', 'sigma_1_critic_2', 'loss',
        'actor_loss', 'td_error_target', 'temperature', 'entropy',
        'data_q_value', 'eval_return', 'train_return',
    ):  # fmt: skip
      self.assertTrue(all(np.isfinite(float(x[name])) for x in rows), name)
    self.assertNotEqual(rows[-1]['sigma_1'], rows[-1]['sigma_1_critic_2'])

  def test_killed_runs_end_as_undisturbed_ones(self):
    self.check_goes_on(self.online)
    for seed in _SEEDS:
      found, expected = (
          self.log(x, seed) for x in (self.online.killed, self.online.whole)
      )
      for name, column in expected.items():
        self.assertEqual(column.dtype, found[name].dtype)
        self.assertEqual(column.tobytes(), found[name].tobytes(), name)
    # The log of the one that was killed is as good as any.
    path = self.online.killed / 'replay' / 'Pendulum-v1' / '{seed}'
    offline = Experiment(
        self.folder, 'offline',
        f"{_OFFLINE}\nTransitionData.path = '{path / 'transitions'}'",
    )  # fmt: skip
    offline.run(offline.whole)
    self.check_goes_on(offline)
    rows = offline.rows()
    self.assertEqual(
        [int(x['gradient_steps']) for x in rows[::2]],
        [5 * (i + 1) for i in range(_ITERATIONS)],
    )
    self.assertEqual({x['environment_steps'] for x in rows}, {'0'})
    for name in ('srank', 'srank_critic_2', 'loss', 'eval_return'):
      self.assertTrue(all(np.isfinite(float(x[name])) for x in rows), name)


if __name__ == '__main__':
  absltest.main()
