import contextlib
import io
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    atari_online_claims,
    claims,
    collection,
    reuse,
)

_FAMILY = atari_online_claims.FAMILY
_UP = np.linspace(200, 400, 40)
_TARGETS = ('dqn_online_n4_target', 'dqn_online_n8_target')


def _falling(end):
  return np.linspace(400, end, 40).tolist()


def _rising(dip):
  """From 200 to 400, and lower by the dip in the last quarter."""
  return np.append(np.linspace(200, 400, 30), [400.0 - dip] * 10)


class AtariOnlineClaimsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _write(self, name, srank, seeds=5, **options):
    synthetic_runs.online(
        self.folder / 'Pong' / name, np.asarray(srank).tolist(), seeds,
        **options)

  def _rows(self):
    rows = claims.table(self.folder, family=_FAMILY)
    return {row.claim.text: row for row in rows if row.verdict != 'not run'}

  def _verdicts(self):
    return {text: row.verdict for text, row in self._rows().items()}

  def test_every_experiment_is_asked_about(self):
    self.assertEqual({x.id for x in _FAMILY.claims}, {f'ATARI-{x}' for x in (
        'ON', 'TD', 'ONPEN', 'RAINBOW', 'RAINBOWPEN', 'TARGET', 'SV')})
    texts = [(x.id, x.text) for x in _FAMILY.claims]
    self.assertLen(set(texts), len(texts))

  def test_all_hold_in_the_paper_s_world(self):
    ends = dict(zip(reuse.RATIOS, (None, 350, 300, 100, 60), strict=True))
    for n, end in ends.items():
      srank = _falling(end) if end else _rising(10)
      for agent in ('dqn_online', 'rainbow_online'):
        self._write(f'{agent}_n{n}', srank)
        # The return goes with srank in these runs: for DQN it is set lower.
        changes = {'eval_return': [9.0] * 40} if agent == 'dqn_online' else {}
        penalized = np.linspace(400, end + 40, 40) if end else _rising(0)
        self._write(f'{agent}_n{n}_penalty', penalized, changes=changes)
    for name in _TARGETS:
      self._write(name, _falling(60))
    found = self._verdicts()
    self.assertEqual({x for x in found if found[x] != 'holds'}, set(), found)
    self.assertLen(found, len(_FAMILY.claims))

  def test_none_holds_in_the_opposite_world(self):
    for i, n in enumerate(reuse.RATIOS):
      for agent in ('dqn_online', 'rainbow_online'):
        srank = _rising(20 - 4 * i) + 30 * i if i else _falling(300)
        self._write(f'{agent}_n{n}', srank)
        changes = {} if agent == 'rainbow_online' else {
            'eval_return': np.multiply(3, srank).tolist()}
        self._write(f'{agent}_n{n}_penalty', _falling(100), changes=changes)
    for name in _TARGETS:
      self._write(name, _UP)
    found = self._verdicts()
    self.assertLen(found, len(_FAMILY.claims))
    held = {x for x in found if found[x] != 'does not hold'}
    # The TD error of these runs goes against srank, whichever way it goes.
    self.assertEqual(held, {
        f'DQN, n = {n}: the TD error rises as srank falls'
        for n in reuse.RATIOS})

  @parameterized.parameters(
      ('srank', 'DQN: srank ends lower at n = 4 than at n = 1'),
      ('eval_return', 'DQN: the return ends lower at n = 4 than at n = 1'),
      ('td_error_huber', 'DQN: the TD error ends higher at n = 4 than at '
       'n = 1'),
  )
  def test_a_comparison_flips_with_its_column(self, column, text):
    wanted = 'above' if 'higher' in text else 'below'
    for low, high, expected in (
        (1.0, 2.0, 'holds'), (2.0, 1.0, 'does not hold')):
      if wanted == 'above':
        low, high = high, low
      folder = self.folder / f'{column}_{low:g}'
      for n, value in ((4, low), (1, high)):
        synthetic_runs.online(
            folder / 'Pong' / f'dqn_online_n{n}', [300.0] * 40, 5,
            {column: [value] * 40})
      rows = claims.table(folder, family=_FAMILY)
      verdict, = (x.verdict for x in rows if x.claim.text == text)
      self.assertEqual(verdict, expected)

  def test_srank_target_is_what_falls(self):
    self._write(_TARGETS[0], [300.0] * 40,
                changes={'srank_target': _falling(100)})
    found = self._verdicts()
    self.assertEqual(found, {
        'DQN, n = 4: srank_target falls': 'holds',
        'DQN, n = 4: srank_target falls after the first fifth': 'holds'})

  def test_effect_is_the_mean_difference_with_its_interval(self):
    for n, ends in ((1, (50, 52, 57)), (4, (40, 45, 44))):
      columns = synthetic_runs.online(
          self.folder / 'Pong' / f'dqn_online_n{n}', [300.0] * 20, 3)
      file = columns / 'metrics.csv'
      header, *lines = file.read_text().splitlines()
      place = header.split(',').index('eval_return')
      for i, line in enumerate(lines):
        cells = line.split(',')
        cells[place] = str(ends[int(cells[0])])
        lines[i] = ','.join(cells)
      file.write_text('\n'.join([header, *lines]) + '\n')
    row = self._rows()['DQN: the return ends lower at n = 4 than at n = 1']
    # Differences -10, -7, -13: mean -10, s = 3, t of two degrees 4.30265.
    self.assertAlmostEqual(row.effect.mean, -10)
    half = 4.302653 * 3 / np.sqrt(3)
    self.assertAlmostEqual(row.effect.high, -10 + half, places=4)
    self.assertAlmostEqual(row.effect.low, -10 - half, places=4)
    self.assertEqual(row.verdict, 'holds')
    self.assertEqual(row.by_game, {'Pong': row.effect.mean})

  def test_a_table_of_its_own(self):
    self._write('dqn_online_n1', _UP)
    synthetic_runs.atari(self.folder / 'Pong_5/dqn_offline', _UP.tolist())
    out = self.folder / 'out'
    with (contextlib.redirect_stdout(io.StringIO()),
          contextlib.redirect_stderr(io.StringIO())):
      paths = command.write_claims(
          collection.Collection(self.folder), out, 'Pong')
    self.assertEqual(
        [x.name for x in paths], ['claims_atari.md', 'claims_atari_online.md'])
    text = paths[1].read_text()
    self.assertStartsWith(text, '# Claims about online Atari, Pong\n')
    self.assertNotIn('dqn_offline', text)
    self.assertNotIn('dqn_online', paths[0].read_text())


if __name__ == '__main__':
  absltest.main()
