"""Small online experiments on CartPole: a loop, compiled once for all tests."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import (
    learner,
    networks,
    online,
    online_functions,
    online_program,
)
from implicit_underparam.agents import dqn
from implicit_underparam.data import replay
from implicit_underparam.envs import gymnasium_env

# Short enough for limits of steps to end some of the episodes.
ENVIRONMENT = gymnasium_env.GymnasiumEnvironment(
    'CartPole-v1', max_episode_steps=18
)
NETWORK = networks.MLPNetwork(num_actions=2, hidden_units=(16,), flatten=True)
# One object: compiled programs are told apart by it. A large eps keeps what
# rounds to another gradient of almost 0 from becoming another step.
OPTIMIZER = learner.adam(2e-3, eps=1e-2)
REPLAY = replay.Replay(capacity=100, batch_size=8, placement='device')

# What the compiled functions of a loop do not depend on.
_OF_THE_HOST: dict[str, Any] = {
    'evaluation': None,
    'data_reuse_ratio': 1,
    'min_replay_history': 1000,
    'epsilon_train': 0.0,
    'epsilon_decay_period': 0,
    'reward_clip': None,
    'overlap': True,
    'target_update_clock': 'gradient_steps',
}


def make_learner(
    agent: Any = None, period: int = 7, **options: Any
) -> learner.Learner:
  """A learner of DQN."""
  agent = agent or dqn.DQNAgent(NETWORK)
  return learner.Learner(
      agent, OPTIMIZER, target_update_period=period, **options
  )


def make(**options: Any) -> online.OnlineLoop:
  """A loop of CartPole."""
  return online.OnlineLoop(**{
      'learner': make_learner(),
      'environment': ENVIRONMENT,
      'replay': REPLAY,
      'training_steps': 60,
      'data_reuse_ratio': 1,
      'min_replay_history': 40,
      'epsilon_decay_period': 30,
      'epsilon_train': 0.05,
      'probe_size': 32,
  } | options)


def compile_loop(
    loop: online.OnlineLoop, seeds: Sequence[int] = (0,), axis: str = 'map'
) -> online_program.OnlineProgram:
  """A loop's program; equal functions are shared with those before."""
  with mock.patch.object(online_program, 'Functions', _shared):
    return online_program.OnlineProgram(loop, seeds, axis)


def run(
    loop: online.OnlineLoop,
    seeds: Sequence[int] = (0,),
    axis: str = 'map',
    iterations: int = 2,
) -> tuple[online_program.OnlineProgram, Any, list[Any]]:
  """The program, its state after some iterations, and their outputs."""
  program = compile_loop(loop, seeds, axis)
  state = program.init()
  outputs = []
  for _ in range(iterations):
    state, output = program.iterate(state)
    outputs.append(jax.device_get(output))
  return program, state, outputs


def of_seed(state: Sequence[Any], seed: int) -> Any:
  """The state of the seed-th of all seeds; a lane of one has no axis."""
  seeds = []
  for lane in state:
    count = lane.steps.size
    alone = not lane.steps.ndim
    seeds += [lane] if alone else [
        jax.tree.map(lambda x, i=i: x[i], lane) for i in range(count)
    ]
  return seeds[seed]


def with_learning_rates(lane: Any, *rates: float) -> Any:
  """A lane whose seeds learn at these rates."""
  optimizer = lane.train.opt_state
  hyperparams = {
      **optimizer.hyperparams,
      'learning_rate': jnp.array(rates).reshape(lane.steps.shape),
  }
  optimizer = optimizer._replace(hyperparams=hyperparams)
  return lane._replace(train=lane.train._replace(opt_state=optimizer))


def take_down(tree: Any) -> Any:
  """A copy of a snapshot on the host, for `put_back`."""

  def copy(x: Any) -> Any:
    if not isinstance(x, (jax.Array, np.ndarray)):
      return x
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return _Words(np.asarray(jax.random.key_data(x))) if is_key else np.array(x)

  return jax.tree.map(copy, tree)


def put_back(tree: Any) -> Any:
  """As a checkpoint gives it to a program."""

  def copy(x: Any) -> Any:
    if isinstance(x, _Words):
      return jax.random.wrap_key_data(x.words)
    return np.array(x) if isinstance(x, np.ndarray) else x

  return jax.tree.map(copy, tree)


@dataclasses.dataclass
class _Words:
  """Those of a key."""

  words: np.ndarray


def assert_same(x: Any, y: Any, **tolerances: float) -> None:
  """Two trees of the same numbers, or of almost the same."""
  compare: Any = np.testing.assert_array_equal
  if tolerances:
    compare = np.testing.assert_allclose
  jax.tree.map(lambda a, b: compare(a, b, **tolerances), x, y)


def _shared(
    loop: online.OnlineLoop, num_seeds: int
) -> online_functions.Functions:
  steps = 100 * loop.num_environments
  learned = dataclasses.replace(loop.learner, target_update_period=7)
  plain = dataclasses.replace(
      loop, **_OF_THE_HOST, learner=learned, training_steps=steps
  )
  return _functions(plain, num_seeds)


@functools.cache
def _functions(
    loop: online.OnlineLoop, num_seeds: int
) -> online_functions.Functions:
  return online_functions.Functions(loop, num_seeds)
