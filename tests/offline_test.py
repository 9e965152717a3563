"""Tests of implicit_underparam.offline and .offline_program."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import prepared_sets
from absl.testing import absltest, parameterized

from implicit_underparam import (
    errors,
    learner,
    networks,
    offline,
    penalties,
    seeds,
    types,
)
from implicit_underparam.agents import dqn, fqe, fqi, monte_carlo, quantile
from implicit_underparam.data import offline as offline_data

SHAPE = (12, 12)


class TinyNetwork(nn.Module):
  """Compiles in a moment; the convolutions have tests of their own."""

  num_actions: int
  num_atoms: int = 0

  @nn.compact
  def __call__(self, state):
    x = state.reshape((state.shape[0], -1)).astype(jnp.float32) / 255
    features = nn.relu(nn.Dense(16)(x))
    if not self.num_atoms:
      return types.NetworkOutput(nn.Dense(self.num_actions)(features), features)
    atoms = nn.Dense(self.num_actions * self.num_atoms)(features)
    atoms = atoms.reshape((-1, self.num_actions, self.num_atoms))
    return types.NetworkOutput(atoms.mean(-1), features, atoms)


NETWORK = TinyNetwork(6)


def agents() -> dict:
  return {
      'dqn': dqn.DQNAgent(NETWORK),
      'n_step': dqn.DQNAgent(NETWORK, update_horizon=3, double=True),
      'quantile': quantile.QuantileAgent(
          TinyNetwork(6, num_atoms=5)
      ),
      'fqe': fqe.FQEAgent(NETWORK),
      'monte_carlo': monte_carlo.MonteCarloAgent(NETWORK),
  }


@dataclasses.dataclass(frozen=True)
class FakeEnvironment:
  name: str = 'Pong'
  num_actions: int = 6
  frame_shape: tuple[int, ...] = SHAPE
  frame_dtype: np.dtype = np.dtype(np.uint8)
  stack_size: int = 4


@dataclasses.dataclass(frozen=True)
class FakeEvaluation:
  """Returns the seed's first action plus 100 times the iteration."""

  environment: FakeEnvironment = FakeEnvironment()
  num_steps: int = 2

  def run(self, select_actions, seeds, iteration):
    frames = np.arange(2 * len(seeds) * 12 * 12 * 4, dtype=np.int64) % 255
    frames = frames.astype(np.uint8).reshape(len(seeds), 2, *SHAPE, 4)
    actions = np.asarray(select_actions(frames, 0))
    assert actions.shape == (len(seeds), 2)
    return {
        'eval_return': actions[:, 0] + 100.0 * iteration,
        'eval_episodes': np.full(len(seeds), 2),
        'eval_episode_length': np.full(len(seeds), 1.0),
    }


class OfflineTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    holder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(holder.cleanup)
    cls.path = pathlib.Path(holder.name) / 'set'
    cls.store = prepared_sets.make(cls.path, frame_shape=SHAPE)
    # Equal programs are compiled once; a program keeps nothing of its runs.
    cls.programs = {}

  def loop(self, agent=None, data=None, penalty=None, **kwargs):
    learned = learner.Learner(
        agent or dqn.DQNAgent(NETWORK),
        learner.adam(1e-3),
        penalty=penalty,
        penalty_coefficient=0.01 if penalty else 0.0,
        target_update_period=3,
    )
    data = offline_data.OfflineData(
        str(self.path), **{'batch_size': 8, **(data or {})}
    )
    options = {
        'gradient_steps': 7, 'steps_per_dispatch': 3, 'probe_size': 40,
        **kwargs,
    }  # fmt: skip
    return offline.OfflineLoop(learned, data, **options)

  def program(self, seeds=(0, 1), axis='auto', **kwargs):
    key = repr((seeds, axis, sorted(kwargs.items())))
    if key not in self.programs:
      self.programs[key] = self.loop(**kwargs).compile(seeds, axis)
    return self.programs[key]

  def run_loop(self, seeds=(0, 1), axis='auto', iterations=2, **kwargs):
    program = self.program(seeds, axis, **kwargs)
    state = program.init()
    outputs = []
    for _ in range(iterations):
      state, output = program.iterate(state)
      outputs.append(jax.device_get(output))
    return program, state, outputs

  def assert_same(self, x, y, **kwargs):
    compare = np.testing.assert_array_equal
    if kwargs:
      compare = np.testing.assert_allclose
    jax.tree.map(lambda a, b: compare(a, b, **kwargs), x, y)

  @parameterized.parameters('dqn', 'n_step', 'monte_carlo')
  def test_frames_from_the_host_train_the_same_network(self, name):
    agent = agents()[name]
    _, _, device = self.run_loop(agent=agent, data={'placement': 'device'})
    _, _, host = self.run_loop(agent=agent, data={'placement': 'host'})
    for x, y in zip(device, host, strict=True):
      self.assert_same(x, y)

  def test_convolutions_from_the_host_train_the_same_network(self):
    agent = dqn.DQNAgent(networks.NatureNetwork(num_actions=6, num_units=16))
    outputs = [
        self.run_loop(
            agent=agent, data={'placement': x}, seeds=(0,), iterations=1
        )[2][0]
        for x in ('device', 'host')
    ]
    self.assert_same(*outputs)

  def test_the_dispatch_length_changes_nothing(self):
    _, _, short = self.run_loop()
    _, _, whole = self.run_loop(steps_per_dispatch=100)
    self.assert_same(short[-1].parameters, whole[-1].parameters)
    for name, value in short[-1].scalars.items():
      np.testing.assert_allclose(
          value, whole[-1].scalars[name], rtol=1e-5, err_msg=name
      )

  @parameterized.parameters('n_step', 'quantile', 'fqe', 'monte_carlo')
  def test_an_iteration_is_a_plain_loop_over_step(self, name):
    loop = self.loop(agent=agents()[name])
    program, _, outputs = self.run_loop(
        seeds=(5,), agent=agents()[name], iterations=1
    )
    columns = jax.tree.map(jnp.asarray, loop.data.columns(
        self.store, loop.agent.update_horizon, 0.99, loop.agent.needs_returns
    ))
    state = loop.init(
        jax.random.key(5), jnp.zeros((1, *SHAPE, 4), jnp.uint8), 0
    )
    rows = loop.rows(state, columns, jnp.int32(0), 7)
    train, losses = state.train, []
    take_step = jax.jit(loop.learner.step)
    for step in range(7):
      windows = offline_data.to_host_windows(
          self.store.frames, np.asarray(rows[step]),
          4 + loop.agent.update_horizon, 4,
      )
      batch = offline_data.transitions(
          columns, jnp.asarray(windows), rows[step], 4,
          loop.agent.update_horizon, 0.99,
      )
      train, scalars = take_step(
          train, batch, jax.random.key(0), loop.learner.hyperparameters(1)
      )
      losses.append(float(scalars['loss']))
    self.assert_same(
        jax.tree.map(lambda x: x[0], outputs[0].parameters), train.params,
        atol=2e-5,
    )
    self.assertAlmostEqual(
        float(outputs[0].scalars['loss'][0]), np.mean(losses), places=4
    )
    self.assertEqual(outputs[0].gradient_steps[0], 7)
    self.assertSameElements(
        program.output_shapes().scalars, outputs[0].scalars
    )

  def test_probes_are_the_network_on_fresh_transitions(self):
    program, state, outputs = self.run_loop(seeds=(3,))
    loop = program.loop
    seed = jax.tree.map(lambda x: x[0], state)
    columns = jax.tree.map(
        jnp.asarray, loop.data.columns(self.store, 1, 0.99, False)
    )
    rows = np.asarray(loop.probe_rows(seed, columns))
    self.assertGreater(len(set(rows)), 20)
    windows = offline_data.to_host_windows(self.store.frames, rows, 5, 4)
    batch = offline_data.transitions(
        columns, jnp.asarray(windows), jnp.asarray(rows), 4, 1, 0.99
    )
    network = loop.agent.apply(seed.train.params, batch.state)
    probe = outputs[-1].probes['all']
    np.testing.assert_allclose(probe.features[0], network.features, atol=1e-5)
    np.testing.assert_allclose(probe.q_values[0], network.q_values, atol=1e-5)
    chosen = np.asarray(network.q_values)[np.arange(40), batch.action]
    for name, params in (
        ('target', seed.train.target_params), ('online', seed.train.params)
    ):
      following = loop.agent.apply(params, batch.next_state).q_values.max(-1)
      y = batch.reward + 0.99 * (1 - batch.is_terminal) * following
      self.assertAlmostEqual(
          float(outputs[-1].scalars[f'td_error_{name}'][0]),
          float(np.mean(np.abs(y - chosen))), places=5,
      )
    self.assertNotEqual(
        outputs[-1].scalars['td_error_target'],
        outputs[-1].scalars['td_error_online'],
    )

  def test_probes_change_from_one_iteration_to_the_next(self):
    program, state, _ = self.run_loop()
    columns = program.loop.data.columns(self.store, 1, 0.99, False)
    columns = jax.tree.map(jnp.asarray, columns)
    one = jax.tree.map(lambda x: x[0], state)
    rows = [
        np.asarray(program.loop.probe_rows(x, columns))
        for x in (one, one._replace(steps=one.steps + 7))
    ]
    self.assertFalse(np.array_equal(*rows))

  def test_seeds_side_by_side_or_in_turn_are_seeds_alone(self):
    together = {
        axis: self.run_loop(axis=axis)[2][-1] for axis in ('vmap', 'map')
    }
    alone = self.run_loop(seeds=(1,))[2][-1]
    for output in together.values():
      self.assert_same(
          jax.tree.map(lambda x: x[1], output.parameters),
          jax.tree.map(lambda x: x[0], alone.parameters),
          atol=2e-5,
      )
    first = jax.tree.map(lambda x: x[0], together['map'].parameters)
    with self.assertRaises(AssertionError):
      self.assert_same(
          first, jax.tree.map(lambda x: x[0], alone.parameters), atol=1e-3
      )

  def test_a_state_given_back_goes_on_as_if_nothing_had_been(self):
    program, state, _ = self.run_loop(iterations=1)
    saved = jax.device_get(state._replace(rng=jax.random.key_data(state.rng)))
    _, expected = program.iterate(state)
    again = program.place(
        saved._replace(rng=jax.random.wrap_key_data(saved.rng))
    )
    _, found = program.iterate(again)
    self.assert_same(jax.device_get(expected), jax.device_get(found))

  @parameterized.parameters('vmap', 'map')
  def test_an_output_can_be_read_after_the_next_iteration(self, axis):
    program = self.program(axis=axis)
    state, output = program.iterate(program.init())
    expected = jax.tree.map(np.array, output)
    program.iterate(state)
    self.assert_same(jax.device_get(output), expected)

  def test_the_penalty_reaches_the_learner(self):
    penalty = penalties.singular_value_penalty
    _, _, outputs = self.run_loop(penalty=penalty, iterations=1)
    self.assertGreater(outputs[0].scalars['penalty'][0], 0)
    _, _, without = self.run_loop(iterations=1)
    with self.assertRaises(AssertionError):
      self.assert_same(outputs[0].parameters, without[0].parameters, atol=1e-6)

  def test_a_seed_that_is_not_finite_stops_with_what_it_had(self):
    program = self.program()
    state = program.init()
    bad = jax.tree.map(jnp.copy, state.train.params)
    kernel = bad['params']['Dense_1']['kernel']
    bad['params']['Dense_1']['kernel'] = kernel.at[1].set(jnp.inf)
    before = jax.device_get(bad)
    state = state._replace(train=state.train._replace(params=bad))
    state, output = program.iterate(state)
    np.testing.assert_array_equal(output.finite, [True, False])
    np.testing.assert_array_equal(output.iterations, [1, 0])
    np.testing.assert_array_equal(output.gradient_steps, [7, 0])
    self.assert_same(
        jax.tree.map(lambda x: x[1], jax.device_get(state.train.params)),
        jax.tree.map(lambda x: x[1], before),
    )

  def test_evaluation_sees_each_seeds_network(self):
    evaluation = FakeEvaluation()
    program, state, outputs = self.run_loop(evaluation=evaluation)
    for i, output in enumerate(outputs):
      frames = np.arange(2 * 2 * 12 * 12 * 4, dtype=np.int64) % 255
      frames = frames.astype(np.uint8).reshape(2, 2, *SHAPE, 4)
      for seed in range(2):
        params = jax.tree.map(lambda x, s=seed: x[s], output.parameters)
        q_values = program.loop.agent.apply(params, frames[seed]).q_values
        expected = np.argmax(q_values[0]) + 100 * i
        self.assertEqual(output.scalars['eval_return'][seed], expected)
    del state
    self.assertIn('eval_return', program.output_shapes().scalars)

  @parameterized.parameters(
      ({'gradient_steps': 0}, 'OfflineLoop.gradient_steps is 0'),
      ({'probe_size': 0.5}, 'OfflineLoop.probe_size is 0.5'),
  )
  def test_bad_options_are_named(self, kwargs, message):
    with self.assertRaisesRegex(errors.UserError, message):
      self.loop(**kwargs)

  def test_an_agent_of_another_kind_is_refused(self):
    agent = fqi.FQIAgent(networks.MLPNetwork(num_actions=6))
    with self.assertRaisesRegex(errors.UserError, 'bind Learner.agent'):
      self.loop(agent=agent)

  def test_a_network_with_other_actions_is_refused(self):
    agent = dqn.DQNAgent(TinyNetwork(4))
    with self.assertRaisesRegex(errors.UserError, 'has 4 actions.*has 6'):
      self.loop(agent=agent).compile((0,), 'auto')

  def test_an_evaluation_with_other_actions_is_refused(self):
    evaluation = FakeEvaluation(FakeEnvironment('Seaquest', 18))
    with self.assertRaisesRegex(errors.UserError, 'Seaquest has 18 actions'):
      self.loop(evaluation=evaluation).compile((0,), 'auto')

  def test_an_evaluation_with_another_stack_is_refused(self):
    environment = FakeEnvironment(stack_size=3)
    with self.assertRaisesRegex(
        errors.UserError, r'FakeEnvironment\.stack_size = 4'
    ):
      self.loop(evaluation=FakeEvaluation(environment)).compile((0,), 'auto')

  @parameterized.parameters(
      ({'frame_shape': (4,)}, 'uint8 frames of 4, .* uint8 frames of 12 x 12'),
      ({'frame_dtype': np.dtype(np.float32)}, 'float32 frames of 12 x 12, '),
  )
  def test_an_evaluation_that_shows_something_else_is_refused(
      self, options, message
  ):
    evaluation = FakeEvaluation(FakeEnvironment(**options))
    with self.assertRaisesRegex(errors.UserError, message):
      self.loop(evaluation=evaluation).compile((0,), 'auto')

  def test_a_state_of_other_data_is_refused(self):
    _, state, _ = self.run_loop(iterations=1)
    other = self.path.parent / 'other'
    prepared_sets.make(other, frame_shape=SHAPE, seed=1)
    program = dataclasses.replace(
        self.loop(), data=offline_data.OfflineData(str(other), batch_size=8)
    ).compile((0, 1), 'auto')
    with self.assertRaisesRegex(errors.UserError, 'other data than when'):
      program.place(state)

  def test_a_device_that_runs_out_of_memory_is_streamed_to(self):
    def full(axis, tree):
      if isinstance(tree, np.memmap):
        raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
      return tree

    with mock.patch.object(seeds.SeedAxis, 'replicate', full):
      program = self.loop().compile((0, 1), 'auto')
      with self.assertRaisesRegex(errors.UserError, 'ran out of memory'):
        self.loop(data={'placement': 'device'}).compile((0, 1), 'auto')
    _, streamed = program.iterate(program.init())
    expected = self.run_loop(iterations=1)[2][0]
    self.assert_same(jax.device_get(streamed.parameters), expected.parameters)


