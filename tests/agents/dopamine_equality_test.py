"""Dopamine's agents and ours: same parameters, same batches, same updates.

Dopamine's agent runs as it ships: its own training step on its own replay
buffer. The batches that it drew are kept, and ours learns from them.
"""

import dopamine_shims
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import learner, networks, types
from implicit_underparam.agents import cql, dqn, quantile

A, ATOMS, B, STEPS, PERIOD, GAMMA, N = 4, 7, 8, 10, 4, 0.99, 3
SIDE = 40
DOPAMINES_ADAM = (6.25e-5, 1.5e-4)
OFFLINE_ADAM = (5e-5, 3.125e-4)
TOLERANCE = 1e-5


def recording(module, agent_class):
  """The class, with the sizes of its buffer given and its batches kept."""

  class Recording(agent_class):

    def _build_replay_buffer(self):
      self.batches = []
      return module.replay_buffer.ReplayBuffer(
          module.accumulator.TransitionAccumulator(
              self.stack_size, self.update_horizon, self.gamma
          ),
          module.samplers.UniformSamplingDistribution(seed=self._seed),
          batch_size=B, max_capacity=100,
      )  # fmt: skip

    def _sample_from_replay_buffer(self):
      super()._sample_from_replay_buffer()
      self.batches.append(dict(self.replay_elements))

  return Recording


def make_theirs(module, agent_class, adam, **kwargs):
  theirs = recording(module, agent_class)(
      num_actions=A, observation_shape=(SIDE, SIDE), gamma=GAMMA,
      update_horizon=N, min_replay_history=20, update_period=1,
      target_update_period=PERIOD, seed=0, **kwargs,
  )  # fmt: skip
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
  )


def run_ours(ours, train, batches):
  """Steps with Dopamine's rule for the target."""
  hyper = ours.hyperparameters(1)
  step = jax.jit(ours.step)
  for i, elements in enumerate(batches):
    # Dopamine copies after a step when the steps *before* it are a multiple
    # of the period: after the 1st, the 5th, the 9th. Ours counts the step
    # itself, so it is told one less.
    train, _ = step(
        train, as_batch(elements), jax.random.key(0), hyper, jnp.int32(i)
    )
  return train


def largest_difference(a, b):
  return max(
      jax.tree.leaves(jax.tree.map(lambda x, y: jnp.abs(x - y).max(), a, b))
  )


class DopamineEqualityTest(parameterized.TestCase):

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


if __name__ == '__main__':
  absltest.main()
