"""SAC on Pendulum: it learns, and its online loop is a plain one."""

import functools
from typing import NamedTuple
from unittest import mock

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest

from implicit_underparam import (
    continuous_networks,
    learner,
    online,
    online_functions,
    online_program,
    types,
)
from implicit_underparam.agents import sac
from implicit_underparam.data import replay
from implicit_underparam.envs import continuous

_PLAY = 0x706C6179
_SIZE = 64  # Of a batch, and of the layers.
_RATE = 0.02

ENVIRONMENT = continuous.ContinuousEnvironment('Pendulum-v1')
AGENT = sac.SACAgent(
    continuous_networks.GaussianActorNetwork(1, (_SIZE, _SIZE)),
    continuous_networks.CriticNetwork((_SIZE, _SIZE)),
)
OPTIMIZER = learner.adam(5e-3, eps=1e-5)


LEARNER = learner.Learner(
    AGENT, OPTIMIZER, target_update_period=1, target_update_rate=_RATE
)


def make(**options):
  return online.OnlineLoop(**{
      'learner': LEARNER,
      'environment': ENVIRONMENT,
      'replay': replay.Replay(capacity=3000, batch_size=_SIZE),
      'data_reuse_ratio': 2,
      'min_replay_history': 200,
      'epsilon_train': 0.0,
      'epsilon_decay_period': 0,
      'reward_clip': None,
      'overlap': False,
      'probe_size': 128,
      'num_threads': 1,
  } | options)


def compile_loop(loop, seed):
  """Its program; the compiled functions are those of all loops here."""
  with mock.patch.object(
      online_program, 'Functions', lambda _, num_seeds: functions(num_seeds)
  ):
    return loop.compile((seed,), 'map')


@functools.cache
def functions(num_seeds):
  return online_functions.Functions(make(), num_seeds)


class Row(NamedTuple):
  """One step; the state is what the agent sees of it, [3, 1]."""

  state: np.ndarray
  action: np.ndarray
  reward: float
  next_state: np.ndarray


class PlainLoop:
  """The same, written as a loop over a list; one seed, n = 2.

  It shares with the package the gradient of the agent's loss and the keys of
  random draws.
  """

  def __init__(self, loop, seed, start):
    self.loop, self.seed = loop, seed
    self.train, self.rng = jax.tree.map(jnp.copy, (start.train, start.rng))
    # The target is this file's business.
    self.learner = learner.Learner(AGENT, OPTIMIZER)
    self.steps = self.updates = 0
    self.rows: list[Row | None] = []
    self.losses: list[float] = []

  def iterate(self, iteration):
    environment = gymnasium.make('Pendulum-v1').unwrapped
    seeds = np.random.default_rng((_PLAY, self.seed, iteration, 0))
    state, _ = environment.reset(
        seed=int(seeds.integers(2**31 - 1, endpoint=True))
    )
    played = self.loop.training_steps
    for i in range(played):
      random = self.steps < self.loop.min_replay_history
      action = np.asarray(_explore(
          self.train.params, state[None, :, None], self.rng, self.steps,
          float(random),
      ))[0]  # fmt: skip
      # The torque goes to 2.
      next_state, reward, *_ = environment.step(2 * action)
      row = Row(state[:, None], action, reward, next_state[:, None])
      # The last one's next state is not kept: what is played begins anew.
      self.rows.append(row if i < played - 1 else None)
      state = next_state
      self.steps += 1
      if self.steps > self.loop.min_replay_history:
        self.learn()
        self.learn()

  def learn(self):
    loss_rng, bits = _draws(self.rng, self.updates)
    # What follows the newest one is not in the replay yet.
    starts = [x for x in self.rows[:-1] if x is not None]
    rows = [starts[(int(x) * len(starts)) >> 32] for x in np.asarray(bits)]
    state, action, reward, next_state = (
        np.float32(x) for x in zip(*rows, strict=True)
    )
    batch = types.Batch(
        state, action, reward, next_state, np.zeros(_SIZE, np.float32)
    )
    self.train, metrics = _step(self.learner, self.train, batch, loss_rng)
    target = optax.incremental_update(
        self.train.params, self.train.target_params, _RATE
    )
    self.train = self.train._replace(target_params=target)
    self.losses.append(float(metrics['loss']))
    self.updates += 1


@jax.jit
def _explore(params, state, rng, step, epsilon):
  key = jax.random.fold_in(jax.random.fold_in(rng, 1), step)
  return AGENT.explore(params, state, key, epsilon)


@jax.jit
def _draws(rng, step):
  rng = jax.random.fold_in(rng, 0)
  key = learner.sample_key(rng, step)
  bits = jax.random.bits(key, (_SIZE,), np.uint32)
  return learner.loss_key(rng, step), bits


@functools.partial(jax.jit, static_argnums=0)
def _step(plain, train, batch, rng):
  return plain.step(train, batch, rng, plain.hyperparameters(1))


class OnlineTest(absltest.TestCase):

  def test_two_gradient_steps_a_step_are_those_of_a_plain_loop(self):
    loop = make(training_steps=60, min_replay_history=70)
    program = compile_loop(loop, 3)
    state = program.init()
    plain = PlainLoop(loop, 3, state[0])
    for i in range(2):
      before = len(plain.losses)
      state, output = program.iterate(state)
      plain.iterate(i)
      self.assertEqual(output.gradient_steps[0], plain.updates)
      self.assertEqual(output.scalars['target_updates'][0], plain.updates)
    self.assertEqual(plain.updates, 100)
    np.testing.assert_allclose(
        output.scalars['loss'][0], np.mean(plain.losses[before:]), rtol=1e-3
    )
    for name in ('params', 'target_params'):
      jax.tree.map(
          lambda x, y: np.testing.assert_allclose(x, y, atol=1e-3),
          getattr(state[0].train, name), getattr(plain.train, name),
      )  # fmt: skip
    # A target update too few or too many would be seen.
    behind = np.abs(
        plain.train.params['log_temperature']
        - plain.train.target_params['log_temperature']
    )
    self.assertGreater(behind * _RATE, 1.5e-3)

  def test_pendulum_is_learned(self):
    loop = make(training_steps=400)
    program = compile_loop(loop, 0)
    state, returns = program.init(), []
    for _ in range(4):
      state, output = program.iterate(state)
      returns.append(float(output.scalars['train_return'][0]))
    self.assertTrue(output.finite[0])
    self.assertEqual(output.gradient_steps[0], 2800)
    # Of three seeds the first was -1492 to -1227, the last -247 to -124.
    self.assertLess(returns[0], -900)
    self.assertGreater(returns[-1], -600)


if __name__ == '__main__':
  absltest.main()
