"""Runs the commands of docs/data.md that need no download, made small."""

import csv
import pathlib
import sys

import document_commands
import small_runs
from absl.testing import absltest

_SMALL = {
    'implicit_underparam.data.collect': ['--steps=900', '--capacity=400'],
    'implicit_underparam.train': [
        '--gin_bindings=Runner.num_iterations = 1',
        '--gin_bindings=OfflineLoop.gradient_steps = 2',
        '--gin_bindings=OfflineLoop.probe_size = 512',
        '--gin_bindings=EpisodeEvaluation.num_steps = 2',
        '--gin_bindings=AtariEnvironment.max_frames = 40',
    ],
}


class DataDocumentTest(absltest.TestCase):

  def test_its_commands_run_as_they_stand(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    found = document_commands.of('data.md')
    self.assertLen(found, 6)
    for module, *words in found:
      words = [x.replace('/tmp/', f'{folder}/') for x in words]
      words += _SMALL.get(module, [])
      result = small_runs.run(
          [sys.executable, '-m', module, *words], cwd=document_commands.ROOT
      )
      self.assertEqual(result.returncode, 0, f'{module}: {result.stderr}')
    with open(folder / 'pong_dqn' / 'metrics.csv', newline='') as file:
      rows = list(csv.DictReader(file))
    self.assertLen(rows, 1)
    self.assertEqual(rows[0]['gradient_steps'], '2')
    self.assertGreater(int(rows[0]['srank']), 1)
    self.assertIn('eval_return', rows[0])
    self.assertTrue((folder / 'pong_rlds' / 'dataset_info.json').exists()
                    or list((folder / 'pong_rlds').rglob('dataset_info.json')))


if __name__ == '__main__':
  absltest.main()
