"""Tests of the online loop against a plain one; n, seeds, placement, NaN."""

import dataclasses
import math
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import plain_online
import small_online
from absl.testing import absltest, parameterized

from implicit_underparam.agents import dqn
from implicit_underparam.data import dopamine_replay

# Target updates fall between the gradient steps of one agent step.
_EVERY_SIX = small_online.make_learner(period=6)


def three_environments(**options):
  environment = dataclasses.replace(small_online.ENVIRONMENT, stack_size=2)
  agent = dqn.DQNAgent(small_online.NETWORK, update_horizon=3)
  return small_online.make(
      learner=small_online.make_learner(agent, period=10),
      environment=environment,
      num_environments=3,
      data_reuse_ratio=1.5,
      target_update_clock='agent_steps',
      min_replay_history=41,
      **options,
  )


class PlainLoopTest(parameterized.TestCase):

  def check(self, loop, ratio, iterations=2, seed=1):
    """Parameters, actions and columns are those of the plain loop."""
    program = small_online.compile_loop(loop, (seed,))
    state = program.init()
    plain = plain_online.PlainLoop(loop, seed, ratio)
    for i in range(iterations):
      state, output = program.iterate(state)
      plain.iterate()
      found = {
          'gradient_steps': output.gradient_steps,
          'environment_steps': output.environment_steps,
          **output.scalars,
      }
      for name, value in plain.rows[-1].items():
        np.testing.assert_allclose(
            found[name], [value], rtol=1e-5, err_msg=f'{name}, iteration {i}'
        )
      self.check_replay(program.snapshot(state)['replay'][0].ring, plain)
      small_online.assert_same(
          jax.tree.map(lambda x: x[0], output.parameters),
          plain.train.params, atol=1e-6, rtol=0,
      )  # fmt: skip
    small_online.assert_same(
        state[0].train.target_params, plain.train.target_params,
        atol=1e-6, rtol=0,
    )  # fmt: skip
    return plain

  def check_replay(self, kept, plain):
    """The ring holds the latest of what the plain loop played."""
    kept = jax.device_get(kept)
    held = plain.replay.num_steps - plain.replay.stack_size + 1
    first = max(0, len(plain.replay.steps) - held)
    for step, rows in list(enumerate(plain.replay.steps))[first:]:
      for k, row in enumerate(rows):
        at = plain.row_of(step, k)
        np.testing.assert_array_equal(kept.frames[at], row.frame)
        self.assertEqual(
            (int(kept.actions[at]), float(kept.rewards[at]),
             bool(kept.terminals[at]), bool(kept.ends[at])),
            row[1:], f'step {step} of environment {k}',
        )  # fmt: skip

  @parameterized.named_parameters(
      ('quarter', {'data_reuse_ratio': 0.25}, (1, 4)),
      ('one', {
          'overlap': False, 'target_update_clock': 'agent_steps',
          'reward_clip': 0.5,
      }, (1, 1)),
      ('four', {'data_reuse_ratio': 4, 'learner': _EVERY_SIX}, (4, 1)),
      ('four_after', {
          'data_reuse_ratio': 4, 'learner': _EVERY_SIX, 'overlap': False,
      }, (4, 1)),
  )  # fmt: skip
  def test_one_environment(self, options, ratio):
    plain = self.check(small_online.make(**options), ratio)
    rows = [row for step in plain.replay.steps for row in step]
    # Ends of all kinds were there, and actions of both.
    self.assertTrue(any(x.is_terminal for x in rows))
    self.assertTrue(any(x.is_end and not x.is_terminal for x in rows[:-1]))
    self.assertGreater(plain.target_updates, 1)
    # The oldest rows had been written over.
    self.assertGreater(len(rows), 100)

  @parameterized.parameters(True, False)
  def test_three_environments_three_steps_two_frames(self, overlap):
    self.check(three_environments(overlap=overlap), (3, 2), seed=11)

  def test_what_these_runs_would_see(self):
    # With most seeds one action stays the best, whatever the parameters.
    for loop, ratio, seed in (
        (small_online.make(), (1, 1), 1), (three_environments(), (3, 2), 11)
    ):  # fmt: skip
      plain = []
      for overlap in (True, False):
        order = dataclasses.replace(loop, overlap=overlap)
        plain.append(plain_online.PlainLoop(order, seed, ratio))
        for _ in range(2):
          plain[-1].iterate()
      kernels = [x.train.params['params']['Dense_0']['kernel'] for x in plain]
      self.assertGreater(np.abs(kernels[0] - kernels[1]).max(), 1e-3)

  def test_priorities(self):
    prioritized = dataclasses.replace(small_online.REPLAY, prioritized=True)
    loop = small_online.make(replay=prioritized, data_reuse_ratio=0.5)
    plain = self.check(loop, (1, 2))
    # They differ, and so does what they draw.
    self.assertGreater(np.std(list(plain.priorities.of.values())), 0.1)


