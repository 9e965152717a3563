"""The paper's claims about the gridworld, and this project's controls."""

import dataclasses

from implicit_underparam.figures import suites
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.verdicts import Claim

# The paper calls a drop of 5 "very little" (section A.4).
RANK_MARGIN = 5.0
RETURN_MARGIN = 0.05  # Normalised return.
ERROR_MARGIN = 0.1  # Relative.
ONE_HOT_MARGIN = 10.0  # Twice the drop of about 5 that the paper reports.

_RANK = ('srank',)
_RETURN = ('normalized_return',)
_ERROR = ('q_star_fit_error',)


def _falls(id_: str, run: str, text: str) -> Claim:
  return Claim(
      id_, f'{text}: srank falls', 'drop', _RANK, run, threshold=RANK_MARGIN
  )


def _keeps(id_: str, run: str, text: str) -> Claim:
  return Claim(
      id_, f'{text}: srank does not fall', 'drop', _RANK, run, side='below',
      threshold=RANK_MARGIN,
  )


def _more_steps(id_: str, many: str, few: str, steps: str) -> tuple[Claim, ...]:
  """What is said of more gradient steps an iteration, T or n, against fewer."""
  return (
      _falls(id_, many, f'{steps} = 200'),
      _falls(id_, few, f'{steps} = 10'),
      Claim(
          id_, f'{steps} = 200: srank falls after the first fifth',
          'settled drop', _RANK, many,
      ),
      Claim(
          id_, f'{steps} = 10: srank falls after the first fifth',
          'settled drop', _RANK, few,
      ),
      Claim(
          id_, f'the drop of srank is larger at {steps} = 200', 'drop', _RANK,
          many, few,
      ),
      Claim(
          id_, f'srank ends lower at {steps} = 200', 'end', _RANK, many, few,
          side='below',
      ),
  )


def _supervised(
    id_: str, run: str, steps: str, control: str
) -> tuple[Claim, ...]:
  """Against regression to Q* with as many gradient steps an iteration."""
  return (
      Claim(
          id_, f'{steps}: srank ends below supervised regression', 'end', _RANK,
          run, control, side='below',
      ),
      Claim(
          id_, f'{steps}: srank falls more than under supervised regression',
          'drop', _RANK, run, control,
      ),
  )


def _return(id_: str, many: str, few: str, steps: str) -> tuple[Claim, ...]:
  """What is said of the return, and of its going along with srank."""
  return (
      Claim(
          id_, f'{steps} = 200: the return falls from its peak', 'drop',
          _RETURN, many, threshold=RETURN_MARGIN,
      ),
      Claim(
          id_, f'the return ends lower at {steps} = 200', 'end', _RETURN, many,
          few, side='below',
      ),
      Claim(
          id_, f'{steps} = 200: return and srank fall together',
          'rank correlation', ('srank', *_RETURN), many,
      ),
  )


def _error(run: str, steps: str) -> tuple[Claim, ...]:
  """What is said of the error in fitting Q*."""
  return (
      Claim(
          'GRID-FIT', f'{steps}: the error rises from its minimum',
          'relative rise', _ERROR, run, threshold=ERROR_MARGIN,
      ),
      Claim(
          'GRID-FIT', f'{steps}: the error ends above its start', 'change',
          _ERROR, run,
      ),
      Claim(
          'GRID-FIT', f'{steps}: the error rises as srank falls',
          'rank correlation', ('srank', *_ERROR), run, side='below',
      ),
  )


def _without_walls_too(*claims: Claim) -> tuple[Claim, ...]:
  """Every claim on srank is made of the free cells, too."""
  twice = []
  for claim in claims:
    twice.append(claim)
    if 'srank' in claim.columns:
      free = ('srank_free' if x == 'srank' else x for x in claim.columns)
      twice.append(dataclasses.replace(claim, columns=tuple(free)))
  return tuple(twice)


