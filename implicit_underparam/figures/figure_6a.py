"""Figure 6a: offline fitted Q-iteration with and without the penalty."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='6a',
    title='Gridworld, offline, T = 200, penalty of Eq. 6',
    lines=(
        layout.Line('offline_fqi', 'without penalty', drawing.BLUE),
        layout.Line('offline_fqi_penalty', 'with penalty', drawing.GREEN),
        layout.Line('supervised', 'supervised', drawing.BLACK),
    ),
    columns=('srank', 'normalized_return'),
)
