"""Gradient steps per second of offline DQN on Atari, beside Dopamine's.

  pip install dopamine-rl==4.1.2
  python -m benchmarks.offline_atari [--seconds=4 --frames=20000 --output=CSV]

The package's own training program, sampling to target update, and Dopamine's
JaxDQNAgent with its buffer, `_train_step` by `_train_step`: the same network
(Mnih et al., 2015, SAME padding but where the table says VALID), the same
transitions, batch 32 and Adam, in one process and in turn. On a CPU all of it
runs on one core. Quote the ratio: absolute numbers depend on the machine and
on what else it does. With a GPU the step counts are larger, and ways to
compute the penalty are timed as well.
"""

import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags, logging

from benchmarks import (
    dopamine_agent,
    penalty_formulations,
    synthetic,
    timing,
)
from implicit_underparam import learner, metrics, networks, offline, penalties
from implicit_underparam.agents import dqn
from implicit_underparam.data import frame_store
from implicit_underparam.data import offline as offline_data

FLAGS = flags.FLAGS
_BATCH = 32
_TARGET_PERIOD = 2000
_ALPHA = 1e-3
_ITERATION = 62_500
_PROBE = 2048
_PEER = 'Dopamine, buffer of the logs'
_PLAIN = 'package'


class Scale(NamedTuple):
  """How much of everything.

  Attributes:
    frames: of the data set.
    seconds: of one timing.
    steps: gradient steps between looks at the clock.
    clock: whose ratios are quoted: on a CPU that others use as well, 'cpu'.
  """

  frames: int
  seconds: float
  steps: int
  clock: str


_SCALES = {
    'cpu': Scale(20_000, 4.0, 100, 'cpu'),
    'gpu': Scale(500_000, 3.0, 2000, 'wall'),
}


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('platform', None, 'cpu or gpu; by default what is there.')
  flags.DEFINE_integer('core', 0, 'On a CPU: the core to use; -1 for all.')
  flags.DEFINE_integer('rounds', 5, 'Timings of each contestant.')
  flags.DEFINE_float('seconds', None, 'Of one timing, at least.')
  flags.DEFINE_integer('frames', None, 'Of the data set.')
  flags.DEFINE_integer('steps', None, 'Gradient steps of one dispatch.')
  flags.DEFINE_multi_string(
      'only', [], 'The name of a contestant; repeat it; all by default.'
  )
  flags.DEFINE_bool('peer', True, "Whether to time Dopamine's agent as well.")
  flags.DEFINE_bool('formulations', None, 'Whether to time ways to penalise.')
  flags.DEFINE_string('output', None, 'A CSV of every timing.')


def package(
    store: frame_store.FrameStore,
    steps: int,
    name: str,
    penalty: bool = False,
    padding: str = 'SAME',
    **kwargs: Any,
) -> timing.Contestant:
  """The package's program; see `compile_program` for the rest."""
  program = compile_program(store, steps, penalty, padding, 1, **kwargs)
  state = program.init()

  def run() -> int:
    nonlocal state
    state, output = program.iterate(state)
    jax.block_until_ready((state, output))
    assert np.all(output.finite)
    return len(program.seeds) * steps

  return timing.Contestant(name, run)


def compile_program(
    store: frame_store.FrameStore,
    steps: int,
    penalty: bool,
    padding: str,
    probe_size: int,
    placement: str = 'device',
    num_seeds: int = 1,
) -> Any:
  """An `OfflineProgram` of DQN with Dopamine's hyperparameters.

  Args:
    store: the data.
    steps: gradient steps of an iteration and, at most, of a dispatch.
    penalty: whether to penalise.
    padding: of the network.
    probe_size: transitions that an iteration measures.
    placement: of the frames.
    num_seeds: how many, vectorised as is best on the device.
  """
  network = networks.NatureNetwork(synthetic.NUM_ACTIONS, padding=padding)
  return offline.OfflineLoop(
      learner.Learner(
          dqn.DQNAgent(network),
          learner.adam(6.25e-5, eps=1.5e-4),
          penalty=penalties.singular_value_penalty if penalty else None,
          penalty_coefficient=_ALPHA if penalty else 0.0,
          target_update_period=_TARGET_PERIOD,
      ),
      offline_data.OfflineData(
          str(store.path), batch_size=_BATCH, placement=placement
      ),
      gradient_steps=steps,
      steps_per_dispatch=steps,
      probe_size=probe_size,
  ).compile(range(num_seeds), 'auto')


def contestants(
    store: frame_store.FrameStore, steps: int
) -> list[timing.Contestant]:
  """Everything that the flags ask for, compiled."""
  makers = {
      _PEER: lambda: dopamine_agent.with_log_buffer(store, _BATCH, steps),
      'Dopamine, its default buffer': lambda: dopamine_agent.with_own_buffer(
          store, _BATCH, steps
      ),
  }
  if not FLAGS.peer:
    makers.clear()
  options: dict[str, dict[str, Any]] = {
      _PLAIN: {},
      'package, penalty': {'penalty': True},
      'package, frames from the host': {'placement': 'host'},
      'package, VALID padding': {'padding': 'VALID'},
      'package, 5 seeds': {'num_seeds': 5},
  }
  if _platform() != 'cpu':
    # On a CPU seeds run one after another, at the price of one.
    options['package, 5 seeds, penalty'] = {'num_seeds': 5, 'penalty': True}
  for name, kwargs in options.items():
    makers[name] = lambda name=name, kwargs=kwargs: package(
        store, steps, name, **kwargs
    )
  unknown = set(FLAGS.only) - set(makers)
  if unknown:
    sys.exit(f'error: --only={unknown.pop()}: one of {", ".join(makers)}')
  found = []
  for name, make in makers.items():
    if not FLAGS.only or name in FLAGS.only:
      start = time.perf_counter()
      found.append(make())
      found[-1].run()
      seconds = time.perf_counter() - start
      print(f'{name}: first steps after {seconds:.0f} s', flush=True)
  return found


