"""A loop that is pure, for one seed, compiled for several."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from implicit_underparam import seeds as seeds_lib
from implicit_underparam import types

_COMPILE_FAST = {'xla_backend_optimization_level': 0}


class Program:
  """A `types.PureLoop` compiled for several seeds; a `types.Program`.

  Args:
    loop: what an iteration does, for one seed.
    seeds: one key each.
    seed_axis: see `seeds.SeedAxis`.
  """

  waits = False

  def __init__(
      self, loop: types.PureLoop, seeds: Sequence[int], seed_axis: str
  ):
    self.loop = loop
    self.seeds = tuple(seeds)
    self.environment = loop.environment
    self._hyperparameters = loop.hyperparameters()
    self._axis = seeds_lib.SeedAxis(len(self.seeds), seed_axis)
    self._init = compile_init(self._init_seed)
    self._iterate = jax.jit(
        self._axis.vectorize(loop.iterate, (0, None)), donate_argnums=0
    )

  def init(self) -> Any:
    """The state of every seed before the first iteration."""
    return self.place(self._init(jnp.asarray(self.seeds, jnp.uint32)))

  def snapshot(self, state: Any) -> Any:
    """The state itself holds all that a checkpoint needs."""
    return state

  def place(self, state: Any) -> Any:
    """A restored state, where `iterate` wants it."""
    return self._axis.place(state)

  def iterate(self, state: Any) -> tuple[Any, types.IterationOutput]:
    """One iteration of every seed; the given state is consumed."""
    return self._iterate(state, self._hyperparameters)

  def probe(self, state: Any) -> Mapping[str, types.Probe]:
    """Every seed's probes, without an update."""
    return jax.jit(self._axis.vectorize(self.loop.probe, (0,)))(state)

  def close(self) -> None:
    """There is nothing to end."""

  def output_shapes(self) -> types.IterationOutput:
    """Shapes and types of one seed's output."""
    seeds = jax.ShapeDtypeStruct((len(self.seeds),), jnp.uint32)
    # Of the compiled functions: what is traced here is not traced again.
    state = jax.eval_shape(self._init, seeds)
    output = jax.eval_shape(self._iterate, state, self._hyperparameters)[1]
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), output
    )

  def _init_seed(self, seed: types.Array) -> Any:
    return self.loop.init(jax.random.key(seed))


def compile_init(init_seed: Any) -> Any:
  """Compiles what runs once a seed: seeds [S] -> states, seeds in front."""
  # On a CPU 3 s in the place of 12.
  on_cpu = jax.default_backend() == 'cpu'
  return jax.jit(
      lambda seeds: jax.lax.map(init_seed, seeds),
      compiler_options=_COMPILE_FAST if on_cpu else None,
  )
