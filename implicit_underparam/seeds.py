"""Functions of one seed, run for several: vectorised, in turn, over devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

_NAME = 'seeds'

AXES = ('auto', 'vmap', 'map')


class SeedAxis:
  """How several seeds share a program, and on which devices they live.

  Args:
    num_seeds: how many.
    axis: 'vmap' makes one vectorised program of them; 'map' runs them one
      after another, faster for convolutions on a CPU; 'auto' is 'map' on a
      CPU and 'vmap' elsewhere.
    devices: those to use; None for all of this process. The seeds are dealt
      out evenly, so that only as many devices work as divide their number.
  """

  def __init__(
      self,
      num_seeds: int,
      axis: str = 'auto',
      devices: Sequence[jax.Device] | None = None,
  ):
    devices = jax.local_devices() if devices is None else devices
    self.num_seeds = num_seeds
    if axis == 'auto':
      axis = 'map' if devices[0].platform == 'cpu' else 'vmap'
    self.axis = axis
    used = max(
        n for n in range(1, len(devices) + 1) if num_seeds % n == 0
    )
    self.devices = tuple(devices[:used])
    self._mesh = jax.sharding.Mesh(np.array(self.devices), (_NAME,))

  def vectorize(self, function: Callable, in_axes: Sequence[int | None]) -> Any:
    """The function for all seeds; every output has the seeds in front.

    Args:
      function: of one seed.
      in_axes: for each argument, 0 if it has the seeds in front, None if all
        seeds share it.

    Returns:
      A function to compile.
    """
    make = jax.vmap if self.axis == 'vmap' else _in_turn
    vectorized = make(function, in_axes=tuple(in_axes))
    if len(self.devices) == 1:
      return vectorized
    split, whole = (jax.sharding.PartitionSpec(*x) for x in ((_NAME,), ()))
    return jax.shard_map(
        vectorized,
        mesh=self._mesh,
        in_specs=tuple(whole if x is None else split for x in in_axes),
        out_specs=split,
        # Loops start from constants that do not vary over the seeds.
        check_vma=False,
    )

  def place(self, tree: Any) -> Any:
    """Arrays with the seeds in front, on the devices where they are used."""
    return self._put(tree, jax.sharding.PartitionSpec(_NAME))

  def replicate(self, tree: Any) -> Any:
    """Arrays that all seeds share, on every device."""
    return self._put(tree, jax.sharding.PartitionSpec())

  def _put(self, tree: Any, spec: jax.sharding.PartitionSpec) -> Any:
    if len(self.devices) == 1:
      return jax.device_put(tree, self.devices[0])
    return jax.device_put(tree, jax.sharding.NamedSharding(self._mesh, spec))


def _in_turn(function: Callable, in_axes: Sequence[int | None]) -> Callable:
  """As `jax.vmap`, with one seed after another."""

  def all_seeds(*arguments: Any) -> Any:
    pairs = list(zip(arguments, in_axes, strict=True))
    mapped = tuple(x for x, axis in pairs if axis is not None)

    def one(mine: tuple) -> Any:
      rest = iter(mine)
      return function(*(x if a is None else next(rest) for x, a in pairs))

    return jax.lax.map(one, mapped)

  return all_seeds
