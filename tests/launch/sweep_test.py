"""Tests of the launcher, on processes that take no time."""

import csv
import dataclasses
import importlib
import pathlib
import subprocess
import sys

from absl.testing import absltest, parameterized

from implicit_underparam import configuration
from implicit_underparam.figures import claims
from launch import local, sweep
from launch.run import Run

ROOT = pathlib.Path(__file__).parent.parent.parent
_SCRIPT = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
with open(folder.parent / 'order.txt', 'a') as file:
  file.write(folder.name + '\\n')
print('cores', sorted(os.sched_getaffinity(0)))
if 'bad' in folder.name:
  sys.exit('error: this run is wrong')
(folder / 'run.json').write_text(json.dumps({'status': 'finished'}))
"""


@dataclasses.dataclass(frozen=True)
class QuickRun(Run):

  def command(self, base_dir):
    return [sys.executable, '-c', _SCRIPT, str(base_dir / self.name)]


def quick(name: str, cost: float = 1.0, after=()) -> QuickRun:
  return QuickRun(name, (), (), cost, after)


class SweepDataTest(parameterized.TestCase):

  @parameterized.parameters(*sweep.names())
  def test_runs_are_well_formed(self, name):
    runs = importlib.import_module(f'launch.sweeps.{name}').RUNS
    names = [run.name for run in runs]
    self.assertLen(set(names), len(names))
    for run in runs:
      for file in run.gin_files:
        self.assertTrue(configuration.find(file).is_file())

  def test_the_claims_find_their_runs(self):
    names = {
        run.name
        for name in ('gridworld', 'gridworld_open')
        for run in importlib.import_module(f'launch.sweeps.{name}').RUNS
    }
    self.assertContainsSubset(set(claims.needed()), names)


class RunTest(absltest.TestCase):

  def test_a_binding_may_name_the_sweep_s_folder(self):
    run = Run('a', (), ("x = '{base_dir}/b/{seed}'",))
    self.assertEqual(
        run.command(pathlib.Path('D'))[-1], "--gin_bindings=x = 'D/b/{seed}'")


class LocalTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.base_dir = pathlib.Path(self.create_tempdir().full_path)
    self.reports = {}

  def execute(self, runs, num_processes=1):
    def report(run, code, seconds):
      self.assertGreaterEqual(seconds, 0)
      self.reports[run.name] = code

    return local.execute(runs, self.base_dir, num_processes, report)

  def order(self) -> list[str]:
    return (self.base_dir / 'order.txt').read_text().split()

  def test_runs_the_longest_first(self):
    failed = self.execute([quick('a', 1), quick('b', 3), quick('c', 2)])
    self.assertEqual(failed, [])
    self.assertEqual(self.order(), ['b', 'c', 'a'])

  def test_a_failed_run_stops_no_other_and_is_tried_again(self):
    runs = [quick('bad', 2), quick('good')]
    failed = self.execute(runs)
    self.assertEqual([run.name for run in failed], ['bad'])
    self.assertEqual(self.reports, {'bad': 1, 'good': 0})
    log = (self.base_dir / 'logs' / 'bad.txt').read_text()
    self.assertIn('error: this run is wrong', log)
    self.execute(runs)
    self.assertEqual(self.order(), ['bad', 'good', 'bad'])

  def test_a_run_waits_for_what_it_comes_after(self):
    runs = [quick('a', 1), quick('b', 9, ('a',)), quick('c', 5)]
    self.assertEqual(self.execute(runs, num_processes=2), [])
    order = self.order()
    self.assertLess(order.index('a'), order.index('b'))

  def test_a_run_is_not_started_where_what_it_waits_for_failed(self):
    runs = [quick('bad', 1), quick('late', 9, ('bad',)), quick('other', 5)]
    failed = self.execute(runs)
    self.assertEqual([run.name for run in failed], ['bad', 'late'])
    self.assertEqual(self.order(), ['other', 'bad'])
    self.assertEqual(self.reports, {'bad': 1, 'late': 1, 'other': 0})
    log = (self.base_dir / 'logs' / 'late.txt').read_text()
    self.assertEqual(log, 'not started: bad not finished\n')
    # Alone, as with --only, it looks for what an earlier sweep has left.
    self.assertEqual(len(self.execute([quick('late', 9, ('bad',))])), 1)
    self.assertEqual(self.execute([quick('next', 9, ('other',))]), [])

  def test_keeps_a_process_to_one_core(self):
    self.execute([quick('a')])
    log = (self.base_dir / 'logs' / 'a.txt').read_text()
    self.assertRegex(log, r'cores \[\d+\]')

  def test_a_cut_run_json_is_not_finished(self):
    (self.base_dir / 'a').mkdir()
    (self.base_dir / 'a' / 'run.json').write_text('{"status": "fini')
    self.assertFalse(local.is_finished(self.base_dir, quick('a')))


class CommandTest(absltest.TestCase):

  def run_module(self, module, *arguments):
    return subprocess.run(
        [sys.executable, '-m', module, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

  def test_lists_and_shows_commands(self):
    result = self.run_module('launch.sweep', '--list')
    self.assertIn('gridworld: ', result.stdout)
    result = self.run_module(
        'launch.sweep', '--sweep=gridworld', '--base_dir=/tmp/x', '--dry_run',
        '--only=^oracle$',
    )
    lines = result.stdout.splitlines()
    self.assertLen(lines, 1)
    self.assertIn('--base_dir=/tmp/x/oracle', lines[0])
    self.assertIn('gridworld/oracle.gin', lines[0])

  def test_an_unknown_sweep_is_one_line(self):
    result = self.run_module(
        'launch.sweep', '--sweep=gridwold', '--base_dir=/tmp/x'
    )
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('did you mean gridworld', result.stderr)

  def test_collect_thins_rows_and_digits(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / 'runs' / 'a').mkdir(parents=True)
    rows = [f'{s},{i},{i / 3!r}' for i in range(20) for s in (0, 1)]
    (folder / 'runs' / 'a' / 'metrics.csv').write_text(
        '\n'.join(['seed,iteration,loss', *rows]) + '\n'
    )
    (folder / 'runs' / 'a' / 'config.gin').write_text('x = 1\n')
    result = self.run_module(
        'launch.collect', f'--runs={folder / "runs"}', f'--out={folder / "o"}'
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    with open(folder / 'o' / 'a' / 'metrics.csv', newline='') as file:
      kept = list(csv.DictReader(file))
    self.assertEqual(
        [x['iteration'] for x in kept[::2]], ['0', '4', '9', '14', '19']
    )
    self.assertEqual(kept[2]['loss'], '1.3333')
    self.assertEqual((folder / 'o' / 'a' / 'config.gin').read_text(), 'x = 1\n')


if __name__ == '__main__':
  absltest.main()
