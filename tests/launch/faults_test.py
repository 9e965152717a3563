"""Faults that a sweep on this machine stands."""

import fault_cases
from absl.testing import absltest


class LocalFaultTest(fault_cases.FaultCases, absltest.TestCase):

  def test_runs_that_are_killed_go_on(self):
    runs = ['a', 'b', 'c', 'd']
    with self.driver(runs, retries=50) as process:
      self.kill_at_random(seed=1, number=8, sweep=process)
      self.assertEqual(process.wait(300), 0)
    self.assert_undisturbed(runs)
    self.assertGreater(sum(len(self.starts(x)) for x in runs), len(runs))


if __name__ == '__main__':
  absltest.main()
