"""Every experiment of the ledger: the paper's, MinAtar's, this project's own.

An id here is one of the claims that `families` and the theory judge; it says
where the paper has the experiment, which figures show it, and what runs it.
"""

import dataclasses

from implicit_underparam.figures import minatar_claims, mujoco_claims

PAPER = 'paper'
MINATAR = 'MinAtar'
OWN = 'own'


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One row of the ledger.

  Attributes:
    id: such as 'GRID-OFF'.
    paper: where the paper has it; '' for nowhere.
    figures: ids of `--figure` that show it.
    claim: what is said of it, in a line.
    sweep: what `launch.sweep` calls it; '' for the id in lower case.
    scale: that a command for runs which are not there is given.
    kind: `PAPER`, `MINATAR` for the paper's claims about Atari asked of
      MinAtar, `OWN` for what the paper does not ask.
  """

  id: str
  paper: str
  figures: tuple[str, ...]
  claim: str
  sweep: str = ''
  scale: str = 'paper'
  kind: str = PAPER

  def command(self, scale: str = '') -> str:
    """The command that makes its runs.

    Args:
      scale: 'smoke', 'laptop' or 'paper'; '' for the experiment's own.
    """
    sweep = self.sweep or self.id.lower().replace('-', '_')
    return (
        f'python -m launch.sweep --sweep={sweep} '
        f'--scale={scale or self.scale} --base_dir=DIR'
    )


_GRIDWORLD = (
    Experiment(
        'GRID-OFF', '2 left', ('2a',),
        'offline, srank falls after a first phase, more for T = 200 and below '
        'supervised regression; the return falls with it',
    ),
    Experiment(
        'GRID-ON', '3 left', ('3a',),
        'online, a larger n means a larger drop and a worse return; supervised '
        'regression does not collapse',
    ),
    Experiment(
        'GRID-FIT', '4a', ('4a',),
        'the error of fitting Q* rises while rank collapses',
    ),
    Experiment(
        'GRID-REINIT', '4c', ('4c',),
        'rank drops even if the network is re-initialised every iteration',
    ),
    Experiment(
        'GRID-PEN', '6a', ('6a',),
        'with the penalty srank falls gently, then has a plateau; the return '
        'is higher',
    ),
    Experiment(
        'GRID-ORACLE', 'A.11a', ('a11a',),
        'with exact Q^pi as targets srank does not drop',
    ),
    Experiment(
        'GRID-ONEHOT', 'A.11b', ('a11b',),
        'with one-hot observations srank drops little, the error falls and the '
        'policy is good',
    ),
    Experiment(
        'GRID-EIG', 'A.21', ('a21',),
        'deep linear network: srank and srank_lambda fall together',
    ),
    Experiment(
        'GRID-TDFIX', '5', ('5',),
        'deep linear network: a drop of srank goes with a growing distance to '
        'the TD fixed point',
    ),
)

_ATARI = (
    Experiment(
        'ATARI-OFF', '2 mid, A.1', ('2b',),
        'offline DQN, 5%: srank falls to 20-100 of 512, the return with it',
    ),
    Experiment(
        'ATARI-OFF4X', '2, A.2', ('a2',),
        'offline DQN, 20%: it persists with 4 times the data',
    ),
    Experiment(
        'ATARI-CQL', 'A.3', ('a3',), 'offline CQL: similar degradation'
    ),
    Experiment(
        'ATARI-ON', '3 mid, A.6, A.22', ('3b', 'a22'),
        'online DQN: a larger n means more drop and a worse return',
    ),
    Experiment(
        'ATARI-TD', '4b, A.12', ('4b',), 'the TD error rises as rank drops'
    ),
    Experiment(
        'ATARI-RAINBOW', 'A.8', ('a8',),
        'online Rainbow: multi-step, priorities and C51 do not prevent it',
    ),
    Experiment(
        'ATARI-FQE', '4d, A.9', ('4d',),
        'evaluating a fixed policy, srank drops without the max',
    ),
    Experiment(
        'ATARI-MC', '4d, A.10', ('4d',),
        'regression to Monte-Carlo returns: no collapse',
    ),
    Experiment(
        'ATARI-PEN', '6b, 7, A.13, A.14, A.15a', ('6b', '7', 'a14', 'a15a'),
        'offline DQN with the penalty: better on 16 of 16 games, median +74.5%',
    ),
    Experiment(
        'ATARI-CQLPEN', '7, A.15b, A.16', ('7', 'a15b', 'a16'),
        'offline CQL with the penalty: better on 11 of 16 games, median +14.1%',
    ),
    Experiment(
        'ATARI-RAINBOWPEN', 'A.17-A.19', ('a17', 'a18'),
        'Rainbow, n = 4, with the penalty: better on 12 of 16 games, median '
        '+20.66%',
    ),
    Experiment(
        'ATARI-ONPEN', 'section 5', ('onpen', 'onpen_bars'),
        'online DQN with the penalty: it does not always help, median -11.5%',
    ),
    Experiment(
        'ATARI-EIG', 'A.20', ('a20',),
        'srank over eigenvalues shows almost the same trend',
    ),
    Experiment(
        'ATARI-SV', 'section 4.2, D.1', ('d1', 'd1b'),
        'large singular values grow by orders of magnitude more',
    ),
    Experiment(
        'ATARI-TARGET', 'D.2', ('d2',), 'the rank of the target also decreases'
    ),
)

_GYM = tuple(
    Experiment(
        id_, paper, figures, mujoco_claims.HEADLINES[id_], sweep, 'laptop'
    )
    for id_, paper, figures, sweep in (
        ('GYM-OFF', '2 right, A.4', ('2c',), ''),
        ('GYM-CQL', 'A.5', ('a5',), ''),
        ('GYM-ON', '3 right, A.7', ('3c', 'a7_gradient'), ''),
        ('GYM-ON-ANT', '3 right, A.7', ('3c', 'a7_gradient'), 'gym_on'),
    )
)

_THEORY = (
    Experiment(
        'TH-KERNEL', 'Thm 4.1, C.1, Cor. C.1.1',
        ('th_kernel', 'th_kernel_gridworld'),
        'kernel regression: srank(M_k) falls, ratios of singular values are '
        'bounded',
    ),
    Experiment(
        'TH-QRECUR', 'eq. 2, Lemma C.0.1', (),
        'Q_k of the kernel ridge solve is A M_k R',
    ),
    Experiment(
        'TH-EIG', 'A.7', ('th_kernel',),
        'srank_lambda falls for S that is not normal; the bound C.32',
    ),
    Experiment(
        'TH-SV', 'Prop. 4.1, Lemmas D.0.1, D.0.2', ('th_sv',),
        'deep linear network: balancedness, and the growth of eq. 4',
    ),
    Experiment(
        'TH-COMPOUND', 'Prop. 4.2, Thm 4.2', ('th_compound',),
        'the drop of rank compounds over fitting iterations',
    ),
)

def _in_minatar(experiment: Experiment) -> Experiment:
  """The same question asked of MinAtar, which is the laptop's Atari."""
  id_ = experiment.id.replace('ATARI', 'MINATAR')
  # MinAtar's figures show every share of the data at once.
  shown = {'a2': '2b', 'a14': '6b', 'a15a': '7', 'a15b': '7'}
  figures = dict.fromkeys(shown.get(x, x) for x in experiment.figures)
  return dataclasses.replace(
      experiment,
      id=id_,
      figures=tuple(f'minatar_{x}' for x in figures),
      claim=minatar_claims.HEADLINES[id_],
      sweep=experiment.id.lower().replace('-', '_'),
      scale='laptop',
      kind=MINATAR,
  )


