"""What collect logs, against a plain loop over the emulator."""

import gzip
import io
import itertools
import pathlib
import pickle
import subprocess
import sys
import time
from typing import Any

import numpy as np
import plain_atari
import small_runs
from absl.testing import absltest, parameterized

from implicit_underparam.data import collect
from implicit_underparam.envs import atari
from implicit_underparam.errors import UserError

FIXTURE = pathlib.Path(__file__).parents[1] / 'fixtures' / 'pong_replay_logs'
MODULE = 'implicit_underparam.data.collect'


def load(folder: pathlib.Path, name: str, suffix: int) -> np.ndarray:
  path = folder / 'replay_logs' / f'{name}_ckpt.{suffix}.gz'
  return np.load(io.BytesIO(gzip.decompress(path.read_bytes())))


def stream(folder: pathlib.Path, name: str, capacity: int) -> np.ndarray:
  """All rows of a column in order, by the rules of the public data."""
  pieces = []
  for suffix in itertools.count():
    if not (folder / 'replay_logs' / f'add_count_ckpt.{suffix}.gz').exists():
      return np.concatenate(pieces)
    column = load(folder, f'$store$_{name}', suffix)
    count = int(load(folder, 'add_count', suffix))
    # A full file ends at the slot before the last, where the next goes on.
    end = capacity - 1 if count % capacity == capacity - 1 else count
    pieces += [column[capacity - 1:]] if suffix else []
    pieces += [column[:end]]


def plain_random_log(
    rom: str, seed: int, steps: int
) -> list[tuple[Any, int, float, bool]]:
  """(screen or None for padding, action, reward, terminal) of random play."""
  rng = np.random.default_rng((0x636F6C6C, seed))
  game = plain_atari.PlainAtari(rom, int(rng.integers(2**31, size=1)[0]))
  padding = [(None, 0, 0.0, False)] * 3
  screen, rows = game.reset(), [*padding]
  rng.integers(1)  # The draw among one epsilon.
  for _ in range(steps):
    action = int(rng.integers(game.num_actions))
    step = game.step(action)
    reward = float(min(max(step.reward, -1), 1))
    rows.append((screen, action, reward, step.is_terminal))
    screen = step.screen
    if step.is_terminal:
      screen = game.reset()
      rng.integers(1)
      rows += padding
  return rows


def random_play(game: str) -> collect.EpsilonGreedy:
  return collect.EpsilonGreedy(None, atari.num_actions(game))


class CollectTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.out = pathlib.Path(self.create_tempdir().full_path) / 'log'

  def test_the_log_is_what_was_played(self):
    environment = atari.AtariEnvironment('Qbert')
    done = collect.collect(
        environment, self.out, 700, random_play('Qbert'), capacity=300, seed=4
    )
    self.assertEqual((done.steps, done.checkpoints), (700, 3))
    rows = plain_random_log('qbert', 4, 700)
    frames, actions, rewards, terminals = (
        stream(self.out, name, 300)
        for name in ('observation', 'action', 'reward', 'terminal')
    )
    if rows[-1][0] is None:
      rows = rows[:-3]  # Padding comes with the next step only.
    self.assertLen(frames, len(rows))
    np.testing.assert_array_equal(actions, [row[1] for row in rows])
    np.testing.assert_array_equal(rewards, [row[2] for row in rows])
    np.testing.assert_array_equal(terminals, [row[3] for row in rows])
    for frame, row in zip(frames, rows, strict=True):
      if row[0] is None:
        self.assertFalse(frame.any())
      else:
        self.assertTrue(plain_atari.is_area_mean(frame, row[0]))
    # What makes the test one: rewards that were clipped, and ended episodes.
    self.assertGreater(rewards.sum(), 3)
    self.assertEqual(done.episodes, terminals.sum())
    self.assertGreaterEqual(done.episodes, 1)
    self.assertGreater(done.mean_return, rewards.sum() / done.episodes)

  def test_a_time_limit_is_no_terminal(self):
    environment = atari.AtariEnvironment('Pong', max_frames=80)
    collect.collect(
        environment, self.out, 50, random_play('Pong'), capacity=100
    )
    self.assertFalse(load(self.out, '$store$_terminal', 0).any())
    path = self.out / 'replay_logs' / 'episode_end_indices_ckpt.0.gz'
    ends = pickle.loads(gzip.decompress(path.read_bytes()))
    # Twenty steps an episode, and three slots of padding before each.
    self.assertEqual(sorted(ends), [22, 45])

  def test_a_seed_gives_the_same_bytes_again(self):
    def files(name: str, seed: int) -> dict[str, bytes]:
      out = self.out / name
      environment = atari.AtariEnvironment('Pong')
      play = random_play('Pong')
      collect.collect(environment, out, 60, play, capacity=40, seed=seed)
      folder = out / 'replay_logs'
      return {path.name: path.read_bytes() for path in folder.iterdir()}

    first = files('first', 1)
    self.assertEqual(files('again', 1), first)
    self.assertNotEqual(files('other', 2), first)

  def test_a_policy_sees_the_stack_and_is_played(self):
    seen = []

    def policy(observation: np.ndarray, rng: np.random.Generator) -> int:
      del rng
      seen.append(observation.copy())
      return len(seen) % 6

    environment = atari.AtariEnvironment('Pong', max_frames=48)
    play = collect.EpsilonGreedy(policy, 6, [0.0])
    collect.collect(environment, self.out, 20, play, capacity=100)
    actions = load(self.out, '$store$_action', 0)[:26]
    frames = load(self.out, '$store$_observation', 0)[:26]
    # Slots 0-2 and, after twelve steps, 15-17 are padding.
    steps = [*range(3, 15), *range(18, 26)]
    np.testing.assert_array_equal(actions[steps], np.arange(1, 21) % 6)
    for observation, slot in zip(seen, steps, strict=True):
      stack = np.moveaxis(frames[slot - 3:slot + 1], 0, -1)[None]
      np.testing.assert_array_equal(observation, stack)

  def test_an_interrupt_keeps_what_was_played(self):
    calls = itertools.count()

    def policy(observation: np.ndarray, rng: np.random.Generator) -> int:
      if next(calls) == 250:
        raise KeyboardInterrupt
      return 0

    play = collect.EpsilonGreedy(policy, 6, [0.0])
    with self.assertRaises(KeyboardInterrupt):
      environment = atari.AtariEnvironment('Pong')
      collect.collect(environment, self.out, 1000, play, capacity=100)
    self.assertLen(stream(self.out, 'action', 100), 253)

  def test_a_log_that_is_there_is_not_touched(self):
    environment = atari.AtariEnvironment('Pong')
    collect.collect(environment, self.out, 10, random_play('Pong'), capacity=20)
    before = stream(self.out, 'observation', 20)
    with self.assertRaisesRegex(UserError, 'not empty'):
      collect.collect(environment, self.out, 9, random_play('Pong'), 20, 1)
    np.testing.assert_array_equal(stream(self.out, 'observation', 20), before)

  @parameterized.parameters(
      ({'num_steps': 0}, 'steps=0'),
      ({'seed': -1}, 'seed=-1'),
      ({'num_steps': 10**15}, 'GB are free'),
      ({'capacity': 2}, 'capacity 2'),
  )
  def test_a_number_that_cannot_be_leaves_nothing(self, options, message):
    arguments = {
        'environment': atari.AtariEnvironment('Pong'), 'out': self.out,
        'num_steps': 10, 'policy': random_play('Pong'), **options,
    }  # fmt: skip
    with self.assertRaisesRegex(UserError, message):
      collect.collect(**arguments)
    self.assertFalse(self.out.exists())


