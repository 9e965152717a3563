"""Transitions of continuous control for the offline loop."""

import os
import warnings
from unittest import mock

import gymnasium
import h5py
import jax
import minari
import numpy as np
import prepared_sets
import transition_sets
from absl.testing import absltest, parameterized
from transition_sets import SIZE, columns, data

from implicit_underparam import (
    continuous_networks,
    learner,
    networks,
    offline_program,
    optimizers,
)
from implicit_underparam import offline as offline_lib
from implicit_underparam.agents import dqn, sac
from implicit_underparam.data import offline, offline_sets, transitions


class D4RLTest(transition_sets.FolderTest):

  def test_batches_are_the_rows_of_the_file(self):
    expected = columns()
    path = self.file({**expected, 'infos/qpos': np.zeros((SIZE, 2))})
    found = transition_sets.batch(data(path))
    self.assertEqual(found.state.shape, (SIZE, 3, 1))
    self.assertEqual(found.action.shape, (SIZE, 1))
    transition_sets.check_batch(found, expected)

  def test_drawn_rows_are_pairs_of_the_file(self):
    expected = columns()
    rows = []

    def drawn(found):
      rows[:] = offline.draw(found, jax.random.key(0), 40 * SIZE).tolist()
      return rows

    found = transition_sets.batch(data(self.file(expected)), drawn)
    which = np.array(rows) // 2
    # None is drawn less, or more, than 6 standard deviations from 40 times.
    self.assertLess(np.abs(np.bincount(which) - 40).max(), 6 * 40**0.5)
    transition_sets.check_batch(
        found, {name: x[which] for name, x in expected.items()}
    )

  def test_timeouts_may_lack_and_types_may_be_others(self):
    expected = {
        name: x.astype(np.float64)
        for name, x in transition_sets.lacking('timeouts').items()
    }
    (found,) = transition_sets.read(data(self.file(expected)))
    for column in ('observations', 'actions', 'rewards'):
      self.assertEqual(found[column].dtype, np.float32)
    transition_sets.check(found, expected)

  def test_seeds_read_their_own(self):
    written = {2: columns(20, seed=2), 5: columns(30, seed=5)}
    for seed, expected in written.items():
      self.file(expected, f'{seed}.hdf5')
    source = data(self.folder / '{seed}.hdf5')
    for found, expected in zip(
        transition_sets.read(source, (2, 5)), written.values(), strict=True
    ):
      transition_sets.check(found, expected)
    sets = offline_sets.OfflineSets(source, (2, 5))
    self.assertEqual(sets.columns(1, 0.99, False).num_starts.tolist(), [20, 30])
    shared = offline_sets.OfflineSets(data(self.folder / '2.hdf5'), (2, 5))
    self.assertFalse(shared.by_seed)
    self.assertLen(shared.stores, 1)

  def test_other_data_is_told_from_this(self):
    def identity(found):
      sets = offline_sets.OfflineSets(data(self.file(found)), (0,))
      return sets.identity(sets.columns(1, 0.99, False))

    plain = columns()
    others = [
        {**plain, name: x[::-1]}
        for name, x in plain.items()
        if name != 'timeouts'
    ]
    self.assertEqual(identity(plain), identity(columns()))
    self.assertLen({identity(x) for x in (plain, *others)}, 6)

  def test_float32_may_round_a_bound_up(self):
    path = self.file(transition_sets.changed('actions', 5, 2.00005))
    (found,) = transition_sets.read(data(path))
    self.assertEqual(found['actions'].max(), 1)


