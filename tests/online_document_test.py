"""Runs the commands of docs/online.md as they stand, made small."""

import csv
import pathlib
import re
import shlex
import sys

import small_runs
from absl.testing import absltest

ROOT = pathlib.Path(__file__).parent.parent
_SMALL = (
    'Runner.num_iterations = 1',
    'Runner.tensorboard = False',
    'EpisodeEvaluation.num_steps = 2',
)
_ONLINE = (
    'OnlineLoop.training_steps = 120',
    'OnlineLoop.min_replay_history = 110',
    'OnlineLoop.probe_size = 512',
    'Replay.capacity = 200',
)
_OFFLINE = ('OfflineLoop.gradient_steps = 2', 'OfflineLoop.probe_size = 512')
_ATARI = ('AtariEnvironment.max_frames = 40',)


def made_small(words: list[str]) -> list[str]:
  """A training command with bindings that make it short."""
  command = ' '.join(words)
  bindings = _SMALL + (_OFFLINE if 'offline' in command else _ONLINE)
  if '/atari/' in command:
    bindings += _ATARI
  return [*words, *(f'--gin_bindings={x}' for x in bindings)]


def commands(document: str) -> list[list[str]]:
  """The package's commands in a document's blocks, on /tmp, in order."""
  blocks = re.findall(r'```\n(.*?)```', document, re.DOTALL)
  lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
  found = [shlex.split(line) for line in lines if '/tmp/' in line]
  assert all(words[:2] == ['python', '-m'] for words in found)
  return [words[2:] for words in found]


def last_row(folder: pathlib.Path) -> dict[str, str]:
  with open(folder / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))[-1]


class OnlineDocumentTest(absltest.TestCase):

  def test_its_commands_run_as_they_stand(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    found = commands((ROOT / 'docs' / 'online.md').read_text())
    self.assertLen(found, 5)
    for module, *words in found:
      words = [x.replace('/tmp/', f'{folder}/') for x in words]
      if module.endswith('train'):
        words = made_small(words)
      result = small_runs.run([sys.executable, '-m', module, *words], cwd=ROOT)
      self.assertEqual(result.returncode, 0, f'{words}: {result.stderr}')
    # (120 - 110) agent steps that n of 1 and of 4 count.
    row = last_row(folder / 'cartpole')
    self.assertEqual(row['gradient_steps'], '10')
    row = last_row(folder / 'asterix')
    self.assertEqual(row['gradient_steps'], '40')
    self.assertGreater(int(row['srank']), 1)
    row = last_row(folder / 'logged_dqn')
    self.assertEqual(row['gradient_steps'], '2')


if __name__ == '__main__':
  absltest.main()
