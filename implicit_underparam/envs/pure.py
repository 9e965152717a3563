"""Environments that are pure functions, and K of them behind one call.

A `PureEnvironment` says how one copy begins and steps; who runs many vmaps it,
and a program that acts, stores and learns calls it like any other function.
`PureVector` is the other face: the same environment for code that plays on the
host.
"""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from implicit_underparam import types
from implicit_underparam.envs.vector import (
  Described,
  Integers,
  InTwoHalves,
  Step,
  check_actions,
  check_numbers,
  check_seeds,
)


class PureStep(NamedTuple):
  """What one agent step of one copy gives.

  Where an episode ends, `state` and `frame` are already those of the next
  one's start, so that every step is one that an agent takes.

  Attributes:
    state: a pytree, for the next step.
    frame: [*frame_shape] what the next action is chosen on.
    reward: [] float32, as the environment pays it.
    is_terminal: [] bool, the episode reached its end.
    truncated: [] bool, the episode was cut by a limit of steps, in a state
      that is not terminal.
    episode_return: [] float32, sum of rewards of the episode, this step's
      included.
    episode_length: [] int32, its agent steps so far, this one included.
    final_frame: [*frame_shape] what this step led to; differs from `frame`
      where an episode ended.
  """

  state: Any
  frame: types.Array
  reward: types.Array
  is_terminal: types.Array
  truncated: types.Array
  episode_return: types.Array
  episode_length: types.Array
  final_frame: types.Array

  @property
  def episode_end(self) -> types.Array:
    """[] bool, for either reason."""
    return self.is_terminal | self.truncated


class PureEnvironment(Described, Protocol):
  """How one copy begins and steps; hashable, as it is part of a program.

  Both functions can be traced, and all states have the same structure, shapes
  and types.
  """

  def reset(self, rng: types.Array) -> tuple[Any, types.Array]:
    """Begins as if just made.

    Args:
      rng: random key.

    Returns:
      The state and the first frame [*frame_shape].
    """

  def step(
      self, state: Any, action: types.Array, rng: types.Array
  ) -> PureStep:
    """Takes one agent step.

    Args:
      state: of `reset` or of a step before.
      action: [] integer in [0, num_actions), which is not checked.
      rng: random key.
    """


def is_pure(environment: Any) -> bool:
  """Whether an environment has the functions of `PureEnvironment`."""
  return hasattr(environment, 'reset') and hasattr(environment, 'step')


class PureVector(InTwoHalves):
  """K copies on the host; a `VectorEnvironment` of an unstacked environment.

  Each copy has a stream of random keys that follows from its seed. Programs
  are compiled once for each environment and K.
  """

  def __init__(
      self,
      environment: PureEnvironment,
      num_environments: int,
      num_threads: int = 0,
  ):
    """Makes nothing yet.

    Args:
      environment: of stack_size 1.
      num_environments: K.
      num_threads: not used.

    Raises:
      UserError: numbers that make no environments.
    """
    check_numbers(num_environments, num_threads)
    if environment.stack_size != 1:
      raise ValueError(f'{environment.name} is observed in stacks of frames')
    self.environment = environment
    self.num_environments = num_environments
    self.num_actions = environment.num_actions
    self._rngs: types.Array | None = None
    self._state: Any = None
    self._sent: PureStep | None = None

  def reset(self, seeds: Integers) -> np.ndarray:
    """Begins an episode in each copy, as if it had just been made.

    Args:
      seeds: K numbers in [0, 2^31).

    Returns:
      [K, *frame, 1].

    Raises:
      UserError: another number of seeds, or one out of range.
    """
    array = check_seeds(seeds, self.num_environments)
    return self._begin(_keys(array.astype(np.uint32)))

  def restart(self) -> np.ndarray:
    """Gives up the episodes and begins anew; the random numbers go on.

    Returns:
      [K, *frame, 1].
    """
    return self._begin(self._ready())

  def send(self, actions: Integers) -> None:
    """The first half of `step`: the program starts and the caller goes on.

    Args:
      actions: K numbers in [0, num_actions).

    Raises:
      UserError: an action that there is not.
    """
    rngs = self._ready()
    array = check_actions(
        actions,
        self.num_environments,
        self.num_actions,
        self.environment.name,
    )
    self._rngs, self._sent = _step(
        self.environment, rngs, self._state, array.astype(np.int32)
    )
    self._state = self._sent.state

  def receive(self) -> Step:
    """The second half of `step`: waits for the program."""
    if self._sent is None:
      raise ValueError('send() comes before receive()')
    sent: Any = jax.tree.map(np.asarray, self._sent._replace(state=None))
    self._sent = None
    return Step(
        observation=sent.frame[..., None],
        reward=sent.reward,
        is_terminal=sent.is_terminal,
        truncated=sent.truncated,
        episode_return=sent.episode_return.astype(np.float64),
        episode_length=sent.episode_length.astype(np.int64),
        final_observation=(
            sent.final_frame[..., None] if sent.episode_end.any() else None
        ),
    )

  def _ready(self) -> types.Array:
    if self._rngs is None:
      raise ValueError('reset() comes before a step')
    return self._rngs

  def _begin(self, rngs: types.Array) -> np.ndarray:
    self._rngs, self._state, frame = _reset(self.environment, rngs)
    self._sent = None
    return np.asarray(frame)[..., None]


@jax.jit
def _keys(seeds: types.Array) -> types.Array:
  return jax.vmap(jax.random.key)(seeds)


@functools.partial(jax.jit, static_argnums=0)
def _reset(
    environment: PureEnvironment, rngs: types.Array
) -> tuple[types.Array, Any, types.Array]:
  """The streams afterwards, states and first frames of K copies."""

  def reset(rng: types.Array) -> tuple[types.Array, Any, types.Array]:
    rng, reset_rng = jax.random.split(rng)
    return rng, *environment.reset(reset_rng)

  return jax.vmap(reset)(rngs)


@functools.partial(jax.jit, static_argnums=0)
def _step(
    environment: PureEnvironment,
    rngs: types.Array,
    state: Any,
    actions: types.Array,
) -> tuple[types.Array, PureStep]:
  """The streams afterwards and one step of K copies."""

  def step(
      rng: types.Array, state: Any, action: types.Array
  ) -> tuple[types.Array, PureStep]:
    rng, step_rng = jax.random.split(rng)
    return rng, environment.step(state, action, step_rng)

  return jax.vmap(step)(rngs, state, actions)