class FractionTest(transition_sets.FolderTest):

  def setUp(self):
    super().setUp()
    self.written = columns()
    self.written['rewards'] = np.arange(SIZE, dtype=np.float32)
    for name in ('0.hdf5', '1.hdf5', 'data.hdf5'):
      self.path = self.file(self.written, name)

  def kept(self, path=None, seed=0, **options):
    """Which transitions are."""
    source = data(path or self.path, **{'fraction': 0.2} | options)
    store = source.open(seed)
    return store.rewards[store.starts(1)].astype(int).tolist()

  def test_rows_stay_together(self):
    (found,) = transition_sets.read(data(self.path, fraction=0.2))
    rows = found['rewards'].astype(int)
    self.assertLen(rows, 12)
    transition_sets.check(
        found, {name: x[rows] for name, x in self.written.items()}
    )

  @parameterized.parameters((0.2, 12), (1, 60), (None, 60), (0.01, 1))
  def test_so_many_are_kept_and_none_twice(self, fraction, count):
    kept = self.kept(fraction=fraction)
    self.assertLen(kept, count)
    self.assertLen(set(kept), count)

  def test_the_same_for_the_same_seeds_alone(self):
    self.assertEqual(self.kept(), self.kept(seed=1))
    self.assertNotEqual(self.kept(), self.kept(sample_seed=1))
    each = self.folder / '{seed}.hdf5'
    self.assertEqual(self.kept(each, 1), self.kept(each, 1))
    self.assertNotEqual(self.kept(each, 0), self.kept(each, 1))

  def test_every_transition_is_as_likely(self):
    counts = np.zeros(SIZE)
    for sample_seed in range(100):
      counts[self.kept(sample_seed=sample_seed)] += 1
    # 100 draws of probability 0.2: 20, of standard deviation 4.
    self.assertEqual(counts.sum(), 100 * 12)
    self.assertLess(np.abs(counts - 20).max(), 20)
    self.assertBetween(counts.var(), 7, 30)


