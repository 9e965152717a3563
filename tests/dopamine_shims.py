"""Dopamine's own modules, as its wheel ships them, for tests to compare with.

Nothing is imported before a test asks. What `[test]` installs is there: a test
whose peer is missing fails.
"""

import types

from benchmarks import dopamine_shims


def circular_replay_buffer() -> types.ModuleType:
  """The module of OutOfGraphReplayBuffer; takes TensorFlow's 4 s, once."""
  return load('dopamine.tf.replay_memory.circular_replay_buffer')


def jax_dqn_agent() -> types.ModuleType:
  """The module of JaxDQNAgent.

  Its `_build_replay_buffer` takes sizes from gin alone: override that method.
  """
  return load('dopamine.jax.agents.dqn.dqn_agent')


load = dopamine_shims.load
