"""A small environment that is a pure function, for the tests."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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

  def show(self, place):
    return jax.nn.one_hot(place, 8, dtype=self.frame_dtype)

  def reset(self, rng):
    state = ChainState(jax.random.randint(rng, (), 0, 6), jnp.int32(0))
    return state, self.show(state.place)

  def step(self, state, action, rng):
    move = 2 * action - 1
    place = jnp.clip(state.place + move, 0, 7)
    steps = state.steps + 1
    is_terminal = place == 7
    truncated = ~is_terminal & (steps == 9)
    fresh, first = self.reset(rng)
    ended = is_terminal | truncated
    going_on = ChainState(place, steps)
    frame = self.show(place)
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
