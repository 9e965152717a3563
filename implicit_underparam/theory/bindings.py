"""What the experiments refuse, each naming its binding."""

from typing import Any

import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory.gradient_flow import GradientFlow
from implicit_underparam.theory.linear_instances import LinearInstance


def check_delta(name: str, delta: Any) -> None:
  """Refuses a delta that the bounds on srank do not hold for.

  Args:
    name: of the class that it is bound to.
    delta: of srank.

  Raises:
    UserError: it is not above 0 and below 1.
  """
  if not (isinstance(delta, (int, float)) and 0 < delta < 1):
    raise errors.UserError(
        f'{name}.delta is {delta!r}: give a number above 0 and below 1'
    )


def check_parts(name: str, instance: Any, flow: Any) -> None:
  """Refuses what is no instance or no flow.

  Args:
    name: of the class that they are bound to.
    instance: should be a LinearInstance.
    flow: should be a GradientFlow.

  Raises:
    UserError: one of them is something else.
  """
  for attribute, value, kind in (
      ('instance', instance, LinearInstance),
      ('flow', flow, GradientFlow),
  ):
    if not isinstance(value, kind):
      raise errors.UserError(
          f'{name}.{attribute} is {value!r}: bind it to @{kind.__name__}()'
      )


def check_number(name: str, value: Any, least: float) -> None:
  """Raises UserError where a binding is no finite number, or below the least.

  Args:
    name: of the binding, with its class.
    value: of it.
    least: the smallest that will do.
  """
  if not (isinstance(value, (int, float)) and least <= value < np.inf):
    raise errors.UserError(
        f'{name} is {value!r}: give a number, {least:g} or more'
    )


def check_count(name: str, value: Any) -> None:
  """Raises UserError where a binding is no whole number above 0."""
  if not isinstance(value, int) or value < 1:
    raise errors.UserError(
        f'{name} is {value!r}: give a whole number, at least 1'
    )
