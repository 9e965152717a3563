"""Figure A.11a: targets that do not bootstrap, exact Q^pi."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='a11a',
    title='Gridworld, offline, T = 200, exact values as targets',
    lines=(
        layout.Line('offline_fqi', 'bootstrapped targets', drawing.BLUE),
        layout.Line('oracle', 'exact values of the policy', drawing.GREEN),
    ),
    columns=('srank',),
)
