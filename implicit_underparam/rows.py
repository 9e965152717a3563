"""An iteration's outputs as rows of numbers, measured and written."""

import sys
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import tqdm

from implicit_underparam import evaluation, types, writers


class Measurements:
  """The columns that a program's outputs yield.

  Args:
    program: says what its outputs look like.
    metrics: column -> metric, see `evaluation`.

  Raises:
    UserError: for metrics that cannot be measured on these outputs.
  """

  def __init__(
      self, program: types.Program, metrics: Mapping[str, types.Metric]
  ):
    self._program = program
    shapes = program.output_shapes()
    self.columns = evaluation.columns(
        metrics, list(shapes.probes), list(shapes.scalars)
    )
    self._try_columns(shapes)

  def measure(self, output: types.IterationOutput) -> list[dict[str, float]]:
    """A row of scalars and metrics for every seed, on the host."""
    output = jax.tree.map(np.asarray, output)
    return [
        self._row(jax.tree.map(lambda x, i=i: x[i], output))
        for i in range(len(self._program.seeds))
    ]

  def _row(self, output: types.IterationOutput) -> dict[str, float]:
    if not output.finite:
      return {}
    measured = evaluation.measure(
        self.columns,
        output.probes,
        output.parameters,
        self._program.environment,
    )
    scalars = {name: float(x) for name, x in output.scalars.items()}
    # By name, so that a run started from its config.gin, which gin sorts, has
    # the same columns.
    return dict(sorted((scalars | measured).items()))

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
    seeds: those of the rows, in order.
    measurements: measures.
    writer: writes.
    stopped: seed -> why it stopped; those found are added.
  """

  def __init__(
      self,
      seeds: Sequence[int],
      measurements: Measurements,
      writer: writers.MetricWriter,
      stopped: dict[int, str],
  ):
    self.seeds = tuple(seeds)
    self.stopped = stopped
    self.latest: dict[str, float] = {}
    self._measurements = measurements
    self._writer = writer
    self._pending: tuple[int, types.IterationOutput] | None = None

  @property
  def all_stopped(self) -> bool:
    """Whether no seed is left."""
    return len(self.stopped) == len(self.seeds)

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
    rows = self._measurements.measure(output)
    for i, seed in enumerate(self.seeds):
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
