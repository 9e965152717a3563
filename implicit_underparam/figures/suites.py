"""The suites of runs: how one is told from another, drawn and made."""

from collections.abc import Collection

from implicit_underparam.figures.suite_types import (
  PENALTY,
  Axis,
  Ending,
  Suite,
)

_ALPHA = Ending(
    r'alpha([\d.e-]+)', file='penalty',
    binding='Learner.penalty_coefficient = {}',
)

GRIDWORLD = Suite(
    name='gridworld',
    x='iteration',
    x_label='Fitting iteration',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(all states; at most 64)'
        ),
        'srank_free': Axis(
            'Effective rank srank$_{0.01}$\n(free cells; at most 64)'
        ),
        'srank_minibatch': Axis(
            'Effective rank srank$_{0.01}$\n(2048 transitions; at most 64)'
        ),
        'normalized_return': Axis(
            'Normalised return\n(0 uniform policy, 1 expert)'
        ),
        'q_star_fit_error': Axis(
            '$Q^*$ fitting error (reward$^2$)\nmean square'
        ),
    },
    own_columns=frozenset({
        'normalized_return', 'q_pi_error', 'q_star_error', 'q_star_fit_error',
        'srank_free',
    }),
    learning_rate=0.001,
)

_ATARI_AXES = {
    'srank': Axis(
        'Effective rank srank$_{0.01}$\n(2048 transitions; at most 512)',
        log=False,
    ),
    'srank_lambda': Axis(
        'Effective rank srank$_{0.01, \\lambda}$\n'
        '(512 transitions; at most 512)',
        log=False,
    ),
    'ranks': Axis('Effective rank, $\\delta = 0.01$\n(at most 512)', log=False),
    'eval_return': Axis('Return\n(score of an episode)', log=False),
    'singular_values': Axis(
        'Singular value of the features\n(2048 transitions)', log=True
    ),
    'td_error_huber': Axis('TD error\n(Huber loss)', log=True),
    'gradient_steps': Axis('Gradient updates', log=True),
}
_ATARI_COLUMNS = frozenset({
    'td_error_huber', 'td_error_online', 'td_error_target',
})

ATARI = Suite(
    name='atari',
    x='gradient_steps',
    x_label='Gradient updates',
    axes=_ATARI_AXES,
    own_columns=_ATARI_COLUMNS,
    bindings=("game = 'GAME'", "OfflineData.path = 'PREPARED_SET'"),
    by_game=True,
    shares=('5', '20'),
)

ATARI_ONLINE = Suite(
    name='atari',
    x='environment_steps',
    x_label='Environment steps (of the agent, 4 frames each)',
    axes=_ATARI_AXES,
    own_columns=_ATARI_COLUMNS | {
        'epsilon', 'target_updates', 'train_episodes', 'train_return',
    },
    bindings=("game = 'GAME'",),
    endings=(
        PENALTY,
        Ending('target', file='target_features'),
        Ending(r'n([\d.]+)', binding='OnlineLoop.data_reuse_ratio = {}'),
    ),
    by_game=True,
)

MINATAR = Suite(
    name='minatar',
    x='gradient_steps',
    x_label='Gradient updates',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(2048 transitions; at most 128)',
            log=False,
        ),
        'srank_lambda': Axis(
            'Effective rank srank$_{0.01, \\lambda}$\n'
            '(128 transitions; at most 128)',
            log=False,
        ),
        'ranks': Axis(
            'Effective rank, $\\delta = 0.01$\n(at most 128)', log=False
        ),
        'eval_return': Axis('Return\n(score of an episode)', log=False),
        'singular_values': _ATARI_AXES['singular_values'],
        'td_error_huber': _ATARI_AXES['td_error_huber'],
        'gradient_steps': _ATARI_AXES['gradient_steps'],
        'environment_steps': Axis('Environment steps', log=False),
    },
    own_columns=_ATARI_COLUMNS | ATARI_ONLINE.own_columns,
    bindings=("game = 'GAME'",),
    endings=(
        _ALPHA,
        # The rank of targets is a column of DQN with the largest n.
        Ending(
            'n8', file='target_features',
            binding='OnlineLoop.data_reuse_ratio = 8',
        ),
        Ending(r'n([\d.]+)', binding='OnlineLoop.data_reuse_ratio = {}'),
        Ending(
            r'(\d+)',
            binding="OfflineData.path = "
            "'{{base_dir}}/prepared/GAME_{{seed}}_{}'",
        ),
        Ending('log', last_file='laptop_log'),
    ),
    files={
        'dqn': 'dqn_online',
        'fqe_offline': 'fitted_q_evaluation',
        'mc_offline': 'monte_carlo',
    },
    own_bindings={
        'rainbow_online': ('Runner.num_iterations = 6',),
        **dict.fromkeys(
            ('dqn_offline', 'cql_offline', 'fitted_q_evaluation',
             'monte_carlo'),
            ('Runner.num_iterations = 12',),
        ),
    },
    last_files=('laptop',),
    environment='minatar',
    by_game=True,
)

