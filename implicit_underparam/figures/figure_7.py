"""Figure 7: what the penalty changes for offline DQN and CQL, game by game."""

from implicit_underparam.figures import bars, suites

FIGURE = bars.figure(
    '7',
    'Atari, offline DQN and CQL',
    (
        bars.Pair('DQN', 'dqn_offline', 'dqn_offline_penalty'),
        bars.Pair('CQL', 'cql_offline', 'cql_offline_penalty'),
    ),
    suites.ATARI,
    share='5',
)
