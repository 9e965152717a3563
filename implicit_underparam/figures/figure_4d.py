"""Figure 4d, A.9 and A.10: evaluation with and without bootstrapping."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='4d',
    title='Atari, offline policy evaluation',
    lines=(
        layout.Line('fitted_q_evaluation', 'fitted Q evaluation', drawing.BLUE),
        layout.Line('monte_carlo', 'Monte-Carlo returns', drawing.BLACK),
    ),
    columns=('srank',),
    suite=suites.ATARI,
    also=('a9', 'a10'),
)
