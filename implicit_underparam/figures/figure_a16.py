"""Figure A.16, and 6b's CQL: offline CQL with and without the penalty."""

from implicit_underparam.figures import layout, penalty_lines, suites

FIGURE = layout.PaperFigure(
    id='a16',
    title='Atari, offline CQL, penalty of Eq. 6',
    lines=penalty_lines.lines('cql_offline', '5'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