def _own(
    id_: str, claim: str, figures: tuple[str, ...] = (),
    sweep: str = 'gridworld', scale: str = 'paper',
) -> Experiment:
  return Experiment(id_, '', figures, claim, sweep, scale, OWN)


_OWN = (
    _own('GRID-FQE', 'evaluating a fixed policy, srank falls'),
    _own('GRID-MC', 'regression to Monte-Carlo returns: srank does not fall'),
    _own(
        'GRID-COVER', 'with uniform coverage srank falls, less than otherwise'
    ),
    _own('GRID-EXACT', 'with exact expectations srank falls'),
    _own('GRID-PEN-ON', 'online, the penalty keeps rank and helps'),
    _own(
        'GRID-GROW', "GRID-OFF on a random policy's data that grows",
        sweep='gridworld_open',
    ),
    _own(
        'GRID-RANDOM', 'unsmoothed observations: srank falls',
        sweep='gridworld_open',
    ),
    _own(
        'GRID-SPARSE', 'reward at the goal alone: srank falls',
        sweep='gridworld_open',
    ),
    *(
        _own(id_, claim, ('a7_gradient',), 'gym_on', 'laptop')
        for id_, claim in mujoco_claims.BESIDE.items()
    ),
)

EXPERIMENTS: tuple[Experiment, ...] = (
    *_GRIDWORLD, *_ATARI, *_GYM, *_THEORY, *map(_in_minatar, _ATARI), *_OWN,
)
BY_ID = {x.id: x for x in EXPERIMENTS}
