"""The paper's claims about Atari, as runs on MinAtar answer them."""

import functools
from collections.abc import Mapping

from implicit_underparam.figures import minatar_report, minatar_runs, suites
from implicit_underparam.figures.atari_rows import ERROR, RANK, RETURN, improves
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.game_verdicts import Games
from implicit_underparam.figures.verdicts import Claim

_WIDTH = 128  # d.
RANK_MARGIN = 0.05 * _WIDTH  # The share that `atari_rows` takes of 512.
COLLAPSED = 100 / 512 * _WIDTH  # "Only 20-100 [...] are active", of 512.

_DQN, _CQL = 'dqn_offline_20', 'cql_offline_20'
_FQE, _MC = 'fqe_offline_100', 'mc_offline_100'
_MANY, _ONE = 'dqn_online_n8', 'dqn_online_n1'
_RAINBOW = 'rainbow_online_n4'
_PAIRS = (('0.25', '1'), ('1', '4'), ('0.25', '8'))  # Fewer and more.

HEADLINES: Mapping[str, str] = {
    'MINATAR-ON': 'online DQN: a larger n means more drop and a worse return',
    'MINATAR-TD': 'online DQN: the TD error rises as rank drops',
    'MINATAR-OFF': 'offline DQN, least data: srank falls, the return with it',
    'MINATAR-OFF4X': 'offline DQN: it persists with 4 times the data',
    'MINATAR-CQL': 'offline CQL: similar degradation',
    'MINATAR-FQE': 'evaluating a fixed policy, srank drops without the max',
    'MINATAR-MC': 'no collapse without bootstrapping',
    'MINATAR-PEN': 'offline DQN: the penalty keeps rank and helps',
    'MINATAR-CQLPEN': 'offline CQL: the penalty keeps rank and helps',
    'MINATAR-ONPEN': 'online DQN: the penalty does not help',
    'MINATAR-RAINBOW': 'Rainbow: multi-step, priorities, C51 do not prevent it',
    'MINATAR-RAINBOWPEN': 'Rainbow: the penalty keeps rank and helps',
    'MINATAR-EIG': 'srank over eigenvalues shows almost the same trend',
    'MINATAR-SV': 'large singular values grow by orders of magnitude more',
    'MINATAR-TARGET': 'the rank of the target also decreases',
}


def _falls(
    id_: str, run: str, text: str, column: str = 'srank'
) -> tuple[Claim, ...]:
  return (
      Claim(
          id_, f'{text}: {column} falls', 'fall', (column,), run,
          threshold=RANK_MARGIN,
      ),
      Claim(
          id_, f'{text}: {column} falls after the first fifth', 'settled drop',
          (column,), run,
      ),
  )


def _together(id_: str, run: str, text: str) -> Claim:
  return Claim(
      id_, f'{text}: return and srank fall together', 'rank correlation',
      (*RANK, *RETURN), run,
  )


def _more_steps(few: str, many: str) -> tuple[Claim, ...]:
  """What is said of a larger n against a smaller one."""
  runs = (f'dqn_online_n{many}', f'dqn_online_n{few}')
  than = f'at n = {many} than at n = {few}'
  return (
      Claim('MINATAR-ON', f'srank falls more {than}', 'fall', RANK, *runs),
      Claim(
          'MINATAR-ON', f'srank ends lower {than}', 'end', RANK, *runs,
          side='below',
      ),
      Claim(
          'MINATAR-ON', f'the return ends lower {than}', 'end', RETURN, *runs,
          side='below',
      ),
      Claim(
          'MINATAR-TD', f'the TD error ends higher {than}', 'log end', ERROR,
          *runs,
      ),
  )


def _error(run: str, text: str) -> Claim:
  return Claim(
      'MINATAR-TD', f'{text}: the TD error rises as srank falls',
      'rank correlation', (*RANK, *ERROR), run, side='below',
  )


def _penalty(
    id_: str, run: str, alpha: str, side: str = 'above'
) -> tuple[Claim, ...]:
  """What is said of runs with the penalty against those without."""
  runs = (minatar_runs.penalized(run, alpha), run)
  text = f'alpha = {alpha}'
  ends = 'higher' if side == 'above' else 'lower'
  return (
      Claim(
          id_, f'{text}: srank ends higher with the penalty', 'end', RANK,
          *runs,
      ),
      Claim(
          id_, f'{text}: the return ends {ends} with the penalty', 'end',
          RETURN, *runs, side=side,
      ),
  )


