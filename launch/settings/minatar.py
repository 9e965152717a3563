"""MinAtar's configurations, in the place of Atari on a laptop.

Runs lie in a folder for each game, as Breakout/dqn_online_n4. The offline ones
train on what is drawn from the log that Breakout/dqn_log and its like leave, a
seed on that of its own number. Costs are minutes of the two busy cores, a run
each, on which the runs of results/minatar were made.
"""

from collections.abc import Sequence
from typing import NamedTuple

from launch.grid import NONE, Grid, Setting, runs
from launch.run import Preparation, Task

GAMES = ('Asterix', 'Breakout', 'SpaceInvaders')
RATIOS = (0.25, 1, 4, 8)  # n.
ALPHAS = ('0.0001', '0.001', '0.01')
PAPER_ALPHA = ('0.001',)
_LOG = '{game}/dqn_log'
# Name of offline runs -> their configuration, and minutes.
_OFFLINE = {
    'dqn_offline': ('dqn_offline', 1.8),
    'cql_offline': ('cql_offline', 2.2),
    'fqe_offline': ('fitted_q_evaluation', 1.7),
    'mc_offline': ('monte_carlo', 1.1),
}
# Where laptop.gin has 20 iterations: what the time allowed.
_LAPTOP = {
    'rainbow_online': ('Runner.num_iterations = 6',),
    **dict.fromkeys(_OFFLINE, ('Runner.num_iterations = 12',)),
}
_SMOKE = (
    'Runner.num_iterations = 2',
    'OnlineLoop.training_steps = 400',
    'OnlineLoop.min_replay_history = 400',
    'OnlineLoop.probe_size = 256',
    'OfflineLoop.gradient_steps = 20',
    'OfflineLoop.probe_size = 256',
    'EpisodeEvaluation.num_steps = 100',
    'EpisodeEvaluation.num_environments = 2',
)


class _Scale(NamedTuple):
  """What the runs of a scale have in common.

  Fields:
    games: names.
    seeds: of each run.
  """

  games: tuple[str, ...]
  seeds: tuple[int, ...]


_SCALES = {
    'smoke': _Scale(('Breakout',), (0, 1)),
    'laptop': _Scale(GAMES, (0, 1, 2, 3, 4)),
}


def online(
    agent: str, ratios: Sequence[float], alphas: Sequence[str] = ()
) -> dict[str, tuple[Task, ...]]:
  """Runs that play.

  Args:
    agent: their configuration.
    ratios: n, gradient steps an agent step.
    alphas: of the penalty, beside none.
  """
  return {
      scale: runs([
          Grid(
              f'{{game}}/{agent}_n{{ratio}}{{alpha}}{{size}}',
              _files(agent),
              (
                  "game = '{game}'",
                  'OnlineLoop.data_reuse_ratio = {ratio}',
              ),
              {
                  'game': games,
                  'ratio': _ratios(scale, agent, ratios),
                  'alpha': _penalties(scale, alphas),
                  'size': (_size(scale, agent),),
              },
              last_files=_files('laptop'),
              seeds=seeds,
          )
      ])
      for scale, (games, seeds) in _SCALES.items()
  }


def offline(
    agent: str, percents: Sequence[int], alphas: Sequence[str] = ()
) -> dict[str, tuple[Task, ...]]:
  """Runs that train on a part of a log, and what makes that.

  Args:
    agent: 'dqn_offline', 'cql_offline', 'fqe_offline' or 'mc_offline'.
    percents: of the log.
    alphas: of the penalty, beside none.
  """
  configuration, minutes = _OFFLINE[agent]
  return {
      scale: (
          *_log(scale),
          *_preparations(scale, percents),
          *runs([
              Grid(
                  f'{{game}}/{agent}_{{percent}}{{alpha}}{{size}}',
                  _files(configuration),
                  (
                      "game = '{game}'",
                      "OfflineData.path = '{{base_dir}}/prepared/"
                      "{game}_{{seed}}_{percent}'",
                  ),
                  {
                      'game': games,
                      'percent': percents,
                      'alpha': _penalties(scale, alphas),
                      'size': (_size(scale, agent),),
                  },
                  last_files=_files('laptop'),
                  seeds=seeds,
                  cost=minutes,
                  after=tuple(
                      f'prepared/{{game}}_{seed}_{{percent}}' for seed in seeds
                  ),
              )
          ]),
      )
      for scale, (games, seeds) in _SCALES.items()
  }


def _log(scale: str) -> Sequence[Task]:
  """The runs whose logs the offline ones read."""
  games, seeds = _SCALES[scale]
  return runs([
      Grid(
          f'{_LOG}{{size}}',
          _files('dqn_online'),
          ("game = '{game}'",),
          {'game': games, 'size': (_size(scale, 'dqn_log'),)},
          last_files=_files('laptop', 'laptop_log'),
          seeds=seeds,
          cost=8.0,
          whole=True,
      )
  ])


def _preparations(scale: str, percents: Sequence[int]) -> Sequence[Task]:
  """Sets of transitions that are drawn one by one, without replacement."""
  games, seeds = _SCALES[scale]
  return [
      Preparation(
          f'prepared/{game}_{seed}_{percent}',
          source=f'{{base_dir}}/{_LOG.format(game=game)}/replay/'
          f'MinAtar-{game}/{seed}/replay_logs',
          options=(
              f'--fraction={percent / 100:g}', '--mode=transitions',
              f'--seed={seed}',
          ),
          cost=0.1,
          after=(_LOG.format(game=game),),
      )
      for game in games
      for percent in percents
      for seed in seeds
  ]


def _ratios(
    scale: str, agent: str, ratios: Sequence[float]
) -> list[Setting]:
  if scale == 'smoke':
    ratios = sorted({min(ratios), max(ratios)})
  return [_ratio(agent, x) for x in ratios]


def _ratio(agent: str, ratio: float) -> Setting:
  """A value of n; DQN's largest has the rank of targets measured, too."""
  if agent == 'rainbow_online':
    return Setting(f'{ratio:g}', cost=ratio)
  more = _files('target_features') if ratio == max(RATIOS) else ()
  return Setting(f'{ratio:g}', more, cost=2 + 1.5 * ratio)


def _penalties(scale: str, alphas: Sequence[str]) -> tuple[Setting, ...]:
  binding = 'Learner.penalty_coefficient = {}'
  if scale == 'smoke':
    alphas = [x for x in alphas if x in PAPER_ALPHA]
  return (
      NONE,
      *(
          Setting(f'_alpha{x}', _files('penalty'), (binding.format(x),))
          for x in alphas
      ),
  )


def _size(scale: str, agent: str) -> Setting:
  if scale == 'smoke':
    return Setting('', gin_bindings=_SMOKE, cost=0.1)
  return Setting('', gin_bindings=_LAPTOP.get(agent, ()))


def _files(*names: str) -> tuple[str, ...]:
  return tuple(f'gin_configs/minatar/{name}.gin' for name in names)
