"""The outer loop: iterate, measure, write, checkpoint, go on after a stop."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import gin
import jax
import tqdm

from implicit_underparam import checkpoints, errors, run_folder, types, writers
from implicit_underparam.program import SEED_AXES, Program, Rows


@dataclasses.dataclass(frozen=True)
class RunResult:
  """How a run ended.

  Attributes:
    path: the run's folder.
    started_at: the iteration from which this call went on; 0 for a new run.
    num_iterations: iterations that metrics.csv now has.
    stopped_seeds: seed -> why it stopped before the others.
  """

  path: pathlib.Path
  started_at: int
  num_iterations: int
  stopped_seeds: Mapping[int, str]


@gin.configurable
class Runner:
  """Runs one experiment, for several seeds, in one folder.

  Args:
    base_dir: the run's folder; the same command goes on with what is there.
    loop: what an iteration does.
    seeds: one independent run each, side by side in one program.
    num_iterations: how long; may be raised later, to go on.
    metrics: column -> metric, see `evaluation`.
    checkpoint_every: iterations between checkpoints.
    seed_axis: 'vmap' makes one vectorised program of the seeds, 'map' runs
      them one after another (faster for convolutions on a CPU).
    tensorboard: whether to write TensorBoard files too.
  """

  def __init__(
      self,
      base_dir: str,
      loop: types.Loop = gin.REQUIRED,
      seeds: Sequence[int] = (0,),
      num_iterations: int = 500,
      metrics: Mapping[str, types.Metric] | None = None,
      checkpoint_every: int = 50,
      seed_axis: str = 'vmap',
      tensorboard: bool = True,
  ):
    _check_arguments(seeds, num_iterations, checkpoint_every, seed_axis)
    self.base_dir = pathlib.Path(base_dir)
    self.loop = loop
    self.seeds = tuple(seeds)
    self.num_iterations = num_iterations
    self.metrics = dict(metrics or {})
    self.checkpoint_every = checkpoint_every
    self.seed_axis = seed_axis
    self.tensorboard = tensorboard

  def run(self) -> RunResult:
    """Starts the run, or goes on with it; returns when it is finished.

    Returns:
      How it ended.

    Raises:
      UserError: for a folder in use or with another configuration, a damaged
        checkpoint, a file that cannot be written, or if all seeds stopped.
    """
    # Imported late: drawing is the last thing, and matplotlib is slow to load.
    from implicit_underparam.figures import summary

    with run_folder.RunFolder(self.base_dir) as folder:
      program = Program(self.loop, self.seeds, self.metrics, self.seed_axis)
      config = gin.operative_config_str()
      folder.check_config(config, may_differ=('Runner.num_iterations',))
      folder.start(seeds=list(self.seeds), device=_device())
      with _status(folder):
        result = self._run(folder, program)
        summary.draw(folder.path)
      folder.finish('finished', stopped_seeds=dict(result.stopped_seeds))
    return result

  def _run(self, folder: run_folder.RunFolder, program: Program) -> RunResult:
    checkpointer = checkpoints.Checkpointer(folder.path / 'checkpoints')
    state = program.init()
    restored = checkpointer.restore(state)
    start, state = restored if restored is not None else (0, state)
    with (
        writers.MetricWriter(
            folder.path, resume_at=start, tensorboard=self.tensorboard
        ) as writer,
        self._progress_bar(start) as progress,
    ):
      rows = Rows(program, writer)
      for iteration in range(start, self.num_iterations):
        state, output = program.iterate(state)
        stopped = rows.push(iteration, output)
        done = iteration + 1
        if stopped or self._is_checkpoint(done):
          rows.flush()
          checkpointer.save(done, state)
        if rows.all_stopped:
          raise errors.UserError(_all_stopped(rows.stopped, folder.path))
        _show(progress, rows.latest)
    done = max(start, self.num_iterations)
    return RunResult(folder.path, start, done, rows.stopped)

  def _is_checkpoint(self, done: int) -> bool:
    return done % self.checkpoint_every == 0 or done == self.num_iterations

  def _progress_bar(self, start: int) -> tqdm.tqdm:
    return tqdm.tqdm(
        total=self.num_iterations,
        initial=start,
        unit='it',
        desc=self.base_dir.name,
        disable=not sys.stderr.isatty(),
    )


@contextlib.contextmanager
def _status(folder: run_folder.RunFolder) -> Iterator[None]:
  """Notes in run.json why a run failed, whatever the reason."""
  try:
    yield
  except BaseException as error:
    interrupted = isinstance(error, KeyboardInterrupt)
    reason = 'interrupted' if interrupted else f'{error}'
    # The first error is the one to show; a full disk fails here again.
    with contextlib.suppress(errors.UserError):
      folder.finish('failed', reason=reason or type(error).__name__)
    raise


def _show(progress: tqdm.tqdm, latest: Mapping[str, float]) -> None:
  shown = [x for x in ('srank', 'normalized_return', 'loss') if x in latest]
  if shown and not progress.disable:
    text = ', '.join(f'{x} {latest[x]:.3g}' for x in shown)
    progress.set_postfix_str(text, refresh=False)
  progress.update()


def _device() -> str:
  device = jax.devices()[0]
  return f'{device.platform}: {device.device_kind}'


def _all_stopped(stopped: Mapping[int, str], path: pathlib.Path) -> str:
  seed, reason = next(iter(stopped.items()))
  return (
      f'every seed stopped (seed {seed} {reason}): lower adam.learning_rate '
      f'or the penalty; the state before is the last checkpoint in {path}'
  )


def _check_arguments(
    seeds: Sequence[int],
    num_iterations: int,
    checkpoint_every: int,
    seed_axis: str,
) -> None:
  seeds = tuple(seeds)
  if not seeds or len(set(seeds)) != len(seeds):
    raise errors.UserError(
        f'Runner.seeds is {seeds}: give different whole numbers, such as '
        '(0, 1, 2)'
    )
  for name, value in (
      ('num_iterations', num_iterations),
      ('checkpoint_every', checkpoint_every),
  ):
    if not isinstance(value, int) or value < 1:
      raise errors.UserError(
          f'Runner.{name} is {value}: give a whole number, at least 1'
      )
  if seed_axis not in SEED_AXES:
    raise errors.UserError(
        f'Runner.seed_axis is {seed_axis!r}: use one of '
        f'{", ".join(sorted(SEED_AXES))}'
    )