_ON_EIGHT = '''
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
from offline_test import NETWORK
from implicit_underparam import learner, offline
from implicit_underparam.agents import dqn
from implicit_underparam.data import offline as offline_data
assert len(jax.devices()) == 8
folder, path, placement, out = sys.argv[1:]
agent = dqn.DQNAgent(NETWORK)
learned = learner.Learner(agent, learner.adam(1e-3), target_update_period=3)
data = offline_data.OfflineData(path, batch_size=8, placement=placement)
loop = offline.OfflineLoop(learned, data, None, 6, 3, 40)
program = loop.compile(tuple(range(8)), 'vmap')
state = program.init()
for _ in range(2):
  state, output = program.iterate(state)
  # As a resumed run would.
  state = program.place(jax.device_get(state._replace(rng=0))._replace(
      rng=jax.random.wrap_key_data(np.asarray(jax.random.key_data(state.rng)))))
kernel = output.parameters['params']['Dense_1']['kernel']
assert len(kernel.sharding.device_set) == 8, kernel.sharding
assert kernel.addressable_shards[0].data.shape[0] == 1
np.savez(out, kernel=kernel, features=output.probes['all'].features)
'''


class SetOfEachSeedTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    for seed, rows in ((7, 300), (8, 420)):
      prepared_sets.make(
          self.folder / f'set_{seed}', rows, seed=seed, frame_shape=SHAPE
      )

  def run_seeds(self, seeds, axis='map', agent=None, path='set_{seed}', **data):
    learned = learner.Learner(
        agent or dqn.DQNAgent(NETWORK),
        learner.adam(1e-3),
        target_update_period=3,
    )
    given = offline_data.OfflineData(
        str(self.folder / path), batch_size=8, **data
    )
    program = offline.OfflineLoop(
        learned, given, gradient_steps=7, steps_per_dispatch=3, probe_size=40
    ).compile(seeds, axis)
    state, output = program.iterate(program.init())
    return program, state, jax.device_get(output)

  @parameterized.parameters(
      ('map', 'device', 'dqn'),
      ('vmap', 'device', 'monte_carlo'),
      ('map', 'host', 'dqn'),
  )
  def test_a_seed_trains_as_alone_on_its_set(self, axis, placement, name):
    options = {'agent': agents()[name], 'placement': placement}
    _, _, both = self.run_seeds((7, 8), axis, **options)
    for i, seed in enumerate((7, 8)):
      _, _, alone = self.run_seeds((seed,), path=f'set_{seed}', **options)
      jax.tree.map(
          lambda x, y, i=i: np.testing.assert_allclose(x[i], y[0], atol=1e-5),
          (both.parameters, both.probes, both.scalars),
          (alone.parameters, alone.probes, alone.scalars),
      )
    _, _, other = self.run_seeds((8,), path='set_7', **options)
    self.assertFalse(
        np.allclose(alone.scalars['loss'], other.scalars['loss'])
    )

  def test_another_set_of_one_seed_is_noticed(self):
    _, state, _ = self.run_seeds((7, 8))
    (self.folder / 'set_8').rename(self.folder / 'old')
    prepared_sets.make(self.folder / 'set_8', 420, seed=9, frame_shape=SHAPE)
    program, _, _ = self.run_seeds((7, 8))
    with self.assertRaisesRegex(errors.UserError, 'other data'):
      program.place(state)

  def test_a_missing_set_is_named(self):
    with self.assertRaisesRegex(errors.UserError, 'set_9'):
      self.run_seeds((7, 9))

  def test_sets_of_two_games_are_refused(self):
    prepared_sets.make(
        self.folder / 'set_9', 300, frame_shape=SHAPE, game='Qbert'
    )
    with self.assertRaisesRegex(errors.UserError, 'set_7 has game = Pong'):
      self.run_seeds((7, 9))


