"""The paper's Atari figures from MinAtar runs, one column of panels a game.

Titles, panels and axes of training are those of the figures of the same ids;
what is stated here is which runs stand for the paper's.
"""

import dataclasses
from collections.abc import Sequence

from implicit_underparam.figures import (
  aggregate_figure,
  bars,
  drawing,
  figure_2b,
  figure_3b,
  figure_4b,
  figure_4d,
  figure_6b,
  figure_a3,
  figure_a8,
  figure_a16,
  figure_a17,
  figure_a20,
  figure_a22,
  figure_d1,
  figure_d1b,
  figure_d2,
  figure_onpen,
  layout,
  minatar_runs,
  singular_values,
  suites,
)
from implicit_underparam.figures.aggregates import Group

PREFIX = 'minatar_'
_ONLINE = 'environment_steps'
# With a quarter of the 128 units dead, the 100th is of rounding errors.
_INDICES = ('1', '2', '10')
# Darker as alpha rises; black without the penalty.
_ALPHA_STYLES = (drawing.RISING[0], drawing.RISING[2], drawing.RISING[4])


def _adapt(
    figure: layout.PaperFigure,
    lines: Sequence[layout.Line],
    title: str = '',
    x: str = '',
    also: Sequence[str] = (),
) -> layout.PaperFigure:
  """The figure of Atari, drawn from other runs and said to be MinAtar's."""
  return dataclasses.replace(
      figure,
      id=f'{PREFIX}{figure.id}',
      title=title or figure.title.replace('Atari', 'MinAtar', 1),
      lines=tuple(lines),
      suite=suites.MINATAR,
      also=tuple(f'{PREFIX}{x}' for x in (*figure.also, *also)),
      x=x,
  )


def _ratio_lines(
    agent: str, ratios: Sequence[str] = minatar_runs.RATIOS
) -> tuple[layout.Line, ...]:
  styles = dict(
      zip(('0.25', '1', '2', '4', '8'), drawing.RISING, strict=True)
  )
  return tuple(
      layout.Line(f'{agent}_n{ratio}', f'n = {ratio}', styles[ratio])
      for ratio in ratios
  )


def _alpha_lines(
    run: str, alphas: Sequence[str] = minatar_runs.ALPHAS
) -> tuple[layout.Line, ...]:
  styles = dict(zip(minatar_runs.ALPHAS, _ALPHA_STYLES, strict=True))
  return (
      layout.Line(run, 'without penalty', drawing.BLACK),
      *(
          layout.Line(
              minatar_runs.penalized(run, alpha), f'$\\alpha$ = {alpha}',
              styles[alpha],
          )
          for alpha in alphas
      ),
  )


def _two_ranks(run: str) -> tuple[layout.Line, ...]:
  return (
      layout.Line(run, '$\\sigma$, 2048 transitions', drawing.BLUE, 'srank'),
      layout.Line(
          run, '$|\\lambda|$, 128 transitions', drawing.ORANGE, 'srank_lambda'
      ),
  )


def _offline() -> tuple[layout.PaperFigure, ...]:
  dqn, fqe, monte_carlo = 'dqn_offline_20', 'fqe_offline_100', 'mc_offline_100'
  return (
      _adapt(figure_2b.FIGURE, (
          layout.Line('dqn_offline_5', '5% of the log', drawing.BLUE),
          layout.Line('dqn_offline_20', '20%', drawing.ORANGE),
          layout.Line('dqn_offline_100', '100%', drawing.BLACK),
      ), also=('a2',)),
      _adapt(figure_4d.FIGURE, (
          layout.Line('dqn_offline_100', 'DQN', drawing.ORANGE),
          layout.Line(fqe, 'fitted Q evaluation', drawing.BLUE),
          layout.Line(monte_carlo, 'Monte-Carlo returns', drawing.BLACK),
      ), 'MinAtar, offline, all of the log'),
      _adapt(
          figure_6b.FIGURE, _alpha_lines(dqn), also=('a14',),
          title='MinAtar, offline DQN, 20% of the log, penalty of Eq. 6',
      ),
      _adapt(figure_a3.FIGURE, (
          layout.Line('cql_offline_20', 'CQL', drawing.BLUE),
          layout.Line(dqn, 'DQN', drawing.ORANGE),
      ), 'MinAtar, offline CQL, 20% of the log'),
      _adapt(
          figure_a16.FIGURE, _alpha_lines('cql_offline_20'),
          title='MinAtar, offline CQL, 20% of the log, penalty of Eq. 6',
      ),
      _adapt(figure_a20.FIGURE, _two_ranks(dqn)),
      _adapt(figure_d1.FIGURE, singular_values.lines(dqn, _INDICES)),
  )


