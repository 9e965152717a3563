"""An online loop's functions, compiled for lanes of some number of seeds."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

from implicit_underparam import lanes

if TYPE_CHECKING:
  from implicit_underparam import online


class Functions:
  """Each takes and gives arrays with the lane's seeds in front.

  Args:
    loop: the experiment.
    num_seeds: of the lane.
  """

  def __init__(self, loop: 'online.OnlineLoop', num_seeds: int):
    self._loop = loop
    self._num_seeds = num_seeds
    self.act = self._compile(loop.act, (0, 0, 0, 0, 0, None, None), donate=1)
    self.add = self._compile(loop.add, (0, None, 0, 0), donate=0)
    self.draw = self._compile(loop.draw, (0, 0, None))
    self.update_on = self._compile(
        loop.update_on, (0, 0, 0, None), donate=0
    )
    self.update_on_windows = self._compile(
        loop.update_on_windows, (0, 0, 0, 0, 0, 0, None), donate=(0, 1)
    )
    self.update_target = self._compile(loop.update_target, (0,), donate=0)
    self.probe_rows = self._compile(loop.probe_rows, (0, 0, 0))
    self.measure = self._compile(loop.measure, (0, 0, 0))
    self.measure_target = self._compile(loop.measure_target, (0, 0, 0, 0, 0))
    self.greedy = self._compile(loop.greedy, (0, 0))
    self.evaluate = self._compile(loop.evaluate, (0, 0, None))
    self.finish = self._compile(loop.finish, (0, 0, 0, None), donate=0)
    self._updates: dict[int, Callable] = {}

  def update(self, count: int) -> Callable:
    """`OnlineLoop.update` of that many gradient steps."""
    if count not in self._updates:
      self._updates[count] = self._compile(
          functools.partial(self._loop.update, count=count),
          (0, 0, 0, 0, None),
          donate=(0, 1),
      )
    return self._updates[count]

  def _compile(
      self,
      function: Callable,
      in_axes: tuple[int | None, ...],
      donate: int | tuple[int, ...] = (),
  ) -> Any:
    return jax.jit(
        lanes.over_seeds(function, in_axes, self._num_seeds),
        donate_argnums=donate,
    )
