"""Runs thinned for git."""

import gzip
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

  def _collect(self, out, *flags):
    subprocess.run(
        [sys.executable, '-m', 'launch.collect',
         f'--runs={self.folder / "runs"}', f'--out={self.folder / out}',
         '--digits=3', *flags],
        check=True, capture_output=True, cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    return self.folder / out / 'Pong' / 'dqn'

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


if __name__ == '__main__':
  absltest.main()