def probe_seconds(store: frame_store.FrameStore) -> tuple[float, float]:
  """Seconds to measure 2048 transitions, and to take srank of the features.

  The latter in float64 on the host, as a run does at each iteration.
  """
  program = compile_program(store, 1, False, 'SAME', _PROBE)
  state = program.init()
  clock = time.process_time if _clock() == 'cpu' else time.perf_counter
  measuring, ranking = [], []
  for _ in range(4):
    start = clock()
    features = np.asarray(program.probe(state)['all'].features[0])
    middle = clock()
    metrics.srank(features, singular_values=metrics.singular_values(features))
    measuring.append(middle - start)
    ranking.append(clock() - middle)
  # The first is the compiler's.
  return statistics.median(measuring[1:]), statistics.median(ranking[1:])


def main(argv: Sequence[str]) -> None:
  """Times everything in turn and prints medians, ranges and ratios."""
  del argv
  logging.set_verbosity(logging.WARNING)
  if _platform() == 'cpu':
    jax.config.update('jax_platforms', 'cpu')
    timing.pin(FLAGS.core)
  scale = _scale()
  print(f'device: {_device()}; JAX {jax.__version__}', flush=True)
  with tempfile.TemporaryDirectory() as folder:
    store = synthetic.prepared_set(pathlib.Path(folder) / 'set', scale.frames)
    found = contestants(store, scale.steps)
    for done in timing.in_turn(found, FLAGS.rounds, scale.seconds):
      print(f'round {done} of {FLAGS.rounds}', flush=True)
      if FLAGS.output:
        timing.write_csv(FLAGS.output, found, _device())
    by_name = {x.name: x for x in found}
    _print_rates(found, by_name)
    _print_shares(by_name)
    if _PLAIN in by_name:
      _print_srank(by_name[_PLAIN], *probe_seconds(store))
  if _clock() == 'wall' if FLAGS.formulations is None else FLAGS.formulations:
    _print_formulations()


def _platform() -> str:
  """'cpu' or 'gpu', found out without taking the cores or the card."""
  if FLAGS.platform is None:
    code = 'import jax; print(jax.default_backend())'
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    FLAGS.platform = done.stdout.strip()
  if FLAGS.platform not in _SCALES:
    sys.exit(f'error: --platform={FLAGS.platform}: one of {", ".join(_SCALES)}')
  return FLAGS.platform


def _scale() -> Scale:
  default = _SCALES[_platform()]
  given = {x: FLAGS[x].value for x in ('frames', 'seconds', 'steps')}
  return default._replace(**{x: y for x, y in given.items() if y is not None})


def _clock() -> str:
  return _SCALES[_platform()].clock


def _device() -> str:
  device = jax.devices()[0]
  if device.platform != 'cpu':
    return str(device.device_kind)
  pinned = FLAGS.core >= 0 and hasattr(os, 'sched_setaffinity')
  return f'{"one core" if pinned else "all cores"}, {platform.machine()}'


def _print_rates(
    found: Sequence[timing.Contestant], by_name: dict[str, timing.Contestant]
) -> None:
  peer = by_name.get(_PEER)
  print(f'{"":31}seed-steps/s, median (range)   ms of CPU a step   / Dopamine')
  for x in found:
    wall = timing.spread(x.rates('wall'))
    cpu = timing.spread([1e3 / y for y in x.rates('cpu')])
    against = f'{timing.ratio(x, peer, _clock()):.3f}' if peer else ''
    print(f'{x.name:<31}{wall:.1f}   {cpu:.1f}   {against}')


def _print_shares(by_name: dict[str, timing.Contestant]) -> None:
  """What the penalty, streaming and more seeds do to the rate."""
  pairs = (
      ('the penalty costs', _PLAIN, 'package, penalty'),
      ('the penalty costs', 'package, 5 seeds', 'package, 5 seeds, penalty'),
      ('streaming costs', _PLAIN, 'package, frames from the host'),
  )
  for words, one, other in pairs:
    if one in by_name and other in by_name:
      more = timing.ratio(by_name[one], by_name[other], _clock())
      percent = timing.Spread(*(100 * (x - 1) for x in more))
      print(f'{words} {percent:.1f} % more ({other})')
  if _PLAIN in by_name and 'package, 5 seeds' in by_name:
    times = timing.ratio(by_name['package, 5 seeds'], by_name[_PLAIN], _clock())
    print(f'five seeds: {times:.2f} times the seed-steps/s of one')


def _print_srank(
    plain: timing.Contestant, measuring: float, ranking: float
) -> None:
  training = _ITERATION / statistics.median(plain.rates(_clock()))
  total = training + measuring + ranking
  print(
      f'{_PROBE} transitions are measured in {1e3 * measuring:.0f} ms, srank '
      f'in {1e3 * ranking:.0f} ms (float64, on the host): '
      f'{100 * (measuring + ranking) / total:.3f} % and '
      f'{100 * ranking / total:.4f} % of an iteration of {_ITERATION} steps'
  )


def _print_formulations() -> None:
  on_cpu = _clock() == 'cpu'
  print('the penalty and its gradient alone, [32, 512]:')
  for x in penalty_formulations.measure(
      _BATCH, 512, evaluations=50 if on_cpu else 200, rounds=5
  ):
    print(
        f'  {x.name:<36}{x.seeds} seed{"s" * (x.seeds > 1):<2}'
        f'{x.microseconds:9.0f} us, gradient off by {x.error:.0e}',
        flush=True,
    )


if __name__ == '__main__':
  define_flags()
  app.run(main)
