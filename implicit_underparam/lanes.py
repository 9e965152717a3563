"""Seeds in groups that share a device and a program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax


class Lane(NamedTuple):
  """Some of the seeds.

  The lane's arrays have its seeds in front, but for a single one, which has no
  such axis: one in front of all parameters costs copies of them.

  Attributes:
    seeds: one run each.
    places: of the seeds among all.
    device: where they live.
  """

  seeds: tuple[int, ...]
  places: tuple[int, ...]
  device: jax.Device

  def part(self, array: Any) -> Any:
    """The lane's part of an array [S, ...] of all seeds."""
    if len(self.seeds) == 1:
      return array[self.places[0]]
    return array[self.places[0] : self.places[-1] + 1]

  def with_seeds(self, tree: Any) -> Any:
    """The lane's arrays, with its seeds in front in any case."""
    if len(self.seeds) == 1:
      return jax.tree.map(lambda x: x[None], tree)
    return tree


def split(
    seeds: Sequence[int],
    seed_axis: str,
    devices: Sequence[jax.Device] | None = None,
) -> list[Lane]:
  """Deals seeds out.

  Args:
    seeds: one run each.
    seed_axis: 'vmap' puts the seeds of a device into one vectorised program;
      'map' gives every seed a lane of its own, so that nothing is copied from
      one to another; 'auto' is 'map' on a CPU and 'vmap' elsewhere.
    devices: those to use; None for all of this process.

  Returns:
    The lanes; sizes differ by one at most.
  """
  devices = jax.local_devices() if devices is None else devices
  if seed_axis == 'auto':
    seed_axis = 'map' if devices[0].platform == 'cpu' else 'vmap'
  wanted = len(seeds) if seed_axis == 'map' else len(devices)
  count = min(wanted, len(seeds))
  bounds = [len(seeds) * i // count for i in range(count + 1)]
  return [
      Lane(
          tuple(seeds[begin:end]),
          tuple(range(begin, end)),
          devices[i % len(devices)],
      )
      for i, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False))
  ]


def over_seeds(
    function: Callable, in_axes: Sequence[int | None], num_seeds: int
) -> Callable:
  """A function of one seed, for all of a lane.

  Args:
    function: of one seed.
    in_axes: for each argument, 0 if it has the lane's seeds in front, None if
      they share it.
    num_seeds: of the lane.

  Returns:
    The function; of a single seed, itself.
  """
  if num_seeds == 1:
    return function
  return jax.vmap(function, in_axes=tuple(in_axes))