class RatioTest(parameterized.TestCase):

  @parameterized.parameters(
      (0.25, 1, 4, 1), (0.3, 3, 10, 1), (1, 1, 1, 3), (1.1, 11, 10, 4),
      (0.01, 1, 100, 2), (16, 16, 1, 2), (2.5, 5, 2, 3),
  )  # fmt: skip
  def test_gradient_steps_are_n_for_each_step_after_the_warm_up(
      self, ratio, above, below, stride
  ):
    loop = small_online.make(
        data_reuse_ratio=ratio, num_environments=stride, min_replay_history=53
    )
    self.assertEqual([loop.updates_by(x) for x in range(54)], [0] * 54)
    done = owed = 0
    for steps in range(1, 20_000):
      owed += above if steps > 53 else 0
      while owed >= below:
        done, owed = done + 1, owed - below
      if steps % stride == 0:
        self.assertEqual(loop.updates_by(steps), done)

  def test_nothing_is_learned_before_there_is_enough(self):
    loop = small_online.make(min_replay_history=120)
    program = small_online.compile_loop(loop)
    state = program.init()
    before = jax.device_get(state[0].train.params)
    for _ in range(2):
      state, output = program.iterate(state)
      self.assertEqual(output.gradient_steps[0], 0)
      self.assertTrue(output.finite[0])
      self.assertTrue(math.isnan(output.scalars['loss'][0]))
      self.assertEqual(output.scalars['epsilon'][0], 1)
    small_online.assert_same(
        jax.tree.map(lambda x: x[0], output.parameters), before
    )
    state, output = program.iterate(state)
    self.assertEqual(output.gradient_steps[0], 60)
    self.assertEqual(output.environment_steps[0], 180)

  def test_target_updates_by_agent_steps_are_dopamines(self):
    for history, period in ((53, 10), (50, 10), (49, 7), (7, 50)):
      loop = small_online.make(
          learner=small_online.make_learner(period=period),
          target_update_clock='agent_steps',
          min_replay_history=max(history, 12),
      )
      done = 0
      for steps in range(1, 500):
        # Dopamine looks at its clock in steps that may learn, and only then.
        done += steps > loop.min_replay_history and steps % period == 0
        self.assertEqual(loop.target_updates_by(steps), done)


class SeedsTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.loop = small_online.make()
    cls.alone = {
        seed: small_online.run(cls.loop, (seed,))[2][-1] for seed in (0, 5)
    }

  def test_a_seed_of_several_is_that_seed_alone(self):
    program, _, outputs = small_online.run(self.loop, (0, 5))
    for i, seed in enumerate((0, 5)):
      for name in ('parameters', 'probes', 'scalars', 'gradient_steps'):
        small_online.assert_same(
            jax.tree.map(lambda x, i=i: x[i], getattr(outputs[-1], name)),
            jax.tree.map(lambda x: x[0], getattr(self.alone[seed], name)),
            atol=1e-4, rtol=1e-4,
        )  # fmt: skip
    kernels = outputs[-1].parameters['params']['Dense_0']['kernel']
    self.assertGreater(np.abs(kernels[0] - kernels[1]).max(), 0.1)
    shapes = program.output_shapes()
    self.assertSameElements(shapes.scalars, outputs[-1].scalars)
    small_online.assert_same(
        jax.tree.map(lambda x: (2, *x.shape), shapes.probes),
        jax.tree.map(lambda x: x.shape, outputs[-1].probes),
    )

  def test_a_seed_that_is_not_finite_stops_with_what_it_had(self):
    program, state, _ = small_online.run(self.loop, (0, 5), 'map', 1)
    saved = small_online.take_down(program.snapshot(state))
    undisturbed, _ = program.iterate(state)
    state = program.place(small_online.put_back(saved))
    state[0] = small_online.with_learning_rates(state[0], 1e38)
    before = jax.device_get(small_online.of_seed(state, 0).train.params)
    for i in range(2):
      state, output = program.iterate(state)
      np.testing.assert_array_equal(output.finite, [False, True])
      np.testing.assert_array_equal(output.iterations, [1, 2 + i])
      np.testing.assert_array_equal(output.gradient_steps, [20, 80 + 60 * i])
      self.assertFalse(np.isfinite(output.scalars['loss'][0]))
      small_online.assert_same(
          small_online.of_seed(state, 0).train.params, before
      )
      if not i:
        small_online.assert_same(
            small_online.of_seed(state, 1).train.params,
            small_online.of_seed(undisturbed, 1).train.params,
        )

  @parameterized.parameters('device', 'host')
  def test_a_state_given_back_goes_on_as_if_nothing_had_been(self, placement):
    kept = dataclasses.replace(small_online.REPLAY, placement=placement)
    loop = small_online.make(replay=kept)
    check_goes_on(loop)

  def test_an_output_can_be_read_after_the_next_iteration(self):
    program = small_online.compile_loop(self.loop, (0, 5))
    state, output = program.iterate(program.init())
    expected = jax.tree.map(np.array, output)
    program.iterate(state)
    small_online.assert_same(jax.device_get(output), expected)


