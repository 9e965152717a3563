"""Tests of implicit_underparam.target_features, alone and in the loop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import small_online
from absl.testing import absltest, parameterized

from implicit_underparam import (
    errors,
    learner,
    metrics,
    networks,
    penalties,
    rows,
    target_features,
    types,
)
from implicit_underparam.agents import dqn

STATES, ACTIONS, GAMMA = 6, 3, 0.9
NETWORK = networks.MLPNetwork(num_actions=ACTIONS, hidden_units=(32,))
FITTER = learner.Learner(
    dqn.DQNAgent(NETWORK, gamma=GAMMA), learner.adam(1e-2),
    target_update_period=5,
)  # fmt: skip
RNG = np.random.default_rng(0)
NEXT = RNG.integers(0, STATES, (STATES, ACTIONS))
# One transition in four ends the episode.
ENDS = RNG.random((STATES, ACTIONS)) < 0.25


def sample(i, key, reward=0.0):
  """Eight transitions of a small deterministic world, drawn uniformly."""
  del i
  state_key, action_key = jax.random.split(key)
  state = jax.random.randint(state_key, (8,), 0, STATES)
  action = jax.random.randint(action_key, (8,), 0, ACTIONS)
  return types.Batch(
      state=jnp.eye(STATES)[state],
      action=action,
      reward=jnp.full(8, reward),
      next_state=jnp.eye(STATES)[jnp.asarray(NEXT)[state, action]],
      is_terminal=jnp.asarray(ENDS, jnp.float32)[state, action],
  )


def trained():
  """A network that has Q-values of some size."""
  train = FITTER.init(jax.random.key(1), jnp.zeros((1, STATES)))
  params = jax.tree.map(lambda x: 4 * x, train.params)
  return train._replace(params=params)


def fit(steps, start='fresh', fitter=FITTER, reward=0.0):
  fitting = target_features.TargetFeatures(steps, start)
  return jax.jit(
      lambda train: fitting.fit(
          fitter, train, lambda i, key: sample(i, key, reward),
          jax.random.key(2),
      )
  )(trained())  # fmt: skip


def distance(params):
  """Root mean square of Q minus gamma max Q_given, and that of the latter."""
  given = np.asarray(NETWORK.apply(trained().params, jnp.eye(STATES)).q_values)
  target = GAMMA * given.max(axis=1)[NEXT] * ~ENDS
  found = np.asarray(NETWORK.apply(params, jnp.eye(STATES)).q_values)
  return np.sqrt(np.mean((found - target) ** 2)), np.sqrt(np.mean(target**2))


class FitTest(parameterized.TestCase):

  @parameterized.parameters('fresh', 'current')
  def test_comes_close_to_the_discounted_value_of_the_next_states(self, start):
    fitted = fit(1500, start)
    error, size = distance(fitted.params)
    self.assertGreater(size, 1.0)
    self.assertLess(error, 0.05 * size)
    self.assertLess(error, 0.1 * distance(fit(1, start).params)[0])

  def test_rewards_and_penalties_do_not_count(self):
    expected = fit(20)
    small_online.assert_same(
        fit(20, reward=7.0).params, expected.params, atol=1e-6
    )
    penalized = dataclasses.replace(
        FITTER, penalty=penalties.singular_value_penalty,
        penalty_coefficient=1.0,
    )  # fmt: skip
    small_online.assert_same(
        fit(20, fitter=penalized).params, expected.params, atol=1e-6
    )

  def test_starts_where_it_is_told(self):
    # One step of Adam is a hundredth for each parameter.
    step = fit(1, 'current').params
    for x, y in zip(
        jax.tree.leaves(step), jax.tree.leaves(trained().params), strict=True
    ):
      self.assertLess(np.abs(x - y).max(), 0.0101)
    self.assertGreater(
        np.abs(
            fit(1, 'fresh').params['params']['Dense_0']['kernel']
            - step['params']['Dense_0']['kernel']
        ).max(),
        0.1,
    )

  @parameterized.parameters(
      ({'gradient_steps': 0}, 'TargetFeatures.gradient_steps is 0'),
      ({'gradient_steps': 2.5}, 'TargetFeatures.gradient_steps is 2.5'),
      ({'start': 'old'}, "'old': use one of fresh, current"),
  )
  def test_what_cannot_be_is_named(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message):
      target_features.TargetFeatures(**options)


class LoopTest(absltest.TestCase):

  def test_is_a_probe_on_the_states_of_the_other(self):
    fitting = target_features.TargetFeatures(30)
    loop = small_online.make(target_features=fitting)
    program, state, outputs = small_online.run(loop, (0, 5), iterations=1)
    probes = outputs[0].probes
    self.assertEqual(probes['target'].features.shape, (2, 32, 16))
    self.assertSameElements(program.output_shapes().probes, ('all', 'target'))
    measured = rows.Measurements(
        program, {'srank': metrics.srank, 'srank@target': metrics.srank}
    ).measure(outputs[0])
    for i, row in enumerate(measured):
      for name, probe in (('srank', 'all'), ('srank_target', 'target')):
        self.assertEqual(
            row[name], metrics.srank(np.asarray(probes[probe].features[i]))
        )
    # The loop itself goes on as without.
    plain = small_online.run(small_online.make(), (0, 5), iterations=1)[2][0]
    small_online.assert_same(outputs[0].parameters, plain.parameters)
    small_online.assert_same(probes['all'], plain.probes['all'])
    small_online.assert_same(jax.device_get(program.probe(state)), probes)

  def test_frames_in_main_memory_are_refused(self):
    loop = small_online.make(
        target_features=target_features.TargetFeatures(30),
        replay=dataclasses.replace(small_online.REPLAY, placement='host'),
    )
    with self.assertRaisesRegex(errors.UserError, 'OnlineLoop.target_features'):
      small_online.compile_loop(loop)


if __name__ == '__main__':
  absltest.main()
