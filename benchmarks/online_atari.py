"""Online DQN on Atari, its parts and as a whole, beside Dopamine's.

  pip install dopamine-rl==4.1.2
  python -m benchmarks.online_atari [--game=Pong --seconds=4 --output=CSV]

Environment stepping; the loop end to end (acting, emulator, replay, gradient
steps; no evaluation and no log) at several n; the replay alone. The package's
and the wheel's run in one process and in turn, with the same network (SAME
padding), batch, optimiser and game, and nearly random play (epsilon has just
begun to fall), so that episodes are alike. On a CPU all of it runs on one
core. Quote the ratios: absolute numbers depend on the machine and on what else
it does. With a GPU five seeds and Rainbow are timed as well.
"""

import functools
import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
from absl import app, flags, logging

from benchmarks import dopamine_online, package_online, timing
from benchmarks import online_report as report
from implicit_underparam import online

FLAGS = flags.FLAGS
Run = Callable[[], int]
Makers = dict[str, Callable[[], Run]]
_SECTIONS = (report.ENVIRONMENT, report.ADD, report.SAMPLE, report.LOOP)


class Scale(NamedTuple):
  """How much of everything.

  Attributes:
    rounds: timings of each contestant.
    seconds: of one timing, at least.
    steps: agent steps between looks at the clock, at n = 0.25.
    history: agent steps before the first gradient step.
    capacity: of a replay in the loop.
    stream: steps of the stream that the replays alone are given.
    ratios: n of the package's loops.
  """

  rounds: int
  seconds: float
  steps: int
  history: int
  capacity: int
  stream: int
  ratios: tuple[float, ...]


class Options(NamedTuple):
  """Of a loop of the package.

  Attributes:
    ratio: n, gradient steps for each agent step.
    num_environments: K, of a seed.
    num_seeds: that train together.
    penalty: whether to penalise.
    is_rainbow: Rainbow; else DQN.
  """

  ratio: float
  num_environments: int = 1
  num_seeds: int = 1
  penalty: bool = False
  is_rainbow: bool = False


_SCALES = {
    'cpu': Scale(5, 3.0, 40, 2000, 20_000, 3000, (0.25, 1, 4)),
    'gpu': Scale(5, 3.0, 800, 5000, 100_000, 3000, (0.25, 1, 4)),
}
_QUICK = Scale(2, 0.02, 4, 40, 1000, 40, (0.25,))


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('platform', None, 'cpu or gpu; by default what is there.')
  flags.DEFINE_integer('core', 0, 'On a CPU: the core to use; -1 for all.')
  flags.DEFINE_string('game', 'Breakout', 'To play.')
  flags.DEFINE_integer('rounds', None, 'Timings of each contestant.')
  flags.DEFINE_float('seconds', None, 'Of one timing, at least.')
  flags.DEFINE_integer('history', None, 'Agent steps before gradient steps.')
  flags.DEFINE_integer('capacity', None, 'Of a replay, in transitions.')
  flags.DEFINE_multi_enum('only', [], _SECTIONS, 'A section; all by default.')
  flags.DEFINE_bool('peer', True, 'Whether to time Dopamine as well.')
  flags.DEFINE_bool('quick', False, 'Hardly measure: to see that all works.')
  flags.DEFINE_string('output', None, 'A CSV of every timing.')


def makers(section: str, scale: Scale) -> Makers:
  """The contestants of a section by name; to make one compiles it."""
  if section == report.ENVIRONMENT:
    return _environments(200)
  if section == report.LOOP:
    return _peer_loop(scale) | {
        name: functools.partial(_loop, scale, options)
        for name, options in _loops(scale).items()
    }
  return _replays(section, scale)


def main(argv: Sequence[str]) -> None:
  """Times everything in turn and prints medians, ranges and ratios."""
  del argv
  logging.set_verbosity(logging.ERROR)
  if FLAGS.peer and importlib.util.find_spec('dopamine') is None:
    sys.exit('error: pip install dopamine-rl==4.1.2, or say --nopeer')
  device = _platform()
  if device == 'cpu':
    jax.config.update('jax_platforms', 'cpu')
    timing.pin(FLAGS.core)
  elif jax.default_backend() != 'gpu':
    sys.exit('error: --platform=gpu: JAX finds none here; say --platform=cpu')
  name, scale = timing.device_name(FLAGS.core), _scale(device)
  print(f'device: {name}; JAX {jax.__version__}; {FLAGS.game}', flush=True)
  sections: dict[str, list[timing.Contestant]] = {}
  for section in FLAGS.only or _SECTIONS:
    sections[section] = _timed(section, scale)
    updates = _updates(scale) if section == report.LOOP else {}
    report.print_section(section, sections[section], updates)
    if FLAGS.output:
      _write_csv(sections, name)
  clock = 'cpu' if device == 'cpu' else 'wall'
  clocks = dict.fromkeys(_SECTIONS, clock) | {report.ENVIRONMENT: 'cpu'}
  report.print_answers(sections, clocks, device, _updates(scale))
  if report.ADD in sections:
    report.print_bytes(_sizes(scale))
  if device == 'cpu':
    print('\nfive seeds, Rainbow and the rates at n = 4: asked for on a GPU')


