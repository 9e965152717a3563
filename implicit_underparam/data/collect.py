"""Plays a game and logs it in the format of the DQN Replay data.

  python -m implicit_underparam.data.collect --game=Pong --out=DIR \\
      --steps=200000 --policy=random [--capacity=50000 --seed=0]
  python -m implicit_underparam.data.collect --game=Pong --out=DIR \\
      --steps=200000 --base_dir=RUN --checkpoint=50 --epsilon=0.01,0.1,1

Writes DIR/replay_logs, for `prepare` and for Dopamine to read. The protocol
is `envs.atari`'s; logged are the newest frame before each action, the action,
the reward clipped to [-1, 1] and whether the game was over. Nothing is seen of
the state in which an episode ends. Killed, the command leaves the checkpoints
that were complete; interrupted, what was played since the last one, too.
"""

import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tqdm
from absl import app, flags, logging

from implicit_underparam.data import replay_logs_writer
from implicit_underparam.envs import atari
from implicit_underparam.errors import UserError

FLAGS = flags.FLAGS

Policy = Callable[[np.ndarray, np.random.Generator], int]
"""(observation [1, 84, 84, stack_size] uint8, generator) -> action."""

_STREAM = 0x636F6C6C  # Tells these random numbers from others of the seed.
# Compressed, of a frame: 50 to 135 were measured with random play, and richer
# screens take more.
_STEP_BYTES = 500
_MOST_ROWS = 1_000_000  # As in the public logs.


class Collected(NamedTuple):
  """What was played.

  Attributes:
    steps: agent steps, all of them logged.
    episodes: those that came to their end.
    mean_return: of these, unclipped; NaN if there are none.
    checkpoints: files written of each kind.
  """

  steps: int
  episodes: int
  mean_return: float
  checkpoints: int


class EpsilonGreedy:
  """A policy that draws a uniform action with a probability.

  The probability is drawn anew for each episode from a list, so that one log
  can mix good play with bad.
  """

  def __init__(
      self,
      greedy: Policy | None,
      num_actions: int,
      epsilons: Sequence[float] = (1.0,),
  ):
    """Binds the parts.

    Args:
      greedy: what it does otherwise; None for purely random play.
      num_actions: of the game.
      epsilons: the probabilities.

    Raises:
      UserError: one that is none, or none at all.
    """
    if not epsilons or not all(0 <= epsilon <= 1 for epsilon in epsilons):
      raise UserError(
          f'--epsilon={",".join(f"{x:g}" for x in epsilons)}: give '
          'probabilities, such as 0.05 or 0.01,0.1,1'
      )
    self._greedy = greedy
    self._num_actions = num_actions
    self._epsilons = epsilons
    self._epsilon = 1.0

  def begin_episode(self, rng: np.random.Generator) -> None:
    """Draws the probability of the next episode."""
    self._epsilon = self._epsilons[int(rng.integers(len(self._epsilons)))]

  def __call__(self, observation: np.ndarray, rng: np.random.Generator) -> int:
    """The action at an observation [1, 84, 84, stack_size]."""
    if self._greedy is None or rng.random() < self._epsilon:
      return int(rng.integers(self._num_actions))
    return int(self._greedy(observation, rng))


def load_policy(
    base_dir: str, checkpoint: int | None, num_actions: int
) -> Policy:
  """The greedy policy of a run's network, of its first seed.

  Args:
    base_dir: the run's folder.
    checkpoint: iterations done; None for the latest.
    num_actions: of the game.

  Raises:
    UserError: there is no such run, or it is of a game with other actions.
  """
  # Imported late: random play needs no JAX.
  from implicit_underparam import policies

  act, found = policies.greedy_actions(pathlib.Path(base_dir), checkpoint, None)
  if found != num_actions:
    raise UserError(
        f'--base_dir={base_dir}: its network has {found} actions, the game '
        f'has {num_actions}: give the --game of the run'
    )
  return lambda observation, rng: int(act(observation)[0])


