"""The sweep of the theory has every check."""

import pathlib

from absl.testing import absltest

from launch.sweeps import theory

_FOLDER = pathlib.Path(__file__).parents[2] / 'gin_configs' / 'theory'


class TheorySweepTest(absltest.TestCase):

  def test_every_configuration_is_run_under_its_name(self):
    files = [f'gin_configs/theory/{x.name}' for x in _FOLDER.glob('*.gin')]
    self.assertCountEqual([x.gin_files for x in theory.RUNS],
                          [(file,) for file in files])
    for run in theory.RUNS:
      self.assertEqual(run.gin_files[0], f'gin_configs/theory/{run.name}.gin')


if __name__ == '__main__':
  absltest.main()
