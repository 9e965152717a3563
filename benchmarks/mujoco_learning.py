"""What stable-baselines3's SAC returns after few steps, to compare with.

  pip install 'stable-baselines3>=2' 'gymnasium[mujoco]'
  python -m benchmarks.mujoco_learning --output=stable_baselines3.csv

Its SAC as it comes (batch 256, 2 x 256, one gradient step an environment step),
but for 1,000 random steps at the start, as in this package's configuration.
Every 1,000 steps the mean return of 5 episodes of the deterministic policy, in
an environment of its own, is written, with the temperature, J_pi and half of
the squared errors of the last gradient step: columns env, seed,
environment_steps, eval_return, temperature, actor_loss, loss. The runs take
turns of 1,000 steps, so that all have come equally far when the time is up. One
thread.
"""

import csv
import pathlib
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import app, flags

FLAGS = flags.FLAGS
_EPISODES = 5
_LEARNING_STARTS = 1000
# Seeds of evaluation are apart from those of training.
_EVALUATION_SEED = 1_000_000


class Row(NamedTuple):
  """One evaluation.

  Attributes:
    env: a gymnasium id.
    seed: of the run.
    environment_steps: taken before it.
    eval_return: mean of the episodes, undiscounted.
    temperature: alpha.
    actor_loss: J_pi.
    loss: J_Q, of both critics.
  """

  env: str
  seed: int
  environment_steps: int
  eval_return: float
  temperature: float | None
  actor_loss: float | None
  loss: float | None


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_multi_string(
      'env', ['HalfCheetah-v4', 'Hopper-v4'], 'Gymnasium ids; repeat it.'
  )
  flags.DEFINE_multi_integer('seed', [0, 1], 'Seeds; repeat it.')
  flags.DEFINE_integer('steps', 10_000, 'Environment steps of a run.')
  flags.DEFINE_integer('every', 1000, 'Environment steps between evaluations.')
  flags.DEFINE_float('minutes', 30, 'No turns begin after that.')
  flags.DEFINE_string('output', None, 'The CSV.', required=True)


def main(argv: Sequence[str]) -> None:
  """Trains, evaluates and writes, a turn of every run after another."""
  del argv
  end = time.monotonic() + 60 * FLAGS.minutes
  runs = [Run(env, seed) for env in FLAGS.env for seed in FLAGS.seed]
  rows: list[Row] = []
  for _ in range(0, FLAGS.steps, FLAGS.every):
    if time.monotonic() > end:
      sys.exit(f'{FLAGS.minutes:g} minutes are over')
    for run in runs:
      rows.append(run.turn(FLAGS.every))
      print(*rows[-1], flush=True)
      write_csv(FLAGS.output, rows)


class Run:
  """One seed of stable-baselines3's SAC.

  Args:
    env: a gymnasium id.
    seed: of all that is random.
  """

  def __init__(self, env: str, seed: int):
    import stable_baselines3
    import torch
    from stable_baselines3.common import monitor

    torch.set_num_threads(1)
    self._env, self._seed, self._steps = env, seed, 0
    self._model = stable_baselines3.SAC(
        'MlpPolicy', make(env), learning_starts=_LEARNING_STARTS, seed=seed
    )
    self._evaluated = monitor.Monitor(make(env))
    self._evaluated.reset(seed=_EVALUATION_SEED + seed)

  def turn(self, steps: int) -> Row:
    """So many environment steps more, and an evaluation."""
    from stable_baselines3.common import evaluation

    # What is noted is never shown, and so not forgotten.
    self._model.learn(
        steps, reset_num_timesteps=False, log_interval=sys.maxsize
    )
    self._steps += steps
    noted = self._model.logger.name_to_value
    mean, _ = evaluation.evaluate_policy(
        self._model, self._evaluated, _EPISODES, deterministic=True
    )
    return Row(
        self._env,
        self._seed,
        self._steps,
        round(float(mean), 2),
        noted.get('train/ent_coef'),
        noted.get('train/actor_loss'),
        noted.get('train/critic_loss'),
    )


def make(env: str) -> Any:
  """An environment; the versions with the paper's dimensions are old ones."""
  import gymnasium

  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', '.*is out of date.*')
    return gymnasium.make(env)


def write_csv(path: str, rows: Sequence[Row]) -> None:
  """All rows, run by run."""
  with pathlib.Path(path).open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(Row._fields)
    writer.writerows(sorted(rows))


if __name__ == '__main__':
  define_flags()
  app.run(main)
