"""What the timings of `online_atari` say."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import timing

PEER = 'Dopamine'
PEER_PRIORITIES = 'Dopamine, priorities'
PLAIN = 'package'
PRIORITIES = 'package, priorities'
ONE, EIGHT = 'package, K = 1', 'package, K = 8'
QUARTER, QUARTER_EIGHT = 'package, n = 0.25', 'package, n = 0.25, K = 8'
FULL, FULL_PENALTY = 'package, n = 1', 'package, n = 1, penalty'
FIVE, FOUR = 'package, n = 1, 5 seeds', 'package, n = 4'
RAINBOW, RAINBOW_FIVE = 'Rainbow, n = 1', 'Rainbow, n = 1, 5 seeds'
RAINBOW_FOUR = 'Rainbow, n = 4'

ENVIRONMENT, LOOP = 'environment', 'loop'
ADD, SAMPLE = 'replay: add', 'replay: sample 32'

# Bytes; the frame alone has 7,056.
_MOST_BYTES = 7300


class Question(NamedTuple):
  """How many times the rate of one is that of another.

  Attributes:
    words: what it is about.
    section: of both.
    one: a contestant.
    other: another.
    least: what is asked for, if something is.
    most: likewise.
    devices: where that is asked for; elsewhere it is only shown.
  """

  words: str
  section: str
  one: str
  other: str
  least: float | None = None
  most: float | None = None
  devices: Sequence[str] = ('cpu', 'gpu')


QUESTIONS = (
    Question('steps, K = 1 / Dopamine', ENVIRONMENT, ONE, PEER, least=1.3),
    Question('steps, K = 8 / Dopamine', ENVIRONMENT, EIGHT, PEER, least=1.3),
    Question(
        'end to end, n = 0.25 / Dopamine', LOOP, QUARTER, PEER, 1.2,
        devices=['cpu'],
    ),
    Question('the same with K = 8', LOOP, QUARTER_EIGHT, PEER),
    Question('adds / Dopamine', ADD, PLAIN, PEER),
    Question(
        'adds with priorities / Dopamine', ADD, PRIORITIES, PEER_PRIORITIES
    ),
    Question('batches / Dopamine', SAMPLE, PLAIN, PEER),
    Question(
        'batches with priorities / Dopamine', SAMPLE, PRIORITIES,
        PEER_PRIORITIES,
    ),
    Question('time with penalty, n = 1', LOOP, FULL, FULL_PENALTY),
    Question('time of 5 seeds / of 1, n = 1', LOOP, FULL, FIVE, most=1.5),
    Question(
        'the same, Rainbow', LOOP, RAINBOW, RAINBOW_FIVE, most=1.5
    ),
)  # fmt: skip

# Gradient steps a second of one seed with n = 4, acting included, on a GPU.
RATES = {FOUR: 2000, RAINBOW_FOUR: 2000}

Sections = Mapping[str, Sequence[timing.Contestant]]


def print_section(
    title: str,
    contestants: Sequence[timing.Contestant],
    updates: Mapping[str, float],
) -> None:
  """A row each.

  Args:
    title: of the section.
    contestants: timed.
    updates: gradient steps for each step of the contestants that take some.
  """
  print(f'\n{title:<28}   a second, median (range)   us of CPU each', end='')
  print('   gradient steps/s' if updates else '')
  for x in contestants:
    wall = timing.spread(x.rates('wall'))
    cpu = timing.spread([1e6 / y for y in x.rates('cpu')])
    steps = ''
    if x.name in updates:
      steps = f'{updates[x.name] * wall.median:.1f}'
    print(f'{x.name:<28}   {wall:.0f}   {cpu:.0f}   {steps}'.rstrip())


def print_answers(
    sections: Sections,
    clocks: Mapping[str, str],
    device: str,
    updates: Mapping[str, float],
) -> None:
  """Ratios of rates, round by round, and whether what is asked for holds.

  Args:
    sections: contestants, timed, of each section.
    clocks: whose rates, for each section: 'wall' or 'cpu'.
    device: 'cpu' or 'gpu'.
    updates: as in `print_section`.
  """
  print()
  for x in QUESTIONS:
    found = {y.name: y for y in sections.get(x.section, ())}
    if x.one in found and x.other in found:
      ratio = timing.ratio(found[x.one], found[x.other], clocks[x.section])
      asked = x if device in x.devices else x._replace(least=None, most=None)
      holds = _verdict(ratio.median, asked.least, asked.most)
      print(f'{x.words:<36}{ratio:.2f}{holds}')
  for y in sections.get(LOOP, ()):
    if device == 'gpu' and y.name in RATES:
      rate = updates[y.name] * statistics.median(y.rates('wall'))
      holds = _verdict(rate, RATES[y.name], None)
      print(f'{"gradient steps/s, " + y.name:<36}{rate:.0f}{holds}')


def print_bytes(sizes: Mapping[str, float]) -> None:
  """Bytes a transition; what is asked for is asked of the package."""
  print('\nbytes a transition')
  for name, size in sizes.items():
    holds = '' if PEER in name else _verdict(size, None, _MOST_BYTES)
    print(f'{name:<36}{size:.0f}{holds}')


def _verdict(value: float, least: float | None, most: float | None) -> str:
  """Whether a number is what is asked for, in words; '' if nothing is."""
  if least is None and most is None:
    return ''
  words = f'at least {least:g}' if most is None else f'at most {most:g}'
  holds = value >= least if least is not None else value <= (most or 0)
  return f'   ({words}: {"holds" if holds else "does not hold"})'
