"""Figure 2, left: offline fitted Q-iteration on the gridworld."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='2a',
    title='Gridworld, offline fitted Q-iteration',
    lines=(
        layout.Line('offline_fqi_t10', 'T = 10', drawing.ORANGE),
        layout.Line('offline_fqi', 'T = 200', drawing.BLUE),
        layout.Line('supervised', 'supervised', drawing.BLACK),
    ),
    columns=('srank', 'normalized_return'),
)