def check_goes_on(loop):
  """What a snapshot holds is all there is; in another process, too."""
  program, state, _ = small_online.run(loop, (0, 5), 'map', 2)
  saved = small_online.take_down(program.snapshot(state))
  _, expected = program.iterate(state)
  for other in (program, small_online.compile_loop(loop, (0, 5))):
    _, found = other.iterate(other.place(small_online.put_back(saved)))
    small_online.assert_same(jax.device_get(found), jax.device_get(expected))


class PlacementTest(parameterized.TestCase):

  @parameterized.parameters((False, 4), (True, 0.5))
  def test_frames_in_main_memory_train_the_same_network(
      self, prioritized, ratio
  ):
    results = []
    for placement in ('device', 'host'):
      kept = dataclasses.replace(
          small_online.REPLAY, placement=placement, prioritized=prioritized
      )
      loop = small_online.make(
          replay=kept, data_reuse_ratio=ratio, learner=_EVERY_SIX
      )
      program, state, outputs = small_online.run(loop, (3,), iterations=2)
      results.append((outputs, jax.device_get(program.probe(state))))
    found, expected = (
        [(x.parameters, x.probes, dict(x.scalars)) for x in outputs]
        for outputs, _ in results
    )
    for (_, _, x), (_, _, y) in zip(found, expected, strict=True):
      # A sum over several steps of a dispatch, or over dispatches.
      for name in ('loss', 'td_error', 'data_q_value'):
        np.testing.assert_allclose(x.pop(name), y.pop(name), rtol=1e-6)
    small_online.assert_same(found, expected)
    small_online.assert_same(results[0][1], results[1][1])
    small_online.assert_same(results[0][1], results[0][0][-1].probes)


class DopamineReplayTest(parameterized.TestCase):

  def test_goes_on_from_what_it_saved(self):
    kept = dopamine_replay.DopamineReplay(
        capacity=100, batch_size=8, prioritized=True
    )
    loop = small_online.make(replay=kept, data_reuse_ratio=0.5)
    program, state, outputs = small_online.run(loop, (0, 5), 'map', 2)
    self.assertEqual(list(outputs[-1].gradient_steps), [40, 40])
    self.assertTrue(outputs[-1].finite.all())
    self.assertGreater(np.ptp(outputs[-1].probes['all'].q_values), 0.01)
    check_goes_on(loop)


_ON_TWO = '''
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np, small_online
assert len(jax.devices()) == 2
loop = small_online.make()
program, state, outputs = small_online.run(loop, (0, 5, 7), 'vmap')
assert [x.train.gradient_steps.shape for x in state] == [(), (2,)]
assert [x.rng.devices() for x in state] == [{x} for x in jax.devices()]
kept = program.snapshot(state)['replay']
assert [x.ring.frames.devices() for x in kept] == [
    {x} for x in jax.devices()]
# As a resumed run would.
saved = small_online.take_down(program.snapshot(state))
with jax.default_device(jax.devices()[0]):
  again = program.place(small_online.put_back(saved))
assert [x.rng.devices() for x in again] == [{x} for x in jax.devices()]
output = jax.device_get(program.iterate(again)[1])
np.savez(sys.argv[2], kernel=output.parameters['params']['Dense_0']['kernel'],
         features=output.probes['all'].features,
         returns=output.scalars['train_return'])

# One of a lane's two seeds stops.
state = program.place(small_online.put_back(saved))
before = jax.device_get(small_online.of_seed(state, 1).train.params)
state[1] = small_online.with_learning_rates(state[1], 1e38, 2e-3)
for _ in range(2):
  state, bad = program.iterate(state)
  assert bad.finite.tolist() == [True, False, True]
  small_online.assert_same(
      small_online.of_seed(state, 1).train.params, before)
  assert bad.gradient_steps[1] == 80, bad.gradient_steps
  if bad.environment_steps[0] == 180:
    for i in (0, 2):
      small_online.assert_same(
          jax.tree.map(lambda x: x[i], bad.parameters),
          jax.tree.map(lambda x: x[i], output.parameters), atol=1e-6)
'''


class DevicesTest(absltest.TestCase):

  def test_lanes_of_unequal_sizes_train_what_one_device_does(self):
    out = pathlib.Path(self.create_tempdir().full_path) / 'out.npz'
    result = subprocess.run(
        [sys.executable, '-c', _ON_TWO, str(pathlib.Path(__file__).parent),
         str(out)],
        env={**os.environ, 'JAX_PLATFORMS': 'cpu',
             'XLA_FLAGS': os.environ.get('XLA_FLAGS', '')
             + ' --xla_force_host_platform_device_count=2'},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stderr)
    found = np.load(out)
    for i, seed in enumerate((0, 5, 7)):
      _, _, outputs = small_online.run(small_online.make(), (seed,), 'map', 3)
      output = outputs[-1]
      np.testing.assert_allclose(
          found['kernel'][i],
          output.parameters['params']['Dense_0']['kernel'][0], atol=1e-4,
      )  # fmt: skip
      np.testing.assert_allclose(
          found['features'][i], output.probes['all'].features[0], atol=1e-3
      )
      self.assertEqual(
          found['returns'][i], output.scalars['train_return'][0]
      )


if __name__ == '__main__':
  absltest.main()
