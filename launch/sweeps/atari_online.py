"""Online Atari: n gradient steps an agent step, with and without penalty.

Runs lie in a folder for each game, as Seaquest/dqn_online_n4_penalty, which is
what `--runs` of the figures takes. DQN plays the five games of Figure 3 and
A.6, Rainbow the sixteen of A.8, with the penalty at n = 4 alone (A.17 to A.19).
Which n A.8 draws the paper's text does not say: those of DQN are taken. The
rank of targets (D.2) is of DQN on Seaquest with the two largest n, for its "two
pairs of runs".
"""

from launch.run import Run
from launch.sweeps.atari_offline import FIVE_GAMES, SIXTEEN_GAMES

RATIOS = (0.25, 1, 2, 4, 8)  # n.
_SUFFIXES = {'target': 'target_features', 'penalty': 'penalty'}
_PLAYING = 1.0  # Time of acting and evaluating, in gradient steps a step.


def _run(game: str, agent: str, ratio: float, *suffixes: str) -> Run:
  files = (agent, *(_SUFFIXES[x] for x in suffixes))
  iterations = 2 if agent == 'dqn_online' else 1  # 200 and 100.
  return Run(
      f'{game}/' + '_'.join((f'{agent}_n{ratio:g}', *suffixes)),
      tuple(f'gin_configs/atari/{x}.gin' for x in files),
      (f"game = '{game}'", f'OnlineLoop.data_reuse_ratio = {ratio:g}'),
      iterations * (_PLAYING + ratio),
  )


RUNS = [
    *(
        _run(game, 'dqn_online', ratio, *suffixes)
        for game in FIVE_GAMES
        for ratio in RATIOS
        for suffixes in ((), ('penalty',))
    ),
    *(
        _run(game, 'rainbow_online', ratio)
        for game in SIXTEEN_GAMES
        for ratio in RATIOS
    ),
    *(_run(game, 'rainbow_online', 4, 'penalty') for game in SIXTEEN_GAMES),
    *(_run('Seaquest', 'dqn_online', ratio, 'target') for ratio in (4, 8)),
]
