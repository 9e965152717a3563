"""Runs the commands of docs/online.md as they stand, made small."""

import csv
import pathlib
import sys

import document_commands
import gin
import small_runs
from absl.testing import absltest

from implicit_underparam import configuration, runner

ROOT = document_commands.ROOT
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
  bindings = _SMALL + (_OFFLINE if '_offline.gin' in command else _ONLINE)
  if '/atari/' in command:
    bindings += _ATARI
  return [*words, *(f'--gin_bindings={x}' for x in bindings)]


def last_row(folder: pathlib.Path) -> dict[str, str]:
  with open(folder / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))[-1]


class OnlineDocumentTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.commands = document_commands.of('online.md')
    self.assertLen(self.commands, 5)

  def test_a_log_becomes_a_set_and_the_set_an_offline_run(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    for module, *words in self.commands[2:]:
      words = [x.replace('/tmp/', f'{folder}/') for x in words]
      if module.endswith('train'):
        words = made_small(words)
      result = small_runs.run([sys.executable, '-m', module, *words], cwd=ROOT)
      self.assertEqual(result.returncode, 0, f'{words}: {result.stderr}')
    # n of 0.25, of (120 - 110) agent steps.
    self.assertEqual(last_row(folder / 'logged')['gradient_steps'], '2')
    row = last_row(folder / 'logged_dqn')
    self.assertEqual(row['gradient_steps'], '2')
    self.assertGreater(int(row['srank']), 1)

  def test_the_other_commands_say_what_they_mean(self):
    ratios = []
    for _, *words in self.commands[:2]:
      flags = [x.partition('=')[::2] for x in words]
      files = [value for name, value in flags if name == '--gin_files']
      bindings = [value for name, value in flags if name == '--gin_bindings']
      gin.clear_config()
      configuration.parse([str(ROOT / x) for x in files], bindings)
      ratios.append(runner.Runner('unused').loop.data_reuse_ratio)
    self.assertEqual(ratios, [1, 4])


if __name__ == '__main__':
  absltest.main()
