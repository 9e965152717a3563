"""A Breakout log by a mixture of policies, without a trained network.

  python results/atari_offline/collect_breakout.py --out=DIR --steps=100000

A rule moves the paddle under the ball; every episode draws how often a random
action is taken instead, from 0.02 (plays well) to 1 (plays at random).
"""

import pathlib
import sys

import numpy as np
from absl import app, flags

from implicit_underparam.data import collect
from implicit_underparam.envs import atari

FLAGS = flags.FLAGS
EPSILONS = (0.02, 0.1, 0.3, 1.0)
_NOOP, _FIRE, _RIGHT, _LEFT = range(4)
_ROWS = slice(38, 74)  # Between bricks and paddle.
_COLUMNS = slice(6, 79)  # Between the walls.
_PADDLE = 76


def ball(frame: np.ndarray) -> tuple[int, int] | None:
  """Row and column of the ball between the walls, if it is in sight."""
  area = frame[_ROWS, _COLUMNS]
  if area.max() < 20:
    return None
  row, column = np.unravel_index(np.argmax(area), area.shape)
  return int(row), int(column)


def follow_ball(observation: np.ndarray, rng: np.random.Generator) -> int:
  """Moves the paddle to where the ball will come down."""
  del rng
  paddle = observation[0, _PADDLE, _COLUMNS, -1].astype(float)
  before, now = (ball(observation[0, :, :, i]) for i in (-2, -1))
  if now is None or paddle.max() < 20:
    return _FIRE
  target = float(now[1])
  if before is not None and now[0] > before[0]:
    slope = (now[1] - before[1]) / (now[0] - before[0])
    target += slope * (_PADDLE - 38 - now[0])
    # It bounces off the walls.
    target = abs(target) % 144
    target = min(target, 144 - target)
  distance = target - np.average(np.arange(73), weights=paddle)
  if abs(distance) < 2:
    return _NOOP
  return _RIGHT if distance > 0 else _LEFT


def main(argv: list[str]) -> None:
  """Collects and says what was played."""
  del argv
  environment = atari.AtariEnvironment('Breakout')
  policy = collect.EpsilonGreedy(
      follow_ball, environment.num_actions, EPSILONS
  )
  done = collect.collect(
      environment, pathlib.Path(FLAGS.out), FLAGS.steps, policy,
      capacity=FLAGS.capacity, seed=FLAGS.seed, show_progress=sys.stderr.isatty(),
  )  # fmt: skip
  print(
      f'{done.steps} steps, {done.episodes} episodes, mean return '
      f'{done.mean_return:.1f}'
  )


if __name__ == '__main__':
  flags.DEFINE_string('out', None, 'Folder of the log.', required=True)
  flags.DEFINE_integer('steps', 100_000, 'Agent steps.')
  flags.DEFINE_integer('capacity', 50_000, 'Slots of a checkpoint.')
  flags.DEFINE_integer('seed', 0, 'Of the emulator and the policy.')
  app.run(main)
