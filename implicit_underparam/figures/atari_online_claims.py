"""The paper's claims about online Atari, as runs on its games answer them."""

from collections.abc import Iterable

from implicit_underparam.figures import atari_report, reuse, suites
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

_DQN, _RAINBOW = ('dqn_online', 'DQN'), ('rainbow_online', 'Rainbow')
# n and what it is compared with.
_PAIRS = (('1', '0.25'), ('2', '1'), ('4', '1'), ('8', '1'))
_PENALIZED = '4'  # The n of Rainbow with the penalty; DQN's is not told.


def _compared(
    id_: str,
    agent: tuple[str, str],
    statistic: str,
    columns: tuple[str, ...],
    side: str,
    text: str,
) -> Iterable[Claim]:
  """A claim about a larger n against a smaller one, for each pair."""
  configuration, name = agent
  return (
      Claim(
          id_, f'{name}: {text} at n = {many} than at n = {few}', statistic,
          columns, reuse.run(configuration, many),
          reuse.run(configuration, few), side=side,
      )
      for many, few in _PAIRS
  )


def _more_steps(id_: str, agent: tuple[str, str]) -> tuple[Claim, ...]:
  """What is said of n: sections 3 and A.2."""
  configuration, name = agent
  few, *many = reuse.RATIOS
  return (
      *(
          claim
          for n in many
          for claim in falls(
              id_, reuse.run(configuration, n), f'{name}, n = {n}'
          )
      ),
      # "Effective rank can increase when [...] taking fewer gradient steps".
      Claim(
          id_, f'{name}, n = {few}: srank rises', 'change', RANK,
          reuse.run(configuration, few),
      ),
      *_compared(id_, agent, 'fall', RANK, 'above', 'srank falls more'),
      *_compared(id_, agent, 'end', RANK, 'below', 'srank ends lower'),
      *_compared(id_, agent, 'end', RETURN, 'below', 'the return ends lower'),
  )


def _error(ratio: str) -> Claim:
  return Claim(
      'ATARI-TD', f'DQN, n = {ratio}: the TD error rises as srank falls',
      'rank correlation', (*RANK, *ERROR), reuse.run('dqn_online', ratio),
      side='below',
  )


def _target(ratio: str) -> tuple[Claim, ...]:
  run = f'{reuse.run("dqn_online", ratio)}_target'
  return falls('ATARI-TARGET', run, f'DQN, n = {ratio}', 'srank_target')


def _penalty(
    id_: str, agent: tuple[str, str], ratio: str, side: str
) -> tuple[Claim, ...]:
  configuration, name = agent
  run, text = reuse.run(configuration, ratio), f'{name}, n = {ratio}'
  return (
      *improves(id_, f'{run}_penalty', run, text, side),
      *keeps_rank(id_, run, text),
      helps(id_, run, text, side),
  )


PAPER: tuple[Claim, ...] = (
    *_more_steps('ATARI-ON', _DQN),
    *map(_error, reuse.RATIOS),
    *_compared(
        'ATARI-TD', _DQN, 'end', ERROR, 'above', 'the TD error ends higher'
    ),
    # The median over games fell by 11.5%.
    *_penalty('ATARI-ONPEN', _DQN, _PENALIZED, 'below'),
    *_more_steps('ATARI-RAINBOW', _RAINBOW),
    *_penalty('ATARI-RAINBOWPEN', _RAINBOW, _PENALIZED, 'above'),
    *_target('4'),
    *_target('8'),
    *(
        grows_more('dqn_online_n4', 'DQN, n = 4', small, decades)
        for small, decades in (('sigma_10', 0), ('sigma_100', 0),
                               ('sigma_100', 1))
    ),
)

ELSEWHERE: tuple[Claim, ...] = tuple(
    claim
    for ratio in reuse.RATIOS
    if ratio != _PENALIZED
    for claim in _penalty('ATARI-ONPEN', _DQN, ratio, 'below')
)

_RULE = f"""\
**Scale.** The paper's runs are of 100 to 200 iterations of 250,000 steps of \
the agent, on 5 or 16 games; what was run here is in the last table. The paper \
has a median change of the return with the penalty of +20.66% for Rainbow and \
of −11.5% for DQN.

**n** is the number of gradient steps for each step of the agent. Two runs \
are compared after the same number of environment steps, so after different \
numbers of gradient steps.

**Statistics**, of every seed: *end* = mean of the last 10% of iterations; \
*change* = end − mean of the first 10%; *fall* = largest running mean of 5% of \
the iterations − end; *settled drop* = mean of iterations 20% to 30% − end; \
*rank correlation* = Spearman's, over the last 80% of iterations, values \
within 1e-6 of their size being ties; *growth ratio* = log10 of how many times \
the first column grew, end over mean of the first 10%, divided by the same of \
the second. A seed that stopped early counts with the rows that it has. The \
first row is of after the first iteration: what happens before it is not seen.

**First phase.** Rank also falls in the first steps of any training, and a run \
with a larger n leaves this phase within fewer iterations. Whether more than \
that is seen: *settled drop*.

**Thresholds.** *Fall* is positive for a curve that only fluctuates. So \
"falls" asks for more than {RANK_MARGIN:g} units of srank, 5% of the 512 \
features. The other claims are of a sign alone.

**Rank.** `srank` is over 2048 i.i.d. transitions of the replay of that \
moment, so of states that change with the policy; delta = 0.01. \
`srank_target` is that of features fit to gamma P^pi Q on the same \
transitions. `eval_return` is the unclipped score of whole episodes, not the \
best one of training; `td_error_huber` is against the target network, on the \
same transitions.
"""

FAMILY = Family(
    suite=suites.ATARI_ONLINE,
    file='claims_atari_online.md',
    heading='Claims about online Atari',
    scope='',
    rule=_RULE,
    sections=(
        ("The paper's claims", PAPER),
        ('What the paper says of one n, asked of the others', ELSEWHERE),
    ),
    report=atari_report.write,
    games=atari_report.games,
)
