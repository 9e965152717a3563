"""Tests of online training in an environment that is a pure function."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
from implicit_underparam.data import replay, ring
from implicit_underparam.envs import pure


class ChainState(NamedTuple):
  place: jax.Array
  steps: jax.Array


@dataclasses.dataclass(frozen=True)
class Chain:
  """Right or left on 8 places; the right end is terminal, 9 steps a limit."""

  name: str = 'chain'
  num_actions: int = 2
  frame_shape: tuple[int, ...] = (8,)
  frame_dtype: type = np.float32
  stack_size: int = 1
  observation_shape: tuple[int, ...] = (8, 1)

  def reset(self, rng):
    state = ChainState(jax.random.randint(rng, (), 0, 6), jnp.int32(0))
    return state, jax.nn.one_hot(state.place, 8)

  def step(self, state, action, rng):
    move = 2 * action - 1
    place = jnp.clip(state.place + move, 0, 7)
    steps = state.steps + 1
    is_terminal = place == 7
    truncated = ~is_terminal & (steps == 9)
    fresh, first = self.reset(rng)
    ended = is_terminal | truncated
    going_on = ChainState(place, steps)
    frame = jax.nn.one_hot(place, 8)
    return pure.PureStep(
        state=jax.tree.map(
            lambda x, y: jnp.where(ended, x, y), fresh, going_on
        ),
        frame=jnp.where(ended, first, frame),
        reward=jnp.where(is_terminal, 3.0, 0.0),
        is_terminal=is_terminal,
        truncated=truncated,
        episode_return=jnp.where(is_terminal, 3.0, 0.0),
        episode_length=steps,
        final_frame=frame,
    )


def make_loop(target_update_period=7, **options) -> online.OnlineLoop:
  network = networks.MLPNetwork(2, (16, 16), flatten=True)
  defaults = {
      'learner': learner.Learner(
          agent=dqn.DQNAgent(network, gamma=0.9),
          optimizer=learner.adam(3e-3),
          target_update_period=target_update_period,
      ),
      'environment': Chain(),
      'replay': replay.Replay(capacity=64, batch_size=8),
      'training_steps': 96,
      'data_reuse_ratio': 1,
      'min_replay_history': 24,
      'epsilon_decay_period': 60,
      'probe_size': 16,
  }
  return online.OnlineLoop(**(defaults | options))


def plain(loop: online.OnlineLoop, seed: int, iterations: int):
  """The same, a step at a time from Python; what it returns is compared."""
  environment = loop.environment
  state = loop.init(jax.random.key(seed))
  contents = loop.empty_replay(True)
  learning = online.Learning(state.train, loop.totals(state.train))
  add = jax.jit(loop.add)
  update = jax.jit(loop.update, static_argnums=5)
  apply = jax.jit(loop.agent.apply)
  step = jax.jit(environment.step)
  count = loop.num_environments
  keys = jax.random.split(jax.random.fold_in(state.rng, 4), count)
  worlds, frames = zip(*[environment.reset(x) for x in keys], strict=True)
  worlds, frames = list(worlds), list(frames)
  returns, done = [], 0
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
  return learning.train, returns, done


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
    train, returns, updates = plain(loop, 3, 2)
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

  def test_there_is_no_log(self):
    with self.assertRaisesRegex(errors.UserError, 'Runner.log_replay'):
      make_loop().compile((0,), 'map').log_replay('unused')


def setUpModule():
  # Small programs take longer to compile than to run.
  jax.config.update('jax_disable_most_optimizations', True)


def tearDownModule():
  jax.config.update('jax_disable_most_optimizations', False)


if __name__ == '__main__':
  absltest.main()
