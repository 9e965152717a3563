"""Optimisers that treat parts of the parameters differently."""

from collections.abc import Mapping
from typing import Any

import gin
import jax
import optax

from implicit_underparam import errors, learner


@gin.register
def adam_by_part(
    learning_rate: float = 3e-4,
    rates: Mapping[str, float] | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
  """Adam with learning rates of their own for some parts of an agent.

  Adam's step is proportional to its learning rate: the parts' steps are
  scaled, and there is one state.

  Args:
    learning_rate: of every other part.
    rates: part -> learning rate, such as {'actor': 1e-4}.
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the latter.

  Returns:
    An optax transformation, of parameters that are a dictionary of parts.

  Raises:
    UserError: for a rate that is not a positive number, or an unknown part.
  """
  rates = dict(rates or {})
  for part, rate in rates.items():
    if not isinstance(rate, (int, float)) or rate <= 0:
      raise errors.UserError(
          f'adam_by_part.rates has {rate!r} for {part!r}: give a number above 0'
      )
  inner = learner.adam(learning_rate, b1, b2, eps)
  scales = {part: rate / learning_rate for part, rate in rates.items()}

  def init(params: Any) -> Any:
    unknown = ', '.join(sorted(scales.keys() - params.keys()))
    if unknown:
      raise errors.UserError(
          f'adam_by_part.rates has {unknown}: the agent has '
          f'{", ".join(sorted(params))}'
      )
    return inner.init(params)

  def update(
      grads: Any, state: Any, params: Any = None
  ) -> tuple[Any, Any]:
    updates, state = inner.update(grads, state, params)
    scaled = {
        part: _scaled(tree, scales.get(part)) for part, tree in updates.items()
    }
    return scaled, state

  return optax.GradientTransformation(init, update)


def _scaled(tree: Any, factor: float | None) -> Any:
  """A tree times a factor; None is one."""
  if factor is None:
    return tree
  return jax.tree.map(lambda x: x * factor, tree)
