"""Tests of the value agents: each loss against loops in float64."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, networks, types
from implicit_underparam.agents import cql, dqn, fqe, monte_carlo, quantile

B, K, A, ATOMS, GAMMA = 9, 5, 4, 3, 0.9
MLP = networks.MLPNetwork(num_actions=A, hidden_units=(8,))
RNG = jax.random.key(0)


class TinyQuantileNetwork(nn.Module):

  @nn.compact
  def __call__(self, state):
    atoms = nn.Dense(A * ATOMS)(state).reshape(-1, A, ATOMS)
    return types.NetworkOutput(atoms.mean(-1), state, atoms)


def make_params(agent, seed):
  """Drawn by numpy: float64 where JAX is, of order one."""
  tree = jax.eval_shape(agent.init, RNG, np.zeros((1, K), np.float32))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: jnp.asarray(0.7 * rng.normal(size=x.shape)), tree
  )


def make_batch(seed=0):
  rng = np.random.default_rng(seed)
  terminal = np.arange(B) % 3 == 0
  return types.Batch(
      state=jnp.asarray(rng.normal(size=(B, K))),
      action=jnp.asarray(rng.integers(0, A, B), jnp.int32),
      reward=jnp.asarray(3 * rng.normal(size=B)),
      next_state=jnp.asarray(rng.normal(size=(B, K))),
      is_terminal=jnp.asarray(terminal, jnp.float32),
      target=jnp.asarray(3 * rng.normal(size=B)),
      next_action=jnp.asarray(rng.integers(0, A, B), jnp.int32),
  )


def layer(params, name):
  tree = params['params'][name]
  return np.float64(tree['kernel']), np.float64(tree['bias'])


def q64(params, state):
  """[B, A], the MLP by hand."""
  (w1, b1), (w2, b2) = layer(params, 'Dense_0'), layer(params, 'Dense_1')
  return np.maximum(np.float64(state) @ w1 + b1, 0) @ w2 + b2


def atoms64(params, state):
  """[B, A, ATOMS], the tiny quantile network by hand."""
  w, b = layer(params, 'Dense_0')
  return (np.float64(state) @ w + b).reshape(-1, A, ATOMS)


def huber64(x, kappa=1.0):
  if abs(x) <= kappa:
    return 0.5 * x * x
  return kappa * (abs(x) - 0.5 * kappa)


def td_losses(q_values, batch, target, loss_type='mse'):
  """l_i of (Q(s_i, a_i), y_i)."""
  error = {'mse': lambda x: x * x, 'huber': huber64}[loss_type]
  return np.array([
      error(q_values[i, int(batch.action[i])] - target[i]) for i in range(B)
  ])


def bootstrapped(batch, next_value, horizon):
  """y_i = r_i + gamma^n v_i, without v_i at terminals."""
  return np.array([
      float(batch.reward[i])
      + (0 if batch.is_terminal[i] else GAMMA**horizon * next_value[i])
      for i in range(B)
  ])


def dqn_target(agent, params, target_params, batch):
  target_q = q64(target_params, batch.next_state)
  online_q = q64(params, batch.next_state)
  values = []
  for mine, online in zip(target_q, online_q, strict=True):
    if agent.temperature:
      alpha = agent.temperature
      values.append(alpha * math.log(sum(math.exp(q / alpha) for q in mine)))
    elif agent.double:
      values.append(mine[max(range(A), key=lambda a, q=online: q[a])])
    else:
      values.append(max(mine))
  return bootstrapped(batch, values, agent.update_horizon)


def quantile_target(agent, target_params, batch):
  """y_i, [B, ATOMS]."""
  next_atoms = atoms64(target_params, batch.next_state)
  best = next_atoms.mean(-1).argmax(-1)
  columns = [
      bootstrapped(
          batch, next_atoms[np.arange(B), best, j], agent.update_horizon
      )
      for j in range(ATOMS)
  ]
  return np.stack(columns, axis=1)


def quantile_losses(atoms, batch, target, kappa):
  losses = np.zeros(B)
  for i in range(B):
    chosen = atoms[i, int(batch.action[i])]
    for m in range(ATOMS):
      for j in range(ATOMS):
        u = target[i, j] - chosen[m]
        tau = (2 * m + 1) / (2 * ATOMS)
        weight = abs(tau - (1 if u < 0 else 0))
        losses[i] += weight * huber64(u, kappa) / ATOMS
  return losses


def gaps(q_values, batch):
  return np.array([
      math.log(sum(math.exp(x) for x in q_values[i]))
      - q_values[i, int(batch.action[i])]
      for i in range(B)
  ])


def loss(agent, params, target_params, batch):
  return agent.loss(params, target_params, batch, RNG)


def assert_close(x, y):
  np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


class LossTest(parameterized.TestCase):

  def check(self, agent, target, batch, loss_type='mse'):
    params, target_params = make_params(agent, 1), make_params(agent, 2)
    y = target(params, target_params)
    q_values = q64(params, batch.state)
    got = loss(agent, params, target_params, batch)
    assert_close(got.losses, td_losses(q_values, batch, y, loss_type))
    assert_close(agent.targets(params, target_params, batch), y)
    chosen = q_values[np.arange(B), np.asarray(batch.action)]
    assert_close(got.metrics['td_error'], np.abs(y - chosen).mean())
    assert_close(got.metrics['data_q_value'], chosen.mean())
    assert_close(got.features, agent.apply(params, batch.state).features)

  @parameterized.product(
      loss_type=('mse', 'huber'),
      options=({}, {'double': True}, {'temperature': 0.3}),
      update_horizon=(1, 3),
  )
  def test_dqn(self, loss_type, options, update_horizon):
    agent = dqn.DQNAgent(
        MLP, GAMMA, update_horizon, loss_type, **options
    )
    batch = make_batch()
    self.check(
        agent, lambda *params: dqn_target(agent, *params, batch), batch,
        loss_type,
    )

  def test_the_options_differ(self):
    """The tables above can tell one rule from another."""
    batch = make_batch()
    plain = dqn.DQNAgent(MLP, GAMMA)
    params, target_params = make_params(plain, 1), make_params(plain, 2)
    want = loss(plain, params, target_params, batch).losses
    for options in (
        {'double': True}, {'temperature': 0.3}, {'update_horizon': 3},
        {'loss_type': 'huber'},
    ):
      agent = dqn.DQNAgent(MLP, GAMMA, **options)
      got = loss(agent, params, target_params, batch).losses
      self.assertGreater(float(jnp.abs(got - want).max()), 0.1, str(options))

  def test_soft_value_tends_to_the_maximum(self):
    batch = make_batch()
    hard = dqn.DQNAgent(MLP, GAMMA)
    params = make_params(hard, 1)
    want = np.asarray(hard.targets(params, params, batch))
    going_on = 1 - np.asarray(batch.is_terminal)
    for alpha in (1.0, 0.1, 0.001):
      soft = dqn.DQNAgent(MLP, GAMMA, temperature=alpha)
      excess = np.asarray(soft.targets(params, params, batch)) - want
      # max Q <= soft value <= max Q + alpha log A.
      bound = GAMMA * alpha * math.log(A) * going_on
      self.assertTrue(np.all(excess >= -1e-5))
      self.assertTrue(np.all(excess <= bound + 1e-5))
    self.assertLess(np.abs(excess).max(), 0.002)

  def test_fqe_follows_the_given_actions(self):
    batch = make_batch()
    agent = fqe.FQEAgent(MLP, GAMMA, update_horizon=2)

    def target(params, target_params):
      next_q = q64(target_params, batch.next_state)
      values = [next_q[i, int(batch.next_action[i])] for i in range(B)]
      return bootstrapped(batch, values, 2)

    self.check(agent, target, batch)

  def test_fqe_of_the_greedy_policy_is_dqn(self):
    batch = make_batch()
    agent = fqe.FQEAgent(MLP, GAMMA)
    params, target_params = make_params(agent, 1), make_params(agent, 2)
    greedy = q64(target_params, batch.next_state).argmax(-1)
    self.assertGreater(np.sum(greedy != np.asarray(batch.next_action)), 2)
    got = loss(
        agent, params, target_params,
        batch._replace(next_action=jnp.asarray(greedy)),
    )
    want = loss(dqn.DQNAgent(MLP, GAMMA), params, target_params, batch)
    assert_close(got.losses, want.losses)

  @parameterized.parameters('mse', 'huber')
  def test_monte_carlo_needs_returns_alone(self, loss_type):
    whole = make_batch()
    agent = monte_carlo.MonteCarloAgent(MLP, GAMMA, loss_type=loss_type)
    self.assertTrue(agent.needs_returns)
    # Neither rewards, next states nor terminals are there to be read.
    batch = types.Batch(whole.state, whole.action, target=whole.target)
    self.check(
        agent, lambda *params: np.float64(whole.target), batch, loss_type
    )

  @parameterized.product(kappa=(1.0, 0.25), update_horizon=(1, 3))
  def test_quantile(self, kappa, update_horizon):
    batch = make_batch()
    agent = quantile.QuantileAgent(
        TinyQuantileNetwork(), GAMMA, update_horizon, kappa=kappa
    )
    params, target_params = make_params(agent, 1), make_params(agent, 2)
    y = quantile_target(agent, target_params, batch)
    atoms = atoms64(params, batch.state)
    got = loss(agent, params, target_params, batch)
    assert_close(got.losses, quantile_losses(atoms, batch, y, kappa))
    assert_close(agent.targets(params, target_params, batch), y.mean(-1))
    chosen = atoms.mean(-1)[np.arange(B), np.asarray(batch.action)]
    assert_close(got.metrics['td_error'], np.abs(y.mean(-1) - chosen).mean())
    assert_close(got.metrics['data_q_value'], chosen.mean())

  @parameterized.parameters(
      dqn.DQNAgent(MLP, GAMMA),
      dqn.DQNAgent(MLP, GAMMA, double=True),
      dqn.DQNAgent(MLP, GAMMA, temperature=0.3),
      fqe.FQEAgent(MLP, GAMMA),
      quantile.QuantileAgent(TinyQuantileNetwork(), GAMMA),
      cql.CQLAgent(dqn.DQNAgent(MLP, GAMMA)),
  )
  def test_nothing_is_read_behind_a_terminal(self, agent):
    batch = make_batch()
    ended = np.asarray(batch.is_terminal) == 1
    other = batch._replace(
        next_state=make_batch(7).next_state,
        next_action=make_batch(7).next_action,
    )
    params, target_params = make_params(agent, 1), make_params(agent, 2)
    x = np.asarray(loss(agent, params, target_params, batch).losses)
    y = np.asarray(loss(agent, params, target_params, other).losses)
    np.testing.assert_array_equal(x[ended], y[ended])
    self.assertTrue(np.all(x[~ended] != y[~ended]))
    np.testing.assert_allclose(
        agent.targets(params, target_params, batch)[ended],
        batch.reward[ended], rtol=1e-6,
    )


class GradientTest(parameterized.TestCase):
  """Central differences of the loops above, the targets held fixed."""

  def setUp(self):
    super().setUp()
    jax.config.update('jax_enable_x64', True)
    self.addCleanup(jax.config.update, 'jax_enable_x64', False)

  def check(self, agent, objective):
    """`objective(params)` in float64, of targets computed once."""
    batch = make_batch()
    params = make_params(agent, 1)
    # Online and target parameters are one: what flowed through a target, or
    # through the choice of its action, would show.
    gradient = jax.grad(lambda p: jnp.mean(loss(agent, p, p, batch).losses))(
        params
    )
    rng = np.random.default_rng(3)
    for _ in range(3):
      step = jax.tree.map(lambda x: 1e-6 * rng.normal(size=x.shape), params)
      forth = jax.tree.map(lambda x, dx: np.float64(x) + dx, params, step)
      back = jax.tree.map(lambda x, dx: np.float64(x) - dx, params, step)
      want = (objective(forth) - objective(back)) / 2
      got = sum(jax.tree.leaves(
          jax.tree.map(lambda g, dx: np.sum(g * dx), gradient, step)
      ))
      self.assertLess(abs(got - want), 1e-6 * abs(want) + 1e-14)

  @parameterized.product(
      loss_type=('mse', 'huber'),
      options=({}, {'double': True}, {'temperature': 0.3}),
  )
  def test_dqn(self, loss_type, options):
    agent = dqn.DQNAgent(MLP, GAMMA, 2, loss_type, **options)
    batch = make_batch()
    params = make_params(agent, 1)
    y = dqn_target(agent, params, params, batch)
    self.check(agent, lambda p: td_losses(
        q64(p, batch.state), batch, y, loss_type
    ).mean())

  def test_fqe(self):
    agent, batch = fqe.FQEAgent(MLP, GAMMA), make_batch()
    next_q = q64(make_params(agent, 1), batch.next_state)
    y = bootstrapped(
        batch, next_q[np.arange(B), np.asarray(batch.next_action)], 1
    )
    self.check(
        agent, lambda p: td_losses(q64(p, batch.state), batch, y).mean()
    )

  def test_quantile(self):
    agent = quantile.QuantileAgent(TinyQuantileNetwork(), GAMMA, kappa=0.5)
    batch = make_batch()
    y = quantile_target(agent, make_params(agent, 1), batch)
    self.check(agent, lambda p: quantile_losses(
        atoms64(p, batch.state), batch, y, 0.5
    ).mean())

  def test_cql(self):
    base, batch = dqn.DQNAgent(MLP, GAMMA), make_batch()
    agent = cql.CQLAgent(base, cql_coefficient=4.0)
    params = make_params(agent, 1)
    y = dqn_target(base, params, params, batch)

    def objective(p):
      q_values = q64(p, batch.state)
      return np.mean(
          td_losses(q_values, batch, y) + 4.0 * gaps(q_values, batch)
      )

    self.check(agent, objective)

  def test_cql_on_quantiles(self):
    base = quantile.QuantileAgent(TinyQuantileNetwork(), GAMMA)
    agent, batch = cql.CQLAgent(base, cql_coefficient=0.5), make_batch()
    y = quantile_target(base, make_params(agent, 1), batch)

    def objective(p):
      atoms = atoms64(p, batch.state)
      return np.mean(
          quantile_losses(atoms, batch, y, 1.0)
          + 0.5 * gaps(atoms.mean(-1), batch)
      )

    self.check(agent, objective)


class CQLTest(parameterized.TestCase):

  @parameterized.product(
      base=(
          dqn.DQNAgent(MLP, GAMMA, 3, 'huber'),
          quantile.QuantileAgent(TinyQuantileNetwork(), GAMMA, 3),
      ),
      coefficient=(0.0, 1.0, 4.0),
  )
  def test_adds_a_multiple_of_the_gap(self, base, coefficient):
    batch = make_batch()
    agent = cql.CQLAgent(base, coefficient)
    params, target_params = make_params(agent, 1), make_params(agent, 2)
    without = loss(base, params, target_params, batch)
    got = loss(agent, params, target_params, batch)
    if isinstance(base, quantile.QuantileAgent):
      q_values = atoms64(params, batch.state).mean(-1)
    else:
      q_values = q64(params, batch.state)
    gap = gaps(q_values, batch)
    self.assertGreater(gap.min(), 0)
    assert_close(got.losses - without.losses, coefficient * gap)
    assert_close(got.metrics['cql_gap'], gap.mean())
    for name, value in without.metrics.items():
      assert_close(got.metrics[name], value)
    assert_close(
        agent.targets(params, target_params, batch),
        base.targets(params, target_params, batch),
    )

  def test_everything_else_is_the_bases(self):
    base = dqn.DQNAgent(MLP, 0.5, 4)
    agent = cql.CQLAgent(base)
    self.assertIs(agent.network, MLP)
    self.assertEqual((agent.gamma, agent.update_horizon), (0.5, 4))
    self.assertFalse(agent.needs_returns)
    returns = monte_carlo.MonteCarloAgent(MLP)
    self.assertTrue(cql.CQLAgent(returns).needs_returns)


class BadOptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      (dqn.DQNAgent, {'gamma': 1.5}, 'DQNAgent.gamma is 1.5: .*0 to 1'),
      (dqn.DQNAgent, {'gamma': float('nan')}, 'DQNAgent.gamma is nan'),
      (dqn.DQNAgent, {'gamma': '0.9'}, "DQNAgent.gamma is '0.9'"),
      (dqn.DQNAgent, {'update_horizon': 0}, 'horizon is 0: .*at least 1'),
      (dqn.DQNAgent, {'update_horizon': 1.0}, 'update_horizon is 1.0'),
      (dqn.DQNAgent, {'loss_type': 'l1'}, "loss_type is 'l1': .*huber, mse"),
      (dqn.DQNAgent, {'temperature': -1.0}, 'temperature is -1.0: .*0 or more'),
      (dqn.DQNAgent, {'temperature': float('nan')}, 'temperature is nan'),
      (dqn.DQNAgent, {'temperature': None}, 'temperature is None'),
      (dqn.DQNAgent, {'double': True, 'temperature': 0.1}, 'each other: a'),
      (dqn.DQNAgent, {'network': None}, 'DQNAgent.network is None: bind it'),
      (fqe.FQEAgent, {'gamma': -0.1}, 'FQEAgent.gamma is -0.1'),
      (quantile.QuantileAgent, {'kappa': 0.0}, 'kappa is 0.0: .*above 0'),
      (quantile.QuantileAgent, {'kappa': 'one'}, "kappa is 'one'"),
      (monte_carlo.MonteCarloAgent, {'update_horizon': 3},
       'MonteCarloAgent.update_horizon is 3'),
  )  # fmt: skip
  def test_value_agents(self, agent_class, options, message):
    self.assert_one_line(
        lambda: agent_class(**{'network': MLP, **options}), message
    )

  @parameterized.parameters(
      ({'base': None}, 'CQLAgent.base is of type NoneType: bind it'),
      ({'base': MLP}, 'CQLAgent.base is of type MLPNetwork: bind it'),
      ({'cql_coefficient': -1.0}, 'CQLAgent.cql_coefficient is -1.0'),
      ({'cql_coefficient': float('nan')}, 'CQLAgent.cql_coefficient is nan'),
      ({'cql_coefficient': 'much'}, "CQLAgent.cql_coefficient is 'much'"),
  )
  def test_cql(self, options, message):
    base = dqn.DQNAgent(MLP)
    self.assert_one_line(
        lambda: cql.CQLAgent(**{'base': base, **options}), message
    )

  def test_quantiles_of_a_network_without(self):
    agent = quantile.QuantileAgent(MLP)
    params = make_params(agent, 1)
    self.assert_one_line(
        lambda: loss(agent, params, params, make_batch()),
        "network is 'MLPNetwork': it has no atoms: use @QuantileNetwork",
    )

  def assert_one_line(self, make, message):
    with self.assertRaisesRegex(errors.UserError, message) as raised:
      make()
    self.assertNotIn('\n', str(raised.exception))


if __name__ == '__main__':
  absltest.main()
