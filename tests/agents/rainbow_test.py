"""Tests of implicit_underparam.agents.rainbow, against loops in float64."""

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import (
    categorical_networks,
    configuration,
    errors,
    learner,
    networks,
    types,
)
from implicit_underparam.agents import cql, dqn, quantile, rainbow

B, K, A, ATOMS, GAMMA, V_MAX = 9, 5, 4, 7, 0.9, 4.0
MLP = categorical_networks.CategoricalMLPNetwork(
    num_actions=A, num_atoms=ATOMS, v_max=V_MAX, hidden_units=(8,)
)
NOISY = MLP.clone(noisy=True)
SUPPORT = np.linspace(-V_MAX, V_MAX, ATOMS)
RNG = jax.random.key(0)


def make_agent(network=MLP, horizon=1, **options):
  return rainbow.RainbowAgent(network, GAMMA, horizon, **options)


def make_params(network, seed):
  """Of order one, biases and sigmas too."""
  tree = jax.eval_shape(network.init, RNG, np.zeros((1, K), np.float32))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: jnp.float32(0.7 * rng.normal(size=x.shape)), tree
  )


def make_batch(seed=0):
  """Rewards reach beyond the support; some are whole numbers, on atoms."""
  rng = np.random.default_rng(seed)
  reward = 3 * rng.normal(size=B)
  reward[::2] = np.round(reward[::2])
  return types.Batch(
      state=jnp.asarray(rng.normal(size=(B, K)), jnp.float32),
      action=jnp.asarray(rng.integers(0, A, B), jnp.int32),
      reward=jnp.asarray(reward, jnp.float32),
      next_state=jnp.asarray(rng.normal(size=(B, K)), jnp.float32),
      is_terminal=jnp.asarray(np.arange(B) % 3 == 0, jnp.float32),
  )


def layer(params, name):
  tree = params['params'][name]
  return np.float64(tree['kernel']), np.float64(tree['bias'])


def distribution64(params, state):
  """log p [B, A, ATOMS], the MLP by hand."""
  (w1, b1), (w2, b2) = layer(params, 'Dense_0'), layer(params, 'Dense_1')
  logits = np.maximum(np.float64(state) @ w1 + b1, 0) @ w2 + b2
  logits = logits.reshape(-1, A, ATOMS)
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def target64(params, target_params, batch, horizon, double):
  """The projected targets [B, ATOMS], atom by atom."""
  p = np.exp(distribution64(target_params, batch.next_state))
  chooser = np.exp(distribution64(params, batch.next_state)) if double else p
  result = np.zeros((B, ATOMS))
  for i in range(B):
    best = max(range(A), key=lambda a, i=i: chooser[i, a] @ SUPPORT)
    for j in range(ATOMS):
      y = float(batch.reward[i])
      if not batch.is_terminal[i]:
        y += GAMMA**horizon * SUPPORT[j]
      y = min(max(y, -V_MAX), V_MAX)
      position = (y + V_MAX) / (2 * V_MAX) * (ATOMS - 1)
      below = min(int(position), ATOMS - 2)
      result[i, below] += p[i, best, j] * (below + 1 - position)
      result[i, below + 1] += p[i, best, j] * (position - below)
  return result


def loss(agent, params, target_params, batch, rng=RNG):
  return agent.loss(params, target_params, batch, rng)


def assert_close(x, y):
  np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