PAPER: tuple[Claim, ...] = _without_walls_too(
    *_more_steps('GRID-OFF', 'offline_fqi', 'offline_fqi_t10', 'T'),
    *_supervised('GRID-OFF', 'offline_fqi', 'T = 200', 'supervised'),
    *_supervised('GRID-OFF', 'offline_fqi_t10', 'T = 10', 'supervised_t10'),
    *_return('GRID-OFF', 'offline_fqi', 'offline_fqi_t10', 'T'),
    *_more_steps('GRID-ON', 'online_fqi', 'online_fqi_n10', 'n'),
    *_supervised('GRID-ON', 'online_fqi', 'n = 200', 'supervised'),
    *_supervised('GRID-ON', 'online_fqi_n10', 'n = 10', 'supervised_t10'),
    *_return('GRID-ON', 'online_fqi', 'online_fqi_n10', 'n'),
    _keeps('GRID-ON', 'supervised', 'supervised, T = 200'),
    _keeps('GRID-ON', 'supervised_t10', 'supervised, T = 10'),
    *_error('online_fqi', 'n = 200'),
    *_error('online_fqi_n10', 'n = 10'),
    Claim(
        'GRID-FIT', 'the error ends higher at n = 200', 'end', _ERROR,
        'online_fqi', 'online_fqi_n10',
    ),
    _falls('GRID-REINIT', 'reinitialized', 're-initialised'),
    Claim(
        'GRID-PEN', 'srank ends higher with the penalty', 'end', _RANK,
        'offline_fqi_penalty', 'offline_fqi',
    ),
    Claim(
        'GRID-PEN', 'the return ends higher with the penalty', 'end', _RETURN,
        'offline_fqi_penalty', 'offline_fqi',
    ),
    Claim(
        'GRID-PEN', 'srank falls less with the penalty', 'drop', _RANK,
        'offline_fqi_penalty', 'offline_fqi', side='below',
    ),
    Claim(
        'GRID-PEN', 'with the penalty srank has a plateau in the second half',
        'late drop', _RANK, 'offline_fqi_penalty', side='within',
        threshold=RANK_MARGIN,
    ),
    Claim(
        'GRID-PEN', 'srank falls less in the second half with the penalty',
        'late drop', _RANK, 'offline_fqi_penalty', 'offline_fqi', side='below',
    ),
    _keeps('GRID-ORACLE', 'oracle', 'exact values as targets'),
    Claim(
        'GRID-ORACLE', 'srank ends above that of bootstrapped targets', 'end',
        _RANK, 'oracle', 'offline_fqi',
    ),
    Claim(
        'GRID-ONEHOT', 'n = 200: srank ends near that of supervised regression',
        'end', _RANK, 'one_hot', 'one_hot_supervised', side='within',
        threshold=ONE_HOT_MARGIN,
    ),
    Claim(
        'GRID-ONEHOT', 'n = 200: the error falls', 'change', _ERROR, 'one_hot',
        side='below',
    ),
    Claim(
        'GRID-ONEHOT', 'n = 10: the error falls', 'change', _ERROR,
        'one_hot_n10', side='below',
    ),
    Claim(
        'GRID-ONEHOT', 'n = 200: the policy is good', 'end', _RETURN, 'one_hot',
        threshold=0.9,
    ),
    Claim(
        'GRID-ONEHOT', 'n = 10: the policy is good', 'end', _RETURN,
        'one_hot_n10', threshold=0.9,
    ),
)

CONTROLS: tuple[Claim, ...] = _without_walls_too(
    _falls('GRID-FQE', 'fitted_q_evaluation', 'bootstrapped evaluation'),
    _keeps('GRID-MC', 'monte_carlo', 'regression to Monte-Carlo returns'),
    Claim(
        'GRID-FQE', 'srank falls more than with Monte-Carlo returns', 'drop',
        _RANK, 'fitted_q_evaluation', 'monte_carlo',
    ),
    _falls('GRID-COVER', 'uniform_coverage', 'uniform coverage, T = 200'),
    _falls('GRID-COVER', 'uniform_coverage_t10', 'uniform coverage, T = 10'),
    Claim(
        'GRID-COVER', 'srank falls less than on the random policy\'s data',
        'drop', _RANK, 'uniform_coverage', 'offline_fqi', side='below',
    ),
    _falls('GRID-EXACT', 'exact', 'exact expectations, T = 200'),
    _falls('GRID-EXACT', 'exact_t10', 'exact expectations, T = 10'),
    Claim(
        'GRID-PEN-ON', 'online, srank ends higher with the penalty', 'end',
        _RANK, 'online_fqi_penalty', 'online_fqi',
    ),
    Claim(
        'GRID-PEN-ON', 'online, the return ends higher with the penalty', 'end',
        _RETURN, 'online_fqi_penalty', 'online_fqi',
    ),
    *_more_steps('GRID-GROW', 'offline_growing', 'offline_growing_t10', 'T'),
    *_return('GRID-GROW', 'offline_growing', 'offline_growing_t10', 'T'),
    _falls('GRID-RANDOM', 'random_observations', 'unsmoothed observations'),
    _falls('GRID-SPARSE', 'sparse_reward', 'reward at the goal alone'),
)

_RULE = f"""\
**Statistics**, of every seed: *end* = mean of the last 10% of iterations; \
*peak* = largest running mean of 25 iterations; *drop* = peak − end; \
*relative rise* = end / smallest running mean of 25 iterations − 1; *change* = \
end − mean of the first 10%; *settled drop* = mean of iterations 20% to 30% − \
end; *late drop* = mean of iterations 50% to 60% − end; *rank correlation* = \
Spearman's, over the last 80% of iterations, values within 1e-6 of their size \
being ties. A seed that stopped early counts with the rows that it has.

**First phase.** Rank also falls in the first steps of any training, \
supervised regression included, the more so over the first iterations of 10 \
steps. *Drop* counts the part of it that outlasts 25 iterations; *settled \
drop*, and the comparison with the drop of supervised regression, do not.

**Thresholds.** Drop and rise are positive for a curve that only fluctuates. \
So "falls" asks for a drop of more than {RANK_MARGIN:g} units of srank (the \
paper calls 5 units very little) or {RETURN_MARGIN:g} of normalised return, \
"does not fall" for a drop of less than these {RANK_MARGIN:g} units, and \
"rises" for more than {ERROR_MARGIN:.0%}.

**Rank.** `srank` is over all 256 states; `srank_free` leaves out the 51 wall \
cells, which no policy reaches and whose unsmoothed observations raise the \
rank. Both with delta = 0.01.
"""

FAMILY = Family(
    suite=suites.GRIDWORLD,
    file='claims.md',
    heading='Claims',
    scope=(
        'All seeds share one map, so the intervals say nothing of other maps.'
    ),
    rule=_RULE,
    sections=(
        ("The paper's claims", PAPER),
        ("This project's controls, with ids of its own", CONTROLS),
    ),
)