class MinariTest(transition_sets.FolderTest):

  def setUp(self):
    super().setUp()
    self.enter_context(
        mock.patch.dict(os.environ, MINARI_DATASETS_PATH=str(self.folder))
    )
    self.enter_context(warnings.catch_warnings())
    # Of what a set in a test need not say about itself.
    warnings.simplefilter('ignore')

  def played(self, name, env, num_episodes):
    """Records a set; what there was to be seen, step by step."""
    recorder = minari.DataCollector(env)
    rng = np.random.default_rng(2)
    names = (
        'observations', 'actions', 'rewards', 'next_observations', 'terminals'
    )
    rows = []
    for episode in range(num_episodes):
      seen, _ = recorder.reset(seed=episode)
      ended = False
      while not ended:
        bounds = env.action_space
        action = rng.uniform(bounds.low, bounds.high).astype(np.float32)
        then, reward, terminated, over, _ = recorder.step(action)
        rows.append((seen, action, reward, then, terminated))
        seen, ended = then, terminated or over
    recorder.create_dataset(dataset_id=name)
    recorder.close()
    stacked = [np.array(x) for x in zip(*rows, strict=True)]
    return dict(zip(names, stacked, strict=True))

  def test_batches_are_what_was_played(self):
    # Some hoppers fall before they are cut.
    env = gymnasium.make('Hopper-v5', max_episode_steps=20)
    expected = self.played('hopper/test-v0', env, 8)
    self.assertBetween(expected['terminals'].sum(), 1, 7)
    found = transition_sets.batch(
        data('minari:hopper/test-v0', id='Hopper-v5')
    )
    transition_sets.check_batch(found, expected, bound=1.0)
    # Of the same dimensions.
    self.check_refused(
        'minari:hopper/test-v0 is of Hopper-v5, and TransitionData.id is Hopp',
        data('minari:hopper/test-v0', id='Hopper-v4').open,
    )  # fmt: skip

  def test_what_is_not_there_or_broken_is_refused(self):
    for name in ('mujoco/nothing-v0', ''):
      self.check_refused(
          f'minari:{name} cannot be opened .*minari list local',
          data(f'minari:{name}').open,
      )
    env = gymnasium.make(transition_sets.ID, max_episode_steps=5)
    self.played('pendulum/test-v0', env, 2)
    path = self.folder / 'pendulum/test-v0/data/main_data.hdf5'
    for size in (path.stat().st_size // 2, 0):
      os.truncate(path, size)
      self.check_refused(
          'minari:pendulum/test-v0 cannot be opened',
          data('minari:pendulum/test-v0').open,
      )


class OptionsTest(transition_sets.FolderTest):

  @parameterized.parameters(
      ({'path': None}, 'TransitionData.path is None: bind it'),
      ({'path': 3}, 'TransitionData.path is 3: bind it'),
      ({'id': None}, 'TransitionData.id is None: bind it'),
      ({'id': 3}, 'TransitionData.id is 3: bind it'),
      ({'fraction': 0}, 'TransitionData.fraction is 0: give'),
      ({'fraction': 20}, 'TransitionData.fraction is 20: give'),
      ({'fraction': True}, 'TransitionData.fraction is True: give'),
      ({'fraction': '20%'}, "TransitionData.fraction is '20%': give"),
      ({'sample_seed': -1}, 'TransitionData.sample_seed is -1'),
      ({'sample_seed': None}, 'TransitionData.sample_seed is None'),
      ({'batch_size': 0}, 'TransitionData.batch_size is 0'),
      ({'placement': 'disk'}, "TransitionData.placement is 'disk'"),
      ({'game': 'Pong'}, 'TransitionData.game has no use'),
  )
  def test_options_that_make_no_sense_are_refused(self, options, message):
    self.check_refused(
        message, transitions.TransitionData,
        **{'path': 'x.hdf5', 'id': transition_sets.ID} | options,
    )  # fmt: skip

  @parameterized.parameters(
      ('Pendulum', "'Pendulum' is not known: the nearest are Pendulum-v1"),
      ('CartPole-v1', 'CartPole-v1 has actions of a Discrete space'),
  )
  def test_an_environment_that_it_cannot_be_of_is_refused(self, id, message):
    self.check_refused(message, data(self.file(columns()), id=id).open)

  def test_a_file_that_says_of_what_it_is_is_believed(self):
    path = self.file(columns())
    with h5py.File(path, 'a') as file:
      file.attrs['environment'] = transition_sets.ID
    self.assertEqual(len(data(path).open().actions), 120)
    with h5py.File(path, 'a') as file:
      file.attrs['environment'] = 'Pendulum-v0'
    self.check_refused(
        'data.hdf5 is of Pendulum-v0, and TransitionData.id is Pendulum-v1',
        data(path).open,
    )

  def test_fewer_transitions_than_a_batch_are_refused(self):
    source = data(self.file(columns()), fraction=0.1)
    self.check_refused(
        "TransitionData.path = '.*' has 6 transitions, fewer than a batch of 8",
        transition_sets.batch, source,
    )  # fmt: skip


class LoopTest(transition_sets.FolderTest):
  """What fits neither the data nor the agent is said before anything runs."""

  def compile(self, agent, source):
    optimizer = optimizers.adam_by_part(3e-4)
    loop = offline_lib.OfflineLoop(
        learner.Learner(agent, optimizer, target_update_period=1), source
    )
    return offline_program.OfflineProgram(loop, (0,), 'map')

  def sac(self, size=1, **options):
    return sac.SACAgent(
        continuous_networks.GaussianActorNetwork(size, (8,)),
        continuous_networks.CriticNetwork((8,)),
        **options,
    )

  def test_misfits(self):
    source = data(self.file(columns()))
    counted = dqn.DQNAgent(
        networks.MLPNetwork(num_actions=3, hidden_units=(8,), flatten=True)
    )
    prepared_sets.make(self.folder / 'set', frame_shape=(4, 4))
    frames = offline.OfflineData(path=str(self.folder / 'set'), batch_size=8)
    for agent, taken, message in (
        (counted, source, 'continuous actions, and a DQNAgent needs .*@SACAge'),
        (self.sac(), frames, 'actions that are counted, and a SACAgent needs'),
        (self.sac(2), source, 'action_size = 2, and .* actions of 1 numbers'),
        (self.sac(update_horizon=3), source, 'update_horizon is 3, and .* sin'),
    ):
      self.check_refused(message, self.compile, agent, taken)


if __name__ == '__main__':
  absltest.main()
