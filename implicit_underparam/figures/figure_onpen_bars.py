"""As A.18 for online DQN: section 5 tells its median, and draws it not."""

from implicit_underparam.figures import bars, suites

FIGURE = bars.figure(
    'onpen_bars',
    'Atari, online DQN, n = 4',
    (
        bars.Pair('DQN', 'dqn_online_n4', 'dqn_online_n4_penalty'),
    ),
    suites.ATARI_ONLINE,
)
