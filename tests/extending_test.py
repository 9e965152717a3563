"""Runs every block of docs/extending.md as it stands there."""

import csv
import os
import pathlib
import re

import small_runs
from absl.testing import absltest, parameterized

DOCUMENT = pathlib.Path(__file__).parent.parent / 'docs' / 'extending.md'
_SMALL = (
    'Runner.seeds = (0, 1)',
    'Runner.num_iterations = 3',
    'FittedIteration.gradient_steps = 5',
)


def blocks() -> dict[str, str]:
  """File name -> text, of the blocks that begin with a file's name."""
  found = re.findall(
      r'```(?:python)?\n# (\w+\.(?:py|gin))\n(.*?)```',
      DOCUMENT.read_text(),
      re.DOTALL,
  )
  return dict(found)


class ExtendingTest(parameterized.TestCase):

  def test_the_document_has_the_four(self):
    names = {'decorrelation', 'action_gap', 'huber_fqi', 'chain'}
    files = {f'{x}.{ending}' for x in names for ending in ('py', 'gin')}
    self.assertEqual(set(blocks()), files)

  @parameterized.parameters(
      ('decorrelation', 'penalty'),
      ('action_gap', 'action_gap_free'),
      ('huber_fqi', 'largest_loss'),
      ('chain', 'normalized_return'),
  )
  def test_one_file_and_one_gin_file_are_enough(self, name, column):
    folder = pathlib.Path(self.create_tempdir().full_path)
    for file in (f'{name}.py', f'{name}.gin'):
      (folder / file).write_text(blocks()[file])
    arguments = small_runs.command('run', gin_files=[f'{name}.gin'])
    arguments = [x for x in arguments if '--gin_bindings' not in x]
    arguments += [f'--gin_bindings={x}' for x in _SMALL]
    environment = small_runs.environment() | {
        'PYTHONPATH': os.pathsep.join(
            [str(folder), str(DOCUMENT.parent.parent)]
        )
    }
    result = small_runs.run(arguments, cwd=folder, env=environment)
    self.assertEqual(result.returncode, 0, result.stderr)
    with open(folder / 'run' / 'metrics.csv', newline='') as file:
      rows = list(csv.DictReader(file))
    self.assertLen(rows, 6)
    self.assertIn(column, rows[0])
    self.assertGreater(len({row[column] for row in rows}), 1)


if __name__ == '__main__':
  absltest.main()
