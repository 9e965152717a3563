"""Tests of online training in an environment that is a pure function."""

import functools
import pathlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pure_chain
from absl.testing import absltest, parameterized

from implicit_underparam import (
    checkpoints,
    errors,
    learner,
    networks,
    online,
    pure_online_program,
)
from implicit_underparam.agents import dqn
from implicit_underparam.data import frame_store, prepare, replay, ring


def make_loop(target_update_period=7, **options) -> online.OnlineLoop:
  network = networks.MLPNetwork(2, (16, 16), flatten=True)
  defaults = {
      'learner': learner.Learner(
          agent=dqn.DQNAgent(network, gamma=0.9),
          optimizer=learner.adam(3e-3),
          target_update_period=target_update_period,
      ),
      'environment': pure_chain.Chain(),
      'replay': replay.Replay(capacity=64, batch_size=8),
      'training_steps': 96,
      'data_reuse_ratio': 1,
      'min_replay_history': 24,
      'epsilon_decay_period': 60,
      'probe_size': 16,
  }
  return online.OnlineLoop(**(defaults | options))


@functools.cache
def compiled(loop: online.OnlineLoop):
  return (
      jax.jit(loop.add),
      jax.jit(loop.update, static_argnums=5),
      jax.jit(loop.agent.apply),
      jax.jit(loop.environment.step),
  )


