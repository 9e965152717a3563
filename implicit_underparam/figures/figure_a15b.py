"""Figure A.15b: as 7, CQL on 4 times the data."""

from implicit_underparam.figures import bars, suites

FIGURE = bars.figure(
    'a15b',
    'Atari, offline CQL',
    (
        bars.Pair('CQL', 'cql_offline', 'cql_offline_penalty'),
    ),
    suites.ATARI,
    share='20',
)