def collect(
    environment: atari.AtariEnvironment,
    out: str | os.PathLike[str],
    num_steps: int,
    policy: EpsilonGreedy,
    capacity: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> Collected:
  """Plays `num_steps` agent steps and logs them to out/replay_logs.

  The same arguments give the same files, byte for byte.

  Args:
    environment: the game.
    out: a folder without a log in it.
    num_steps: at least 1; the last episode stays unfinished.
    policy: chooses the actions.
    capacity: rows of a checkpoint; None takes `num_steps`, and a million at
      most.
    seed: of the emulator and of the policy, 0 or more.
    show_progress: whether to draw a bar.

  Raises:
    UserError: there is a log already, too little disk, or a number that
      cannot be.
  """
  if num_steps < 1 or seed < 0:
    raise UserError(f'--steps={num_steps} --seed={seed}: give at least 1 and 0')
  if capacity is None:
    capacity = min(num_steps, _MOST_ROWS)
  _check_room(pathlib.Path(out), num_steps, capacity)
  log = replay_logs_writer.ReplayLogWriter(
      pathlib.Path(out) / 'replay_logs', capacity
  )
  bar = tqdm.tqdm(total=num_steps, unit='step', disable=not show_progress)
  with bar, log:
    returns = _play(environment, log, num_steps, policy, seed, bar)
  return Collected(
      steps=num_steps,
      episodes=len(returns),
      mean_return=float(np.mean(returns)) if returns else float('nan'),
      checkpoints=log.checkpoints,
  )


def _play(
    environment: atari.AtariEnvironment,
    log: replay_logs_writer.ReplayLogWriter,
    num_steps: int,
    policy: EpsilonGreedy,
    seed: int,
    bar: tqdm.tqdm,
) -> list[float]:
  """Returns of the episodes that ended."""
  rng = np.random.default_rng((_STREAM, seed))
  emulator = environment.make(1)
  observation = emulator.reset(
      rng.integers(atari.MAX_SEED, size=1, endpoint=True)
  )
  policy.begin_episode(rng)
  returns = []
  for _ in range(num_steps):
    action = policy(observation, rng)
    step = emulator.step(np.array([action]))
    log.add(
        observation=observation[0, ..., -1],
        action=action,
        reward=float(np.clip(step.reward[0], -1, 1)),
        is_terminal=bool(step.is_terminal[0]),
        episode_end=bool(step.episode_end[0]),
    )
    observation = step.observation
    if step.episode_end[0]:
      returns.append(float(step.episode_return[0]))
      policy.begin_episode(rng)
    bar.update()
  return returns


def _check_room(out: pathlib.Path, num_steps: int, capacity: int) -> None:
  """Compares the free space with a generous estimate."""
  # Each file holds the whole ring, the last one too.
  rows = num_steps + min(num_steps, capacity)
  place = out.absolute()
  while not place.exists():
    place = place.parent
  free = shutil.disk_usage(place).free
  if rows * _STEP_BYTES > free:
    raise UserError(
        f'--out={out}: the log may need {rows * _STEP_BYTES / 1e9:.2f} GB, and '
        f'{free / 1e9:.2f} GB are free: free space, name a folder elsewhere, '
        'or give fewer --steps'
    )


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('game', None, "As 'Pong' or 'MsPacman'.")
  flags.DEFINE_string('out', None, 'Folder in which replay_logs is made.')
  flags.DEFINE_integer('steps', None, 'Agent steps to play.')
  flags.DEFINE_integer(
      'capacity',
      None,
      'Rows of a checkpoint; as many as --steps, and a million at most, if '
      'None.',
  )
  flags.DEFINE_enum('policy', None, ['random'], 'What plays, if no network.')
  flags.DEFINE_string('base_dir', None, 'The run whose network plays.')
  flags.DEFINE_integer(
      'checkpoint', None, 'Iterations done there; the latest if None.'
  )
  flags.DEFINE_list(
      'epsilon',
      None,
      'Probability of a random action of the network (0.05); of several, '
      'each episode draws one.',
  )
  flags.DEFINE_integer('seed', 0, 'Of the emulator and of the policy.')


def _policy(num_actions: int) -> EpsilonGreedy:
  """What the flags say about who plays."""
  if bool(FLAGS.policy) == bool(FLAGS.base_dir):
    raise UserError('give either --policy=random or --base_dir=RUN')
  if FLAGS.policy:
    if FLAGS.epsilon is not None or FLAGS.checkpoint is not None:
      raise UserError('--epsilon and --checkpoint go with --base_dir only')
    return EpsilonGreedy(None, num_actions)
  texts = ['0.05'] if FLAGS.epsilon is None else FLAGS.epsilon
  try:
    epsilons = [float(text) for text in texts]
  except ValueError as error:
    raise UserError(
        f'--epsilon={",".join(texts)}: give probabilities, such as 0.05 or '
        '0.01,0.1,1'
    ) from error
  policy = load_policy(FLAGS.base_dir, FLAGS.checkpoint, num_actions)
  return EpsilonGreedy(policy, num_actions, epsilons)


def _run() -> str:
  """Collects as the flags say, and tells what there is."""
  for name in ('game', 'out', 'steps'):
    if FLAGS[name].value in (None, ''):
      raise UserError(
          f'--{name} is missing: write --game=Pong --out=DIR --steps=200000 '
          '--policy=random'
      )
  environment = atari.AtariEnvironment(FLAGS.game)
  done = collect(
      environment,
      FLAGS.out,
      FLAGS.steps,
      _policy(environment.num_actions),
      FLAGS.capacity,
      FLAGS.seed,
      show_progress=sys.stderr.isatty(),
  )
  path = pathlib.Path(FLAGS.out) / 'replay_logs'
  returns = f', mean return {done.mean_return:.2f}' if done.episodes else ''
  return (
      f'{path}: {done.steps} steps of {FLAGS.game} in {done.checkpoints} '
      f'checkpoints; {done.episodes} whole episodes{returns}'
  )


def main(argv: Sequence[str]) -> None:
  """Collects, and shows a user's error as one line."""
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  try:
    if len(argv) > 1:
      raise UserError(
          f'{argv[1]!r} is not a flag: write --game=Pong --out=DIR '
          '--steps=200000 --policy=random'
      )
    print(_run())
  except UserError as error:
    sys.exit('error: ' + str(error).split('\n')[0])
  except KeyboardInterrupt:
    print('interrupted: what was played is in the log', file=sys.stderr)
    sys.exit(130)


if __name__ == '__main__':
  define_flags()
  app.run(main)
