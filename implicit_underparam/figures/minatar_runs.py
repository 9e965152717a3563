"""Names of the MinAtar runs."""

RATIOS = ('0.25', '1', '4', '8')  # n, gradient steps a step of the agent.
ALPHA = '0.001'  # The paper's.
ALPHAS = ('0.0001', ALPHA, '0.01')


def penalized(run: str, alpha: str = ALPHA) -> str:
  """The name of a run with the penalty.

  Args:
    run: the name without.
    alpha: coefficient of the penalty.
  """
  return f'{run}_alpha{alpha}'


_WITH_ALPHAS = ('dqn_online_n1', 'dqn_offline_20', 'cql_offline_20')
ONLINE = (
    *(f'dqn_online_n{ratio}' for ratio in RATIOS),
    *(penalized(_WITH_ALPHAS[0], alpha) for alpha in ALPHAS),
    'rainbow_online_n4',
    penalized('rainbow_online_n4'),
    'dqn_log',
)
OFFLINE = (
    'dqn_offline_100',
    'dqn_offline_20',
    'dqn_offline_5',
    'cql_offline_20',
    'fqe_offline_100',
    'mc_offline_100',
    *(
        penalized(run, alpha)
        for run in _WITH_ALPHAS[1:]
        for alpha in ALPHAS
    ),
)
ALL = (*ONLINE, *OFFLINE)
# Configuration without the penalty -> the coefficients that were tried.
TRIED = {
    **dict.fromkeys(_WITH_ALPHAS, ALPHAS),
    'rainbow_online_n4': (ALPHA,),
}