class LossTest(parameterized.TestCase):

  @parameterized.product(double=(False, True), horizon=(1, 3))
  def test_by_hand_in_float64(self, double, horizon):
    agent, batch = make_agent(horizon=horizon, double=double), make_batch()
    params, target_params = make_params(MLP, 1), make_params(MLP, 2)
    target = target64(params, target_params, batch, horizon, double)
    log_p = distribution64(params, batch.state)
    chosen = log_p[np.arange(B), np.asarray(batch.action)]
    got = loss(agent, params, target_params, batch)
    assert_close(got.losses, -(target * chosen).sum(-1))
    y, q = target @ SUPPORT, np.exp(chosen) @ SUPPORT
    assert_close(agent.targets(params, target_params, batch), y)
    assert_close(got.metrics['td_error'], np.abs(y - q).mean())
    assert_close(got.metrics['data_q_value'], q.mean())
    assert_close(got.features, agent.apply(params, batch.state).features)

  def test_the_options_differ(self):
    batch = make_batch()
    params, target_params = make_params(MLP, 1), make_params(MLP, 2)
    want = loss(make_agent(), params, target_params, batch).losses
    for options in ({'double': True}, {'horizon': 3}):
      got = loss(make_agent(**options), params, target_params, batch).losses
      self.assertGreater(float(jnp.abs(got - want).max()), 0.05, str(options))

  @parameterized.parameters(False, True)
  def test_gradient_does_not_flow_through_the_target(self, double):
    """The softmax's own gradient, of targets computed once."""
    batch, params = make_batch(), make_params(MLP, 1)
    agent = make_agent(double=double)
    gradient = jax.grad(
        lambda p: jnp.sum(loss(agent, p, p, batch).losses)
    )(params)['params']['Dense_1']['bias']
    target = target64(params, params, batch, 1, double)
    p = np.exp(distribution64(params, batch.state))
    want = np.zeros((A, ATOMS))
    for i in range(B):
      want[batch.action[i]] += p[i, batch.action[i]] - target[i]
    assert_close(gradient.reshape(A, ATOMS), want)

  def test_nothing_is_read_behind_a_terminal(self):
    batch = make_batch()
    ended = np.asarray(batch.is_terminal) == 1
    other = batch._replace(next_state=make_batch(7).next_state)
    params, target_params = make_params(MLP, 1), make_params(MLP, 2)
    x, y = (
        np.asarray(loss(make_agent(), params, target_params, each).losses)
        for each in (batch, other)
    )
    # The probabilities that are moved there sum to 1 up to rounding.
    np.testing.assert_allclose(x[ended], y[ended], rtol=1e-5)
    self.assertTrue(np.all(np.abs(x - y)[~ended] > 1e-4))
    assert_close(
        make_agent().targets(params, target_params, batch)[ended],
        np.clip(batch.reward, -V_MAX, V_MAX)[ended],
    )

  def test_the_learner_weights_and_penalises(self):
    batch = make_batch()._replace(weight=jnp.linspace(0.1, 1.0, B))
    ours = learner.Learner(
        make_agent(), learner.adam(), lambda x: jnp.sum(x), 0.5
    )
    train = ours.init(RNG, batch.state)
    _, metrics = ours.step(train, batch, RNG, ours.hyperparameters(1))
    output = loss(make_agent(), train.params, train.params, batch)
    assert_close(metrics['loss'], np.mean(output.losses * batch.weight))
    assert_close(metrics['penalty'], np.sum(output.features))

  def test_it_learns_returns_that_it_can_hold(self):
    """One state; its actions' rewards lie between atoms."""
    rewards = jnp.array([-3.3, 0.0, 1.9, 2.5])
    batch = types.Batch(
        jnp.ones((A, K)), jnp.arange(A), rewards, jnp.ones((A, K)),
        jnp.ones(A),
    )
    ours = learner.Learner(
        make_agent(), learner.adam(1e-2), target_update_period=10
    )
    train = ours.init(RNG, batch.state)
    train, _ = jax.jit(
        lambda train: ours.fit(
            train, lambda i, key: batch, RNG, ours.hyperparameters(500)
        )
    )(train)
    q_values = ours.agent.apply(train.params, batch.state[:1]).q_values
    np.testing.assert_allclose(q_values[0], rewards, atol=0.02)


class NoiseTest(parameterized.TestCase):

  def test_independent_draws_for_state_and_next_state(self):
    """The loss of a key is that of the means of two draws, put together."""
    batch, agent = make_batch(), make_agent(NOISY, double=True)
    params, target_params = make_params(NOISY, 1), make_params(NOISY, 2)
    online_rng, target_rng = jax.random.split(RNG)
    log_p = np.float64(jax.nn.log_softmax(
        agent.apply(params, batch.state, online_rng).logits
    ))
    best = agent.apply(params, batch.next_state, target_rng).q_values.argmax(-1)
    p = jax.nn.softmax(
        agent.apply(target_params, batch.next_state, target_rng).logits
    )
    rows = np.arange(B)
    y = np.float64(batch.reward)[:, None] + GAMMA * (
        1 - np.float64(batch.is_terminal)[:, None]
    ) * SUPPORT
    distance = np.abs(
        np.clip(y, -V_MAX, V_MAX)[:, None, :] - SUPPORT[:, None]
    )
    share = np.maximum(1 - distance / (SUPPORT[1] - SUPPORT[0]), 0)
    target = np.einsum('bij,bj->bi', share, np.float64(p)[rows, best])
    chosen = log_p[rows, np.asarray(batch.action)]
    got = loss(agent, params, target_params, batch)
    assert_close(got.losses, -(target * chosen).sum(-1))

  def test_a_key_is_a_draw_and_none_is_the_mean(self):
    agent, state = make_agent(NOISY), make_batch().state
    params = make_params(NOISY, 1)
    mean, first, again, other = (
        np.asarray(agent.apply(params, state, rng).q_values)
        for rng in (None, RNG, RNG, jax.random.key(1))
    )
    np.testing.assert_array_equal(first, again)
    for x, y in ((mean, first), (mean, other), (first, other)):
      self.assertGreater(np.abs(x - y).max(), 0.05)
    want = NOISY.apply(params, state).q_values
    np.testing.assert_array_equal(mean, want)

  def test_other_networks_ignore_the_key(self):
    batch, params = make_batch(), make_params(MLP, 1)
    for agent in (make_agent(), cql.CQLAgent(make_agent())):
      x, y = (
          agent.apply(params, batch.state, rng).q_values for rng in (None, RNG)
      )
      np.testing.assert_array_equal(x, y)
    x, y = (
        loss(make_agent(), params, params, batch, jax.random.key(i)).losses
        for i in (0, 1)
    )
    np.testing.assert_array_equal(x, y)

  def test_every_seed_draws_its_own(self):
    """Under vmap over seeds, as the programs run."""
    agent, state = make_agent(NOISY), make_batch().state
    params = make_params(NOISY, 1)
    keys = jax.random.split(RNG, 3)
    together = jax.vmap(agent.apply, (None, None, 0))(params, state, keys)
    for i in range(3):
      alone = agent.apply(params, state, keys[i]).q_values
      assert_close(together.q_values[i], alone)


