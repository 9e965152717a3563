"""Tests of implicit_underparam.loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, learner, loops, metrics, networks
from implicit_underparam.agents import fqi
from implicit_underparam.data import tabular as data
from implicit_underparam.envs import gridworld, tabular

ENV = gridworld.grid16smoothobs()


@functools.cache
def default_loop():
  return make_loop()


@functools.cache
def compiled(loop):
  return jax.jit(loop.iterate)


def make_loop(learning_rate=1e-3, source=None, **kwargs):
  agent = fqi.FQIAgent(networks.MLPNetwork(num_actions=5, hidden_units=(8, 8)))
  source = source or data.TabularReplay(ENV, capacity=300)
  kwargs = {'gradient_steps': 3} | kwargs
  return loops.FittedIteration(
      learner.Learner(agent, learner.adam(learning_rate)), source, **kwargs
  )


def iterate(loop, num_iterations, state=None):
  state = loop.init(jax.random.key(0)) if state is None else state
  step = compiled(loop)
  output = None
  for _ in range(num_iterations):
    state, output = step(state, loop.hyperparameters())
  return state, output


class FittedIterationTest(parameterized.TestCase):

  def test_labels_come_from_the_network_before_the_iteration(self):
    loop = default_loop()
    state, _ = iterate(loop, 2)
    before = loop.agent.apply(state.train.params, jnp.asarray(ENV.observations))
    after, output = iterate(loop, 1, state)
    value = tabular.soft_value(np.float64(before.q_values), 0.1)
    t = after.data.transitions
    filled = int(after.data.added)
    self.assertEqual(filled, 384)
    expected = t.reward + 0.95 * value[np.asarray(t.next_state)]
    np.testing.assert_allclose(after.data.target, expected, atol=1e-4)
    self.assertEqual(int(output.environment_steps), 384)
    self.assertEqual(int(output.gradient_steps), 9)

  def test_the_policy_that_collects_is_the_networks(self):
    source = data.TabularReplay(
        ENV, capacity=5000, transitions_per_iteration=5000
    )
    loop = make_loop(0.1, source, gradient_steps=50)
    state, _ = iterate(loop, 1)
    q = loop.agent.apply(state.train.params, jnp.asarray(ENV.observations))
    policy = tabular.boltzmann_policy(np.float64(q.q_values), 0.1)
    after, _ = iterate(loop, 1, state)
    t = after.data.transitions
    chosen = policy[np.asarray(t.state), np.asarray(t.action)]
    # The mean probability of the actions taken is that of the policy itself.
    expected = (policy**2).sum(axis=1)[np.asarray(t.state)]
    self.assertGreater(expected.mean(), 0.25)
    self.assertAlmostEqual(chosen.mean(), expected.mean(), delta=0.02)

  def test_a_loss_that_overflows_leaves_the_state_as_it_was(self):
    loop = make_loop(learning_rate=1e36)
    start = loop.init(jax.random.key(0))
    state, output = iterate(loop, 1, start)
    while bool(output.finite):
      start = state
      state, output = iterate(loop, 1, start)
    self.assertFalse(bool(state.finite))
    jax.tree.map(
        np.testing.assert_array_equal, state.train.params, start.train.params
    )
    self.assertEqual(int(state.iterations), int(start.iterations))
    again, output = iterate(loop, 1, state)
    self.assertFalse(bool(output.finite))
    self.assertTrue(all(
        np.all(np.isfinite(x)) for x in jax.tree.leaves(again.train.params)
    ))

  def test_reinitialized_iterations_start_from_fresh_parameters(self):
    loop = make_loop(reinitialize=True, learning_rate=1e-9)
    first, _ = iterate(loop, 1)
    second, _ = iterate(loop, 1, first)
    # Steps this small move nothing: what differs is the initialisation.
    kernel = lambda s: s.train.params['params']['Dense_0']['kernel']
    self.assertGreater(float(jnp.std(kernel(first) - kernel(second))), 0.1)
    count = lambda s: int(s.train.opt_state.inner_state[0].count)
    self.assertEqual(count(second), 3)
    kept, _ = iterate(make_loop(learning_rate=1e-9), 2)
    self.assertEqual(count(kept), 6)

  def test_the_minibatch_probe_has_the_spectrum_of_the_whole_sample(self):
    loop = default_loop()
    state, output = iterate(loop, 1)
    rng = jax.random.fold_in(state.rng, state.iterations)
    counts = np.asarray(loop.data.probe_counts(state.data, rng)).astype(int)
    features = np.asarray(output.probes['all'].features)
    sample = np.repeat(features, counts, axis=0)
    self.assertLen(sample, 2048)
    np.testing.assert_allclose(
        metrics.singular_values(output.probes['minibatch'].features),
        metrics.singular_values(sample), rtol=1e-4, atol=1e-4,
    )

  def test_exact_iteration_converges_to_soft_q_star(self):
    agent = fqi.FQIAgent(networks.MLPNetwork(num_actions=5))
    loop = loops.FittedIteration(
        learner.Learner(agent, learner.adam(5e-3)), data.AllStates(ENV),
        gradient_steps=40,
    )
    _, output = iterate(loop, 120)
    q_star = tabular.q_star(ENV, 0.1)[ENV.free_states]
    error = np.abs(output.probes['free'].q_values - q_star).mean()
    self.assertLess(error, 0.06 * q_star.mean())

  def test_bad_arguments_are_named(self):
    with self.assertRaisesRegex(errors.UserError, 'gradient_steps is 0'):
      make_loop(gradient_steps=0)
    agent = fqi.FQIAgent(networks.MLPNetwork(num_actions=4))
    loop = loops.FittedIteration(
        learner.Learner(agent, learner.adam()), data.AllStates(ENV)
    )
    with self.assertRaisesRegex(errors.UserError, 'num_actions = 5'):
      loop.init(jax.random.key(0))


if __name__ == '__main__':
  absltest.main()
