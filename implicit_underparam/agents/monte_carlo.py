"""Regression to Monte-Carlo returns: nothing is bootstrapped (Figure 4d)."""

import dataclasses

import gin

from implicit_underparam import types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class MonteCarloAgent(value.ValueAgent):
  """Q(s, a) towards sum_t gamma^t r_t, the rest of the data's own episode."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.update_horizon != 1:
      raise self._error('update_horizon', 'a whole return has no horizon: 1')

  @property
  def needs_returns(self) -> bool:
    """Whether the data has to bring Monte-Carlo returns."""
    return True

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """The returns, [B]."""
    del params, target_params
    assert batch.target is not None, 'the data has no Monte-Carlo returns'
    return batch.target
