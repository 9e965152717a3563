"""Tests of implicit_underparam.evaluating."""

import jax
import jax.numpy as jnp
import numpy as np
import pure_chain
from absl.testing import absltest, parameterized

from implicit_underparam import (
    episode_evaluation,
    evaluating,
    learner,
    networks,
    online,
    types,
)
from implicit_underparam.agents import dqn
from implicit_underparam.data import replay


class Right:
  """Always prefers to go to the right."""

  def apply(self, params, state, rng=None):
    del params, rng
    q_values = jnp.tile(jnp.array([0.0, 1.0]), (state.shape[0], 1))
    return types.NetworkOutput(q_values, q_values)


class Mixed:
  """Q-values that follow from the place, some of them to the left."""

  def apply(self, params, state, rng=None):
    assert rng is None
    q_values = state[..., 0] @ params
    return types.NetworkOutput(q_values, q_values)


def make(**options) -> episode_evaluation.EpisodeEvaluation:
  return episode_evaluation.EpisodeEvaluation(**{
      'environment': pure_chain.Chain(),
      'epsilon': 0.0,
      'num_steps': 60,
      'num_environments': 4,
      **options,
  })


def plain(evaluation, agent, params, seed, iteration):
  """One environment after another, an episode at a time."""
  environment, count = evaluation.environment, evaluation.num_environments
  rng = jax.random.fold_in(jax.random.key(seed), 0x6576616C)
  begin_rng, play_rng = jax.random.split(jax.random.fold_in(rng, iteration))
  returns, lengths = [], []
  for k in range(count):
    state, frame = environment.reset(jax.random.split(begin_rng, count)[k])
    played = i = 0
    while played < evaluation.num_steps / count:
      act_rng, step_rng = jax.random.split(jax.random.fold_in(play_rng, i))
      _, explore_rng, action_rng = jax.random.split(act_rng, 3)
      explores = jax.random.uniform(explore_rng, (count,))[k]
      bits = jax.random.bits(action_rng, (count,), jnp.uint32)[k]
      q_values = agent.apply(params, frame[None, :, None]).q_values[0]
      action = (
          int(bits) * 2 >> 32
          if explores < evaluation.epsilon
          else int(np.argmax(q_values))
      )
      made = environment.step(
          state, jnp.int32(action), jax.random.split(step_rng, count)[k]
      )
      state, frame, i = made.state, made.frame, i + 1
      if made.episode_end:
        returns.append(float(made.episode_return))
        lengths.append(int(made.episode_length))
        played += lengths[-1]
  return np.mean(returns), len(returns), np.mean(lengths)


class OfOneSeedTest(parameterized.TestCase):

  def test_a_policy_that_always_wins(self):
    run = jax.jit(
        lambda seed: evaluating.of_one_seed(
            make(), Right(), None, seed, jnp.int32(0)
        )
    )
    result = run(jnp.uint32(0))
    self.assertEqual(result['eval_return'], 3.0)
    # 15 steps are owed by each of 4, and an episode has 2 to 7 of them.
    self.assertBetween(int(result['eval_episodes']), 12, 32)
    steps = float(result['eval_episodes'] * result['eval_episode_length'])
    self.assertBetween(round(steps), 60, 60 + 4 * 6)

  @parameterized.parameters(0.0, 0.3)
  def test_equals_a_plain_loop(self, epsilon):
    params = jax.random.normal(jax.random.key(1), (8, 2)) + jnp.array([0, 1])
    evaluation = make(epsilon=epsilon)
    run = jax.jit(
        lambda params, seed, iteration: evaluating.of_one_seed(
            evaluation, Mixed(), params, seed, iteration
        )
    )
    for seed, iteration in ((3, 0), (4, 2)):
      result = run(params, jnp.uint32(seed), jnp.int32(iteration))
      expected = plain(evaluation, Mixed(), params, seed, iteration)
      np.testing.assert_allclose(
          [float(result[name]) for name in evaluating.SCALARS],
          expected,
          rtol=1e-6,
      )

  def test_other_seeds_and_iterations_play_other_episodes(self):
    run = jax.jit(
        lambda seed, iteration: evaluating.of_one_seed(
            make(epsilon=0.5), Right(), None, seed, iteration
        )['eval_episode_length']
    )
    lengths = {
        float(run(jnp.uint32(seed), jnp.int32(iteration)))
        for seed in (0, 1)
        for iteration in (0, 1)
    }
    self.assertLen(lengths, 4)


class LoopsTest(parameterized.TestCase):

  @parameterized.parameters('map', 'vmap')
  def test_an_online_run_evaluates_on_the_device(self, axis):
    evaluation = make(epsilon=0.3)
    network = networks.MLPNetwork(2, (8,), flatten=True)
    loop = online.OnlineLoop(
        learner=learner.Learner(
            agent=dqn.DQNAgent(network),
            optimizer=learner.adam(1e-3),
            target_update_period=7,
        ),
        environment=pure_chain.Chain(),
        replay=replay.Replay(capacity=64, batch_size=8),
        evaluation=evaluation,
        training_steps=16,
        data_reuse_ratio=1,
        min_replay_history=24,
        probe_size=16,
    )
    program = loop.compile((3, 4), axis)
    state, _ = program.iterate(program.init())
    _, output = program.iterate(state)
    for i, seed in enumerate((3, 4)):
      params = jax.tree.map(lambda x, i=i: x[i], output.parameters)
      expected = plain(evaluation, loop.agent, params, seed, 1)
      seen = [float(output.scalars[name][i]) for name in evaluating.SCALARS]
      np.testing.assert_allclose(seen, expected, rtol=1e-6)
    self.assertContainsSubset(
        evaluating.SCALARS, program.output_shapes().scalars
    )


if __name__ == '__main__':
  absltest.main()
