"""Instances of a theorem, drawn by seed and run as seeds of a run.

A seed of the run is an instance: a Markov decision process with a kernel, or a
deep linear network with its data. An iteration is a fitting iteration k. What
is measured lands in metrics.csv in float64; a column that tells by how much a
statement is violated is judged by `figures.theory_statements`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gin
import numpy as np

from implicit_underparam import errors, types

Scalars = Mapping[str, float]


class Experiment(Protocol):
  """What a theorem's experiment consists of; bound to its options by gin."""

  @property
  def gradient_steps(self) -> int:
    """Taken in an iteration; 0 where the fit is a linear solve."""

  def init(self, rng: np.random.Generator) -> Any:
    """Draws an instance.

    Args:
      rng: of the seed; the same instance each time.

    Returns:
      A pytree of numpy arrays: what changes from one iteration to the next,
      and what the instance is.
    """

  def iterate(self, state: Any, iteration: int) -> tuple[Any, Scalars]:
    """One fitting iteration.

    Args:
      state: of `init`, or of the iteration before.
      iteration: k - 1, from 0.

    Returns:
      The next state, and columns of metrics.csv; the same in every iteration,
      NaN where nothing is to be said.
    """


@gin.register
@dataclasses.dataclass(frozen=True)
class TheoryLoop:
  """Runs an experiment of `theory` with an instance for every seed.

  Attributes:
    experiment: what an instance is and what an iteration does.
  """

  experiment: Experiment

  def __post_init__(self) -> None:
    made = not isinstance(self.experiment, type)
    if not (made and hasattr(self.experiment, 'iterate')):
      raise errors.UserError(
          f'TheoryLoop.experiment is {self.experiment!r}: bind it to one of '
          'gin_configs/theory, such as @KernelIteration()'
      )

  def compile(self, seeds: Sequence[int], seed_axis: str) -> types.Program:
    """The experiment for several seeds; there is nothing to compile."""
    del seed_axis  # Instances run one after another, on the host.
    return TheoryProgram(self.experiment, seeds)


class TheoryProgram:
  """An experiment for several instances; a `types.Program`.

  Args:
    experiment: what an iteration does.
    seeds: an instance each.
  """

  waits = True
  environment = None

  def __init__(self, experiment: Experiment, seeds: Sequence[int]):
    self.seeds = tuple(seeds)
    self._experiment = experiment

  def init(self) -> Any:
    """Every instance before its first iteration."""
    states = [
        self._experiment.init(np.random.default_rng(seed))
        for seed in self.seeds
    ]
    return {'iteration': np.int64(0), 'instances': states}

  def snapshot(self, state: Any) -> Any:
    """The state itself holds all that a checkpoint needs."""
    return state

  def place(self, tree: Any) -> Any:
    """A restored state is one to go on from."""
    return tree

  def iterate(self, state: Any) -> tuple[Any, types.IterationOutput]:
    """One iteration of every instance."""
    iteration = int(state['iteration'])
    pairs = [
        self._experiment.iterate(instance, iteration)
        for instance in state['instances']
    ]
    new = {
        'iteration': np.int64(iteration + 1),
        'instances': [pair[0] for pair in pairs],
    }
    scalars = [pair[1] for pair in pairs]
    return new, self._output(scalars, iteration + 1, np.asarray)

  def probe(self, state: Any) -> Mapping[str, types.Probe]:
    """There is no network to probe: an iteration measures what it needs."""
    del state
    return {}

  def close(self) -> None:
    """There is nothing to end."""

  def output_shapes(self) -> types.IterationOutput:
    """Shapes and types of one instance's output; runs its first iteration."""
    instance = self._experiment.init(np.random.default_rng(self.seeds[0]))
    _, scalars = self._experiment.iterate(instance, 0)
    return self._output([scalars], 1, lambda x: np.asarray(x)[0])

  def _output(
      self, scalars: Sequence[Scalars], done: int, array: Callable[..., Any]
  ) -> types.IterationOutput:
    """What the runner writes; an array's first axis is that of instances."""
    count = len(scalars)
    return types.IterationOutput(
        scalars={
            name: array([float(x[name]) for x in scalars])
            for name in scalars[0]
        },
        probes={},
        parameters={},
        gradient_steps=array([done * self._experiment.gradient_steps] * count),
        environment_steps=array([0] * count),
        iterations=array([done] * count),
        finite=array([True] * count),
    )
