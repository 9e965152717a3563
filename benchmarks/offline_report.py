"""What the timings of `offline_atari` say."""

import statistics
from collections.abc import Sequence

from benchmarks import timing

PEER = 'Dopamine, buffer of the logs'
PLAIN = 'package'
PENALTY = 'package, penalty'
STREAMED = 'package, frames from the host'
FIVE = 'package, 5 seeds'
FIVE_PENALTY = 'package, 5 seeds, penalty'

# Gradient steps between two measures in the paper.
_ITERATION = 62_500

Contestants = Sequence[timing.Contestant]


def print_rates(found: Contestants, clock: str) -> None:
  """A row each; ratios are of rates of the clock, round by round."""
  peer = _by_name(found).get(PEER)
  print(f'{"":31}seed-steps/s, median (range)   ms of CPU a step   / Dopamine')
  for x in found:
    wall = timing.spread(x.rates('wall'))
    cpu = timing.spread([1e3 / y for y in x.rates('cpu')])
    against = f'{timing.ratio(x, peer, clock):.3f}' if peer else ''
    print(f'{x.name:<31}{wall:.1f}   {cpu:.1f}   {against}')


def print_shares(found: Contestants, clock: str) -> None:
  """What the penalty, streaming and more seeds do to the rate."""
  by_name = _by_name(found)
  pairs = (
      ('the penalty costs', PLAIN, PENALTY),
      ('the penalty costs', FIVE, FIVE_PENALTY),
      ('streaming costs', PLAIN, STREAMED),
  )
  for words, one, other in pairs:
    if one in by_name and other in by_name:
      more = timing.ratio(by_name[one], by_name[other], clock)
      percent = timing.Spread(*(100 * (x - 1) for x in more))
      print(f'{words} {percent:.1f} % ({other})')
  if PLAIN in by_name and FIVE in by_name:
    times = timing.ratio(by_name[FIVE], by_name[PLAIN], clock)
    print(f'five seeds: {times:.2f} times the seed-steps/s of one')


def print_srank(
    found: Contestants, clock: str, measuring: float, ranking: float
) -> None:
  """The share of the measures in an iteration of the paper.

  Args:
    found: of which the plain one says how long the steps take.
    clock: whose.
    measuring: seconds to get features and TD errors of 2048 transitions.
    ranking: seconds for the spectrum and srank of the features.
  """
  plain = _by_name(found).get(PLAIN)
  words = (
      f'2048 transitions are measured in {1e3 * measuring:.0f} ms, srank in '
      f'{1e3 * ranking:.0f} ms (float64, on the host)'
  )
  if plain is None:
    print(words)
    return
  total = _ITERATION / statistics.median(plain.rates(clock))
  total += measuring + ranking
  both, srank = 100 * (measuring + ranking) / total, 100 * ranking / total
  print(
      f'{words}: {both:.3f} % and {srank:.4f} % of an iteration of '
      f'{_ITERATION} steps'
  )


def _by_name(found: Contestants) -> dict[str, timing.Contestant]:
  return {x.name: x for x in found}
