"""Tests of implicit_underparam.agents.fqi: every target rule, exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import networks, types
from implicit_underparam.agents import fqi
from implicit_underparam.data import collectors
from implicit_underparam.data import tabular as data
from implicit_underparam.envs import gridworld, tabular

ENV = gridworld.grid16smoothobs()
TEMPERATURE = 0.1


def sampled() -> collectors.Transitions:
  policy = collectors.uniform_policy(ENV)
  view = collectors.rollouts(ENV, policy, 400, jax.random.key(0))
  return view._replace(monte_carlo_return=jnp.arange(400.0))


def every_pair() -> collectors.AllPairs:
  return data.AllStates(ENV).view(jnp.zeros((256, 5)))


def some_q() -> np.ndarray:
  noise = np.random.default_rng(0).normal(size=(256, 5))
  return np.float32(tabular.q_star(ENV, TEMPERATURE) + 0.3 * noise)


def float64_soft_value(q):
  top = q.max(axis=1)
  return top + TEMPERATURE * np.log(
      np.exp((q - top[:, None]) / TEMPERATURE).sum(axis=1)
  )


class TargetRuleTest(parameterized.TestCase):

  def check(self, rule, value_or_table, is_table=False):
    """Holds a rule against float64, transition by transition and exactly."""
    view = sampled()
    got = np.asarray(rule(some_q(), TEMPERATURE, ENV, view))
    for i in range(0, 400, 37):
      s, a, t = int(view.state[i]), int(view.action[i]), int(view.next_state[i])
      expected = (
          value_or_table[s, a] if is_table
          else ENV.rewards[s] + ENV.discount * value_or_table[t]
      )
      self.assertAlmostEqual(float(got[i]), expected, places=3)
    got = rule(some_q(), TEMPERATURE, ENV, every_pair())
    expected = value_or_table if is_table else (
        ENV.rewards[:, None]
        + ENV.discount * ENV.transition_matrix @ value_or_table
    )
    np.testing.assert_allclose(got, expected, atol=1e-3)

  def test_optimality(self):
    value = float64_soft_value(np.float64(some_q()))
    self.check(fqi.optimality_targets, value)

  def test_evaluation(self):
    value = np.float64(some_q()).mean(axis=1)
    self.check(fqi.evaluation_targets, value)

  def test_oracle_is_the_exact_soft_q_of_the_current_policy(self):
    policy = tabular.boltzmann_policy(np.float64(some_q()), TEMPERATURE)
    table = tabular.q_pi(ENV, policy, TEMPERATURE)
    self.check(fqi.oracle_targets, table, is_table=True)

  def test_supervised_is_q_star(self):
    table = tabular.q_star(ENV, TEMPERATURE)
    self.check(fqi.supervised_targets, table, is_table=True)

  def test_monte_carlo_is_what_the_data_holds(self):
    got = fqi.monte_carlo_targets(some_q(), TEMPERATURE, ENV, sampled())
    np.testing.assert_array_equal(got, np.arange(400.0))

  def test_q_star_is_the_fixed_point_of_optimality_and_oracle(self):
    q_star = np.float32(tabular.q_star(ENV, TEMPERATURE))
    for rule in (fqi.optimality_targets, fqi.oracle_targets):
      got = rule(q_star, TEMPERATURE, ENV, every_pair())
      np.testing.assert_allclose(got, q_star, atol=1e-3)


class FQIAgentTest(absltest.TestCase):

  def make(self, **kwargs) -> fqi.FQIAgent:
    return fqi.FQIAgent(networks.MLPNetwork(num_actions=5), **kwargs)

  def test_initialisation_is_pytorchs_default(self):
    params = self.make().init(jax.random.key(0), jnp.ones((1, 16)))['params']
    for name, fan_in in (('Dense_0', 16), ('Dense_1', 64), ('Dense_2', 64)):
      for leaf in ('kernel', 'bias'):
        x = np.asarray(params[name][leaf])
        bound = fan_in**-0.5
        self.assertLessEqual(np.abs(x).max(), bound)
        if x.size >= 64:
          self.assertGreater(np.abs(x).max(), 0.9 * bound)
          self.assertAlmostEqual(x.std(), bound / 3**0.5, delta=0.1 * bound)

  def test_features_are_the_last_hidden_layer(self):
    agent = self.make()
    params = agent.init(jax.random.key(0), jnp.ones((1, 16)))
    output = agent.apply(params, jnp.asarray(ENV.observations))
    head = params['params']['Dense_2']
    self.assertEqual(output.features.shape, (256, 64))
    self.assertGreaterEqual(float(output.features.min()), 0)
    np.testing.assert_allclose(
        output.q_values, output.features @ head['kernel'] + head['bias'],
        atol=1e-5,
    )

  def test_all_heads_at_once_are_the_mean_of_single_heads(self):
    agent = self.make()
    states = jnp.asarray(ENV.observations[:7])
    params = agent.init(jax.random.key(0), states)
    targets = jnp.asarray(some_q()[:7])
    rng = jax.random.key(0)
    whole = agent.loss(
        params, params, types.Batch(states, target=targets), rng
    ).losses
    single = [
        agent.loss(
            params, params,
            types.Batch(states, jnp.full((7,), a), target=targets[:, a]), rng,
        ).losses
        for a in range(5)
    ]
    np.testing.assert_allclose(whole, np.mean(single, axis=0), rtol=1e-5)

  def test_q_values_are_clipped_above(self):
    agent = self.make(max_q_value=0.05)
    params = agent.init(jax.random.key(0), jnp.ones((1, 16)))
    q = agent.q_values(params, jnp.asarray(ENV.observations))
    raw = agent.apply(params, jnp.asarray(ENV.observations)).q_values
    self.assertGreater(float(raw.max()), 0.05)
    np.testing.assert_array_equal(q, np.minimum(raw, np.float32(0.05)))


if __name__ == '__main__':
  absltest.main()
