import pathlib
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
from absl.testing import absltest, parameterized
from gymnasium.envs.registration import namespace, registry
from gymnasium.utils.env_checker import check_env

from implicit_underparam.envs import (
    gridworld,
    gridworld_env,
    registration,
    tabular,
)
from implicit_underparam.errors import UserError


class RegistrationTest(parameterized.TestCase):

  @parameterized.parameters(
      ('Grid16SmoothObs-v0', gridworld.grid16smoothobs),
      ('Grid16OneHot-v0', gridworld.grid16onehot),
      ('Grid16RandomObs-v0', gridworld.grid16randomobs),
      ('Grid16Sparse-v0', gridworld.grid16sparse),
  )
  def test_an_id_makes_its_grid_and_passes_the_checker(self, name, build):
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      env = gymnasium.make(f'implicit_underparam/{name}')
      check_env(env.unwrapped)
    self.assertIs(env.unwrapped.mdp, build())

  def test_registering_again_changes_nothing(self):
    before = dict(registry)
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      registration.register_environments()
      with namespace('implicit_underparam'):
        registration.register_environments()
    self.assertEqual(registry, before)

  def test_registering_inside_the_namespace_gives_the_same_ids(self):
    specs = {i: registry.pop(i) for i in registration.ENVIRONMENT_IDS}
    self.addCleanup(registry.update, specs)
    with namespace('implicit_underparam'):
      registration.register_environments()
    self.assertEqual({i: registry[i] for i in specs}, specs)

  def test_import_is_light_and_an_id_can_name_the_module(self):
    program = '''
import sys
import gymnasium
import implicit_underparam.envs.registration as registration
heavy = {'jax', 'gin', 'implicit_underparam.envs.gridworld'} & set(sys.modules)
assert not heavy, heavy
for name in registration.ENVIRONMENT_IDS:
  del gymnasium.registry[name]
del sys.modules[registration.__name__]
env = gymnasium.make(
    'implicit_underparam.envs.registration:implicit_underparam/Grid16Sparse-v0')
assert env.unwrapped.mdp.rewards.sum() == 1
'''
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True,
        check=False, cwd=pathlib.Path(registration.__file__).parents[2])
    self.assertEqual(done.returncode, 0, done.stderr)

  def test_vector_environments(self):
    envs = gymnasium.make_vec(
        'implicit_underparam/Grid16SmoothObs-v0', 3, 'sync')
    observations, _ = envs.reset(seed=0)
    self.assertEqual(observations.shape, (3, 16))
    envs.close()


class GridworldEnvTest(parameterized.TestCase):

  def test_an_episode_pays_the_state_left_and_lasts_the_horizon(self):
    env = gridworld_env.GridworldEnv(noise=0.0)
    mdp = env.mdp
    observation, info = env.reset(seed=0)
    self.assertEqual(info, {'state': 136, 'cell': (8, 8)})
    np.testing.assert_array_equal(observation, mdp.observations[136])
    for step in range(1, 51):
      before = info['state']
      action = step % 5
      observation, reward, terminated, truncated, info = env.step(action)
      self.assertEqual(reward, mdp.rewards[before])
      self.assertEqual(
          info['state'], mdp.transition_matrix[before, action].argmax())
      self.assertEqual(mdp.cell(info['state']), info['cell'])
      np.testing.assert_array_equal(
          observation, mdp.observations[info['state']])
      self.assertFalse(terminated)
      self.assertEqual(truncated, step == 50)

  def test_a_given_process_is_used(self):
    mdp = gridworld.make_grid('one_hot', size=4, wall_fraction=0.1)
    env = gridworld_env.GridworldEnv(mdp)
    self.assertIs(env.mdp, mdp)
    self.assertEqual(env.observation_space.shape, (8,))

  def test_observations_can_be_written_to(self):
    env = gridworld_env.GridworldEnv()
    observation, _ = env.reset(seed=0)
    observation[:] = 9
    self.assertLess(env.reset(seed=0)[0].max(), 9)

  def test_transitions_follow_the_matrix(self):
    env = gridworld_env.GridworldEnv(noise=0.5)
    matrix = env.mdp.transition_matrix
    rng = np.random.default_rng(1)
    counts = np.zeros_like(matrix)
    _, info = env.reset(seed=0)
    for _ in range(30_000):
      before, action = info['state'], rng.integers(5)
      info = env.step(action)[-1]
      counts[before, action, info['state']] += 1
    self.assertEqual(counts[matrix == 0].sum(), 0)
    visits = counts.sum(axis=-1, keepdims=True)
    deviations = np.sqrt(visits * matrix * (1 - matrix))
    judged = (visits * matrix * (1 - matrix)) > 5
    self.assertGreater(judged.sum(), 500)
    z_scores = (counts - visits * matrix)[judged] / deviations[judged]
    self.assertLess(np.abs(z_scores).max(), 4.5)
    self.assertBetween(z_scores.std(), 0.9, 1.1)

  @parameterized.parameters(0.0, 3.0)
  def test_rollouts_return_what_dynamic_programming_says(self, sharpness):
    env = gridworld_env.GridworldEnv()
    mdp = env.mdp
    policy = tabular.boltzmann_policy(
        sharpness * tabular.q_star(mdp, 0.1), 1.0)
    # Not the environment's seed: actions and noise would be one stream.
    rng = np.random.default_rng(1)
    env.reset(seed=2)
    returns = []
    for _ in range(300):
      _, info = env.reset()
      total, truncated = 0.0, False
      while not truncated:
        action = np.searchsorted(
            policy[info['state']].cumsum(), rng.random()).clip(0, 4)
        _, reward, _, truncated, info = env.step(action)
        total += reward
      returns.append(total)
    error = np.std(returns, ddof=1) / np.sqrt(len(returns))
    expected = tabular.finite_return(mdp, policy)
    self.assertLess(abs(np.mean(returns) - expected) / error, 3.5)
    self.assertLess(error, 0.4)

  def test_text(self):
    env = gridworld_env.GridworldEnv(render_mode='ansi')
    env.reset(seed=0)
    rows = env.render().splitlines()
    self.assertEqual({len(row) for row in rows}, {16})
    self.assertLen(rows, 16)
    self.assertEqual((rows[0][0], rows[8][8]), ('G', 'A'))
    self.assertEqual(''.join(rows).count('#'), 51)
    self.assertEqual(rows[9][13], '#')

  def test_picture(self):
    env = gridworld_env.GridworldEnv(render_mode='rgb_array')
    env.reset(seed=0)
    picture = env.render()
    self.assertEqual((picture.shape, picture.dtype), ((256, 256, 3), np.uint8))
    self.assertLen(np.unique(picture.reshape(-1, 3), axis=0), 4)
    wall = picture[9 * 16, 13 * 16]
    self.assertEqual((picture == wall).all(axis=-1).sum(), 51 * 16**2)

  def test_misuse_is_refused(self):
    with self.assertRaises(UserError):
      gridworld_env.GridworldEnv(gridworld.grid16sparse(), size=4)
    with self.assertRaises(UserError):
      gridworld_env.GridworldEnv(render_mode='human')
    env = gridworld_env.GridworldEnv()
    with self.assertRaises(gymnasium.error.ResetNeeded):
      env.step(0)
    env.reset()
    for action in (5, -1, 0.5):
      with self.assertRaises(UserError):
        env.step(action)


if __name__ == '__main__':
  absltest.main()
