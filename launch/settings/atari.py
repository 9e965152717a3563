"""Atari's configurations, at the paper's scale.

Offline runs lie in a folder for each game and percentage, as
Pong_5/dqn_offline_penalty, online ones in one for each game, as
Seaquest/dqn_online_n4_penalty.

Costs are estimates: nothing of this size was run. They suppose 400 gradient
steps a second of five seeds in one program on a card of the A100 class, 4,000
agent steps a second of eight cores in evaluation and 500 of all seeds in
training.
"""

from collections.abc import Sequence

from launch.grid import NONE, Grid, Setting, runs
from launch.run import Preparation, Resources, Task

FIVE_GAMES = ('Asterix', 'Qbert', 'Pong', 'Seaquest', 'Breakout')
SIXTEEN_GAMES = (
    *FIVE_GAMES, 'DoubleDunk', 'Jamesbond', 'MsPacman', 'SpaceInvaders',
    'Zaxxon', 'WizardOfWor', 'YarsRevenge', 'Enduro', 'RoadRunner',
    'BeamRider', 'DemonAttack',
)  # fmt: skip
# n; what A.8 draws of Rainbow the paper's text does not say: those of DQN.
RATIOS = (0.25, 1, 2, 4, 8)
# On a CPU the penalty costs 1%; a GPU is slower at small eigenproblems.
PENALTY = Setting('_penalty', ('gin_configs/atari/penalty.gin',), cost=1.3)
TARGET = Setting(
    '_target', ('gin_configs/atari/target_features.gin',), cost=1.1
)
_SEEDS = (0, 1, 2, 3, 4)
# Minutes an iteration of five seeds: 62,500 gradient steps; an evaluation of
# 125,000 steps a seed; 250,000 steps of training.
_UPDATES = 62_500 / 400 / 60
_EVALUATION = 5 * 125_000 / 4_000 / 60
_PLAYING = 250_000 / 500 / 60
# The seeds share the frames: 17.6 GB of 5%, 70.6 GB of 20% (docs/data.md), so
# that a card of 80 GB holds two runs on 5%. Eight cores are for the eight
# emulators that a seed is evaluated in.
_OFFLINE = {5: Resources(cpus=8, gpus=0.5), 20: Resources(cpus=8, gpus=1.0)}
# 7.07 GB of replay a seed (docs/online.md): five on a card of 80 GB; four on
# one of 40 GB, two on one of 24 GB, with --seeds_per_run.
_ONLINE = Resources(cpus=8, gpus=1.0, seeds_per_run=5)


def offline(
    agent: str,
    games: Sequence[str],
    percents: Sequence[int],
    penalties: Sequence[Setting] = (NONE,),
) -> dict[str, tuple[Task, ...]]:
  """Runs that train on a part of the DQN Replay data, and what makes that.

  Args:
    agent: their configuration.
    games: names.
    percents: of the data, 5 or 20.
    penalties: without it, with it, or both.
  """
  return {
      'paper': (
          *(_preparation(x, y) for y in percents for x in games),
          *runs([
              _offline_grid(agent, games, percent, penalties)
              for percent in percents
          ]),
      )
  }


def online(
    agent: str,
    games: Sequence[str],
    ratios: Sequence[float],
    settings: Sequence[Setting] = (NONE,),
) -> dict[str, tuple[Task, ...]]:
  """Runs that play.

  Args:
    agent: their configuration.
    games: names.
    ratios: n, gradient steps an agent step.
    settings: `PENALTY`, `TARGET`, or without.
  """
  grid = Grid(
      f'{{game}}/{agent}_n{{ratio}}{{setting}}',
      (f'gin_configs/atari/{agent}.gin',),
      ("game = '{game}'", 'OnlineLoop.data_reuse_ratio = {ratio}'),
      {
          'game': games,
          'ratio': [
              Setting(f'{x:g}', cost=_online_minutes(agent, x)) for x in ratios
          ],
          'setting': settings,
      },
      seeds=_SEEDS,
      resources=_ONLINE,
  )
  return {'paper': runs([grid])}


def _offline_grid(
    agent: str,
    games: Sequence[str],
    percent: int,
    penalties: Sequence[Setting],
) -> Grid:
  # Those of the files: Figures A.2 and A.3 have 1,000.
  iterations = 1000 if agent == 'cql_offline' or percent == 20 else 500
  return Grid(
      f'{{game}}_{percent}/{agent}{{penalty}}',
      (
          f'gin_configs/atari/{agent}.gin',
          f'gin_configs/atari/data_{percent}.gin',
      ),
      (
          "game = '{game}'",
          f"OfflineData.path = '{{{{base_dir}}}}/prepared/{{game}}_{percent}'",
      ),
      {'game': games, 'penalty': penalties},
      seeds=_SEEDS,
      cost=iterations * (_UPDATES + _EVALUATION),
      resources=_OFFLINE[percent],
      after=(f'prepared/{{game}}_{percent}',),
  )


def _preparation(game: str, percent: int) -> Preparation:
  """The set of a game, one for all seeds."""
  return Preparation(
      f'prepared/{game}_{percent}',
      source=f'gs://atari-replay-datasets/dqn/{game}/1/replay_logs',
      options=(f'--fraction={percent / 100:g}',),
      # 15 to decompress 353 GB, and a guess for fetching it.
      cost=60.0,
  )


def _online_minutes(agent: str, ratio: float) -> float:
  rainbow = agent == 'rainbow_online'
  iterations = 100 if rainbow else 200
  # Rainbow's step takes 1.6 times DQN's on MinAtar (docs/reproduction.md).
  updates = 4 * _UPDATES * ratio * (1.6 if rainbow else 1.0)
  return iterations * (_PLAYING + _EVALUATION + updates)
