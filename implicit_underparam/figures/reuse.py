"""The values of n, gradient steps an agent step, of the online Atari runs."""

from implicit_underparam.figures import drawing, layout

RATIOS = ('0.25', '1', '2', '4', '8')


def run(agent: str, ratio: str) -> str:
  """The name of a run.

  Args:
    agent: its configuration, such as 'dqn_online'.
    ratio: n.
  """
  return f'{agent}_n{ratio}'


def lines(agent: str) -> tuple[layout.Line, ...]:
  """A curve for every n, darker as it rises.

  Args:
    agent: the configuration of their runs.
  """
  return tuple(
      layout.Line(run(agent, ratio), f'n = {ratio}', style)
      for ratio, style in zip(RATIOS, drawing.RISING, strict=True)
  )
