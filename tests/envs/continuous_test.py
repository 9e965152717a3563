import contextlib
import io
import os
import subprocess
import sys
import tempfile

import gin
import gymnasium
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.envs import bounds as bounds_lib
from implicit_underparam.envs import continuous
from implicit_underparam.errors import UserError


class StandIn(gymnasium.Env):
  """Shows how often it moved; ends, or breaks, as its action says."""

  def __init__(self, low=(-1.0, 2.0), high=(3.0, 4.0), shown=None):
    self.action_space = gymnasium.spaces.Box(
        np.array(low), np.array(high), dtype=np.float64
    )
    self.observation_space = shown or gymnasium.spaces.Box(
        -np.inf, np.inf, (2,), np.float64
    )
    self._shown = np.zeros(2)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._shown = np.array([0.0, 1.0 / 3.0])
    return self._shown, {}

  def step(self, action):
    assert action in self.action_space, action
    self._shown[0] += 1
    if action[0] == 3.0:
      self._shown[1] = np.nan
    return self._shown, float(action[1]), bool(action[0] == -1.0), False, {}


gymnasium.register('StandIn-v0', StandIn, max_episode_steps=4)


def arguments(**options):
  return continuous.ContinuousEnvironment('StandIn-v0', arguments=options)


class PlainTest(parameterized.TestCase):

  @parameterized.parameters(
      ('Pendulum-v1', 2.0, 430), ('Hopper-v4', 1.0, 300), ('Ant-v5', 1.0, 40)
  )  # fmt: skip
  def test_equals_gymnasium_step_by_step(self, name, bound, num_steps):
    seeds = (7, 2**31 - 1)
    plain = [gymnasium.make(name) for _ in seeds]
    environments = continuous.ContinuousEnvironment(name).make(2)
    seen = environments.reset(seeds)[..., -1]
    for row, (env, seed) in enumerate(zip(plain, seeds, strict=True)):
      first = env.reset(seed=seed)[0].astype(np.float32)
      np.testing.assert_array_equal(seen[row], first)
    rng = np.random.default_rng(5)
    size = plain[0].action_space.shape[0]
    ends = []
    for i in range(num_steps):
      actions = rng.uniform(-1, 1, (2, size)).astype(np.float32)
      step = environments.step(actions)
      for row, env in enumerate(plain):
        native = np.float32(bound) * actions[row]
        frame, reward, terminated, over, _ = env.step(native)
        self.assertEqual(step.reward[row], np.float32(reward))
        self.assertEqual(step.is_terminal[row], terminated)
        self.assertEqual(step.truncated[row], over and not terminated)
        if terminated or over:
          ends.append((i, bool(terminated)))
          np.testing.assert_array_equal(
              step.final_observation[row, ..., -1], frame.astype(np.float32)
          )
          frame, _ = env.reset()
        np.testing.assert_array_equal(
            step.observation[row, ..., -1], frame.astype(np.float32)
        )
    for array in (seen, step.observation, step.reward):
      self.assertEqual(array.dtype, np.float32)
    if name == 'Pendulum-v1':
      self.assertEqual(ends, [(i, False) for i in (199, 199, 399, 399)])
    if name == 'Hopper-v4':
      self.assertGreater(len(ends), 5)
      self.assertTrue(all(terminated for _, terminated in ends))

  @parameterized.parameters(
      # Half-cheetah, hopper and walker as in the paper's v2. Ant's had 111
      # numbers: 84 more of contact forces, which are arguments in v4.
      ('HalfCheetah-v4', 17, 6), ('HalfCheetah-v5', 17, 6),
      ('Hopper-v4', 11, 3), ('Hopper-v5', 11, 3),
      ('Walker2d-v4', 17, 6), ('Walker2d-v5', 17, 6),
      ('Ant-v4', 27, 8), ('Ant-v5', 105, 8),
      ('Ant-v4', 111, 8, {'use_contact_forces': True}),
  )  # fmt: skip
  def test_dimensions(self, name, shown, size, options=None):
    environment = continuous.ContinuousEnvironment(
        name, arguments=options or {}
    )
    self.assertEqual(environment.frame_shape, (shown,))
    self.assertEqual(environment.observation_shape, (shown, 1))
    self.assertEqual(environment.frame_dtype, np.float32)
    self.assertEqual(environment.action_size, size)
    self.assertEqual(environment.name, name)
    if not options:
      self.assertEqual(continuous.action_size(name), size)
    observation = environment.make(1).reset([0])
    self.assertEqual(observation.shape, (1, shown, 1))
    self.assertEqual(observation.dtype, np.float32)


class BoundsTest(absltest.TestCase):

  def test_actions_are_stretched_to_bounds_and_shrunk_again(self):
    bounds = gymnasium.spaces.Box(
        np.array([-1.0, 2.0]), np.array([3.0, 4.0]), dtype=np.float64
    )
    actions = np.array([[-1, -1], [0, 0], [1, 1], [0.5, -0.5]], np.float32)
    native = bounds_lib.stretched(actions, bounds)
    np.testing.assert_array_equal(native, [[-1, 2], [1, 3], [3, 4], [2, 2.5]])
    self.assertEqual(native.dtype, np.float64)
    np.testing.assert_array_equal(bounds_lib.shrunk(native, bounds), actions)
    self.assertEqual(bounds_lib.shrunk(native, bounds).dtype, np.float32)

  def test_what_is_stretched_and_shrunk_is_within(self):
    rng = np.random.default_rng(0)
    edges = rng.uniform(-9, 9, (2, 1000))
    bounds = gymnasium.spaces.Box(
        edges.min(0), edges.max(0), dtype=np.float32
    )
    for sign in (-1, 1):
      native = bounds_lib.stretched(np.full(1000, sign, np.float32), bounds)
      self.assertIn(native, bounds)
      back = bounds_lib.shrunk(native, bounds)
      self.assertLessEqual(np.abs(back).max(), 1)
      np.testing.assert_allclose(back, sign, rtol=1e-3)

  def test_the_environment_gets_them(self):
    environments = arguments().make(2)
    environments.reset([0, 1])
    step = environments.step([[0, -1], [0, 0.5]])
    np.testing.assert_array_equal(step.reward, [2, 3.5])
    np.testing.assert_array_equal(
        step.observation[..., 0], [[1, np.float32(1 / 3)]] * 2
    )


