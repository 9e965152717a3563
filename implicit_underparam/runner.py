"""The outer loop: iterate, measure, write, checkpoint, go on after a stop."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import gin
import jax
import tqdm

from implicit_underparam import (
    checkpoints,
    configuration,
    errors,
    run_folder,
    types,
    writers,
)
from implicit_underparam import rows as rows_lib
from implicit_underparam import seeds as seeds_lib


@dataclasses.dataclass(frozen=True)
class RunResult:
  """How a run ended.

  Attributes:
    path: the run's folder.
    started_at: the iteration from which this call went on; 0 for a new run.
    num_iterations: iterations that metrics.csv now has.
    stopped_seeds: seed -> why it stopped before the others.
    verdicts: a line for each statement that the run is there to check.
  """

  path: pathlib.Path
  started_at: int
  num_iterations: int
  stopped_seeds: Mapping[int, str]
  verdicts: Sequence[str] = ()


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
    seed_axis: 'vmap', 'map' or 'auto', see `seeds.SeedAxis`.
    tensorboard: whether to write TensorBoard files too.
    log_replay: whether an online loop writes what is played to
      base_dir/replay, as Dopamine's replay_logs.
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
      log_replay: bool = False,
  ):
    if not hasattr(loop, 'compile'):
      raise errors.UserError(
          f'Runner.loop is {loop!r}: bind it to a loop, for example '
          '@FittedIteration()'
      )
    _check_arguments(seeds, num_iterations, checkpoint_every, seed_axis)
    self.base_dir = pathlib.Path(base_dir)
    self.loop = loop
    self.seeds = tuple(seeds)
    self.num_iterations = num_iterations
    self.metrics = dict(metrics or {})
    self.checkpoint_every = checkpoint_every
    self.seed_axis = seed_axis
    self.tensorboard = tensorboard
    self.log_replay = log_replay

  def run(self) -> RunResult:
    """Starts the run, or goes on with it; returns when it is finished.

    Returns:
      How it ended.

    Raises:
      UserError: for a folder in use or with another configuration, a damaged
        checkpoint, a file that cannot be written, or if all seeds stopped.
    """
    # Imported late: drawing is the last thing, and matplotlib is slow to load.
    from implicit_underparam.figures import summary, theory_report

    with run_folder.RunFolder(self.base_dir) as folder:
      program = self.loop.compile(self.seeds, self.seed_axis)
      if self.log_replay:
        _log_replay(program, folder.path)
      measurements = rows_lib.Measurements(program, self.metrics)
      checkpointer = checkpoints.Checkpointer(folder.path / 'checkpoints')
      self._check_config(folder, checkpointer)
      stopped = _stopped_before(folder.path)
      folder.start(seeds=list(self.seeds), device=_device())
      with _status(folder, stopped):
        result = self._run(
            folder.path, program, measurements, checkpointer, stopped
        )
        summary.draw(folder.path)
        verdicts = theory_report.verdict_lines(folder.path)
      folder.finish('finished', stopped_seeds=stopped)
    return dataclasses.replace(result, verdicts=verdicts)

  def _check_config(
      self,
      folder: run_folder.RunFolder,
      checkpointer: checkpoints.Checkpointer,
  ) -> None:
    config = folder.path / 'config.gin'
    if checkpointer.iterations() and not config.exists():
      raise errors.UserError(
          f'{config} is missing, and with it what the checkpoints beside it '
          'are of: put it back, or name another --base_dir'
      )
    folder.check_config(gin.operative_config_str())

  def _run(
      self,
      path: pathlib.Path,
      program: types.Program,
      measurements: rows_lib.Measurements,
      checkpointer: checkpoints.Checkpointer,
      stopped: dict[int, str],
  ) -> RunResult:
    state = program.init()
    restored = checkpointer.restore(program.snapshot(state))
    start = 0
    if restored is not None:
      start, state = restored[0], program.place(restored[1])
    if len(stopped) == len(self.seeds):
      raise errors.UserError(_all_stopped(stopped, path))
    with (
        writers.MetricWriter(
            path,
            resume_at=start,
            tensorboard=self.tensorboard,
            first_checkpoint=self.checkpoint_every,
        ) as writer,
        self._progress_bar(start) as progress,
    ):
      rows = rows_lib.Rows(self.seeds, measurements, writer, stopped)
      for iteration in range(start, self.num_iterations):
        state, output = program.iterate(state)
        found = rows.push(iteration, output)
        if program.waits:
          found |= rows.flush()
        done = iteration + 1
        if found or self._is_checkpoint(done):
          rows.flush()
          checkpointer.save(done, program.snapshot(state))
        if rows.all_stopped:
          raise errors.UserError(_all_stopped(stopped, path))
        _show(progress, rows.latest)
    program.close()
    done = max(start, self.num_iterations)
    return RunResult(path, start, done, stopped)

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


def build(
    base_dir: str,
    gin_files: Sequence[str],
    gin_bindings: Sequence[str],
    where: str = '',
) -> Runner:
  """What a configuration makes; nothing is run, and no file made.

  Args:
    base_dir: the run's folder.
    gin_files: paths, see `configuration.parse`.
    gin_bindings: bindings, applied after the files.
    where: what an error names, of a value that is refused.

  Raises:
    UserError: the configuration cannot be parsed, or a value is refused.
  """
  configuration.parse(gin_files, gin_bindings)
  with configuration.readable_errors(where):
    return Runner(base_dir)


def _log_replay(program: types.Program, path: pathlib.Path) -> None:
  if not hasattr(program, 'log_replay'):
    raise errors.UserError(
        'Runner.log_replay is True, but the loop plays nothing: only an '
        'OnlineLoop does'
    )
  program.log_replay(path / 'replay')


def _stopped_before(path: pathlib.Path) -> dict[int, str]:
  """The seeds that had stopped when the run was last going on."""
  status = run_folder.RunFolder.read_status(path) or {}
  stopped = status.get('stopped_seeds') or {}
  return {int(seed): str(reason) for seed, reason in stopped.items()}


@contextlib.contextmanager
def _status(
    folder: run_folder.RunFolder, stopped: Mapping[int, str]
) -> Iterator[None]:
  """Notes in run.json why a run failed, whatever the reason."""
  try:
    yield
  except BaseException as error:
    interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
    reason = 'interrupted' if interrupted else f'{error}'.split('\n')[0]
    # The first error is the one to show; a full disk fails here again.
    with contextlib.suppress(errors.UserError):
      reason = reason or type(error).__name__
      folder.finish('failed', reason=reason, stopped_seeds=stopped)
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
  if not _are_seeds(seeds):
    raise errors.UserError(
        f'Runner.seeds is {seeds!r}: give different whole numbers from 0 to '
        '2^32 - 1, such as (0, 1, 2)'
    )
  for name, value in (
      ('num_iterations', num_iterations),
      ('checkpoint_every', checkpoint_every),
  ):
    if not isinstance(value, int) or value < 1:
      raise errors.UserError(
          f'Runner.{name} is {value!r}: give a whole number, at least 1'
      )
  if seed_axis not in seeds_lib.AXES:
    raise errors.UserError(
        f'Runner.seed_axis is {seed_axis!r}: use one of '
        f'{", ".join(seeds_lib.AXES)}'
    )


def _are_seeds(seeds: object) -> bool:
  return (
      isinstance(seeds, Sequence)
      and 0 < len(seeds) == len(set(seeds))
      and all(isinstance(x, int) and 0 <= x < 2**32 for x in seeds)
  )
