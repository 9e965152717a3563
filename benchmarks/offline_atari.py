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

import functools
import importlib.util
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags, logging

from benchmarks import (
    dopamine_agent,
    offline_report,
    penalty_formulations,
    synthetic,
    timing,
)
from implicit_underparam import learner, metrics, networks, offline, penalties
from implicit_underparam.agents import dqn
from implicit_underparam.data import frame_store
from implicit_underparam.data import offline as offline_data

FLAGS = flags.FLAGS
Run = Callable[[], int]
_BATCH = 32
_TARGET_PERIOD = 2000
_ALPHA = 1e-3
_PROBE = 2048


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
    penalty: bool = False,
    padding: str = 'SAME',
    **kwargs: Any,
) -> Run:
  """The package's program; the arguments are `compile_program`'s."""
  program = compile_program(store, steps, penalty, padding, 1, **kwargs)
  state = program.init()

  def run() -> int:
    nonlocal state
    state, output = program.iterate(state)
    jax.block_until_ready((state, output))
    assert np.all(output.finite)
    return len(program.seeds) * steps

  return run


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
  """Those that the flags ask for, compiled."""
  makers = _makers(store, steps)
  unknown = set(FLAGS.only) - set(makers)
  if unknown:
    sys.exit(f'error: --only={unknown.pop()}: one of {"; ".join(makers)}')
  found = []
  for name in FLAGS.only or makers:
    start = time.perf_counter()
    found.append(timing.Contestant(name, makers[name]()))
    found[-1].run()
    seconds = time.perf_counter() - start
    print(f'{name}: first steps after {seconds:.0f} s', flush=True)
  return found


def _makers(
    store: frame_store.FrameStore, steps: int
) -> dict[str, Callable[[], Run]]:
  options: dict[str, dict[str, Any]] = {
      offline_report.PLAIN: {},
      offline_report.PENALTY: {'penalty': True},
      offline_report.STREAMED: {'placement': 'host'},
      'package, VALID padding': {'padding': 'VALID'},
      offline_report.FIVE: {'num_seeds': 5},
  }
  if _platform() != 'cpu':
    # On a CPU seeds run one after another, at the price of one.
    options[offline_report.FIVE_PENALTY] = {'num_seeds': 5, 'penalty': True}
  ours: dict[str, Callable[[], Run]] = {
      name: functools.partial(package, store, steps, **kwargs)
      for name, kwargs in options.items()
  }
  if not FLAGS.peer:
    return ours
  if importlib.util.find_spec('dopamine') is None:
    sys.exit('error: pip install dopamine-rl==4.1.2, or say --nopeer')
  peers = {
      offline_report.PEER: dopamine_agent.with_log_buffer,
      'Dopamine, its default buffer': dopamine_agent.with_own_buffer,
  }
  return {
      name: functools.partial(make, store, _BATCH, steps)
      for name, make in peers.items()
  } | ours


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
  elif jax.default_backend() != 'gpu':
    sys.exit('error: --platform=gpu: JAX finds none here; say --platform=cpu')
  scale = _scale()
  device = timing.device_name(FLAGS.core)
  print(f'device: {device}; JAX {jax.__version__}', flush=True)
  with tempfile.TemporaryDirectory() as folder:
    store = synthetic.prepared_set(pathlib.Path(folder) / 'set', scale.frames)
    found = contestants(store, scale.steps)
    for done in timing.in_turn(found, FLAGS.rounds, scale.seconds):
      print(f'round {done} of {FLAGS.rounds}', flush=True)
      if FLAGS.output:
        timing.write_csv(FLAGS.output, found, device)
    offline_report.print_rates(found, _clock())
    offline_report.print_shares(found, _clock())
    offline_report.print_srank(found, _clock(), *probe_seconds(store))
  if _clock() == 'wall' if FLAGS.formulations is None else FLAGS.formulations:
    _print_formulations()


def _platform() -> str:
  """'cpu' or 'gpu', found out without starting threads or taking the card."""
  if FLAGS.platform is None:
    FLAGS['platform'].value = timing.default_platform()
  if FLAGS.platform not in _SCALES:
    sys.exit(f'error: --platform={FLAGS.platform}: one of {", ".join(_SCALES)}')
  return FLAGS.platform


def _scale() -> Scale:
  default = _SCALES[_platform()]
  if _platform() != 'cpu':
    # Each program of the package has a copy of the frames on the device.
    room = offline_data.free_memory(jax.devices()[0]) / (10 * 84 * 84)
    default = default._replace(frames=min(default.frames, int(room)))
  given = {x: FLAGS[x].value for x in ('frames', 'seconds', 'steps')}
  return default._replace(**{x: y for x, y in given.items() if y is not None})


def _clock() -> str:
  return _SCALES[_platform()].clock


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
