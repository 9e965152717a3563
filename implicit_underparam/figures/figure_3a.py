"""Figure 3, left: online fitted Q-iteration on the gridworld."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='3a',
    title='Gridworld, online fitted Q-iteration',
    lines=(
        layout.Line('online_fqi_n10', 'n = 10', drawing.ORANGE),
        layout.Line('online_fqi', 'n = 200', drawing.BLUE),
        layout.Line('supervised', 'supervised', drawing.BLACK),
    ),
    columns=('srank', 'normalized_return'),
)