class CQLTest(absltest.TestCase):

  def test_on_rainbow(self):
    batch, base = make_batch(), make_agent(double=True)
    params, target_params = make_params(MLP, 1), make_params(MLP, 2)
    got = loss(cql.CQLAgent(base, 2.0), params, target_params, batch)
    without = loss(base, params, target_params, batch)
    q = np.exp(distribution64(params, batch.state)) @ SUPPORT
    gap = np.log(np.exp(q).sum(-1)) - q[np.arange(B), np.asarray(batch.action)]
    assert_close(got.losses - without.losses, 2 * gap)


class GinTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    gin.clear_config()
    self.addCleanup(gin.clear_config)

  @parameterized.parameters(
      ('RainbowNetwork', ['RainbowNetwork.padding = "VALID"']),
      ('CategoricalMLPNetwork', ['CategoricalMLPNetwork.flatten = True']),
  )
  def test_every_option_is_a_binding(self, name, more):
    configuration.parse([], [
        'import implicit_underparam.agents.rainbow',
        'import implicit_underparam.categorical_networks',
        'import implicit_underparam.learner',
        'Learner.agent = @RainbowAgent()',
        'Learner.optimizer = @adam()',
        f'RainbowAgent.network = @{name}()',
        'RainbowAgent.update_horizon = 3',
        'RainbowAgent.double = True',
        f'{name}.num_actions = 6',
        f'{name}.v_max = 5.0',
        f'{name}.dueling = True',
        f'{name}.noisy = True',
        *more,
    ])
    made = gin.get_configurable('Learner')()
    network = made.agent.network
    self.assertEqual(type(network).__name__, name)
    self.assertTrue(made.agent.double and network.dueling and network.noisy)
    self.assertEqual((network.num_actions, network.num_atoms), (6, 51))
    self.assertEqual((made.agent.update_horizon, network.v_max), (3, 5.0))


class BadOptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'double': 'yes'}, "RainbowAgent.double is 'yes': give True or False"),
      ({'gamma': 2}, 'RainbowAgent.gamma is 2'),
      ({'network': None}, 'RainbowAgent.network is None: bind it'),
  )
  def test_options(self, options, message):
    self.assert_one_line(
        lambda: rainbow.RainbowAgent(**{'network': MLP, **options}), message
    )

  def test_a_network_without_logits(self):
    network: nn.Module = networks.MLPNetwork(num_actions=A, hidden_units=(8,))
    agent, params = make_agent(network), make_params(network, 1)
    message = "network is 'MLPNetwork': it has no logits: use @RainbowNetwork"
    self.assert_one_line(
        lambda: loss(agent, params, params, make_batch()), message
    )
    self.assert_one_line(
        lambda: agent.targets(params, params, make_batch()), message
    )

  @parameterized.parameters(
      (lambda: dqn.DQNAgent(NOISY), 'DQNAgent.network is .*draws noise'),
      (lambda: quantile.QuantileAgent(NOISY), 'QuantileAgent.network is'),
      (lambda: cql.CQLAgent(make_agent(NOISY)), 'MLPNetwork.noisy to False'),
  )
  def test_noise_that_nobody_would_draw(self, make, message):
    self.assert_one_line(make, message)

  def assert_one_line(self, make, message):
    with self.assertRaisesRegex(errors.UserError, message) as raised:
      make()
    self.assertNotIn('\n', str(raised.exception))


if __name__ == '__main__':
  absltest.main()