class EndsTest(absltest.TestCase):

  def test_an_end_is_no_cut_and_a_cut_no_end(self):
    environments = arguments().make(2)
    environments.reset([0, 1])
    for _ in range(3):
      step = environments.step(np.zeros((2, 2)))
      self.assertFalse(step.episode_end.any())
      self.assertIsNone(step.final_observation)
    step = environments.step([[-1, 0], [0, 0]])
    np.testing.assert_array_equal(step.is_terminal, [True, False])
    np.testing.assert_array_equal(step.truncated, [False, True])
    np.testing.assert_array_equal(step.episode_length, [4, 4])
    self.assertEqual(step.final_observation.dtype, np.float32)
    np.testing.assert_array_equal(step.final_observation[:, 0, 0], [4, 4])
    np.testing.assert_array_equal(step.observation[:, 0, 0], [0, 0])

  def test_a_simulation_that_breaks_down_is_said(self):
    environments = arguments().make(1)
    environments.reset([0])
    with self.assertRaisesRegex(UserError, 'StandIn-v0 shows NaN or infinite'):
      environments.step([[1, 0]])


class BadInputTest(parameterized.TestCase):

  @parameterized.parameters(
      ('CartPole-v1', 'actions of a Discrete space, and agents like SAC need'),
      ('Hopper', "'Hopper' is not known: the nearest are Hopper-v5"),
      ('HalfCheetah-v2', 'HalfCheetah-v2 cannot be made: .*gymnasium-robotics'),
  )
  def test_what_cannot_be_played_is_refused(self, name, message):
    for ask in (continuous.ContinuousEnvironment, continuous.action_size):
      with self.assertRaisesRegex(UserError, message) as caught:
        ask(name)
      self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
      ({'low': (-np.inf, 0.0)}, 'a vector of numbers with finite bounds'),
      ({'low': [[-1.0]], 'high': [[1.0]]}, 'a vector of numbers with finite'),
      ({'shown': gymnasium.spaces.Discrete(3)}, 'observed as Discrete, not as'),
      ({'colour': 3}, 'cannot be made: .*colour'),
  )
  def test_spaces_that_do_not_fit_are_refused(self, options, message):
    with self.assertRaisesRegex(UserError, message) as caught:
      arguments(**options)
    self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
      ([[0, 0]],),
      ([[0, 0, 0], [0, 0, 0]],),
      ([0, 0],),
      ([[0, 0], [0, np.nan]],),
      ([[0, 0], [0, -np.inf]],),
      ([[0, 0], [1.001, 0]],),
  )
  def test_actions_that_do_not_fit_are_refused(self, actions):
    environments = arguments().make(2)
    environments.reset([0, 1])
    with self.assertRaisesRegex(
        UserError, 'do not fit StandIn-v0: give 2 times 2 numbers from -1 to 1'
    ) as caught:
      environments.step(actions)
    self.assertNotIn('\n', str(caught.exception))
    # Nothing has moved.
    step = environments.step(np.zeros((2, 2)))
    np.testing.assert_array_equal(step.observation[:, 0, 0], [1, 1])

  def test_actions_are_not_counted(self):
    with self.assertRaisesRegex(AttributeError, 'continuous actions'):
      _ = arguments().num_actions


class ScreenTest(absltest.TestCase):

  def test_nothing_is_printed_or_written_of_known_faults(self):
    # What MuJoCo prints does not pass through Python; and an old version is
    # warned about once in a process.
    with tempfile.TemporaryDirectory() as folder:
      done = subprocess.run(
          [sys.executable, '-W', 'always', '-c', (
              'from implicit_underparam.envs import continuous\n'
              "for x in ('HalfCheetah-v4', 'HalfCheetah-v5', 'Ant-v4'):\n"
              '  continuous.ContinuousEnvironment(x).make(2).reset([0, 1])\n'
          )],
          cwd=folder, capture_output=True, text=True, check=True,
          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
      )  # fmt: skip
      self.assertEqual((done.stdout, done.stderr), ('', ''))
      self.assertEmpty(os.listdir(folder))

  def test_other_lines_of_mujoco_are_printed(self):
    import mujoco

    printed = io.StringIO()
    before = mujoco.get_mju_user_warning()
    with contextlib.redirect_stderr(printed):
      with continuous._deprecations_unsaid(mujoco):
        say = mujoco.get_mju_user_warning()
        say("compiler attribute 'x' is deprecated and will be removed")
        say('Inertia is too small')
    self.assertEqual(printed.getvalue(), 'WARNING: Inertia is too small\n')
    self.assertIs(mujoco.get_mju_user_warning(), before)


class GinTest(absltest.TestCase):

  def test_the_actor_has_the_actions_of_the_environment(self):
    gin.parse_config("""
        environment_id = 'Walker2d-v4'
        ContinuousEnvironment.id = %environment_id
        action_size.id = %environment_id
    """)
    environment = gin.get_configurable('ContinuousEnvironment')()
    self.assertEqual(environment.action_size, 6)
    self.assertEqual(gin.get_configurable('action_size')(), 6)


if __name__ == '__main__':
  absltest.main()
