"""What the timings of `minatar` say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import timing

GRADIENT = 'gradient steps, package'
GRADIENT_PENALTY = 'gradient steps, package, penalty'
GRADIENT_FIVE = 'gradient steps, package, 5 seeds vmapped'
GRADIENT_RAINBOW = 'gradient steps, package, Rainbow'
GRADIENT_MANY = 'gradient steps, package, 30 seeds vmapped'
GRADIENT_PEER = 'gradient steps, PyTorch'
GRADIENT_PEER_PENALTY = 'gradient steps, PyTorch, penalty'
ACTING = 'acting, environment, replay, package'
ENVIRONMENT = 'environment, replay, package'
BATCHES = 'batches of 32 drawn, package'
MANY = 'online, package, n = 1, 30 seeds vmapped'
ONE = 'online, package, n = 1'

# What the shares are computed from.
PARTS = (ONE, GRADIENT, ACTING, ENVIRONMENT, BATCHES)
# Of an online run at n = 1, that the environment and the replay may take.
_LARGEST_SHARE = 0.15


def online(ratio: float) -> str:
  """The package's online run."""
  return f'online, package, n = {ratio:g}'


def online_peer(ratio: float) -> str:
  """PyTorch's."""
  return f'online, PyTorch, n = {ratio:g}'


class Question(NamedTuple):
  """How many times the rate of one is that of another.

  Attributes:
    words: what it is about.
    one: a contestant.
    other: another.
    least: what is asked for, if something is.
  """

  words: str
  one: str
  other: str
  least: float | None = None


QUESTIONS = (
    Question('gradient steps / PyTorch', GRADIENT, GRADIENT_PEER),
    Question(
        'with the penalty / PyTorch', GRADIENT_PENALTY, GRADIENT_PEER_PENALTY
    ),
    *(
        Question(f'online, n = {x:g} / PyTorch', online(x), online_peer(x))
        for x in (0.25, 1, 4)
    ),
    Question('time with penalty, package', GRADIENT, GRADIENT_PENALTY),
    Question(
        'time with penalty, PyTorch', GRADIENT_PEER, GRADIENT_PEER_PENALTY
    ),
    Question('time of Rainbow / of DQN', GRADIENT, GRADIENT_RAINBOW),
    Question('5 seeds vmapped / 1, seed-steps', GRADIENT_FIVE, GRADIENT),
    Question('30 seeds / 1, gradient steps', GRADIENT_MANY, GRADIENT, 10),
    Question('30 seeds / 1, online, n = 1', MANY, ONE, 10),
)

# Gradient steps a second of one seed on one core.
_LEAST_RATE = 1500

Contestants = Sequence[timing.Contestant]


def print_rates(contestants: Contestants) -> None:
  """A row each."""
  width = max(len(x.name) for x in contestants)
  print(f'\n{"":{width}}   a second, median (range)   us of CPU each')
  for x in contestants:
    wall = timing.spread(x.rates('wall'))
    cpu = timing.spread([1e6 / y for y in x.rates('cpu')])
    print(f'{x.name:<{width}}   {wall:.0f}   {cpu:.0f}')


def print_answers(contestants: Contestants, clock: str) -> None:
  """Ratios of rates, round by round, and whether what is asked for holds.

  Args:
    contestants: timed in turn.
    clock: whose rates, 'cpu' or 'wall'.
  """
  found = {x.name: x for x in contestants}
  print()
  for x in QUESTIONS:
    if x.one in found and x.other in found:
      ratio = timing.ratio(found[x.one], found[x.other], clock)
      holds = ''
      if x.least is not None:
        holds = _verdict(ratio.median >= x.least, f'at least {x.least:g}')
      print(f'{x.words:<36}{ratio:.2f}{holds}')
  if clock == 'cpu' and GRADIENT in found:
    rate = timing.spread(found[GRADIENT].rates(clock))
    holds = _verdict(rate.median >= _LEAST_RATE, f'at least {_LEAST_RATE}')
    print(f'{"gradient steps/s of CPU time":<36}{rate:.0f}{holds}')
  if all(x in found for x in PARTS):
    _print_shares(found, clock)


def shares(
    found: Mapping[str, timing.Contestant], clock: str
) -> dict[str, timing.Spread]:
  """Shares of the time of an online run at n = 1, round by round.

  Each part was timed as a program of its own, on the same replay.
  """
  times = {x: [1 / y for y in found[x].rates(clock)] for x in found}
  whole = times[ONE]
  share = lambda part: timing.spread(
      [x / y for x, y in zip(part, whole, strict=True)]
  )
  both = zip(times[ENVIRONMENT], times[BATCHES], strict=True)
  rest = zip(whole, times[GRADIENT], strict=True)
  return {
      'environment, adding, drawing': share([x + y for x, y in both]),
      'environment, adding': share(times[ENVIRONMENT]),
      'drawing batches': share(times[BATCHES]),
      'the same program without learning': share(times[ACTING]),
      'what gradient steps alone leave': share([x - y for x, y in rest]),
  }


def _print_shares(
    found: Mapping[str, timing.Contestant], clock: str
) -> None:
  print('\nshare of the time of an online run at n = 1, %')
  for i, (name, share) in enumerate(shares(found, clock).items()):
    holds = share.median <= _LARGEST_SHARE
    words = _verdict(holds, f'at most {100 * _LARGEST_SHARE:g}')
    percent = timing.Spread(*(100 * x for x in share))
    print(f'{name:<36}{percent:.1f}{words if i == 0 else ""}')


def _verdict(holds: bool, words: str) -> str:
  return f'   ({words}: {"holds" if holds else "does not hold"})'
