"""Dopamine's JaxDQNAgent on a prepared set, with Dopamine's own buffers.

The agent is the wheel's, its step too; only where the transitions come from
is said here, which the wheel leaves to gin.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import dopamine_shims
from implicit_underparam.data import frame_store

_AGENT = 'dopamine.jax.agents.dqn.dqn_agent'
_CIRCULAR = 'dopamine.tf.replay_memory.circular_replay_buffer'
_REPLAY = 'dopamine.jax.replay_memory.'
_STACK_SIZE = 4
_GAMMA = 0.99


def with_log_buffer(
    store: frame_store.FrameStore, batch_size: int, steps: int
) -> Callable[[], int]:
  """The agent with OutOfGraphReplayBuffer, which reads the public logs."""
  circular = dopamine_shims.load(_CIRCULAR)
  rows = _played(store)
  buffer = circular.OutOfGraphReplayBuffer(
      store.frames.shape[1:],
      _STACK_SIZE,
      # Room for the padding, and for a cursor that stands at the end.
      replay_capacity=len(store.actions) + 1,
      batch_size=batch_size,
      gamma=_GAMMA,
  )
  for i in rows:
    buffer.add(
        store.frames[i], store.actions[i], store.rewards[i], store.terminals[i]
    )

  def sample(agent: Any) -> None:
    agent.replay_elements = {
        element.name: array
        for element, array in zip(
            buffer.get_transition_elements(),
            buffer.sample_transition_batch(),
            strict=True,
        )
    }

  return _run(store, buffer, sample, steps)


def with_own_buffer(
    store: frame_store.FrameStore,
    batch_size: int,
    steps: int,
    max_transitions: int = 50_000,
) -> Callable[[], int]:
  """The agent with the buffer that it has by default, of packed states."""
  accumulator = dopamine_shims.load(_REPLAY + 'accumulator')
  elements = dopamine_shims.load(_REPLAY + 'elements')
  replay_buffer = dopamine_shims.load(_REPLAY + 'replay_buffer')
  samplers = dopamine_shims.load(_REPLAY + 'samplers')
  buffer = replay_buffer.ReplayBuffer(
      accumulator.TransitionAccumulator(_STACK_SIZE, 1, _GAMMA),
      samplers.UniformSamplingDistribution(seed=0),
      batch_size=batch_size,
      max_capacity=max_transitions,
  )
  for i in _played(store)[:max_transitions]:
    buffer.add(
        elements.TransitionElement(
            np.asarray(store.frames[i]),
            int(store.actions[i]),
            float(store.rewards[i]),
            bool(store.terminals[i]),
        )
    )
  return _run(store, buffer, None, steps)


def _run(
    store: frame_store.FrameStore,
    buffer: Any,
    sample: Callable[[Any], None] | None,
    steps: int,
) -> Callable[[], int]:
  module = dopamine_shims.load(_AGENT)
  keep_tensorflow_off_gpus()
  methods = {'_build_replay_buffer': lambda self: buffer}
  if sample is not None:
    methods['_sample_from_replay_buffer'] = sample
  agent = type('Agent', (module.JaxDQNAgent,), methods)(
      int(store.meta['num_actions']),
      min_replay_history=_STACK_SIZE,
      update_period=1,
      target_update_period=2000,
      seed=0,
  )

  def run() -> int:
    for _ in range(steps):
      agent._train_step()
    jax.block_until_ready((agent.online_params, agent.optimizer_state))
    return steps

  return run


def _played(store: frame_store.FrameStore) -> np.ndarray:
  """Rows that are no padding: it stands before each episode."""
  count = int(store.meta['counts']['rows'])
  ends = np.flatnonzero(store.terminals[:count])
  begins = np.concatenate([[0], ends + 1])
  padding = (begins[:, None] + np.arange(_STACK_SIZE - 1)).reshape(-1)
  return np.setdiff1d(np.arange(count), padding)


def keep_tensorflow_off_gpus() -> None:
  """TensorFlow only writes summaries here, and would take all the memory."""
  import tensorflow as tf

  tf.config.set_visible_devices([], 'GPU')
