"""DQN on MinAtar, gradient steps and whole online runs, beside PyTorch.

  pip install torch minatar
  python -m benchmarks.minatar [--game=Breakout --output=CSV]

Gradient steps at batch 32 on transitions of random play, and online runs at
several n with the shipped configuration (no evaluation); of the package and of
a plain PyTorch loop with the `minatar` package, in one process and in turn,
with the same network, batch, optimiser, target period and exploration. Parts
of the package's online run are timed as programs of their own, which says what
share of it they take. On a CPU all of it runs on one core. Quote the ratios:
absolute numbers depend on the machine and on what else it does. With a GPU 30
seeds are timed against one, and PyTorch, which is for a CPU here, is left out.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from absl import app, flags, logging

from benchmarks import minatar_report as report
from benchmarks import package_minatar, timing
from implicit_underparam import errors

FLAGS = flags.FLAGS
Run = Callable[[], int]
Makers = dict[str, Callable[[], Run]]
_PLATFORMS = ('cpu', 'gpu')


class Scale(NamedTuple):
  """How much of everything.

  Attributes:
    rounds: timings of each contestant.
    seconds: of one timing, at least.
    transitions: of random play, where gradient steps are timed alone.
    capacity: of a replay, in transitions.
    dispatch: gradient steps that the device takes without the host.
    iteration: gradient steps of an iteration of an online run.
    peer: those of PyTorch between looks at the clock.
    ratios: n of the online runs.
  """

  rounds: int
  seconds: float
  transitions: int
  capacity: int
  dispatch: int
  iteration: int
  peer: int
  ratios: tuple[float, ...]


_SCALE = Scale(5, 1.5, 10_000, 100_000, 500, 2000, 100, (0.25, 1, 4))
_QUICK = Scale(2, 0.01, 50, 200, 4, 40, 4, (1,))


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('platform', None, 'cpu or gpu; by default what is there.')
  flags.DEFINE_integer('core', 0, 'On a CPU: the core to use; -1 for all.')
  flags.DEFINE_string('game', 'Breakout', 'To play.')
  flags.DEFINE_integer('rounds', None, 'Timings of each contestant.')
  flags.DEFINE_float('seconds', None, 'Of one timing, at least.')
  flags.DEFINE_integer('capacity', None, 'Of a replay, in transitions.')
  flags.DEFINE_multi_string(
      'only', [], 'The name of a contestant; repeat it; all by default.'
  )
  flags.DEFINE_bool('peer', True, 'Whether to time PyTorch as well.')
  flags.DEFINE_bool('quick', False, 'Hardly measure: to see that all works.')
  flags.DEFINE_string('output', None, 'A CSV of every timing.')


def makers(game: str, scale: Scale, device: str, peer: bool) -> Makers:
  """The contestants by name; to make one compiles it.

  Args:
    game: to play.
    scale: how much.
    device: 'cpu' or 'gpu'.
    peer: whether PyTorch is among them.
  """
  found = _gradient_steps(game, scale, device) | _online(game, scale, device)
  return found | _peers(game, scale) if peer and device == 'cpu' else found


def main(argv: Sequence[str]) -> None:
  """Times everything in turn and prints medians, ranges and ratios."""
  del argv
  logging.set_verbosity(logging.ERROR)
  device = _platform()
  peer = FLAGS.peer and device == 'cpu'
  _check_packages(peer)
  if device == 'cpu':
    jax.config.update('jax_platforms', 'cpu')
    timing.pin(FLAGS.core)
  elif jax.default_backend() != 'gpu':
    sys.exit('error: --platform=gpu: JAX finds none here; say --platform=cpu')
  name, scale = timing.device_name(FLAGS.core), _scale()
  print(f'device: {name}; JAX {jax.__version__}; {FLAGS.game}', flush=True)
  try:
    found = _timed(makers(FLAGS.game, scale, device, peer), scale, name)
  except errors.UserError as error:
    sys.exit(f'error: {error}')
  report.print_rates(found)
  report.print_answers(found, 'cpu' if device == 'cpu' else 'wall')
  if device == 'cpu':
    print('\n30 seeds vmapped against one: asked for on a GPU')


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


def _gradient_steps(game: str, scale: Scale, device: str) -> Makers:
  def make(num_seeds: int = 1, **options: bool) -> Run:
    loop = package_minatar.make_loop(
        game, capacity=scale.capacity, **options
    )
    return package_minatar.gradient_steps(
        loop, scale.transitions, scale.dispatch, num_seeds
    )

  partial = functools.partial
  found: Makers = {
      report.GRADIENT: make,
      report.GRADIENT_PENALTY: partial(make, penalty=True),
      report.GRADIENT_FIVE: partial(make, num_seeds=5),
      report.GRADIENT_RAINBOW: partial(make, is_rainbow=True),
  }
  if device == 'gpu':
    found[report.GRADIENT_MANY] = partial(make, num_seeds=30)
  return found


def _online(game: str, scale: Scale, device: str) -> Makers:
  def loop(ratio: float = 1, **options: Any) -> Any:
    steps = int(scale.iteration / ratio)
    options = {'steps': steps, 'capacity': scale.capacity} | options
    return package_minatar.make_loop(game, ratio, **options)

  # As long as an iteration with gradient steps takes, or nearly.
  many = 10 * scale.iteration
  found: Makers = {
      report.ENVIRONMENT: lambda: package_minatar.environment_and_replay(
          loop(), many
      ),
      report.BATCHES: lambda: package_minatar.batches(
          loop(), scale.transitions, many
      ),
      report.ACTING: lambda: package_minatar.train(
          loop(learns=False, steps=many)
      ),
  }
  for x in scale.ratios:
    found[report.online(x)] = lambda x=x: package_minatar.train(loop(x))
  if device == 'gpu':
    found[report.MANY] = lambda: package_minatar.train(loop(), 30)
  return found


def _peers(game: str, scale: Scale) -> Makers:
  # Imported late: neither package is needed without it.
  from benchmarks import torch_minatar

  partial = functools.partial
  gradient_steps = partial(
      torch_minatar.gradient_steps, game, scale.transitions, scale.peer
  )
  found: Makers = {
      report.GRADIENT_PEER: gradient_steps,
      report.GRADIENT_PEER_PENALTY: partial(gradient_steps, penalty=True),
  }
  for x in scale.ratios:
    # About as many gradient steps between looks at the clock, whatever n is.
    steps = max(1, int(scale.peer / x))
    found[report.online_peer(x)] = partial(
        torch_minatar.online, game, x, scale.transitions, scale.capacity, steps
    )
  return found


def _check_packages(peer: bool) -> None:
  """Ends the program where a package is missing."""
  missing = [
      x
      for x in ('torch', 'minatar')
      if peer and importlib.util.find_spec(x) is None
  ]
  if missing:
    sys.exit(f'error: pip install {" ".join(missing)}, or say --nopeer')


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
  given = {x: FLAGS[x].value for x in ('rounds', 'seconds', 'capacity')}
  return default._replace(**{x: y for x, y in given.items() if y is not None})


if __name__ == '__main__':
  define_flags()
  app.run(main)
