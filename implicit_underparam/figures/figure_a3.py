"""Figure A.3: offline CQL on Atari."""

from implicit_underparam.figures import drawing, layout, suites

FIGURE = layout.PaperFigure(
    id='a3',
    title='Atari, offline CQL',
    lines=(layout.Line('cql_offline', 'CQL', drawing.BLUE, share='5'),),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
