"""Figure D.1: the singular values of the features over training."""

from implicit_underparam.figures import drawing, layout, suites


def _line(column: str, index: str, style: drawing.Style) -> layout.Line:
  return layout.Line('dqn_offline', f'$\\sigma_{{{index}}}$', style, column)


FIGURE = layout.PaperFigure(
    id='d1',
    title='Atari, offline DQN, singular values',
    lines=(
        _line('sigma_1', '1', drawing.BLUE),
        _line('sigma_2', '2', drawing.ORANGE),
        _line('sigma_10', '10', drawing.GREEN),
        _line('sigma_100', '100', drawing.BLACK),
        _line('sigma_min', '\\min', drawing.PURPLE),
    ),
    columns=('singular_values',),
    suite=suites.ATARI,
)
