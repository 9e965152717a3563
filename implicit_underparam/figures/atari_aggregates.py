"""Aggregates over games and seeds of the Atari runs, as no figure has them."""

from implicit_underparam.figures import aggregate_figure, layout, reuse, suites
from implicit_underparam.figures.aggregates import Group


def _both(label: str, run: str) -> Group:
  penalized = f'{run}_penalty'
  rows = {'without penalty': run, 'with penalty': penalized}
  return Group(label, rows, 'gradient_steps', {label: (penalized, run)})


def _ratios(label: str, agent: str) -> Group:
  rows = {f'n = {n}': reuse.run(agent, n) for n in reuse.RATIOS}
  run = reuse.run(agent, '4')
  penalized = f'{run}_penalty'
  return Group(
      label, rows | {'n = 4, with penalty': penalized}, 'environment_steps',
      {f'{label}, n = 4': (penalized, run)},
  )


def _offline(id_: str, share: str) -> layout.PaperFigure:
  return aggregate_figure.figure(
      id_, 'Atari, offline, aggregates over games and seeds',
      (_both('DQN', 'dqn_offline'), _both('CQL', 'cql_offline')),
      suites.ATARI, share,
  )


FIGURES = (
    _offline('aggregate', '5'),
    _offline('aggregate_20', '20'),
    aggregate_figure.figure(
        'aggregate_online', 'Atari, online, aggregates over games and seeds',
        (_ratios('DQN', 'dqn_online'), _ratios('Rainbow', 'rainbow_online')),
        suites.ATARI_ONLINE,
    ),
)
