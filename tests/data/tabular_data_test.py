"""Tests of implicit_underparam.data.tabular."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors
from implicit_underparam.data import collectors
from implicit_underparam.data import tabular as data
from implicit_underparam.envs import gridworld, tabular

ENV = gridworld.grid16smoothobs()


def make_replay(**kwargs) -> data.TabularReplay:
  return data.TabularReplay(ENV, **kwargs)


def greedy_policy() -> jnp.ndarray:
  policy = tabular.boltzmann_policy(tabular.q_star(ENV, 0.1), 0.1)
  return jnp.asarray(policy, jnp.float32)


def chi_squared(counts, probabilities) -> float:
  """Per degree of freedom, over outcomes that are expected 5 times or more."""
  expected = counts.sum() * probabilities
  likely = expected >= 5
  terms = (counts[likely] - expected[likely]) ** 2 / expected[likely]
  return float(terms.sum() / max(likely.sum() - 1, 1))


class CollectorTest(parameterized.TestCase):

  def test_rollouts_follow_the_dynamics_and_the_policy(self):
    policy = greedy_policy()
    t = collectors.rollouts(ENV, policy, 20_000, jax.random.key(0))
    state, action, following = map(np.asarray, t[:2] + (t.next_state,))
    np.testing.assert_allclose(t.reward, ENV.rewards[state], rtol=1e-6)
    self.assertTrue(
        np.all(ENV.transition_matrix[state, action, following] > 0)
    )
    visits = np.bincount(state, minlength=256)
    s = int(visits.argmax())
    actions = np.bincount(action[state == s], minlength=5)
    self.assertLess(chi_squared(actions, np.asarray(policy[s])), 5)
    a = int(actions.argmax())
    chosen = (state == s) & (action == a)
    nexts = np.bincount(following[chosen], minlength=256)
    self.assertLess(chi_squared(nexts, ENV.transition_matrix[s, a]), 5)

  def test_rollouts_visit_states_as_often_as_the_exact_chain(self):
    uniform = np.asarray(collectors.uniform_policy(ENV), np.float64)
    chain = np.einsum('sa,sat->st', uniform, ENV.transition_matrix)
    at, total = np.eye(256)[ENV.initial_state], np.zeros(256)
    for _ in range(ENV.horizon):
      total, at = total + at, at @ chain
    t = collectors.rollouts(
        ENV, collectors.uniform_policy(ENV), 50_000, jax.random.key(1)
    )
    frequency = np.bincount(np.asarray(t.state), minlength=256) / 50_000
    # 1,000 episodes of 50 dependent steps: a standard error below 0.002.
    np.testing.assert_allclose(frequency, total / ENV.horizon, atol=0.01)

  def test_uniform_pairs_cover_free_cells_and_actions_evenly(self):
    t = collectors.uniform_pairs(
        ENV, collectors.uniform_policy(ENV), 100_000, jax.random.key(0)
    )
    pairs = np.asarray(t.state) * 5 + np.asarray(t.action)
    counts = np.bincount(pairs, minlength=1280).reshape(256, 5)
    walls = np.setdiff1d(np.arange(256), ENV.free_states)
    self.assertEqual(counts[walls].sum(), 0)
    free = counts[ENV.free_states].ravel()
    self.assertLess(chi_squared(free, np.full(1025, 1 / 1025)), 1.3)


class ReplayTest(parameterized.TestCase):

  def test_is_first_in_first_out(self):
    replay = make_replay(capacity=300, transitions_per_iteration=128)
    state = replay.init(jax.random.key(0))
    added = []
    policy = collectors.uniform_policy(ENV)
    for i in range(5):
      key = jax.random.key(i)
      collect_rng, _ = jax.random.split(key)
      new = collectors.rollouts(ENV, policy, 128, collect_rng)
      added += list(np.asarray(new.next_state))
      state = replay.collect(state, policy, key)
      size = min(len(added), 300)
      ring = np.asarray(state.transitions.next_state)
      expected = added[-size:]
      in_order = [ring[j % 300] for j in range(len(added) - size, len(added))]
      self.assertEqual(in_order, expected)
      self.assertEqual(int(state.environment_steps), len(added))

  def test_samples_only_what_was_added(self):
    replay = make_replay(capacity=1000, transitions_per_iteration=100)
    state = replay.collect(
        replay.init(jax.random.key(0)), collectors.uniform_policy(ENV),
        jax.random.key(1),
    )
    marked = jnp.where(jnp.arange(1000) < 100, 1.0, 0.0)
    state = replay.label(state, marked)
    for i in range(20):
      batch = replay.sample(state, jax.random.key(i))
      np.testing.assert_array_equal(batch.target, 1.0)

  def test_a_batch_is_rows_of_the_ring(self):
    replay = make_replay(initial_transitions=500, transitions_per_iteration=0)
    state = replay.init(jax.random.key(0))
    state = replay.label(state, jnp.arange(10_000, dtype=jnp.float32))
    batch = replay.sample(state, jax.random.key(1))
    rows = np.asarray(batch.target).astype(int)
    self.assertEqual(batch.state.shape, (128, 16))
    np.testing.assert_array_equal(
        batch.state, ENV.observations[state.transitions.state[rows]]
    )
    np.testing.assert_array_equal(
        batch.action, state.transitions.action[rows]
    )

  def test_a_fixed_data_set_stays_and_took_no_steps(self):
    replay = make_replay(initial_transitions=500, transitions_per_iteration=0)
    state = replay.init(jax.random.key(0))
    after = replay.collect(state, greedy_policy(), jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after, state)
    self.assertEqual(int(state.environment_steps), 0)

  def test_a_behaviour_policy_replaces_the_agents(self):
    replay = make_replay(
        behaviour_policy=collectors.uniform_policy, capacity=128
    )
    rng = jax.random.key(2)
    state = replay.init(jax.random.key(0))
    a = replay.collect(state, greedy_policy(), rng)
    b = replay.collect(state, collectors.uniform_policy(ENV), rng)
    jax.tree.map(np.testing.assert_array_equal, a, b)

  def test_monte_carlo_returns_average_to_q_pi(self):
    replay = make_replay(
        initial_transitions=10_000, transitions_per_iteration=0,
        behaviour_policy=collectors.uniform_policy, monte_carlo_horizon=200,
    )
    state = jax.jit(replay.init)(jax.random.key(0))
    t = state.transitions
    policy = np.full((256, 5), 0.2)
    q = tabular.q_pi(ENV, policy)[np.asarray(t.state), np.asarray(t.action)]
    # Given (s, a), a return differs from Q^pi by noise of mean 0 that is
    # independent of that of the other transitions' continuations.
    error = np.asarray(t.monte_carlo_return) - q
    z = error.mean() / (error.std() / np.sqrt(len(error)))
    self.assertLess(abs(z), 4)
    self.assertGreater(error.std(), 0.1)
    self.assertGreater(np.corrcoef(t.monte_carlo_return, q)[0, 1], 0.5)

  def test_probe_counts_are_a_sample_of_the_ring(self):
    replay = make_replay(initial_transitions=10_000,
                         transitions_per_iteration=0)
    state = replay.init(jax.random.key(0))
    counts = np.asarray(replay.probe_counts(state, jax.random.key(1)))
    self.assertEqual(counts.sum(), 2048)
    ring = np.bincount(np.asarray(state.transitions.state), minlength=256)
    self.assertTrue(np.all(counts[ring == 0] == 0))
    self.assertLess(chi_squared(counts, ring / ring.sum()), 1.6)

  @parameterized.parameters(
      ({'batch_size': 0}, 'batch_size is 0'),
      ({'capacity': 100}, 'capacity'),
      ({'transitions_per_iteration': 0}, 'has no data'),
      ({'initial_transitions': -1}, 'initial_transitions is -1'),
      ({'monte_carlo_horizon': 10}, 'needs a fixed policy'),
  )
  def test_bad_arguments_are_named(self, kwargs, message):
    with self.assertRaisesRegex(errors.UserError, message):
      make_replay(**kwargs)


class AllStatesTest(absltest.TestCase):

  def test_backups_are_exact_expectations(self):
    source = data.AllStates(ENV)
    view = source.view(source.init(jax.random.key(0)))
    values = np.random.default_rng(0).normal(size=256)
    expected = np.einsum('sat,t->sa', ENV.transition_matrix, values)
    np.testing.assert_allclose(
        view.backup(jnp.asarray(values, jnp.float32)), expected, atol=1e-5
    )
    np.testing.assert_allclose(view.reward[:, 0], ENV.rewards, rtol=1e-6)

  def test_a_batch_is_everything(self):
    source = data.AllStates(ENV)
    labels = jnp.arange(1280.0).reshape(256, 5)
    state = source.label(source.init(jax.random.key(0)), labels)
    batch = source.sample(state, jax.random.key(1))
    np.testing.assert_array_equal(batch.state, ENV.observations)
    np.testing.assert_array_equal(batch.target, labels)
    self.assertIsNone(batch.action)


if __name__ == '__main__':
  absltest.main()