MUJOCO = Suite(
    name='mujoco',
    x='gradient_steps',
    x_label='Gradient updates',
    axes={
        'srank': Axis(
            'Effective rank srank$_{0.01}$\n(first critic; at most 256)',
            log=False,
        ),
        'srank_critic_2': Axis(
            'Effective rank srank$_{0.01}$\n(second critic; at most 256)',
            log=False,
        ),
        'eval_return': Axis('Return\n(of an episode)', log=False),
        'gradient_steps': Axis('Gradient updates', log=True),
        'environment_steps': Axis('Environment steps', log=False),
    },
    own_columns=ATARI_ONLINE.own_columns | {'srank_critic_2'},
    bindings=("environment_id = 'ENVIRONMENT-v4'",),
    endings=(
        _ALPHA,
        Ending(r'n([\d.]+)', binding='OnlineLoop.data_reuse_ratio = {}'),
        # Of what the online run with n = 1 logged: 20%, the files' own.
        Ending(
            '20',
            binding="TransitionData.path = '{{base_dir}}/ENVIRONMENT/"
            "sac_online_n1/replay/ENVIRONMENT-v4/{{seed}}/transitions'",
        ),
    ),
    own_bindings={
        'sac_online_n1': ('Runner.log_replay = True',),
        'sac_online_n8': ('Runner.num_iterations = 5',),
        'sac_offline_20': ('Runner.num_iterations = 16',),
    },
    last_files=('laptop',),
    own_last_files={'cql_offline': ('cql_laptop',)},
    environment='mujoco',
    by_game=True,
    place='environment',
)

THEORY = Suite(
    name='theory',
    x='iteration',
    x_label='Fitting iteration',
    axes={
        'srank': Axis('Effective rank srank$_{0.01}$'),
        'srank_lambda': Axis('Effective rank srank$_{0.01, \\lambda}$'),
        'srank_map': Axis('Effective rank srank$_{0.01}$\nof $A M_k$'),
        'ranks': Axis('Effective rank srank$_{0.01}$'),
        'normalized_return': GRIDWORLD.axes['normalized_return'],
        'distance': Axis(
            '$|Q - Q^*|$, $Q^*$ the TD\nfixed point', log=True
        ),
        'growth_constant': Axis(
            'Measured constant of eq. 4\n(printed: N; derived: N - 1)',
            log=False,
        ),
        'sigma_max': Axis('Largest singular value\nof $W_\\phi$', log=True),
        'sigma_second': Axis('Second singular value\nof $W_\\phi$', log=True),
    },
    own_columns=frozenset({'normalized_return'}),
    environment='theory',
)

SUITES = (GRIDWORLD, ATARI, ATARI_ONLINE, MINATAR, MUJOCO, THEORY)


def belongs(columns: Collection[str], suite: Suite) -> bool:
  """Whether a run with these columns may be one of a suite.

  Args:
    columns: of its metrics.csv.
    suite: which.

  Returns:
    False if it has a column that another suite's runs have, and not this
    one's.
  """
  others = frozenset[str]().union(*(other.own_columns for other in SUITES))
  return (others - suite.own_columns).isdisjoint(columns)
