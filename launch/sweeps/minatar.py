"""MinAtar: every Atari experiment of the paper, on three games.

Runs lie in a folder for each game, as Breakout/dqn_online_n4, which is what
`--runs` of the figures takes. The offline runs train on 100%, 20% and 5% of the
log that Breakout/dqn_log and its like leave, a seed on that of its own number.
So there are three steps:

  python -m launch.sweep --sweep=minatar --base_dir=DIR --only=dqn_log
  python -m launch.sweeps.minatar DIR | sh -e
  python -m launch.sweep --sweep=minatar --base_dir=DIR

The second one prints, and runs, what prepares the sets in ./data.
"""

import pathlib
import shlex
import sys

from launch.run import Run

GAMES = ('Asterix', 'Breakout', 'SpaceInvaders')
SEEDS = (0, 1, 2, 3, 4)  # Of base/minatar.gin.
RATIOS = (0.25, 1, 4, 8)  # n.
PERCENT = (100, 20, 5)
ALPHAS = ('0.0001', '0.001', '0.01')
_PAPER = '0.001'
_OFFLINE = {
    'dqn_offline': 'dqn_offline',
    'cql_offline': 'cql_offline',
    'fqe_offline': 'fitted_q_evaluation',
    'mc_offline': 'monte_carlo',
}
_PLAYING = 1.0  # Time of acting and evaluating, in gradient steps a step.
# Where laptop.gin has 20: what the time allowed.
_RAINBOW = ('Runner.num_iterations = 6',)
_SHORT = ('Runner.num_iterations = 12',)


def _run(
    game: str, name: str, file: str, binding: str, cost: float,
    alpha: str = '', more: tuple[str, ...] = (),
) -> Run:
  files = [file]
  bindings = [f"game = '{game}'", binding]
  if alpha:
    name += f'_alpha{alpha}'
    files.append('penalty')
    bindings.append(f'Learner.penalty_coefficient = {alpha}')
  elif name == 'dqn_online_n8':
    files.append('target_features')
  files.append('laptop')
  return Run(
      f'{game}/{name}', _paths(*files), (*bindings, *more),
      cost * (2 if alpha else 1),
  )


def _paths(*names: str) -> tuple[str, ...]:
  return tuple(f'gin_configs/minatar/{name}.gin' for name in names)


def _online(
    game: str, agent: str, ratio: float, alpha: str = '',
) -> Run:
  return _run(
      game, f'{agent}_n{ratio:g}', agent,
      f'OnlineLoop.data_reuse_ratio = {ratio:g}', _PLAYING + ratio, alpha,
      _RAINBOW if agent == 'rainbow_online' else (),
  )


def _offline(
    game: str, agent: str, percent: int = 20, alpha: str = '',
) -> Run:
  return _run(
      game, f'{agent}_{percent}', _OFFLINE[agent],
      f"OfflineData.path = 'data/{game}_{{seed}}_{percent}'", 1.5, alpha,
      _SHORT,
  )


def _log(game: str) -> Run:
  """The run whose log the offline ones read."""
  files = _paths('dqn_online', 'laptop', 'laptop_log')
  return Run(f'{game}/dqn_log', files, (f"game = '{game}'",), 20.0)


def _of_game(game: str) -> list[Run]:
  return [
      _log(game),
      *(_online(game, 'dqn_online', ratio) for ratio in RATIOS),
      *(_online(game, 'dqn_online', 1, alpha) for alpha in ALPHAS),
      _online(game, 'rainbow_online', 4),
      _online(game, 'rainbow_online', 4, _PAPER),
      *(_offline(game, 'dqn_offline', percent) for percent in PERCENT),
      _offline(game, 'cql_offline'),
      # Of transitions drawn one by one, hardly a return is known: all of them.
      _offline(game, 'fqe_offline', 100),
      _offline(game, 'mc_offline', 100),
      *(
          _offline(game, agent, alpha=alpha)
          for agent in ('dqn_offline', 'cql_offline')
          for alpha in ALPHAS
      ),
  ]


def preparations(base_dir: pathlib.Path) -> list[list[str]]:
  """The command lines that prepare the offline runs' data.

  Transitions are drawn one by one, without replacement.

  Args:
    base_dir: of the sweep; its dqn_log runs are finished.
  """
  return [
      [
          sys.executable, '-m', 'implicit_underparam.data.prepare',
          f'--source={_replay(base_dir, game, seed)}',
          f'--out=data/{game}_{seed}_{percent}',
          f'--fraction={percent / 100:g}', '--mode=transitions',
          f'--seed={seed}',
      ]
      for game in GAMES
      for seed in SEEDS
      for percent in PERCENT
  ]


def _replay(base_dir: pathlib.Path, game: str, seed: int) -> pathlib.Path:
  folder = base_dir / game / 'dqn_log' / 'replay' / f'MinAtar-{game}'
  return folder / str(seed) / 'replay_logs'


RUNS = [run for game in GAMES for run in _of_game(game)]

if __name__ == '__main__':
  if len(sys.argv) != 2:
    sys.exit('error: give the sweep\'s folder, as in: python -m '
             'launch.sweeps.minatar DIR')
  for command in preparations(pathlib.Path(sys.argv[1])):
    print(shlex.join(command))
