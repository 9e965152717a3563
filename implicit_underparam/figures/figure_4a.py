"""Figure 4a: the features' error in fitting Q* while their rank falls."""

from implicit_underparam.figures import drawing, layout

FIGURE = layout.PaperFigure(
    id='4a',
    title='Gridworld, online: best linear fit of Q* to the features',
    lines=(
        layout.Line('online_fqi_n10', 'n = 10', drawing.ORANGE),
        layout.Line('online_fqi', 'n = 200', drawing.BLUE),
    ),
    columns=('q_star_fit_error',),
)
