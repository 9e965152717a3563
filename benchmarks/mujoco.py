"""SAC and CQL on MuJoCo, gradient steps and online, beside stable-baselines3.

  pip install 'stable-baselines3>=2' 'gymnasium[mujoco]'
  python -m benchmarks.mujoco [--output=CSV]

Gradient steps at batch 256, two layers of 256, on random play of HalfCheetah-v4
(17 observations, 6 actions), and online runs with one gradient step an
environment step, without evaluation; of the package's shipped configuration
and of stable-baselines3's SAC as it comes, which are the same networks, batch
and rates, in one process and in turn. On a CPU all of it runs on one core; on a
GPU the package runs there, and stable-baselines3 in one thread of the CPU.
Products of two matrices alone say what a step can at best take. Quote the
ratios: absolute numbers depend on the machine and on what else it does.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from absl import app, flags, logging

from benchmarks import minatar_report, package_mujoco, timing
from benchmarks import mujoco_report as report
from implicit_underparam import errors

FLAGS = flags.FLAGS
Run = Callable[[], int]
Makers = dict[str, Callable[[], Run]]
_PLATFORMS = ('cpu', 'gpu')
_PACKAGES = {'mujoco': 'gymnasium[mujoco]'}
_PEERS = {'stable_baselines3': 'stable-baselines3'}


class Scale(NamedTuple):
  """How much of everything.

  Attributes:
    rounds: timings of each contestant.
    seconds: of one timing, at least.
    transitions: of random play, where gradient steps are timed alone.
    capacity: of a replay of an online run, in transitions.
    dispatch: gradient steps between looks at the clock.
    iteration: environment steps between looks at the clock.
    history: random steps before the first gradient step of an online run.
  """

  rounds: int
  seconds: float
  transitions: int
  capacity: int
  dispatch: int
  iteration: int
  history: int


_SCALE = Scale(7, 2, 10_000, 100_000, 10, 100, 1000)
_QUICK = Scale(2, 0.01, 300, 400, 2, 10, 260)


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('platform', None, 'cpu or gpu; by default what is there.')
  flags.DEFINE_integer('core', 0, 'On a CPU: the core to use; -1 for all.')
  flags.DEFINE_integer('rounds', None, 'Timings of each contestant.')
  flags.DEFINE_float('seconds', None, 'Of one timing, at least.')
  flags.DEFINE_multi_string(
      'only', [], 'The name of a contestant; repeat it; all by default.'
  )
  flags.DEFINE_bool('peer', True, 'Whether to time stable-baselines3 as well.')
  flags.DEFINE_bool('quick', False, 'Hardly measure: to see that all works.')
  flags.DEFINE_string('output', None, 'A CSV of every timing.')


def main(argv: Sequence[str]) -> None:
  """Times everything in turn and prints medians, ranges and ratios."""
  del argv
  logging.set_verbosity(logging.ERROR)
  device = _platform()
  check_packages(FLAGS.peer)
  if device == 'cpu':
    jax.config.update('jax_platforms', 'cpu')
    timing.pin(FLAGS.core)
  elif jax.default_backend() != 'gpu':
    sys.exit('error: --platform=gpu: JAX finds none here; say --platform=cpu')
  name, scale = timing.device_name(FLAGS.core), _scale()
  print(f'device: {name}; JAX {jax.__version__}', flush=True)
  data = package_mujoco.random_play(scale.transitions)
  try:
    found = _timed(makers(data, scale, FLAGS.peer), scale, name)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  minatar_report.print_rates(found)
  clock = 'cpu' if device == 'cpu' else 'wall'
  report.print_answers(found, clock, package_mujoco.flops(data))


def makers(
    data: package_mujoco.Transitions, scale: Scale, peer: bool
) -> Makers:
  """The contestants by name; to make one compiles it.

  Args:
    data: that gradient steps are taken on.
    scale: how much.
    peer: whether stable-baselines3 is among them.
  """
  partial = functools.partial
  # Of the time of a product, dispatches would be some of it.
  many = 100 * scale.dispatch

  def make(
      num_seeds: int = 1, seed_axis: str = 'vmap', **options: bool
  ) -> Run:
    return package_mujoco.gradient_steps(
        package_mujoco.make_learner(**options),
        data,
        scale.dispatch,
        num_seeds,
        seed_axis,
    )

  found: Makers = {
      report.PRODUCTS: partial(package_mujoco.products, many),
      report.GRADIENT: make,
      report.VMAPPED: partial(make, num_seeds=5),
      report.IN_TURN: partial(make, num_seeds=5, seed_axis='map'),
      report.PENALTY: partial(make, penalty=True),
      report.CQL: partial(make, is_cql=True),
      report.ONLINE: lambda: package_mujoco.train(
          package_mujoco.make_loop(
              scale.iteration, scale.capacity, scale.history
          )
      ),
  }
  return found | _peers(data, scale, many) if peer else found


def check_packages(peer: bool) -> None:
  """Ends the program where a package is missing."""
  needed = _PACKAGES | (_PEERS if peer else {})
  missing = [x for x in needed if importlib.util.find_spec(x) is None]
  if missing:
    names = ' '.join(f"'{needed[x]}'" for x in missing)
    hint = ', or say --nopeer' if set(missing) <= set(_PEERS) else ''
    sys.exit(f'error: pip install {names}{hint}')


def _peers(
    data: package_mujoco.Transitions, scale: Scale, many: int
) -> Makers:
  # Imported late: the package is not needed without it.
  from benchmarks import stable_baselines_mujoco as peer

  partial = functools.partial
  return {
      report.PRODUCTS_PEER: partial(peer.products, many),
      report.PEER: partial(peer.gradient_steps, data, scale.dispatch),
      report.ONLINE_PEER: partial(
          peer.online, scale.iteration, scale.capacity, scale.history
      ),
  }


def _timed(
    wanted: Makers, scale: Scale, device: str
) -> list[timing.Contestant]:
  unknown = set(FLAGS.only) - set(wanted)
  if unknown:
    sys.exit(f'error: --only={unknown.pop()}: one of {"; ".join(wanted)}')
  found = []
  for name in FLAGS.only or wanted:
    found.append(timing.Contestant(name, wanted[name]()))
    print(f'{name}: ready', flush=True)
  for done in timing.in_turn(found, scale.rounds, scale.seconds):
    print(f'round {done} of {scale.rounds}', flush=True)
    if FLAGS.output:
      timing.write_csv(FLAGS.output, found, device)
  return found


def _platform() -> str:
  """'cpu' or 'gpu', found out without starting threads or taking the card."""
  if FLAGS.platform is None:
    FLAGS['platform'].value = timing.default_platform()
  if FLAGS.platform not in _PLATFORMS:
    sys.exit(
        f'error: --platform={FLAGS.platform}: one of {", ".join(_PLATFORMS)}'
    )
  return str(FLAGS.platform)


def _scale() -> Scale:
  default = _QUICK if FLAGS.quick else _SCALE
  given = {x: FLAGS[x].value for x in ('rounds', 'seconds')}
  return default._replace(**{x: y for x, y in given.items() if y is not None})


if __name__ == '__main__':
  define_flags()
  app.run(main)
