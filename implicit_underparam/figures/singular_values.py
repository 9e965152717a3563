"""The singular values of one run's features, as curves of a figure."""

from collections.abc import Iterable

from implicit_underparam.figures import drawing, layout

_STYLES = {
    '1': drawing.BLUE,
    '2': drawing.ORANGE,
    '10': drawing.GREEN,
    '100': drawing.BLACK,
    'min': drawing.PURPLE,
}


def lines(
    run: str, indices: Iterable[str] = tuple(_STYLES), share: str = ''
) -> tuple[layout.Line, ...]:
  """Curves of sigma_1, sigma_2, sigma_10, sigma_100 and the smallest one.

  Args:
    run: the configuration that they come from.
    indices: which of them.
    share: of the data that the run was trained on.
  """
  return tuple(
      layout.Line(
          run, _label(index), _STYLES[index], f'sigma_{index}', share
      )
      for index in indices
  )


def _label(index: str) -> str:
  text = index if index.isdigit() else f'\\{index}'
  return f'$\\sigma_{{{text}}}$'
