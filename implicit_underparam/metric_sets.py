"""Metrics that are added to those of a base configuration."""

from collections.abc import Mapping

import gin

from implicit_underparam import errors, types


@gin.register
def joined_metrics(
    base: Mapping[str, types.Metric], more: Mapping[str, types.Metric]
) -> dict[str, types.Metric]:
  """The metrics of both, for `Runner.metrics`; gin cannot add to a dictionary.

  Args:
    base: column -> metric.
    more: likewise; with columns of its own.

  Returns:
    Column -> metric.

  Raises:
    UserError: a column is in both.
  """
  both = ', '.join(sorted(base.keys() & more.keys()))
  if both:
    raise errors.UserError(
        f'joined_metrics.more has {both}, which joined_metrics.base has too: '
        'take another name, such as NAME@PROBE'
    )
  return {**base, **more}
