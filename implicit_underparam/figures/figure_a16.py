"""Figure A.16: offline CQL on Atari with and without the penalty."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='a16',
    title='Atari, offline CQL, penalty of Eq. 6',
    lines=(
        layout.Line('cql_offline', 'without penalty', drawing.BLUE),
        layout.Line('cql_offline_penalty', 'with penalty', drawing.GREEN),
    ),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
