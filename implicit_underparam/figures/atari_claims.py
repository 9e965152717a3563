"""The paper's claims about offline Atari, as runs on one game answer them."""

from implicit_underparam.figures import suites
from implicit_underparam.figures.atari_rows import (
    ERROR,
    RANK,
    RANK_MARGIN,
    RETURN,
    falls,
    grows_more,
    helps,
    keeps_rank,
)
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.verdicts import Claim

COLLAPSED = 100.0  # "Only 20-100 singular components are active" (section 3).


def _with_return(id_: str, run: str, text: str) -> tuple[Claim, ...]:
  """What is said of the return while srank falls."""
  return (
      Claim(
          id_, f'{text}: the return falls after the first fifth',
          'settled drop', RETURN, run,
      ),
      Claim(
          id_, f'{text}: return and srank fall together', 'rank correlation',
          (*RANK, *RETURN), run,
      ),
  )


def _penalty(id_: str, run: str, text: str) -> tuple[Claim, ...]:
  return (*keeps_rank(id_, run, text), helps(id_, run, text))


def _eigenvalues(run: str, text: str) -> tuple[Claim, ...]:
  return (
      Claim(
          'ATARI-EIG', f'{text}: srank_lambda falls', 'fall',
          ('srank_lambda',), run, threshold=RANK_MARGIN,
      ),
      Claim(
          'ATARI-EIG', f'{text}: srank_lambda goes with srank',
          'rank correlation', (*RANK, 'srank_lambda'), run,
      ),
  )


PAPER: tuple[Claim, ...] = (
    *falls('ATARI-OFF', 'dqn_offline', 'DQN'),
    Claim(
        'ATARI-OFF', 'DQN: at most 100 of 512 are left at the end', 'end',
        RANK, 'dqn_offline', side='below', threshold=COLLAPSED,
    ),
    *_with_return('ATARI-OFF', 'dqn_offline', 'DQN'),
    *falls('ATARI-CQL', 'cql_offline', 'CQL'),
    *_with_return('ATARI-CQL', 'cql_offline', 'CQL'),
    *falls('ATARI-FQE', 'fitted_q_evaluation', 'bootstrapped evaluation'),
    Claim(
        'ATARI-MC', 'Monte-Carlo returns: srank rises', 'change', RANK,
        'monte_carlo',
    ),
    Claim(
        'ATARI-MC', 'Monte-Carlo returns: srank does not fall', 'fall', RANK,
        'monte_carlo', side='below', threshold=RANK_MARGIN,
    ),
    Claim(
        'ATARI-MC', 'Monte-Carlo returns: srank is stable in the second half',
        'late drop', RANK, 'monte_carlo', side='within',
        threshold=RANK_MARGIN,
    ),
    Claim(
        'ATARI-MC', 'srank ends higher than under bootstrapped evaluation',
        'end', RANK, 'monte_carlo', 'fitted_q_evaluation',
    ),
    Claim(
        'ATARI-MC', 'srank falls less than under bootstrapped evaluation',
        'fall', RANK, 'monte_carlo', 'fitted_q_evaluation', side='below',
    ),
    *_penalty('ATARI-PEN', 'dqn_offline', 'DQN'),
    *_penalty('ATARI-CQLPEN', 'cql_offline', 'CQL'),
    *_eigenvalues('dqn_offline', 'DQN'),
    *_eigenvalues('cql_offline', 'CQL'),
    grows_more('dqn_offline', 'DQN', 'sigma_10', 0),
    grows_more('dqn_offline', 'DQN', 'sigma_100', 0),
    grows_more('dqn_offline', 'DQN', 'sigma_100', 1),
)

ELSEWHERE: tuple[Claim, ...] = (
    Claim(
        'ATARI-TD', 'DQN: the TD error rises', 'change', ERROR, 'dqn_offline',
    ),
    Claim(
        'ATARI-TD', 'DQN: the TD error rises as srank falls',
        'rank correlation', (*RANK, *ERROR), 'dqn_offline', side='below',
    ),
    Claim(
        'ATARI-MC', 'DQN: srank ends lower than with Monte-Carlo returns',
        'end', RANK, 'dqn_offline', 'monte_carlo', side='below',
    ),
    Claim(
        'ATARI-MC', 'DQN: srank falls more than with Monte-Carlo returns',
        'fall', RANK, 'dqn_offline', 'monte_carlo',
    ),
)

_RULE = f"""\
**Scale.** The paper's runs are of 100 to 1,000 iterations of 62,500 gradient \
updates, on 5 or 16 games; what was run here is in the column *setting*. A row \
is about one game and one data set. The paper's numbers of games on which the \
penalty helps, and its median improvements, are not judged here.

**Statistics**, of every seed: *end* = mean of the last 10% of iterations; \
*change* = end − mean of the first 10%; *fall* = largest running mean of 5% of \
the iterations − end; *settled drop* = mean of iterations 20% to 30% − end; \
*late drop* = mean of iterations 50% to 60% − end; *rank correlation* = \
Spearman's, over the last 80% of iterations; *growth ratio* = log10 of how \
many times the first column grew, end over mean of the first 10%, divided by \
the same of the second. A seed that stopped early counts with the rows that it \
has. The first row is of after the first iteration: what happens before it is \
not seen.

**First phase.** Rank also falls in the first steps of any training. Whether \
more than that is seen: *settled drop*, and the comparisons with Monte-Carlo \
returns.

**Thresholds.** *Fall* is positive for a curve that only fluctuates. So \
"falls" asks for more than {RANK_MARGIN:g} units of srank, 5% of the 512 \
features, and "does not fall" for less. "Left at the end" is srank below \
{COLLAPSED:g}: the paper has 20 to 100. The other claims are of a sign alone.

**Rank.** `srank` is over 2048 i.i.d. transitions of the data, `srank_lambda` \
over 512 of them, as many as there are features. Both with delta = 0.01. \
`eval_return` is the unclipped score of whole episodes; `td_error_huber` is \
against the target network, on the same 2048 transitions.
"""

FAMILY = Family(
    suite=suites.ATARI,
    file='claims_atari.md',
    heading='Claims about offline Atari',
    scope=(
        'All seeds share one game and one data set, so the intervals say '
        'nothing of others.'
    ),
    rule=_RULE,
    sections=(
        ("The paper's claims", PAPER),
        ('What the paper says of other runs, asked of these', ELSEWHERE),
    ),
)
