"""Dopamine's agents and ours: same parameters, same batches, same updates.

Dopamine's agent runs as it ships: its own training step on its own replay
buffer. The batches that it drew are kept, and ours learns from them.
"""

from unittest import mock

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import (
    categorical_networks,
    learner,
    networks,
    types,
)
from implicit_underparam.agents import cql, dqn, quantile, rainbow

A, ATOMS, B, STEPS, PERIOD, GAMMA, N = 4, 7, 8, 10, 4, 0.99, 3
SIDE = 40
# Returns of three steps lie on both sides of it.
V_MAX = 4.0
DOPAMINES_ADAM = (6.25e-5, 1.5e-4)
OFFLINE_ADAM = (5e-5, 3.125e-4)
TOLERANCE = 1e-5


def with_sizes(agent_class):
  """The class, with sizes that not all of them take: some leave it to gin."""
  base = dopamine_shims.jax_dqn_agent().JaxDQNAgent

  class Sized(base):

    def __init__(self, **kwargs):
      super().__init__(**kwargs | {
          'observation_shape': (SIDE, SIDE), 'gamma': GAMMA,
          'update_horizon': N, 'min_replay_history': 20, 'update_period': 1,
          'target_update_period': PERIOD,
      })

  bases = (Sized,) if agent_class is base else (agent_class, Sized)
  return type('AgentWithSizes', bases, {})


def recording(module, agent_class, prioritized):
  """The class, with the sizes of its buffer given and its batches kept."""

  class Recording(with_sizes(agent_class)):

    def _build_replay_buffer(self):
      self.batches = []
      return module.replay_buffer.ReplayBuffer(
          module.accumulator.TransitionAccumulator(
              self.stack_size, self.update_horizon, self.gamma
          ),
          self._sampler(), batch_size=B, max_capacity=100,
      )  # fmt: skip

    def _sampler(self):
      if not prioritized:
        return module.samplers.UniformSamplingDistribution(seed=self._seed)
      return module.samplers.PrioritizedSamplingDistribution(
          self._seed, max_capacity=100
      )

    def _sample_from_replay_buffer(self):
      super()._sample_from_replay_buffer()
      self.batches.append({**self.replay_elements, 'rng': self._rng})

  return Recording


def make_theirs(module, agent_class, adam, prioritized=False, **kwargs):
  theirs = recording(module, agent_class, prioritized)(
      num_actions=A, seed=0, **kwargs
  )
  if prioritized:
    # The constructor that runs last says 'uniform', whatever was asked for
    # (issue 230 of google/dopamine).
    theirs._replay_scheme = 'prioritized'
  learning_rate, eps = adam
  # The agent takes no numbers: gin would bind them to this function.
  theirs.optimizer = dopamine_shims.jax_dqn_agent().create_optimizer(
      'adam', learning_rate, eps=eps
  )
  theirs.optimizer_state = theirs.optimizer.init(theirs.online_params)
  play(theirs)
  return theirs


def play(theirs):
  """Five episodes of noise; rewards large enough for Huber to be linear."""
  rng = np.random.default_rng(0)
  for i in range(60):
    frame = rng.integers(0, 256, (SIDE, SIDE), np.uint8)
    theirs._store_transition(
        frame, rng.integers(A), rng.choice([-2.0, 0.0, 1.0]), i % 12 == 11,
        episode_end=i % 12 == 11,
    )


def nature_dqn(adam, loss_type='mse'):
  module = dopamine_shims.jax_dqn_agent()
  return make_theirs(module, module.JaxDQNAgent, adam, loss_type=loss_type)


def qr_dqn(adam, kappa=1.0):
  name = 'dopamine.jax.agents.quantile.quantile_agent'
  module = dopamine_shims.load(name)
  return make_theirs(
      module, module.JaxQuantileAgent, adam, num_atoms=ATOMS, kappa=kappa,
      replay_scheme='uniform',
  )  # fmt: skip


def simple_rainbow():
  module = dopamine_shims.load('dopamine.jax.agents.rainbow.rainbow_agent')
  return make_theirs(
      module, module.JaxRainbowAgent, DOPAMINES_ADAM, prioritized=True,
      num_atoms=ATOMS, vmax=V_MAX,
  )  # fmt: skip


def full_rainbow(**options):
  name = 'dopamine.jax.agents.full_rainbow.full_rainbow_agent'
  module = dopamine_shims.load(name)
  return make_theirs(
      module, module.JaxFullRainbowAgent, DOPAMINES_ADAM, prioritized=True,
      num_atoms=ATOMS, vmax=V_MAX, **options,
  )  # fmt: skip