class EpsilonGreedyTest(parameterized.TestCase):

  def test_each_episode_draws_one_probability(self):
    play = collect.EpsilonGreedy(lambda *_: 0, 10, [0.0, 0.5, 1.0])
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
      play.begin_episode(rng)
      actions = [play(np.zeros((1, 84, 84, 4)), rng) for _ in range(400)]
      shares.append(np.mean(np.array(actions) != 0))
    # Of the uniform actions nine in ten are not the greedy one; 0.1 is four
    # standard deviations of a share of 400.
    shares = np.array(shares)
    for expected in (0.0, 0.45, 0.9):
      near = abs(shares - expected) < 0.1
      self.assertBetween(near.sum(), 10, 30)
      shares = shares[~near]
    self.assertEmpty(shares)

  @parameterized.parameters(([],), ([0.5, 1.5],), ([-0.1],))
  def test_what_is_no_probability_is_refused(self, epsilons):
    with self.assertRaisesRegex(UserError, '--epsilon='):
      collect.EpsilonGreedy(None, 6, epsilons)


class CommandTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.out = pathlib.Path(self.create_tempdir().full_path) / 'log'

  def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
    return small_runs.run([sys.executable, '-m', MODULE, *arguments])

  def test_collects_and_says_what(self):
    result = self.command(
        '--game=Pong', f'--out={self.out}', '--steps=90', '--capacity=50',
        '--policy=random',
    )  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(result.stderr, '')
    self.assertIn('90 steps of Pong in 2 checkpoints', result.stdout)
    self.assertLen(stream(self.out, 'action', 50), 93)

  @parameterized.parameters(
      ('--game=Pong --steps=5', 'either --policy=random or --base_dir'),
      ('--game=Pnog --steps=5 --policy=random', 'the nearest are Pong'),
      ('--game=Pong --policy=random', '--steps is missing'),
      ('--game=Pong --steps=5 --base_dir=none --epsilon=x', '--epsilon=x'),
      ('--game=Pong --steps=5 --base_dir=none', '--base_dir=none'),
      ('stray', "'stray' is not a flag"),
  )
  def test_bad_input_is_one_line(self, arguments, message):
    result = self.command(f'--out={self.out}', *arguments.split())
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn(message, result.stderr)
    self.assertFalse(self.out.exists())

  def test_a_kill_leaves_whole_files(self):
    process = subprocess.Popen(
        [sys.executable, '-m', MODULE, '--game=Pong', f'--out={self.out}',
         '--steps=100000', '--capacity=200', '--policy=random'],
    )  # fmt: skip
    awaited = self.out / 'replay_logs' / 'add_count_ckpt.2.gz'
    deadline = time.monotonic() + 120
    while not awaited.exists() and time.monotonic() < deadline:
      time.sleep(0.01)
    process.kill()
    process.wait()
    self.assertTrue(awaited.exists())
    for path in awaited.parent.glob('*_ckpt.*.gz'):
      gzip.decompress(path.read_bytes())
    self.assertGreaterEqual(len(stream(self.out, 'action', 200)), 599)


class FixtureTest(absltest.TestCase):

  def test_holds_two_full_checkpoints_and_a_part(self):
    counts = [int(load(FIXTURE, 'add_count', i)) for i in range(3)]
    self.assertEqual(counts[:2], [1999, 3999])
    self.assertBetween(counts[2], 1, 1998)
    terminals = stream(FIXTURE, 'terminal', 2000)
    self.assertEqual(terminals.sum(), 5)
    frames = stream(FIXTURE, 'observation', 2000)
    starts = np.flatnonzero(terminals[:-1]) + 1
    for start in (0, *starts):
      self.assertFalse(frames[start:start + 3].any())
      self.assertTrue(frames[start + 3].any())
    rewards = stream(FIXTURE, 'reward', 2000)
    # A game of Pong is lost at 21 points.
    self.assertEqual(np.add.reduceat(rewards < 0, [0, *starts])[0], 21)
    files = [path for path in FIXTURE.rglob('*') if path.is_file()]
    self.assertLess(sum(path.stat().st_size for path in files), 400_000)


if __name__ == '__main__':
  absltest.main()
