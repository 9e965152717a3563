"""Gradient descent in steps that are seen to follow the gradient flow.

Appendix D takes gradient descent for the flow (D.2). Whether a step is small
enough is measured: now and then a step is compared with two of half the size.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import gin
import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory import deep_linear
from implicit_underparam.theory.deep_linear import Moments, Weights

# Below this share of the weights a step is rounding, and tells nothing.
_STANDSTILL = 1e-11
_MOST_HALVINGS = 14
_MOST_TRIED_STEPS = 300


class Point(NamedTuple):
  """A point of the path.

  Attributes:
    weights: (W_1, ..., W_N) there.
    squared_steps: the sum of the squared lengths of the steps so far; what
      balancedness can have lost, since a step changes W_{j+1}^T W_{j+1} -
      W_j W_j^T by terms of second order only.
  """

  weights: Weights
  squared_steps: float


@gin.register
@dataclasses.dataclass(frozen=True)
class GradientFlow:
  """Fits a deep linear network by gradient descent in small steps.

  Attributes:
    step_size: eta, in units of the flow's time.
    steps: T, gradient steps in a fit.
    tolerance: how far a step may end from where two half steps end, as a share
      of its own length. It is about a quarter of eta times the curvature:
      gradient descent turns unstable at 1/2, and the path is off the flow by
      no more than about twice this share of its length.
    checks: how often in a fit that is looked at.
  """

  step_size: float = 1e-3
  steps: int = 1000
  tolerance: float = 0.02
  checks: int = 20

  def __post_init__(self) -> None:
    for name in ('step_size', 'tolerance'):
      value = getattr(self, name)
      if not (isinstance(value, (int, float)) and 0 < value < np.inf):
        raise errors.UserError(
            f'GradientFlow.{name} is {value!r}: give a number above 0'
        )
    for name in ('steps', 'checks'):
      value = getattr(self, name)
      if not isinstance(value, int) or value < 1:
        raise errors.UserError(
            f'GradientFlow.{name} is {value!r}: give a whole number, at least 1'
        )

  def fit(self, weights: Weights, problem: Moments) -> Weights:
    """The weights after T steps.

    Args:
      weights: (W_1, ..., W_N) to start from.
      problem: what is fitted.

    Raises:
      UserError: a step is too large for the flow to be followed.
    """
    *_, last = self.path(weights, problem, 1)
    return last.weights

  def path(
      self, weights: Weights, problem: Moments, count: int
  ) -> Iterator[Point]:
    """The start, and `count` points up to the T-th step, evenly apart.

    Args:
      weights: (W_1, ..., W_N) to start from.
      problem: what is fitted.
      count: of points after the start; at most T.

    Raises:
      UserError: a step is too large for the flow to be followed.
    """
    shown = _evenly(self.steps, count)
    checked = _evenly(self.steps, min(self.checks, self.steps)) - 1
    stops = sorted({0, self.steps, *shown.tolist(), *checked.tolist()})
    point = last_checked = Point(weights, 0.0)
    yield point
    for now, then in itertools.pairwise(stops):
      if now == 0 or now in checked:
        self._check(point.weights, last_checked.weights, problem)
        last_checked = point
      point = self._advance(point, problem, then - now)
      if then in shown:
        self._check_finite(point.weights, last_checked.weights, problem)
        yield point

  def _advance(self, point: Point, problem: Moments, steps: int) -> Point:
    weights, total = point
    # What overflows is reported by the check that follows.
    with np.errstate(over='ignore', invalid='ignore'):
      for _ in range(steps):
        pairs = deep_linear.gradient_vectors(weights, problem)
        total += self.step_size**2 * sum(
            x.dot(x) * y.dot(y) for x, y in pairs
        )
        weights = deep_linear.descend(weights, pairs, self.step_size)
    return Point(weights, float(total))

  def _check(
      self, weights: Weights, before: Weights, problem: Moments
  ) -> None:
    self._check_finite(weights, before, problem)
    error = local_error(weights, problem, self.step_size)
    if not error <= self.tolerance:
      raise self._too_large(f'{error:.2g}', before, problem)

  def _check_finite(
      self, weights: Weights, before: Weights, problem: Moments
  ) -> None:
    if not np.isfinite(deep_linear.norm(weights)):
      raise self._too_large('infinitely far', before, problem)

  def _too_large(
      self, error: str, before: Weights, problem: Moments
  ) -> errors.UserError:
    span = self.step_size * -(-self.steps // min(self.checks, self.steps))
    remedy = self._remedy(before, problem, span)
    return errors.UserError(
        f'GradientFlow.step_size = {self.step_size:g} is too large for the '
        'gradient flow to be followed: a step ends '
        f'{error} of its length from two half steps '
        f'(GradientFlow.tolerance = {self.tolerance:g}): {remedy}'
    )

  def _remedy(self, before: Weights, problem: Moments, span: float) -> str:
    """Halves the step until it follows the flow where this one did not."""
    for halvings in range(1, _MOST_HALVINGS):
      size = self.step_size / 2**halvings
      # Half the tolerance leaves room for the fits that come after.
      if _follows(before, problem, size, span, self.tolerance / 2):
        return (
            f'bind it to {size:g}, and GradientFlow.steps to '
            f'{self.steps * 2**halvings} for the same time'
        )
    return (
        'no step down to a ten-thousandth of it would do; start from smaller '
        'weights or scale the inputs down'
    )


def local_error(
    weights: Weights, problem: Moments, step_size: float
) -> float:
  """How far a step ends from two half steps, as a share of its own length.

  Args:
    weights: (W_1, ..., W_N) where the step starts.
    problem: what is fitted.
    step_size: eta, in units of the flow's time.

  Returns:
    About eta |W''| / (4 |W'|); 0 where the step is no more than rounding.
  """
  with np.errstate(over='ignore', invalid='ignore'):
    whole = deep_linear.step(weights, problem, step_size)
    half = deep_linear.step(weights, problem, step_size / 2)
    halves = deep_linear.step(half, problem, step_size / 2)
    length = deep_linear.norm(deep_linear.difference(whole, weights))
    if length <= _STANDSTILL * deep_linear.norm(weights):
      return 0.0
    error = deep_linear.norm(deep_linear.difference(whole, halves))
    return error / length


def _evenly(steps: int, count: int) -> np.ndarray:
  """`count` whole numbers up to `steps`, evenly apart."""
  return np.arange(1, count + 1) * steps // count


def _follows(
    weights: Weights,
    problem: Moments,
    step_size: float,
    span: float,
    tolerance: float,
) -> bool:
  """Whether steps of a size follow the flow for a time, as far as tried."""
  with np.errstate(over='ignore', invalid='ignore'):
    for _ in range(min(round(span / step_size), _MOST_TRIED_STEPS)):
      if not local_error(weights, problem, step_size) <= tolerance:
        return False
      weights = deep_linear.step(weights, problem, step_size)
  return bool(np.isfinite(deep_linear.norm(weights)))