def _online() -> tuple[layout.PaperFigure, ...]:
  dqn, rainbow = 'dqn_online', 'rainbow_online'
  target = 'fit to $P^\\pi Q$'
  return (
      _adapt(figure_3b.FIGURE, _ratio_lines(dqn), x=_ONLINE),
      _adapt(figure_4b.FIGURE, _ratio_lines(dqn), x=_ONLINE),
      _adapt(figure_a22.FIGURE, _ratio_lines(dqn), x='gradient_steps'),
      _adapt(
          figure_a8.FIGURE, _ratio_lines(rainbow, ('4',)), x=_ONLINE,
          title='MinAtar, online Rainbow, n = 4',
      ),
      _adapt(
          figure_a17.FIGURE,
          _alpha_lines('rainbow_online_n4', (minatar_runs.ALPHA,)),
          x=_ONLINE,
      ),
      _adapt(
          figure_onpen.FIGURE, _alpha_lines('dqn_online_n1'), x=_ONLINE,
          title='MinAtar, online DQN, n = 1, penalty of Eq. 6',
      ),
      _adapt(
          figure_d1b.FIGURE,
          singular_values.lines('dqn_online_n8', _INDICES),
          x=_ONLINE, title='MinAtar, online DQN, n = 8, singular values',
      ),
      _adapt(
          figure_d2.FIGURE,
          (
              layout.Line('dqn_online_n8', '$Q$', drawing.BLUE, 'srank'),
              layout.Line(
                  'dqn_online_n8', target, drawing.ORANGE, 'srank_target'
              ),
          ),
          x=_ONLINE, title='MinAtar, online DQN, n = 8, rank of the target',
      ),
  )


def _bars() -> tuple[layout.PaperFigure, ...]:
  def pair(label: str, run: str) -> bars.Pair:
    return bars.Pair(label, run, minatar_runs.penalized(run))

  return (
      # Those of A.15 are of 20% of the data, too.
      bars.figure(
          f'{PREFIX}7',
          'MinAtar, offline DQN and CQL, 20% of the log',
          (pair('DQN', 'dqn_offline_20'), pair('CQL', 'cql_offline_20')),
          suites.MINATAR, also=(f'{PREFIX}a15a', f'{PREFIX}a15b'),
      ),
      bars.figure(
          f'{PREFIX}a18', 'MinAtar, online Rainbow, n = 4',
          (pair('Rainbow', 'rainbow_online_n4'),), suites.MINATAR,
      ),
      bars.figure(
          f'{PREFIX}onpen_bars', 'MinAtar, online DQN, n = 1',
          (pair('DQN', 'dqn_online_n1'),), suites.MINATAR,
      ),
  )


def _aggregate() -> layout.PaperFigure:
  def both(label: str, run: str, along: str) -> Group:
    penalized = minatar_runs.penalized(run)
    rows = {'without penalty': run, 'with penalty': penalized}
    return Group(label, rows, along, {label: (penalized, run)})

  dqn = 'dqn_online'
  ratios = {f'n = {n}': f'{dqn}_n{n}' for n in minatar_runs.RATIOS}
  penalized = minatar_runs.penalized(f'{dqn}_n1')
  return aggregate_figure.figure(
      f'{PREFIX}aggregate', 'MinAtar, aggregates over games and seeds', (
          both('offline DQN', 'dqn_offline_20', 'gradient_steps'),
          both('offline CQL', 'cql_offline_20', 'gradient_steps'),
          Group(
              'online DQN', ratios | {'n = 1, with penalty': penalized},
              _ONLINE, {'online DQN, n = 1': (penalized, f'{dqn}_n1')},
          ),
          both('online Rainbow, n = 4', 'rainbow_online_n4', _ONLINE),
      ), suites.MINATAR,
  )


FIGURES = (*_offline(), *_online(), *_bars(), _aggregate())
