"""What the timings of `mujoco` say."""

from collections.abc import Sequence

from benchmarks import package_mujoco, timing
from benchmarks.minatar_report import Question

GRADIENT = 'gradient steps, package'
VMAPPED = 'gradient steps, package, 5 seeds vmapped'
IN_TURN = 'gradient steps, package, 5 seeds in turn'
PENALTY = 'gradient steps, package, penalty on both critics'
CQL = 'gradient steps, package, CQL'
PEER = 'gradient steps, stable-baselines3'
ONLINE = 'environment steps, package, n = 1'
ONLINE_PEER = 'environment steps, stable-baselines3, n = 1'
PRODUCTS = 'products of 256 x 256, package'
PRODUCTS_PEER = 'products of 256 x 256, PyTorch'

QUESTIONS = (
    Question('gradient steps / stable-baselines3', GRADIENT, PEER, 3),
    Question('5 seeds vmapped / stable-baselines3', VMAPPED, PEER),
    Question('5 seeds in turn / stable-baselines3', IN_TURN, PEER),
    Question('5 seeds vmapped / in turn, seed-steps', VMAPPED, IN_TURN),
    Question('5 seeds vmapped / 1, seed-steps', VMAPPED, GRADIENT),
    Question('online, n = 1 / stable-baselines3', ONLINE, ONLINE_PEER),
    Question('time with the penalty', GRADIENT, PENALTY),
    Question('time of CQL / of SAC', GRADIENT, CQL),
    Question('products / PyTorch', PRODUCTS, PRODUCTS_PEER),
)

_PRODUCT = 2 * package_mujoco.BATCH * package_mujoco.UNITS**2


def print_answers(
    contestants: Sequence[timing.Contestant], clock: str, flops: int
) -> None:
  """Ratios of rates, round by round, and whether what is asked for holds.

  Args:
    contestants: timed in turn.
    clock: whose rates, 'cpu' or 'wall'.
    flops: of the products of a gradient step.
  """
  found = {x.name: x for x in contestants}
  print()
  for x in QUESTIONS:
    if x.one in found and x.other in found:
      ratio = timing.ratio(found[x.one], found[x.other], clock)
      print(f'{x.words:<40}{ratio:.2f}{_verdict(x, ratio.median)}')
  print(f'\nproducts of a gradient step: {flops / 1e6:.0f} MFLOP')
  for step, product in ((GRADIENT, PRODUCTS), (PEER, PRODUCTS_PEER)):
    if step in found and product in found:
      alone = [1 / x for x in found[product].rates(clock)]
      _print_arithmetic(step, alone, found[step].rates(clock), flops)


def _print_arithmetic(
    name: str, product: Sequence[float], rates: Sequence[float], flops: int
) -> None:
  """What the products of a step would take at the speed of one of 256 alone.

  Args:
    name: of the step.
    product: seconds of one, round by round.
    rates: steps a second.
    flops: of the products of a step.
  """
  speed = timing.spread([_PRODUCT / x / 1e9 for x in product])
  least = timing.spread([1e3 * x * flops / _PRODUCT for x in product])
  whole = timing.spread([1e3 / x for x in rates])
  print(f'{name}: {speed:.0f} GFLOP/s')
  print(f'  ms of products at that speed, least {least:.1f}; all {whole:.1f}')


def _verdict(question: Question, found: float) -> str:
  if question.least is None:
    return ''
  holds = 'holds' if found >= question.least else 'does not hold'
  return f'   (at least {question.least:g}: {holds})'
