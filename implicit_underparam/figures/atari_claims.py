"""The paper's claims about offline Atari, as runs on its games answer them.

A folder of runs is called by game and percentage of the data, as Pong_5.
"""

import dataclasses
from collections.abc import Iterable

from implicit_underparam.figures import atari_report, suites
from implicit_underparam.figures.atari_rows import (
    ERROR,
    RANK,
    RANK_MARGIN,
    RETURN,
    falls,
    grows_more,
    helps,
    improves,
    keeps_rank,
)
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.verdicts import Claim

COLLAPSED = 100.0  # "Only 20-100 singular components are active" (section 3).
BAR_PLOTS = 100 * 62_500  # Gradient steps: "at 100 iterations".
FOUR_TIMES = '.*_20'  # Folders of the runs on 4 times the data.
LEAST = '(?!.*_20$).*'  # All others.


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
  return (
      *improves(id_, f'{run}_penalty', run, text, until=BAR_PLOTS),
      *keeps_rank(id_, run, text),
      helps(id_, run, text),
  )


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


def _on(where: str, claims: Iterable[Claim]) -> tuple[Claim, ...]:
  return tuple(dataclasses.replace(x, where=where) for x in claims)


def _in_20(claims: Iterable[Claim]) -> tuple[Claim, ...]:
  """The same claims of the runs on 20% of the data."""
  said = (dataclasses.replace(x, text=f'20%, {x.text}') for x in claims)
  return _on(FOUR_TIMES, said)


_EVALUATION: tuple[Claim, ...] = (
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
)

_LEAST_DATA: tuple[Claim, ...] = (
    *falls('ATARI-OFF', 'dqn_offline', 'DQN'),
    Claim(
        'ATARI-OFF', 'DQN: at most 100 of 512 are left at the end', 'end',
        RANK, 'dqn_offline', side='below', threshold=COLLAPSED,
    ),
    *_with_return('ATARI-OFF', 'dqn_offline', 'DQN'),
    *falls('ATARI-CQL', 'cql_offline', 'CQL'),
    *_with_return('ATARI-CQL', 'cql_offline', 'CQL'),
    *_EVALUATION,
    *_penalty('ATARI-PEN', 'dqn_offline', 'DQN'),
    *_penalty('ATARI-CQLPEN', 'cql_offline', 'CQL'),
    *_eigenvalues('dqn_offline', 'DQN'),
    *_eigenvalues('cql_offline', 'CQL'),
    grows_more('dqn_offline', 'DQN', 'sigma_10', 0),
    grows_more('dqn_offline', 'DQN', 'sigma_100', 0),
    grows_more('dqn_offline', 'DQN', 'sigma_100', 1),
)

PAPER: tuple[Claim, ...] = (
    *_on(LEAST, _LEAST_DATA),
    *_in_20(falls('ATARI-OFF4X', 'dqn_offline', 'DQN')),
    *_in_20(_with_return('ATARI-OFF4X', 'dqn_offline', 'DQN')),
)

ELSEWHERE: tuple[Claim, ...] = _on(LEAST, (
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
))

MORE_DATA: tuple[Claim, ...] = _in_20((
    *_EVALUATION,
    *_penalty('ATARI-PEN', 'dqn_offline', 'DQN'),
    *_penalty('ATARI-CQLPEN', 'cql_offline', 'CQL'),
))

_RULE = f"""\
**Scale.** The paper's runs are of 100 to 1,000 iterations of 62,500 gradient \
updates, on 5 or 16 games; what was run here is in the last table. Games whose \
folder's name ends in _20 are of 20% of the data and judged by themselves.

**Statistics**, of every seed: *end* = mean of the last 10% of iterations; \
*change* = end − mean of the first 10%; *fall* = largest running mean of 5% of \
the iterations − end; *settled drop* = mean of iterations 20% to 30% − end; \
*late drop* = mean of iterations 50% to 60% − end; *rank correlation* = \
Spearman's, over the last 80% of iterations, values within 1e-6 of their size \
being ties; *growth ratio* = log10 of how \
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
    scope='',
    rule=_RULE,
    sections=(
        ("The paper's claims", PAPER),
        ('What the paper says of other runs, asked of these', ELSEWHERE),
        ('On 20% of the data', MORE_DATA),
    ),
    report=atari_report.write,
    games=atari_report.games,
)