def _eigenvalues(run: str, text: str) -> Claim:
  return Claim(
      'MINATAR-EIG', f'{text}: srank_lambda goes with srank',
      'rank correlation', (*RANK, 'srank_lambda'), run,
  )


def _grows_more(run: str, text: str, decades: int) -> Claim:
  factor = 'over 10 times the factor of' if decades else 'a larger factor than'
  return Claim(
      'MINATAR-SV', f'{text}: sigma_1 grows by {factor} sigma_10',
      'growth ratio', ('sigma_1', 'sigma_10'), run, threshold=decades,
  )


_ON_RANK, _, _ON_RETURN, _TD_ENDS = _more_steps('1', '8')

PARTS: tuple[Claim, ...] = (
    _ON_RANK,
    _ON_RETURN,
    _error(_MANY, 'n = 8'),
    _TD_ENDS,
    *_falls('MINATAR-OFF', 'dqn_offline_5', 'DQN, 5%'),
    _together('MINATAR-OFF', 'dqn_offline_5', 'DQN, 5%'),
    *_falls('MINATAR-OFF4X', _DQN, 'DQN, 20%'),
    _together('MINATAR-OFF4X', _DQN, 'DQN, 20%'),
    *_falls('MINATAR-CQL', _CQL, 'CQL'),
    _together('MINATAR-CQL', _CQL, 'CQL'),
    *_falls('MINATAR-FQE', _FQE, 'bootstrapped evaluation'),
    Claim(
        'MINATAR-MC', 'srank does not fall', 'fall', RANK, _MC, side='below',
        threshold=RANK_MARGIN,
    ),
    Claim(
        'MINATAR-MC', 'srank falls less than under bootstrapped evaluation',
        'fall', RANK, _MC, _FQE, side='below',
    ),
    *_penalty('MINATAR-PEN', _DQN, minatar_runs.ALPHA),
    *_penalty('MINATAR-CQLPEN', _CQL, minatar_runs.ALPHA),
    # The paper's median over games fell by 11.5%.
    _penalty('MINATAR-ONPEN', _ONE, minatar_runs.ALPHA, 'below')[1],
    *_falls('MINATAR-RAINBOW', _RAINBOW, 'n = 4'),
    *_penalty('MINATAR-RAINBOWPEN', _RAINBOW, minatar_runs.ALPHA),
    _eigenvalues(_DQN, 'DQN, 20%'),
    _eigenvalues(_CQL, 'CQL'),
    _grows_more(_DQN, 'offline DQN', 1),
    *_falls('MINATAR-TARGET', _MANY, 'n = 8', 'srank_target'),
)

_ONPEN_RANK, _ = _penalty('MINATAR-ONPEN', _ONE, minatar_runs.ALPHA)

# Agent without the penalty, and which way the paper's median over games went.
_IMPROVED = (
    ('MINATAR-PEN', _DQN, 'above'), ('MINATAR-CQLPEN', _CQL, 'above'),
    ('MINATAR-RAINBOWPEN', _RAINBOW, 'above'), ('MINATAR-ONPEN', _ONE, 'below'),
)

