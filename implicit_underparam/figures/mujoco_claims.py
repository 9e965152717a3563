"""The paper's claims about MuJoCo, as runs of SAC and CQL answer them."""

import itertools
from collections.abc import Mapping

from implicit_underparam.figures import (
  game_report,
  game_verdicts,
  mujoco_figures,
  stratified,
  suites,
)
from implicit_underparam.figures.atari_rows import RANK, RETURN
from implicit_underparam.figures.collection import Collection
from implicit_underparam.figures.families import Family
from implicit_underparam.figures.verdicts import Claim

EASIER = ('HalfCheetah', 'Hopper', 'Walker2d')
ANT = ('Ant',)
_WIDTH = 256  # d.
RANK_MARGIN = 0.05 * _WIDTH  # The share that `atari_rows` takes of 512.

_SECOND = ('srank_critic_2',)
_STEPS, _UPDATES = 'environment_steps', 'gradient_steps'
_SAC, _CQL = 'sac_offline_20', 'cql_offline_20'
_ONE, _MANY = '1', '8'

HEADLINES: Mapping[str, str] = {
    'GYM-OFF': 'offline SAC: srank and return fall together',
    'GYM-CQL': 'offline CQL: srank and return fall together',
    'GYM-ON': 'online SAC, HalfCheetah, Hopper, Walker2d: rank rises with n, '
    'and so does return',
    'GYM-ON-ANT': 'online SAC, Ant: a larger n means a lower rank and a worse '
    'return',
}
BESIDE: Mapping[str, str] = {
    'GYM-ON/updates': 'GYM-ON after equal gradient steps',
    'GYM-ON-ANT/updates': 'GYM-ON-ANT after equal gradient steps',
}


def _run(ratio: str) -> str:
  return f'sac_online_n{ratio}'


def _falls(
    id_: str, run: str, where: tuple[str, ...],
    columns: tuple[str, ...] = RANK, text: str = '',
) -> tuple[Claim, ...]:
  """What is said of rank and return of an offline run."""
  name, = columns
  return (
      Claim(
          id_, f'{text}{name} falls', 'fall', columns, run,
          threshold=RANK_MARGIN, games=where,
      ),
      Claim(
          id_, f'{text}{name} falls after the first fifth', 'settled drop',
          columns, run, games=where,
      ),
      Claim(
          id_, f'{text}return and {name} fall together', 'rank correlation',
          (*columns, *RETURN), run, games=where,
      ),
  )


def _return_falls(
    id_: str, run: str, where: tuple[str, ...], text: str = ''
) -> Claim:
  return Claim(
      id_, f'{text}the return falls after the first fifth', 'settled drop',
      RETURN, run, games=where,
  )


def _ends(
    id_: str, column: tuple[str, ...], where: tuple[str, ...],
    pair: tuple[str, str] = (_ONE, _MANY), along: str = _STEPS,
) -> Claim:
  """Where rank or return ends at a larger n, against a smaller one."""
  few, many = pair
  name = 'the return' if column == RETURN else column[0]
  place = '' if where == EASIER else 'Ant: '
  side, ends = ('above', 'higher') if where == EASIER else ('below', 'lower')
  return Claim(
      id_, f'{place}{name} ends {ends} at n = {many} than at n = {few}', 'end',
      column, _run(many), _run(few), side=side, games=where, along=along,
  )


def _both(id_: str, where: tuple[str, ...], along: str) -> tuple[Claim, ...]:
  return tuple(_ends(id_, x, where, along=along) for x in (RANK, RETURN))


def _of_every_environment(
    where: tuple[str, ...], id_: str
) -> tuple[Claim, ...]:
  """What is measured beside the claim about n."""
  pairs = tuple(itertools.pairwise(mujoco_figures.RATIOS))
  rises, side = ('rises', 'above') if where == EASIER else ('falls', 'below')
  place = '' if where == EASIER else 'Ant: '
  return (
      _ends(id_, _SECOND, where),
      *(
          Claim(
              id_, f'{place}n = {ratio}: srank {rises} in training', 'change',
              RANK, _run(ratio), side=side, games=where,
          )
          for ratio in (_ONE, _MANY)
      ),
      *(
          Claim(
              id_, f'{place}n = {ratio}: return and srank go together',
              'rank correlation', (*RANK, *RETURN), _run(ratio), games=where,
          )
          for ratio in (_ONE, _MANY)
      ),
      *(
          _ends(id_, column, where, pair)
          for pair in pairs
          for column in (RANK, RETURN)
      ),
  )


