"""Figure 4c: a fresh network in every fitting iteration."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='4c',
    title='Gridworld, offline, network re-initialised every iteration',
    lines=(
        layout.Line('offline_fqi', 'kept', drawing.BLUE),
        layout.Line('reinitialized', 're-initialised', drawing.GREEN),
    ),
    columns=('srank',),
)
