"""Runs thinned for git."""

import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest

_HEADER = 'seed,iteration,gradient_steps,environment_steps,loss\n'


class CollectTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))
    run = self.folder / 'runs' / 'Pong' / 'dqn'
    run.mkdir(parents=True)
    rows = ''.join(f'3,{k},{10 * k},0,{1 / 3 + k}\n' for k in range(6))
    (run / 'metrics.csv').write_text(_HEADER + rows)
    (run / 'config.gin').write_text('x = 1\n')

  def _command(self, out, *flags):
    return subprocess.run(
        [sys.executable, '-m', 'launch.collect',
         f'--runs={self.folder / "runs"}', f'--out={self.folder / out}',
         '--digits=3', *flags],
        capture_output=True, cwd=pathlib.Path(__file__).parents[2], text=True,
    )  # fmt: skip

  def _collect(self, out, *flags):
    result = self._command(out, *flags)
    self.assertEqual((result.returncode, result.stderr), (0, ''))
    return self.folder / out / 'Pong' / 'dqn'

  def _describe(self, **description):
    path = self.folder / 'runs' / 'Pong' / 'dqn' / 'run.json'
    path.write_text(json.dumps(description))
    return path

  def test_keeps_every_so_many_rows_and_the_first(self):
    kept = self._collect('plain', '--every=3')
    expected = _HEADER + '3,0,0,0,0.333\n3,2,20,0,2.33\n3,5,50,0,5.33\n'
    self.assertEqual((kept / 'metrics.csv').read_text(), expected)
    self.assertEqual((kept / 'config.gin').read_text(), 'x = 1\n')
    every = self._collect('every').joinpath('metrics.csv').read_text()
    self.assertEqual(every.count('\n'), 7)
    compressed = self._collect('compressed', '--every=3', '--compress')
    data = (compressed / 'metrics.csv.gz').read_bytes()
    self.assertEqual(gzip.decompress(data).decode(), expected)
    self.assertFalse((compressed / 'metrics.csv').exists())
    again = (
        self._collect('again', '--every=3', '--compress') / 'metrics.csv.gz')
    self.assertEqual(again.read_bytes(), data)

  def test_what_verdicts_go_by_is_kept(self):
    self._describe(
        status='finished', seeds=[3], stopped_seeds={}, device='cpu')
    sweep = {'scale': 'laptop', 'runs': {'Pong/dqn': {'scale': 'smoke'}}}
    for parent in ('', 'Pong/'):
      path = self.folder / 'runs' / f'{parent}sweep.json'
      path.write_text(json.dumps(sweep))
      kept = self._collect(f'kept{bool(parent)}') / 'run.json'
      self.assertEqual(
          json.loads(kept.read_text()),
          {'status': 'finished', 'seeds': [3], 'scale': 'smoke'})
      path.unlink()
      sweep = {'scale': 'smoke', 'runs': {'dqn': {}}}

  def test_a_run_that_is_not_finished_is_told_of(self):
    rows = self.folder / 'runs' / 'Pong' / 'dqn' / 'metrics.csv'
    with rows.open('a') as file:
      file.write('3,6,1')  # Being written.
    self._describe(status='running')
    result = self._command('running')
    self.assertEqual(result.returncode, 0)
    self.assertIn('dqn is copied as it stands: running\n', result.stderr)
    kept = self.folder / 'running' / 'Pong' / 'dqn'
    self.assertEqual(json.loads((kept / 'run.json').read_text()),
                     {'status': 'running'})
    text = (kept / 'metrics.csv').read_text()
    self.assertTrue(text.endswith('\n3,5,50,0,5.33\n'))

  def test_bad_input_is_one_line(self):
    rows = self.folder / 'runs' / 'Pong' / 'dqn' / 'metrics.csv'
    good = rows.read_text()
    (self.folder / 'file').write_text('')
    for text, out, words in (
        ('', 'out', 'metrics.csv does not hold the rows of a run'),
        ('a,b\n1,2\n', 'out', 'does not hold the rows'),
        (f'{good}x,y\n', 'out', 'does not hold the rows'),
        (good, 'file', 'error: --out='),
        (good, '/proc/none', 'error: --out='),
    ):
      rows.write_text(text)
      result = self._command(out)
      self.assertEqual(result.returncode, 1, out)
      self.assertEqual(result.stderr.count('\n'), 1, result.stderr)
      self.assertIn(words, result.stderr)
    rows.write_text(good)
    self._describe().write_text('{')
    result = self._command('out')
    self.assertRegex(result.stderr, r'^error: .*run.json cannot be read .*\n$')
    rows.unlink()
    self.assertIn('no metrics.csv below', self._command('out').stderr)


if __name__ == '__main__':
  absltest.main()
