"""Writes small run folders for the tests of the figures."""

import gzip
import json
import pathlib


def write(
    folder, columns, compressed=False, status=None, gradient_steps=10,
    environment_steps=20,
):
  """Writes a run.

  Args:
    folder: of the run; made.
    columns: {name: {seed: [one value an iteration]}}; None leaves a row out.
    compressed: writes metrics.csv.gz.
    status: of run.json; None for no such file.
    gradient_steps: from one iteration to the next, from 0 at the first.
    environment_steps: likewise.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True)
  names = list(columns)
  counts = ('seed', 'iteration', 'gradient_steps', 'environment_steps')
  lines = [','.join((*counts, *names))]
  by_seed = columns[names[0]]
  for k in range(max(map(len, by_seed.values()))):
    for seed, values in by_seed.items():
      if k < len(values) and values[k] is not None:
        row = (columns[name][seed][k] for name in names)
        steps = (gradient_steps * k, environment_steps * k)
        lines.append(','.join(map(repr, (seed, k, *steps, *row))))
  text = '\n'.join(lines) + '\n'
  if compressed:
    (folder / 'metrics.csv.gz').write_bytes(gzip.compress(text.encode()))
  else:
    (folder / 'metrics.csv').write_text(text)
  if status is not None:
    (folder / 'run.json').write_text(json.dumps({'status': status}))
  return folder


def gridworld(folder, srank, seeds=3, **options):
  """Writes a run with the columns of the gridworld suite.

  Args:
    folder: of the run.
    srank: [iterations] of seed 0; seed s has s more.
    seeds: how many.
    **options: of `write`.
  """
  rank = {s: [x + s for x in srank] for s in range(seeds)}
  columns = {
      'loss': {s: [1.0 + x for x in range(len(v))] for s, v in rank.items()},
      'srank': rank,
      'srank_free': {s: [x / 2 for x in v] for s, v in rank.items()},
      'normalized_return': {s: [x / 64 for x in v] for s, v in rank.items()},
      'q_star_fit_error': {s: [1 / x for x in v] for s, v in rank.items()},
  }
  return write(folder, columns, **options)


def atari(folder, srank, seeds=3, changes=None, **options):
  """Writes a run with columns of the offline Atari runs.

  Args:
    folder: of the run.
    srank: [iterations] of seed 0; seed s has s more. The return, srank_lambda
      and, downwards, sigma_1 and the TD error go along with it.
    seeds: how many.
    changes: {column: [iterations]} that are otherwise, the same for all seeds.
    **options: of `write`.
  """
  rank = {s: [x + s for x in srank] for s in range(seeds)}
  columns = {
      'eval_return': {s: [2 * x for x in v] for s, v in rank.items()},
      'sigma_1': {s: [1e6 / x**3 for x in v] for s, v in rank.items()},
      'sigma_2': {s: [1e3 / x for x in v] for s, v in rank.items()},
      'sigma_10': {s: [5.0 for _ in v] for s, v in rank.items()},
      'sigma_100': {s: [1.0 for _ in v] for s, v in rank.items()},
      'sigma_min': {s: [1e-3 * x for x in v] for s, v in rank.items()},
      'srank': rank,
      'srank_lambda': {s: [x - 9 for x in v] for s, v in rank.items()},
      'td_error_huber': {s: [1 / x for x in v] for s, v in rank.items()},
  }
  for name, values in (changes or {}).items():
    columns[name] = dict.fromkeys(rank, values)
  return write(folder, columns, **options)


def online(folder, srank, seeds=3, changes=None, **options):
  """Writes a run with columns of the online Atari runs.

  Args:
    folder: of the run.
    srank: as in `atari`; srank_target is a little lower.
    seeds: how many.
    changes: as in `atari`.
    **options: of `write`.
  """
  own = {
      'epsilon': [0.01] * len(srank),
      'srank_target': [x - 20 for x in srank],
      'target_updates': list(range(len(srank))),
      'train_episodes': [0] * len(srank),
      'train_return': [float('nan')] * len(srank),
  }
  return atari(folder, srank, seeds, own | (changes or {}), **options)


def minatar(folder, srank, seeds=5, changes=None, **options):
  """Writes a MinAtar run, with its configuration.

  Args:
    folder: of the run, in one of its game; its name tells whether it is
      offline.
    srank: as in `atari`.
    seeds: how many.
    changes: as in `atari`.
    **options: of `write`.
  """
  folder = pathlib.Path(folder)
  writer = atari if '_offline_' in folder.name else online
  writer(folder, srank, seeds, changes, **options)
  (folder / 'config.gin').write_text(
      'EpisodeEvaluation.environment = @MinAtarEnvironment()\n')
  return folder


def mujoco(folder, srank, seeds=3, changes=None, **options):
  """Writes a MuJoCo run, with its configuration.

  Args:
    folder: of the run, in one of its environment.
    srank: [iterations] of seed 0; seed s has s more. The return goes along;
      the second critic's is 1 lower.
    seeds: how many.
    changes: as in `atari`.
    **options: of `write`.
  """
  rank = {s: [x + s for x in srank] for s in range(seeds)}
  columns = {
      'eval_return': {s: [2 * x for x in v] for s, v in rank.items()},
      'srank': rank,
      'srank_critic_2': {s: [x - 1 for x in v] for s, v in rank.items()},
      'td_error_huber': {s: [1.0 for _ in v] for s, v in rank.items()},
      'temperature': {s: [0.1 for _ in v] for s, v in rank.items()},
  }
  for name, values in (changes or {}).items():
    columns[name] = dict.fromkeys(rank, values)
  write(folder, columns, **options)
  (pathlib.Path(folder) / 'config.gin').write_text(
      'EpisodeEvaluation.environment = @ContinuousEnvironment()\n')
  return folder
