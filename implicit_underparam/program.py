"""A loop compiled for several seeds, and its outputs as rows of numbers."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from implicit_underparam import evaluation, types, writers


def _one_after_another(iterate: Callable) -> Callable:
  def all_seeds(states: Any, hyperparameters: types.Hyperparameters) -> Any:
    return jax.lax.map(lambda state: iterate(state, hyperparameters), states)

  return all_seeds


SEED_AXES: dict[str, Callable[[Callable], Callable]] = {
    'vmap': lambda iterate: jax.vmap(iterate, in_axes=(0, None)),
    'map': _one_after_another,
}


_COMPILE_FAST = {'xla_backend_optimization_level': 0}


class Program:
  """A loop compiled for several seeds, and the columns that it yields.

  Args:
    loop: what an iteration does, for one seed.
    seeds: one key each.
    metrics: column -> metric, see `evaluation`.
    seed_axis: 'vmap' or 'map', see `Runner`.
  """

  def __init__(
      self,
      loop: types.Loop,
      seeds: Sequence[int],
      metrics: Mapping[str, types.Metric],
      seed_axis: str,
  ):
    self.loop = loop
    self.seeds = tuple(seeds)
    self._hyperparameters = loop.hyperparameters()
    # Runs once, so compile it fast: on a CPU 3 s in the place of 12.
    on_cpu = jax.default_backend() == 'cpu'
    self._init = jax.jit(
        lambda seeds: jax.lax.map(self._init_seed, seeds),
        compiler_options=_COMPILE_FAST if on_cpu else None,
    )
    self._iterate = jax.jit(
        SEED_AXES[seed_axis](loop.iterate), donate_argnums=0
    )
    shapes = self._output_shapes()
    self.columns = evaluation.columns(
        metrics, list(shapes.probes), list(shapes.scalars)
    )
    self._try_columns(shapes)

  def init(self) -> Any:
    """The state of every seed before the first iteration."""
    return self._init(jnp.asarray(self.seeds, jnp.uint32))

  def iterate(self, state: Any) -> tuple[Any, types.IterationOutput]:
    """One iteration of every seed; the given state is consumed."""
    return self._iterate(state, self._hyperparameters)

  def probe(self, state: Any) -> Mapping[str, types.Probe]:
    """Every seed's probes, without an update."""
    return jax.jit(jax.vmap(self.loop.probe))(state)

  def measure(self, output: types.IterationOutput) -> list[dict[str, float]]:
    """A row of scalars and metrics for every seed, on the host."""
    output = jax.tree.map(np.asarray, output)
    return [
        self._row(jax.tree.map(lambda x, i=i: x[i], output))
        for i in range(len(self.seeds))
    ]

  def _init_seed(self, seed: types.Array) -> Any:
    return self.loop.init(jax.random.key(seed))

  def _row(self, output: types.IterationOutput) -> dict[str, float]:
    if not output.finite:
      return {}
    measured = evaluation.measure(
        self.columns, output.probes, output.parameters, self.loop.environment
    )
    scalars = {name: float(x) for name, x in output.scalars.items()}
    # By name, so that a run started from its config.gin, which gin sorts, has
    # the same columns.
    return dict(sorted((scalars | measured).items()))

  def _output_shapes(self) -> types.IterationOutput:
    state = jax.eval_shape(self._init_seed, jnp.uint32(0))
    return jax.eval_shape(self.loop.iterate, state, self._hyperparameters)[1]

  def _try_columns(self, shapes: types.IterationOutput) -> None:
    """Calls every metric once, so that a broken one fails before the run."""
    rng = np.random.default_rng(0)

    def random(x: jax.ShapeDtypeStruct) -> np.ndarray:
      return np.abs(rng.normal(size=x.shape)).astype(x.dtype)

    example = jax.tree.map(random, shapes)
    self._row(example._replace(finite=True))


class Rows:
  """Writes an iteration's rows one call later, and notes which seeds stopped.

  The delay lets the host measure an iteration while the device computes the
  next one.

  Args:
    program: measures.
    writer: writes.
    stopped: seed -> why it stopped; those found are added.
  """

  def __init__(
      self,
      program: Program,
      writer: writers.MetricWriter,
      stopped: dict[int, str],
  ):
    self.stopped = stopped
    self.latest: dict[str, float] = {}
    self._program = program
    self._writer = writer
    self._pending: tuple[int, types.IterationOutput] | None = None

  @property
  def all_stopped(self) -> bool:
    """Whether no seed is left."""
    return len(self.stopped) == len(self._program.seeds)

  def push(self, iteration: int, output: types.IterationOutput) -> bool:
    """Takes an iteration's output and writes the one before.

    Returns:
      Whether a seed was found to have stopped.
    """
    found = self.flush()
    self._pending = (iteration, output)
    return found

  def flush(self) -> bool:
    """Writes what is pending; returns whether a seed had stopped in it."""
    if self._pending is None:
      return False
    (iteration, output), self._pending = self._pending, None
    before = len(self.stopped)
    rows = self._program.measure(output)
    for i, seed in enumerate(self._program.seeds):
      if rows[i]:
        self._write(i, seed, iteration, output, rows[i])
      elif seed not in self.stopped:
        self.stopped[seed] = _why_stopped(output, i)
        tqdm.tqdm.write(
            f'seed {seed} stopped {self.stopped[seed]}', file=sys.stderr
        )
    self._writer.flush()
    self.latest = _mean([row for row in rows if row])
    return len(self.stopped) > before

  def _write(
      self,
      i: int,
      seed: int,
      iteration: int,
      output: types.IterationOutput,
      row: dict[str, float],
  ) -> None:
    self._writer.write_row(
        seed,
        iteration,
        int(output.gradient_steps[i]),
        int(output.environment_steps[i]),
        row,
    )


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Of each column, over seeds; for the progress bar."""
  if not rows:
    return {}
  return {name: float(np.mean([x[name] for x in rows])) for name in rows[0]}


def _why_stopped(output: types.IterationOutput, i: int) -> str:
  scalars = {name: float(x[i]) for name, x in output.scalars.items()}
  bad = [f'{k} is {x}' for k, x in scalars.items() if not np.isfinite(x)]
  what = bad[0] if bad else 'a parameter is not finite'
  return f'in iteration {int(output.iterations[i])}: {what}'
