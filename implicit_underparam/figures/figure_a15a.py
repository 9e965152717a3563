"""Figure A.15a: as 7, DQN on 4 times the data."""

from implicit_underparam.figures import bars, suites

FIGURE = bars.figure(
    'a15a',
    'Atari, offline DQN',
    (
        bars.Pair('DQN', 'dqn_offline', 'dqn_offline_penalty'),
    ),
    suites.ATARI,
    share='20',
)
