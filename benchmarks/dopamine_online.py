"""Dopamine's environment, agent and replay at play, a part at a time.

All of it is the wheel's; only what the wheel leaves to its runner and to gin
is said here: the loop over episodes, and the sizes of the buffers.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import dopamine_agent, dopamine_shims
from benchmarks.package_online import BATCH_SIZE, Stream

Run = Callable[[], int]
_AGENT = 'dopamine.jax.agents.dqn.dqn_agent'
_ATARI = 'dopamine.discrete_domains.atari_lib'
_REPLAY = 'dopamine.jax.replay_memory.'
_STACK_SIZE = 4
_GAMMA = 0.99


def random_play(game: str, steps: int) -> Run:
  """Random actions in AtariPreprocessing."""
  environment = _environment(game)
  environment.reset()
  rng = np.random.default_rng(0)

  def run() -> int:
    for action in rng.integers(environment.action_space.n, size=steps):
      environment.step(action)
      if environment.game_over:
        environment.reset()
    return steps

  return run


def train(game: str, history: int, capacity: int, steps: int) -> Run:
  """The loop of Dopamine's runner: no statistics, no log, no evaluation.

  Args:
    game: to play.
    history: agent steps before the first update; one is due every 4.
    capacity: of the replay, in transitions.
    steps: agent steps that one call takes.
  """
  module = dopamine_shims.load(_AGENT)
  if jax.default_backend() != 'cpu':
    dopamine_agent.keep_tensorflow_off_gpus()
  methods = {'_build_replay_buffer': lambda self: make_replay(capacity, False)}
  environment = _environment(game)
  agent = type('Agent', (module.JaxDQNAgent,), methods)(
      int(environment.action_space.n),
      min_replay_history=history,
      update_period=4,
      target_update_period=8000,
      seed=0,
  )
  playing = _play(environment, agent)

  def play(count: int) -> int:
    for _ in itertools.islice(playing, count):
      pass
    jax.block_until_ready((agent.online_params, agent.optimizer_state))
    return count

  # The first update, which is compiled, is among these.
  play(history + steps + 8)
  return lambda: play(steps)


def make_replay(capacity: int, is_rainbow: bool) -> Any:
  """The ReplayBuffer of DQN or of Rainbow (n-step, priorities), packed."""
  accumulator = dopamine_shims.load(_REPLAY + 'accumulator')
  replay_buffer = dopamine_shims.load(_REPLAY + 'replay_buffer')
  samplers = dopamine_shims.load(_REPLAY + 'samplers')
  horizon, sampler = 1, samplers.UniformSamplingDistribution(seed=0)
  if is_rainbow:
    horizon = 3
    sampler = samplers.PrioritizedSamplingDistribution(
        seed=0, max_capacity=capacity
    )
  return replay_buffer.ReplayBuffer(
      accumulator.TransitionAccumulator(_STACK_SIZE, horizon, _GAMMA),
      sampler,
      batch_size=BATCH_SIZE,
      max_capacity=capacity,
  )


def replay_adds(stream: Stream, is_rainbow: bool, steps: int) -> Run:
  """Steps of a stream added, again and again, over the oldest."""
  buffer = make_replay(len(stream.actions), is_rainbow)
  options = {'priority': 1.0} if is_rainbow else {}
  rows = itertools.cycle(_elements(stream))

  def run() -> int:
    for row in itertools.islice(rows, steps):
      buffer.add(row, **options)
    return steps

  run()
  return run


def replay_samples(stream: Stream, is_rainbow: bool, count: int) -> Run:
  """Batches drawn; where there are priorities, with new ones for each."""
  buffer = _filled(stream, is_rainbow)
  priorities = np.ones(BATCH_SIZE)

  def run() -> int:
    for _ in range(count):
      _, drawn = buffer.sample(BATCH_SIZE, with_sample_metadata=True)
      if is_rainbow:
        buffer.update(drawn.keys, priorities=priorities)
    return count

  return run


def replay_bytes(stream: Stream) -> float:
  """Bytes a transition of the packed states alone, of these frames."""
  memory = _filled(stream, False)._memory
  total = sum(x.state.nbytes + x.next_state.nbytes for x in memory.values())
  return float(total / len(memory))


def _environment(game: str) -> Any:
  return dopamine_shims.load(_ATARI).create_atari_environment(game)


def _play(environment: Any, agent: Any) -> Iterator[None]:
  """Episode after episode; what each turn of it does is one agent step."""
  while True:
    action = agent.begin_episode(environment.reset())
    while True:
      observation, reward, is_terminal, _ = environment.step(action)
      reward = np.clip(reward, -1, 1)
      if environment.game_over:
        break
      action = agent.step(reward, observation)
      yield
    agent.end_episode(reward, is_terminal)
    yield


def _filled(stream: Stream, is_rainbow: bool) -> Any:
  buffer = make_replay(len(stream.actions), is_rainbow)
  options = {'priority': 1.0} if is_rainbow else {}
  for row in _elements(stream):
    buffer.add(row, **options)
  return buffer


def _elements(stream: Stream) -> list[Any]:
  element = dopamine_shims.load(_REPLAY + 'elements').TransitionElement
  return [
      element(frame, int(action), float(reward), bool(is_terminal), bool(end))
      for frame, action, reward, is_terminal, end in zip(*stream, strict=True)
  ]