class DevicesTest(parameterized.TestCase):

  @parameterized.parameters('device', 'host')
  def test_eight_devices_train_what_one_does(self, placement):
    folder = pathlib.Path(self.create_tempdir().full_path)
    prepared_sets.make(folder / 'set', frame_shape=SHAPE)
    out = folder / 'out.npz'
    result = subprocess.run(
        [sys.executable, '-c', _ON_EIGHT, str(pathlib.Path(__file__).parent),
         str(folder / 'set'), placement, str(out)],
        env={**os.environ, 'JAX_PLATFORMS': 'cpu',
             'XLA_FLAGS': os.environ.get('XLA_FLAGS', '')
             + ' --xla_force_host_platform_device_count=8'},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stderr)
    agent = dqn.DQNAgent(NETWORK)
    learned = learner.Learner(agent, learner.adam(1e-3), target_update_period=3)
    data = offline_data.OfflineData(str(folder / 'set'), batch_size=8)
    loop = offline.OfflineLoop(learned, data, None, 6, 3, 40)
    program = loop.compile((0, 5), 'auto')
    state = program.init()
    for _ in range(2):
      state, output = program.iterate(state)
    found = np.load(out)
    np.testing.assert_allclose(
        found['kernel'][[0, 5]],
        output.parameters['params']['Dense_1']['kernel'], atol=2e-5,
    )
    np.testing.assert_allclose(
        found['features'][[0, 5]], output.probes['all'].features, atol=1e-4
    )


if __name__ == '__main__':
  absltest.main()
