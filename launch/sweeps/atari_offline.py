"""Offline Atari: 16 games, 5% and 20% of the data, with and without penalty.

The prepared sets are looked for in ./data, as data/Pong_5 and data/Pong_20;
docs/data.md says how they are made. Runs lie in a folder for each game and
percentage, as Pong_5/dqn_offline_penalty, which is what `--runs` of the figures
takes. The first five games are those of Figure 2.
"""

from launch.run import Run

FIVE_GAMES = ('Asterix', 'Qbert', 'Pong', 'Seaquest', 'Breakout')
SIXTEEN_GAMES = (
    *FIVE_GAMES, 'DoubleDunk', 'Jamesbond', 'MsPacman', 'SpaceInvaders',
    'Zaxxon', 'WizardOfWor', 'YarsRevenge', 'Enduro', 'RoadRunner',
    'BeamRider', 'DemonAttack',
)  # fmt: skip
# Configuration -> games that the paper has it for, and whether with penalty.
_AGENTS = {
    'dqn_offline': (SIXTEEN_GAMES, True),
    'cql_offline': (SIXTEEN_GAMES, True),
    'fitted_q_evaluation': (FIVE_GAMES, False),
    'monte_carlo': (FIVE_GAMES, False),
}
_PERCENT = (5, 20)


def _run(game: str, agent: str, percent: int, penalty: bool) -> Run:
  files = [
      f'gin_configs/atari/{agent}.gin',
      f'gin_configs/atari/data_{percent}.gin',
  ]
  if penalty:
    files.append('gin_configs/atari/penalty.gin')
  name = f'{game}_{percent}/{agent}' + '_penalty' * penalty
  bindings = (
      f"game = '{game}'",
      f"OfflineData.path = 'data/{game}_{percent}'",
  )
  return Run(name, tuple(files), bindings, percent / 5)


RUNS = [
    _run(game, agent, percent, penalty)
    for agent, (games, with_penalty) in _AGENTS.items()
    for game in games
    for percent in _PERCENT
    for penalty in ((False, True) if with_penalty else (False,))
]
