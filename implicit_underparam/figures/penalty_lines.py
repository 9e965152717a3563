"""A run without the penalty and the one with it, as curves of a figure."""

from implicit_underparam.figures import drawing, layout


def lines(run: str, share: str = '') -> tuple[layout.Line, ...]:
  """Curves of both.

  Args:
    run: the configuration without the penalty.
    share: of the data that they were trained on.
  """
  return (
      layout.Line(run, 'without penalty', drawing.BLUE, share=share),
      layout.Line(
          f'{run}_penalty', 'with penalty', drawing.GREEN, share=share
      ),
  )