ALSO: tuple[Claim, ...] = (
    *(
        claim
        for id_, run, side in _IMPROVED
        for claim in improves(
            id_, minatar_runs.penalized(run), run, 'alpha = 0.001', side
        )
    ),
    *(
        claim
        for n in minatar_runs.RATIOS
        for claim in _falls('MINATAR-ON', f'dqn_online_n{n}', f'n = {n}')
    ),
    *(claim for pair in _PAIRS for claim in _more_steps(*pair)),
    _more_steps('1', '8')[1],
    *(
        _error(f'dqn_online_n{n}', f'n = {n}')
        for n in minatar_runs.RATIOS
        if n != '8'
    ),
    *(
        Claim(
            id_, f'{text}: at most {COLLAPSED:g} of {_WIDTH} are left at the '
            'end', 'end', RANK, run, side='below', threshold=COLLAPSED,
        )
        for id_, run, text in (
            ('MINATAR-OFF', 'dqn_offline_5', 'DQN, 5%'),
            ('MINATAR-OFF4X', _DQN, 'DQN, 20%'),
        )
    ),
    *(
        Claim(
            id_, f'{text}: the return falls after the first fifth',
            'settled drop', RETURN, run,
        )
        for id_, run, text in (
            ('MINATAR-OFF', 'dqn_offline_5', 'DQN, 5%'),
            ('MINATAR-OFF4X', _DQN, 'DQN, 20%'),
            ('MINATAR-CQL', _CQL, 'CQL'),
        )
    ),
    *_falls('MINATAR-OFF', 'dqn_offline_100', 'DQN, 100%'),
    Claim(
        'MINATAR-OFF', 'srank ends lower with 5% than with 20%', 'end', RANK,
        'dqn_offline_5', _DQN, side='below',
    ),
    Claim('MINATAR-MC', 'srank rises', 'change', RANK, _MC),
    Claim(
        'MINATAR-MC', 'srank is stable in the second half', 'late drop', RANK,
        _MC, side='within', threshold=RANK_MARGIN,
    ),
    Claim(
        'MINATAR-MC', 'srank ends higher than under bootstrapped evaluation',
        'end', RANK, _MC, _FQE,
    ),
    Claim(
        'MINATAR-MC', 'srank ends higher than that of DQN', 'end', RANK, _MC,
        'dqn_offline_100',
    ),
    *(
        claim
        for id_, run in (('MINATAR-PEN', _DQN), ('MINATAR-CQLPEN', _CQL))
        for alpha in minatar_runs.ALPHAS
        if alpha != minatar_runs.ALPHA
        for claim in _penalty(id_, run, alpha)
    ),
    _ONPEN_RANK,
    *(
        claim
        for alpha in minatar_runs.ALPHAS
        if alpha != minatar_runs.ALPHA
        for claim in _penalty('MINATAR-ONPEN', _ONE, alpha, 'below')
    ),
    _grows_more(_DQN, 'offline DQN', 0),
    _grows_more(_MANY, 'online DQN, n = 8', 0),
    _grows_more(_MANY, 'online DQN, n = 8', 1),
)

_RULE = f"""\
**Scale.** MinAtar, not Atari: games of 10 x 10, networks with d = {_WIDTH} \
features, runs as short as the last table says. What is found here is found of \
MinAtar. The claims' wording is the paper's.

**Statistics**, of every seed, over the iterations from the first gradient \
step on: *end* = mean of the last 10% of iterations; \
*log end* = its log10, so that 0.3 is a factor of 2; *change* = end − mean of \
the first 10%; *fall* = largest running mean of 5% of the iterations − end; \
*settled drop* = mean of iterations 20% to 30% − end; *late drop* = mean of \
iterations 50% to 60% − end; *rank correlation* = Spearman's, over the last \
80% of iterations, values within 1e-6 of their size being ties; *growth \
ratio* = log10 of how many times the first column grew, end over mean of the \
first 10%, divided by the same of the second. \
srank is in units, out of {_WIDTH}; returns are in units of the game's best \
run: the largest mean final return of any run of that game.

**One verdict a claim.** It holds if all of its parts hold, does not hold if \
one of them does not, and is unclear otherwise. Which parts, which n and which \
alpha (the paper's, {minatar_runs.ALPHA}) make a claim was laid down before \
the runs were there, but for one thing: the start of a first log showed that \
sigma_100 is a rounding error, so MINATAR-SV is asked of sigma_10. The rest is \
below, and changes no verdict.

**Mended after the first look at the runs.** Rainbow's short runs had been \
compared with an untrained network: iterations before the first gradient step \
count no longer. Fitted Q evaluation and Monte-Carlo regression had been run \
on 20% of the transitions, drawn one by one, where the return of only 2% to 9% \
of them is known: both were run again on all of the log, and DQN on all of it \
stands beside them.

**Thresholds.** "Falls" asks for more than {RANK_MARGIN:g} units of srank, 5% \
of the features, since the largest value of a curve that only fluctuates lies \
above its end, too; and rank falls in the first steps of any training, so \
"falls after the first fifth" is asked with it. "Orders of magnitude" asks for \
one. The other claims are of a sign alone. sigma_10 stands for the small \
singular values: where a quarter of the units is dead, as in Breakout, the \
100th of {_WIDTH} is a rounding error.

**Rank.** `srank` is over 2048 i.i.d. transitions of the data, online of the \
replay of that moment; `srank_lambda` over {_WIDTH} of them, as many as there \
are features. Both with delta = 0.01.
"""

FAMILY = Family(
    suite=suites.MINATAR,
    file='claims_minatar.md',
    heading="The paper's claims about Atari, asked of MinAtar",
    scope='',
    rule=_RULE,
    sections=(
        ('Parts of the claims', PARTS),
        ('Also measured', ALSO),
    ),
    report=functools.partial(minatar_report.write, headlines=HEADLINES),
    games=lambda collection, _: Games(collection),
)