PARTS: tuple[Claim, ...] = (
    *(
        claim
        for id_, run in (('GYM-OFF', _SAC), ('GYM-CQL', _CQL))
        for claim in (
            *_falls(id_, run, EASIER), _return_falls(id_, run, EASIER)
        )
    ),
    *_both('GYM-ON', EASIER, _STEPS),
    *_both('GYM-ON-ANT', ANT, _STEPS),
    *_both('GYM-ON/updates', EASIER, _UPDATES),
    *_both('GYM-ON-ANT/updates', ANT, _UPDATES),
)

ALSO: tuple[Claim, ...] = (
    *(
        claim
        for id_, run in (('GYM-OFF', _SAC), ('GYM-CQL', _CQL))
        for claim in (
            *_falls(id_, run, EASIER, _SECOND),
            *_falls(id_, run, ANT, text='Ant: '),
            _return_falls(id_, run, ANT, 'Ant: '),
        )
    ),
    *_of_every_environment(EASIER, 'GYM-ON'),
    *_of_every_environment(ANT, 'GYM-ON-ANT'),
)

_INTERVAL = """\
**Interval.** The effect is the mean over environments of the mean over seeds; \
two runs are compared seed by seed. Its interval is Student's t, with \
Satterthwaite's degrees of freedom, over seeds within each environment. So it \
is over seeds, for these very environments; how many of them agree is a column \
of its own, and the only word on others. The bootstrap of `claims_minatar.md` \
is not used here: with three seeds it covers 86% of two environments, and 76% \
of one, where it says 95%. Nothing is corrected for the number of claims.
"""

_RULE = f"""\
**Scale.** The paper trains for a million environment steps online and for \
millions of updates offline; how far the runs here came is in the last \
table. A shorter run says nothing of what comes later.

**Settings.** One of each agent was tried, and none was chosen by its results. \
The paper gives none for MuJoCo. SAC: two hidden layers of {_WIDTH} units, \
Adam with 0.0003, batches of 256, gamma 0.99, target rate 0.005, a learnt \
temperature, 1,000 uniformly random steps first. CQL is CQL(H) on SAC, as in \
its authors' code, with the coefficient fixed at 5 (2.5 beside half of a \
squared error) and 0.0001 for the actor. Everything else is in \
`gin_configs/mujoco`, and in the `config.gin` of each run. Offline runs learn \
from 20% of the transitions that the online run with n = 1 of the same \
environment and seed collected, sampled uniformly. Environments are of version \
v4, with the dimensions of the paper's v2.

**Equal steps.** Runs of different n differ in length. Two of them are \
compared up to the number of environment steps that both have, seed by seed, \
as the paper's figures have it; and, in rows of their own that change no \
verdict, up to the number of gradient steps that both have, at rows of both. \
The verdict's column says how far that is.

**Statistics**, of every seed, over the iterations from the first gradient \
step on: *end* = mean of the last 10% of iterations; *change* = end − mean of \
the first 10%; *fall* = largest running mean of 5% of the iterations − end; \
*settled drop* = mean of iterations 20% to 30% − end; *rank correlation* = \
Spearman's, over the last 80% of iterations, values within 1e-6 of their size \
being ties. srank is in units, out of \
{_WIDTH}; returns are in units of the environment's best run: the largest mean \
final return of any run in that environment, at its own full length.

**One verdict a claim.** It holds if all of its parts hold, does not hold if \
one of them does not, and is unclear otherwise. What is also measured changes \
no verdict.

**Thresholds.** "Falls" asks for more than {RANK_MARGIN:g} units of srank, 5% \
of the features, since the largest value of a curve that only fluctuates lies \
above its end, too; and rank falls in the first steps of any training, so \
"falls after the first fifth" is asked with it. The other claims are of a sign \
alone.

**Rank.** `srank` is of the first critic, `srank_critic_2` of the second: of \
the last hidden layer at 2048 i.i.d. transitions of the data, online of the \
replay of that moment, with delta = 0.01.
"""


def _games(collection: Collection, _: Family) -> game_verdicts.Games:
  return game_verdicts.Games(collection, stratified.student)


def _report(collection: Collection, family: Family, title: str) -> str:
  return game_report.write(
      _games(collection, family), family, title, HEADLINES, _INTERVAL,
      beside=BESIDE,
  )


FAMILY = Family(
    suite=suites.MUJOCO,
    file='claims_mujoco.md',
    heading="The paper's claims about MuJoCo",
    scope='',
    rule=_RULE,
    sections=(
        ('Parts of the claims', PARTS),
        ('Also measured', ALSO),
    ),
    report=_report,
    games=_games,
)
