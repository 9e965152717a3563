"""The sweep of the theory has every check."""

import pathlib

from absl.testing import absltest

from launch.sweeps import theory

_FOLDER = pathlib.Path(__file__).parents[2] / 'gin_configs' / 'theory'


class TheorySweepTest(absltest.TestCase):

  def test_every_configuration_is_run_under_its_name(self):
    files = [f'gin_configs/theory/{x.name}' for x in _FOLDER.glob('*.gin')]
    for tasks in theory.SWEEP.scales.values():
      self.assertCountEqual([x.gin_files for x in tasks],
                            [(file,) for file in files])
      for run in tasks:
        self.assertEqual(
            run.gin_files[0], f'gin_configs/theory/{run.name}.gin')

  def test_all_instances_but_at_the_smallest_scale(self):
    for run in theory.SWEEP.scales['paper']:
      self.assertEqual(run.bindings, ())
    self.assertEqual(
        {run.seeds for run in theory.SWEEP.scales['smoke']}, {(), (0, 1)})


if __name__ == '__main__':
  absltest.main()