def make_ours(theirs, agent, adam, period=PERIOD):
  """The learner and a state with Dopamine's parameters."""
  learning_rate, eps = adam
  ours = learner.Learner(
      agent, learner.adam(learning_rate, eps=eps), target_update_period=period
  )
  params = jax.tree.map(jnp.array, theirs.online_params)
  return ours, types.TrainState(
      params, params, ours.optimizer.init(params), jnp.int32(0)
  )


def as_batch(elements):
  return types.Batch(
      state=jnp.asarray(elements['state']),
      action=jnp.asarray(elements['action'], jnp.int32),
      reward=jnp.asarray(elements['reward'], jnp.float32),
      next_state=jnp.asarray(elements['next_state']),
      is_terminal=jnp.asarray(elements['terminal'], jnp.float32),
      weight=importance_weights(elements.get('sampling_probabilities')),
  )


def importance_weights(probabilities):
  if probabilities is None:
    return None
  weights = 1 / np.sqrt(np.float64(probabilities) + 1e-10)
  return jnp.asarray(weights / weights.max(), jnp.float32)


def run_ours(ours, train, batches):
  """Steps with Dopamine's rule for the target."""
  hyper = ours.hyperparameters(1)
  step = jax.jit(ours.step)
  for i, elements in enumerate(batches):
    # Dopamine copies after a step when the steps *before* it are a multiple
    # of the period: after the 1st, the 5th, the 9th. Ours counts the step
    # itself, so it is told one less.
    train, _ = step(
        train, as_batch(elements), elements['rng'], hyper, jnp.int32(i)
    )
  return train


def largest_difference(a, b):
  return max(
      jax.tree.leaves(jax.tree.map(lambda x, y: jnp.abs(x - y).max(), a, b))
  )


class EqualityTest(parameterized.TestCase):

  def check(self, theirs, agent, adam, run=run_ours):
    ours, train = make_ours(theirs, agent, adam)
    start = train.params
    for _ in range(STEPS):
      theirs._train_step()
    self.assertLen(theirs.batches, STEPS)
    terminals = np.concatenate([x['terminal'] for x in theirs.batches])
    self.assertBetween(terminals.mean(), 0.05, 0.95)
    train = run(ours, train, theirs.batches)
    self.assertLess(
        largest_difference(train.params, theirs.online_params), TOLERANCE
    )
    self.assertLess(
        largest_difference(train.target_params, theirs.target_network_params),
        TOLERANCE,
    )
    # Both have gone a long way, and the targets are not the latest.
    self.assertGreater(
        largest_difference(train.params, start), 20 * TOLERANCE
    )
    self.assertGreater(
        largest_difference(train.target_params, train.params), 2 * TOLERANCE
    )


class DopamineEqualityTest(EqualityTest):

  @parameterized.parameters(
      ('mse', DOPAMINES_ADAM), ('huber', OFFLINE_ADAM),
  )
  def test_dqn(self, loss_type, adam):
    agent = dqn.DQNAgent(
        networks.NatureNetwork(A), GAMMA, N, loss_type=loss_type
    )
    self.check(nature_dqn(adam, loss_type), agent, adam)

  def test_quantile(self):
    # At a kappa of 1, dividing by it or not would be the same.
    agent = quantile.QuantileAgent(
        networks.QuantileNetwork(A, ATOMS), GAMMA, N, kappa=0.5
    )
    self.check(qr_dqn(OFFLINE_ADAM, 0.5), agent, OFFLINE_ADAM)

  def test_cql_without_its_term_is_its_base(self):
    base = dqn.DQNAgent(networks.NatureNetwork(A), GAMMA, N)
    agent = cql.CQLAgent(base, cql_coefficient=0.0)
    self.check(nature_dqn(OFFLINE_ADAM), agent, OFFLINE_ADAM)

  def test_the_compiled_loop(self):
    theirs = nature_dqn(OFFLINE_ADAM)
    # Its first step is called the second: it then copies, as `fit` does,
    # after the 4th and the 8th.
    theirs.training_steps = 1
    agent = dqn.DQNAgent(networks.NatureNetwork(A), GAMMA, N)

    def run(ours, train, batches):
      stacked = jax.tree.map(
          lambda *x: jnp.stack(x), *(as_batch(x) for x in batches)
      )
      return jax.jit(
          lambda train, stacked: ours.fit(
              train,
              lambda i, key: jax.tree.map(lambda x: x[i], stacked),
              jax.random.key(0),
              ours.hyperparameters(STEPS),
          )[0]
      )(train, stacked)

    self.check(theirs, agent, OFFLINE_ADAM, run)

  def test_the_tolerance_tells_wrong_from_right(self):
    theirs = nature_dqn(DOPAMINES_ADAM)
    network = networks.NatureNetwork(A)
    wrong = {
        'horizon': (dqn.DQNAgent(network, GAMMA, 1), PERIOD),
        'loss': (dqn.DQNAgent(network, GAMMA, N, 'huber'), PERIOD),
        'period': (dqn.DQNAgent(network, GAMMA, N), PERIOD - 1),
    }
    starts = {
        name: make_ours(theirs, agent, DOPAMINES_ADAM, period)
        for name, (agent, period) in wrong.items()
    }
    for _ in range(STEPS):
      theirs._train_step()
    expected = theirs.online_params, theirs.target_network_params
    for name, (ours, train) in starts.items():
      train = run_ours(ours, train, theirs.batches)
      got = train.params, train.target_params
      self.assertGreater(
          largest_difference(got, expected), 4 * TOLERANCE, name
      )


