"""Runs the commands of docs/minatar.md as they stand, made small."""

import csv
import pathlib

import document_commands
import gin
from absl.testing import absltest

from implicit_underparam import configuration, errors, runner
from implicit_underparam.data import prepare

_SMALL = (
    'Runner.num_iterations = 1',
    'Runner.tensorboard = False',
    'EpisodeEvaluation.num_steps = 2',
    'OnlineLoop.training_steps = 400',
    'OnlineLoop.min_replay_history = 392',
    'OnlineLoop.probe_size = 256',
    'Replay.capacity = 400',
    'OfflineLoop.gradient_steps = 2',
    'OfflineLoop.probe_size = 256',
)


def flags(words: list[str], folder: pathlib.Path) -> list[tuple[str, str]]:
  """(name, value) of each."""
  pairs = (x.replace('/tmp/', f'{folder}/').partition('=') for x in words)
  return [(name.removeprefix('--'), value) for name, _, value in pairs]


def train(words: list[str], folder: pathlib.Path, *bindings: str) -> None:
  """What the command does, in this process: it spares a compilation."""
  given = flags(words, folder)
  named = lambda name: [value for x, value in given if x == name]
  gin.clear_config()
  # The configuration before has locked what can be configured.
  with gin.unlock_config():
    configuration.parse(
        [str(document_commands.ROOT / x) for x in named('gin_files')],
        [*named('gin_bindings'), *_SMALL, *bindings],
    )
  with configuration.readable_errors():
    built = runner.Runner(named('base_dir')[0])
  built.run()


def prepare_set(words: list[str], folder: pathlib.Path) -> None:
  given = dict(flags(words, folder))
  options = prepare.Options(
      mode=given['mode'], fraction=float(given['fraction'])
  )
  prepare.prepare(given['source'], given['out'], options)


class MinAtarDocumentTest(absltest.TestCase):

  def test_a_run_becomes_sets_and_each_seed_reads_its_own(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    found = document_commands.of('minatar.md')
    self.assertEqual(
        [module.rpartition('.')[2] for module, *_ in found],
        ['train', 'train', 'prepare', 'prepare', 'train'],
    )
    logged, *sets, trained = [words for _, *words in found[1:]]
    train(logged, folder)
    for words in sets:
      prepare_set(words, folder)
    train(trained, folder)
    with open(folder / 'minatar_offline' / 'metrics.csv', newline='') as file:
      rows = list(csv.DictReader(file))
    self.assertEqual([x['seed'] for x in rows], ['0', '1'])
    self.assertEqual([x['gradient_steps'] for x in rows], ['2', '2'])
    for row in rows:
      self.assertBetween(int(row['srank']), 2, 128)
      self.assertGreater(float(row['eval_episodes']), 0)
    with self.assertRaisesRegex(
        errors.UserError, 'Breakout_0_20.* holds MinAtar-Breakout, and the run '
        'is of MinAtar-Asterix',
    ):  # fmt: skip
      train(trained, folder, "game = 'Asterix'")
    with self.assertRaisesRegex(errors.UserError, 'is a log of MinAtar-Break'):
      prepare.prepare(
          dict(flags(sets[0], folder))['source'],
          folder / 'mislabelled',
          prepare.Options(game='MinAtar-Asterix'),
      )
    with self.assertRaisesRegex(errors.UserError, 'whole episodes'):
      regression = [x.replace('dqn_offline', 'monte_carlo') for x in trained]
      train(regression, folder)
    with self.assertRaisesRegex(errors.UserError, '80 transitions, fewer than'):
      train(trained, folder, 'OfflineData.batch_size = 81')

  def test_the_first_command_says_what_it_means(self):
    _, *words = document_commands.of('minatar.md')[0]
    given = flags(words, pathlib.Path('unused'))
    gin.clear_config()
    configuration.parse(
        [str(document_commands.ROOT / v) for n, v in given if n == 'gin_files'],
        [v for n, v in given if n == 'gin_bindings'],
    )
    built = runner.Runner('unused')
    self.assertEqual(built.loop.data_reuse_ratio, 1)
    self.assertEqual(built.loop.environment.name, 'MinAtar-Breakout')

  def test_an_unknown_game_is_said(self):
    _, *words = document_commands.of('minatar.md')[0]
    with self.assertRaisesRegex(errors.UserError, "write 'SpaceInvaders'"):
      train(words, pathlib.Path('unused'), "game = 'Space_invaders'")


if __name__ == '__main__':
  absltest.main()
