"""Figure A.11b: one-hot observations."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='a11b',
    title='Gridworld, online, one-hot observations',
    lines=(
        layout.Line('one_hot_n10', 'n = 10', drawing.ORANGE),
        layout.Line('one_hot', 'n = 200', drawing.BLUE),
        layout.Line('one_hot_supervised', 'supervised', drawing.BLACK),
    ),
    columns=('q_star_fit_error', 'srank'),
)