def _timed(section: str, scale: Scale) -> list[timing.Contestant]:
  found = []
  for name, make in makers(section, scale).items():
    found.append(timing.Contestant(name, make()))
    print(f'{section}: {name} is ready', flush=True)
  for done in timing.in_turn(found, scale.rounds, scale.seconds):
    print(f'{section}: round {done} of {scale.rounds}', flush=True)
  for x in found:
    # Its replay and its programs may go.
    x.run = _no_steps
  return found


def _no_steps() -> int:
  return 0


def _environments(steps: int) -> Makers:
  found: Makers = {}
  if FLAGS.peer:
    found[report.PEER] = functools.partial(
        dopamine_online.random_play, FLAGS.game, steps
    )
  for name, number in ((report.ONE, 1), (report.EIGHT, 8)):
    found[name] = functools.partial(
        package_online.random_play, FLAGS.game, number, steps
    )
  return found


def _peer_loop(scale: Scale) -> Makers:
  if not FLAGS.peer:
    return {}
  return {
      report.PEER: functools.partial(
          dopamine_online.train,
          FLAGS.game,
          scale.history,
          scale.capacity,
          scale.steps,
      )
  }


def _loops(scale: Scale) -> dict[str, Options]:
  """The package's loops."""
  plain = Options(ratio=1)
  found = {
      report.QUARTER: Options(ratio=0.25),
      report.QUARTER_EIGHT: Options(ratio=0.25, num_environments=8),
      report.FULL: plain,
      report.FULL_PENALTY: plain._replace(penalty=True),
      report.FOUR: Options(ratio=4),
  }
  if _platform() == 'gpu':
    found |= {
        report.FIVE: plain._replace(num_seeds=5),
        report.RAINBOW: plain._replace(is_rainbow=True),
        report.RAINBOW_FIVE: plain._replace(num_seeds=5, is_rainbow=True),
        report.RAINBOW_FOUR: Options(ratio=4, is_rainbow=True),
    }
  return {x: y for x, y in found.items() if y.ratio in scale.ratios}


def _updates(scale: Scale) -> Mapping[str, float]:
  """Gradient steps of one seed for each agent step."""
  ours = {name: options.ratio for name, options in _loops(scale).items()}
  return {report.PEER: 0.25} | ours


def _loop(scale: Scale, options: Options) -> Run:
  loop = package_online.make_loop(
      FLAGS.game,
      options.ratio,
      # Only those that are beside Dopamine's need as much of it.
      scale.history if options.ratio < 1 else min(500, scale.history),
      scale.capacity,
      options.penalty,
      options.is_rainbow,
      options.num_environments,
      num_threads=1 if _platform() == 'cpu' else 0,
  )
  # About as many gradient steps between looks at the clock, whatever n is.
  steps = max(1, int(scale.steps * 0.25 / options.ratio))
  return package_online.train(loop, steps, options.num_seeds)


def _replays(section: str, scale: Scale) -> Makers:
  stream = package_online.record(FLAGS.game, scale.stream)
  steps = min(100, scale.stream)
  ours: Callable[..., Run] = package_online.replay_adds
  peer: Callable[..., Run] = dopamine_online.replay_adds
  if section == report.SAMPLE:
    ours, peer = package_online.replay_samples, dopamine_online.replay_samples
  found: Makers = {}
  for name, peer_name, rainbow in (
      (report.PLAIN, report.PEER, False),
      (report.PRIORITIES, report.PEER_PRIORITIES, True),
  ):
    if FLAGS.peer:
      found[peer_name] = functools.partial(peer, stream, rainbow, steps)
    loop = _bare_loop(scale.stream, rainbow)
    found[name] = functools.partial(ours, stream, loop, steps)
  return found


def _bare_loop(capacity: int, rainbow: bool) -> online.OnlineLoop:
  """For its replay alone."""
  return package_online.make_loop(
      FLAGS.game, 1, 100, capacity, is_rainbow=rainbow
  )


def _sizes(scale: Scale) -> dict[str, float]:
  """Bytes a transition, at the paper's capacity."""
  found = {
      name: package_online.replay_bytes(_bare_loop(10**6, rainbow))
      for name, rainbow in ((report.PLAIN, False), (report.PRIORITIES, True))
  }
  if FLAGS.peer:
    stream = package_online.record(FLAGS.game, scale.stream)
    name = f'{report.PEER}, packed random play'
    found[name] = dopamine_online.replay_bytes(stream)
  return found


def _write_csv(
    sections: Mapping[str, Sequence[timing.Contestant]], device: str
) -> None:
  rows = itertools.chain.from_iterable(
      [timing.Contestant(f'{section}: {x.name}', x.run, x.timings) for x in y]
      for section, y in sections.items()
  )
  timing.write_csv(FLAGS.output, list(rows), device)


def _platform() -> str:
  """'cpu' or 'gpu', found out without starting threads or taking the card."""
  if FLAGS.platform is None:
    FLAGS['platform'].value = timing.default_platform()
  if FLAGS.platform not in _SCALES:
    sys.exit(f'error: --platform={FLAGS.platform}: one of {", ".join(_SCALES)}')
  return str(FLAGS.platform)


def _scale(device: str) -> Scale:
  default = _QUICK if FLAGS.quick else _SCALES[device]
  names = ('rounds', 'seconds', 'history', 'capacity')
  given = {x: FLAGS[x].value for x in names}
  return default._replace(**{x: y for x, y in given.items() if y is not None})


if __name__ == '__main__':
  define_flags()
  app.run(main)