def rainbow_agent(double=False, **options):
  network = categorical_networks.RainbowNetwork(
      num_actions=A, num_atoms=ATOMS, v_max=V_MAX, **options
  )
  return rainbow.RainbowAgent(network, GAMMA, N, double=double)


class RainbowEqualityTest(EqualityTest):

  def test_simple(self):
    theirs = simple_rainbow()
    self.check(theirs, rainbow_agent(), DOPAMINES_ADAM)
    weights = importance_weights(theirs.batches[-1]['sampling_probabilities'])
    self.assertLess(weights.min(), 0.9)

  @parameterized.parameters(
      {'double': False, 'dueling': False},
      {'double': True, 'dueling': True},
  )
  def test_full_without_noise(self, double, dueling):
    theirs = full_rainbow(noisy=False, dueling=dueling, double_dqn=double)
    self.check(
        theirs, rainbow_agent(double, dueling=dueling), DOPAMINES_ADAM
    )

  def test_full_with_noise(self):
    """All of Dopamine's layers draw from one key, where ours have their own."""
    shared = lambda module, name: module.scope.root.rngs[name].as_jax_rng()
    theirs = full_rainbow()
    agent = rainbow_agent(True, dueling=True, noisy=True)
    with mock.patch.object(
        categorical_networks.NoisyDense, 'make_rng', shared
    ):
      self.check(theirs, agent, DOPAMINES_ADAM)

  def test_losses_of_random_inputs(self):
    """Large kernels, so that states differ in their best actions."""
    module = dopamine_shims.load(
        'dopamine.jax.agents.full_rainbow.full_rainbow_agent'
    )
    theirs = full_rainbow(noisy=False, dueling=True, double_dqn=True)
    rng = np.random.default_rng(0)
    some = lambda tree: jax.tree.map(
        lambda x: jnp.float32(
            rng.normal(size=x.shape)
            * (0.1 if x.ndim == 1 else 2 / np.sqrt(np.prod(x.shape[:-1])))
        ),
        tree,
    )
    for _ in range(3):
      theirs._sample_from_replay_buffer()
    weight = jnp.asarray(rng.uniform(0.1, 1, B), jnp.float32)
    losses = [
        jax.jit(lambda *x, agent=agent: agent.loss(*x).losses)
        for agent in (rainbow_agent(x, dueling=True) for x in (False, True))
    ]
    means = []
    for elements in theirs.batches:
      batch = as_batch(elements)._replace(weight=weight)
      params, target_params = (some(theirs.online_params) for _ in range(2))
      for double in (False, True):
        _, _, expected, mean, _ = module.train(
            theirs.network_def, params, target_params, theirs.optimizer,
            theirs.optimizer_state, batch.state, batch.action,
            batch.next_state, batch.reward, elements['terminal'], weight,
            theirs._support, theirs.cumulative_gamma, double, True, False,
            theirs._rng,
        )
        got = losses[double](params, target_params, batch, theirs._rng)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(jnp.mean(weight * got), mean, rtol=1e-5)
        means.append(float(mean))
    # The option matters.
    self.assertGreater(np.abs(np.diff(means)[::2]).max(), 0.01)

  def test_the_tolerance_tells_wrong_from_right(self):
    theirs = full_rainbow(noisy=False, dueling=True, double_dqn=True)
    wrong = {
        'double': rainbow_agent(False, dueling=True),
        'v_max': rainbow_agent(True, dueling=True, v_min=-1.01 * V_MAX),
        'weights': rainbow_agent(True, dueling=True),
    }
    starts = {
        name: make_ours(theirs, agent, DOPAMINES_ADAM)
        for name, agent in wrong.items()
    }
    for _ in range(STEPS):
      theirs._train_step()
    for name, (ours, train) in starts.items():
      batches = theirs.batches
      if name == 'weights':
        batches = [
            {k: v for k, v in x.items() if k != 'sampling_probabilities'}
            for x in batches
        ]
      got = run_ours(ours, train, batches).params
      self.assertGreater(
          largest_difference(got, theirs.online_params), 2 * TOLERANCE, name
      )


if __name__ == '__main__':
  absltest.main()