def plain(loop: online.OnlineLoop, seed: int, iterations: int):
  """The same, a step at a time from Python; what it returns is compared."""
  environment = loop.environment
  state = loop.init(jax.random.key(seed))
  contents = loop.empty_replay(True)
  learning = online.Learning(state.train, loop.totals(state.train))
  add, update, apply, step = compiled(loop)
  count = loop.num_environments
  keys = jax.random.split(jax.random.fold_in(state.rng, 4), count)
  worlds, frames = zip(*[environment.reset(x) for x in keys], strict=True)
  worlds, frames = list(worlds), list(frames)
  returns, log, done = [], [], 0
  period = loop.learner.target_update_period
  for steps in range(0, iterations * loop.training_steps, count):
    act_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 1), steps)
    step_rng = jax.random.fold_in(jax.random.fold_in(state.rng, 5), steps)
    _, explore_rng, action_rng = jax.random.split(act_rng, 3)
    q_values = apply(learning.train.params, jnp.stack(frames)[..., None])
    explores = jax.random.uniform(explore_rng, (count,)) < loop.epsilon(steps)
    bits = np.asarray(jax.random.bits(action_rng, (count,), jnp.uint32))
    drawn = (bits.astype(np.uint64) * 2) >> np.uint64(32)
    actions = np.where(
        explores, drawn.astype(np.int32), np.argmax(q_values.q_values, 1)
    )
    results = [
        step(world, action, key)
        for world, action, key in zip(
            worlds, actions, jax.random.split(step_rng, count), strict=True
        )
    ]
    column = lambda name, results=results: jnp.stack(
        [getattr(x, name) for x in results]
    )
    clip = np.inf if loop.reward_clip is None else loop.reward_clip
    contents = add(
        contents,
        jnp.int32(steps // count),
        jnp.stack(frames),
        ring.Result(
            actions,
            jnp.clip(column('reward'), -clip, clip),
            column('is_terminal'),
            column('episode_end'),
        ),
    )
    log += [
        (np.asarray(frame), action, x.reward, x.is_terminal, x.episode_end)
        for frame, action, x in zip(frames, actions, results, strict=True)
    ]
    returns += [float(x.episode_return) for x in results if x.episode_end]
    worlds, frames = [x.state for x in results], [x.frame for x in results]
    taken = steps + count
    due = loop.updates_by(taken)
    while done < due:
      learning, tree = update(
          learning, contents.priorities, contents.ring, state.rng,
          jnp.int32(done), 1,
      )  # fmt: skip
      contents = contents._replace(priorities=tree)
      done += 1
      if loop.target_update_clock == 'gradient_steps' and not done % period:
        learning = loop.update_target(learning)
    if loop.target_update_clock == 'agent_steps' and (
        due and taken // period > steps // period
    ):
      learning = loop.update_target(learning)
  return learning.train, returns, done, log


class PureOnlineTest(parameterized.TestCase):

  @parameterized.parameters(
      {
          'data_reuse_ratio': 0.25,
          'target_update_clock': 'agent_steps',
          'target_update_period': 8,
      },
      {
          'data_reuse_ratio': 1,
          'num_environments': 3,
          'replay': replay.Replay(66, 8, prioritized=True),
      },
  )
  def test_equals_steps_taken_one_by_one(self, **options):
    loop = make_loop(**options)
    program = loop.compile((3,), 'map')
    self.assertIsInstance(program, pure_online_program.PureOnlineProgram)
    state, seen, episodes = program.init(), [], 0
    for _ in range(2):
      state, output = program.iterate(state)
      seen.append(float(output.scalars['train_return'][0]))
      episodes += int(output.scalars['train_episodes'][0])
    train, returns, updates, _ = plain(loop, 3, 2)
    self.assertEqual(int(output.gradient_steps[0]), updates)
    self.assertEqual(episodes, len(returns))
    self.assertEqual(int(output.environment_steps[0]), 192)
    for name in ('params', 'target_params'):
      jax.tree.map(
          lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=2e-6),
          getattr(state[0].train, name), getattr(train, name),
      )  # fmt: skip
    self.assertLen(seen, 2)

  def test_seeds_side_by_side_are_seeds_alone(self):
    loop = make_loop()
    both = loop.compile((3, 4), 'vmap')
    _, output = both.iterate(both.init())
    for i, seed in enumerate((3, 4)):
      alone = loop.compile((seed,), 'map')
      _, expected = alone.iterate(alone.init())
      jax.tree.map(
          lambda x, y, i=i: np.testing.assert_allclose(
              x[i], y[0], rtol=0, atol=1e-5
          ),
          output.parameters, expected.parameters,
      )  # fmt: skip

  def test_a_snapshot_goes_on_exactly(self):
    loop = make_loop()
    program = loop.compile((3, 4), 'map')
    state, _ = program.iterate(program.init())
    checkpointer = checkpoints.Checkpointer(self.create_tempdir().full_path)
    checkpointer.save(1, program.snapshot(state))
    _, expected = program.iterate(state)
    again = loop.compile((3, 4), 'map')
    restored = checkpointer.restore(again.snapshot(again.init()))
    _, output = again.iterate(again.place(restored[1]))
    jax.tree.map(np.testing.assert_array_equal, output, expected)

  def test_every_dispatch_is_compiled_once(self):
    with mock.patch.object(pure_online_program, '_DISPATCH', 24):
      program = make_loop().compile((3, 4), 'map')
      state = program.init()
      for _ in range(2):
        state, _ = program.iterate(state)
    counts = {
        key: compiled._cache_size()
        for key, compiled in program._dispatches.items()
    }
    self.assertEqual(counts, {(1, 12, False): 1, (1, 12, True): 1})

  @parameterized.parameters(
      ({'training_steps': 94, 'data_reuse_ratio': 0.25}, 'multiple of 4'),
      ({'min_replay_history': 26, 'data_reuse_ratio': 0.25}, 'multiple of 4'),
      (
          {'target_update_clock': 'agent_steps', 'data_reuse_ratio': 0.5},
          'target_update_period is 7 agent steps: give a multiple of 2',
      ),
      ({'replay': replay.Replay(64, 8, placement='host')}, 'on the device'),
  )
  def test_what_cannot_be_is_said(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message):
      make_loop(**options).compile((0,), 'map')

  def test_the_log_holds_what_is_played(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    loop = make_loop(
        environment=pure_chain.Chain(frame_dtype=np.uint8),
        replay=replay.Replay(capacity=100, batch_size=8),
    )
    program = loop.compile((3, 4), 'map')
    program.log_replay(folder / 'replay')
    state, _ = program.iterate(program.init())
    checkpointer = checkpoints.Checkpointer(folder / 'checkpoints')
    checkpointer.save(1, program.snapshot(state))
    # What is played from here on is lost, and played again.
    program.iterate(state)
    again = loop.compile((3, 4), 'map')
    again.log_replay(folder / 'replay')
    restored = checkpointer.restore(again.snapshot(again.init()))
    again.iterate(again.place(restored[1]))
    again.close()
    for seed in (3, 4):
      out = folder / f'set_{seed}'
      source = folder / 'replay' / 'chain' / str(seed) / 'replay_logs'
      prepare.prepare(source, out, prepare.Options(stack_size=1))
      store = frame_store.FrameStore.open(out)
      frames, actions, rewards, terminals, ends = (
          np.array(x) for x in zip(*plain(loop, seed, 2)[3], strict=True)
      )
      np.testing.assert_array_equal(store.frames[:192], frames)
      np.testing.assert_array_equal(store.actions[:192], actions)
      clipped = np.clip(rewards, -1, 1)
      np.testing.assert_array_equal(store.rewards[:192], clipped)
      np.testing.assert_array_equal(store.terminals[:192], terminals)
      # Rows that the limit of steps cut off start no transition.
      expected = ~(ends & ~terminals)
      expected[191] = terminals[191]
      np.testing.assert_array_equal(store.valid[:192] > 0, expected)

  @parameterized.parameters(
      ({'replay': replay.Replay(64, 8)}, 'Replay.capacity 64 holds less'),
      ({'num_environments': 3}, 'num_environments to 1'),
      ({'environment': pure_chain.Chain()}, 'float32'),
  )
  def test_what_cannot_be_logged_is_said(self, options, message):
    options = {
        'environment': pure_chain.Chain(frame_dtype=np.uint8),
        'replay': replay.Replay(99, 8),
        **options,
    }
    program = make_loop(**options).compile((0,), 'map')
    with self.assertRaisesRegex(errors.UserError, message):
      program.log_replay(pathlib.Path('unused'))


if __name__ == '__main__':
  absltest.main()
