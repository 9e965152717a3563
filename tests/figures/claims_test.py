import dataclasses
import math
import pathlib
import tempfile

import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.errors import UserError
from implicit_underparam.figures import (
    claims,
    collection,
    gridworld_claims,
    series,
    statistics,
    verdicts,
)

_T3 = 4.3026527  # t(0.975, 2): three seeds.


def _claim(**fields):
  defaults = dict(
      id='X', text='x', statistic='end', columns=('loss',), run='a')
  return verdicts.Claim(**(defaults | fields))


class VerdictTest(parameterized.TestCase):

  @parameterized.parameters(
      ('above', 5, 6, 9, 'holds'),
      ('above', 5, 1, 4, 'does not hold'),
      ('above', 5, 4, 6, 'unclear'),
      ('above', 5, 5, 6, 'unclear'),
      ('below', 0, -3, -1, 'holds'),
      ('below', 0, 1, 3, 'does not hold'),
      ('below', 0, -1, 3, 'unclear'),
      ('within', 5, -4, 4, 'holds'),
      ('within', 5, 6, 8, 'does not hold'),
      ('within', 5, -8, -6, 'does not hold'),
      ('within', 5, 4, 6, 'unclear'),
      ('within', 5, -6, 6, 'unclear'),
      ('above', 0, math.nan, math.nan, 'unclear'),
  )
  def test_rule(self, side, threshold, low, high, expected):
    effect = statistics.Interval((low + high) / 2, low, high, 5)
    claim = _claim(side=side, threshold=threshold)
    self.assertEqual(verdicts.verdict(claim, effect), expected)

  @parameterized.parameters((2, 'unclear'), (4, 'unclear'), (5, 'holds'))
  def test_few_seeds_that_agree_to_the_digit_decide_nothing(self, n, expected):
    effect = statistics.Interval(1, 1, 1, n)
    self.assertEqual(verdicts.verdict(_claim(), effect), expected)


class JudgeTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _run(self, name, ends, column='loss', **options):
    """A run of 50 iterations, of which the last 5 have these values."""
    values = {seed: [9.0] * 45 + [end] * 5 for seed, end in ends.items()}
    synthetic_runs.write(self.folder / name, {column: values}, **options)

  def _judge(self, **fields):
    found = collection.Collection(self.folder)
    return verdicts.judge(_claim(**fields), found)

  def test_one_run_by_hand(self):
    self._run('a', {0: 1.0, 1: 2.0, 2: 3.0})
    row = self._judge(threshold=-1.0)
    self.assertAlmostEqual(row.effect.mean, 2)
    self.assertAlmostEqual(row.effect.low, 2 - _T3 / math.sqrt(3), places=6)
    self.assertEqual(row.verdict, 'holds')
    self.assertEqual(
        row.setting, '`a`; learning rate 0.001; 50 iterations; 3 seeds')
    self.assertEqual(row.notes, ('3 seeds',))

  def test_paired_by_hand(self):
    self._run('a', {0: 11.0, 1: 22.0, 2: 33.0})
    self._run('b', {2: 30.0, 0: 10.0, 1: 20.0})
    row = self._judge(baseline='b')
    # Differences 1, 2, 3: unpaired they would drown in the spread.
    self.assertAlmostEqual(row.effect.mean, 2)
    self.assertAlmostEqual(row.effect.high, 2 + _T3 / math.sqrt(3), places=6)
    self.assertIn('3 seeds paired', row.setting)
    self.assertEqual(row.verdict, 'unclear')

  def test_other_seeds_are_not_paired(self):
    self._run('a', {0: 1.0, 1: 2.0, 2: 3.0})
    self._run('b', {7: 0.0, 8: 1.0, 9: 2.0})
    row = self._judge(baseline='b')
    # Equal variances 1: four degrees of freedom, t = 2.776445.
    self.assertAlmostEqual(
        row.effect.low, 1 - 2.776445 * math.sqrt(2 / 3), places=5)
    self.assertIn('Welch', row.setting)

  def test_correlation_of_two_columns(self):
    synthetic_runs.gridworld(self.folder / 'a', list(range(60, 20, -1)), 5)
    row = self._judge(
        statistic='rank correlation', side='below',
        columns=('srank', 'q_star_fit_error'))
    self.assertAlmostEqual(row.effect.mean, -1)
    self.assertEqual(row.verdict, 'holds')

  def test_rows_that_were_left_out_are_said(self):
    values = {s: [5.0 if k % 5 == 4 else None for k in range(50)]
              for s in range(5)}
    synthetic_runs.write(self.folder / 'a', {'loss': values})
    self.assertEqual(self._judge().notes, ('a: one row in 5 iterations',))

  def test_missing_run(self):
    self._run('a', {0: 1.0, 1: 2.0})
    row = self._judge(baseline='b')
    self.assertEqual((row.verdict, row.effect), ('not run', None))

  def test_single_seed(self):
    self._run('a', {0: 7.0})
    row = self._judge()
    self.assertEqual((row.verdict, row.notes), ('unclear', ('1 seed',)))
    self.assertEqual(row.effect.mean, 7)

  def test_stopped_seed_counts_with_its_own_rows(self):
    values = {s: [1.0] * 10 + [5.0] * 40 for s in range(5)}
    values[3] = [8.0] * 20
    synthetic_runs.write(self.folder / 'a', {'loss': values})
    row = self._judge()
    self.assertAlmostEqual(row.effect.mean, (4 * 5 + 8) / 5)
    self.assertEqual(row.notes, ('a: seed 3 stopped at iteration 19',))

  def test_undefined_seed_is_told(self):
    self._run('a', {0: 1.0, 1: 2.0, 2: math.nan})
    row = self._judge()
    self.assertAlmostEqual(row.effect.mean, 1.5)
    self.assertEqual(row.notes, ('2 seeds', 'a: undefined for seed 2'))

  def test_nothing_defined(self):
    self._run('a', {0: math.nan})
    row = self._judge()
    self.assertEqual(row.verdict, 'unclear')

  def test_unfinished_run_is_told(self):
    self._run('a', {s: 1.0 + s for s in range(5)}, status='running')
    row = self._judge()
    self.assertEqual(row.notes, ('a: running',))


class TableTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def test_every_claim_is_well_formed(self):
    pairs = ('rank correlation', 'growth ratio')
    for family in claims.FAMILIES:
      for claim in family.claims:
        self.assertIn(claim.statistic, series.STATISTICS)
        self.assertIn(claim.side, ('above', 'below', 'within'))
        self.assertLen(claim.columns, 2 if claim.statistic in pairs else 1)
        self.assertStartsWith(
            claim.id, {
                'gridworld': 'GRID-', 'atari': 'ATARI-',
                'minatar': 'MINATAR-',
                'mujoco': 'GYM-'}[family.suite.name])
    paper = {claim.id for claim in gridworld_claims.PAPER}
    self.assertEqual(paper, {
        'GRID-OFF', 'GRID-ON', 'GRID-FIT', 'GRID-REINIT', 'GRID-PEN',
        'GRID-ORACLE', 'GRID-ONEHOT'})
    own = {claim.id for claim in gridworld_claims.CONTROLS}
    self.assertEmpty(paper & own)

  def test_every_run_has_a_configuration(self):
    configurations = pathlib.Path(__file__).parents[2] / 'gin_configs'
    for family in claims.FAMILIES:
      for name in claims.needed(family):
        for file in family.suite.configuration(name).files:
          path = configurations / family.suite.name / f'{file}.gin'
          self.assertTrue(path.is_file(), path)

  def test_srank_is_judged_without_walls_too(self):
    judged = gridworld_claims.PAPER + gridworld_claims.CONTROLS
    for i, claim in enumerate(judged):
      if 'srank' in claim.columns:
        columns = tuple(
            'srank_free' if x == 'srank' else x for x in claim.columns)
        self.assertEqual(
            judged[i + 1], dataclasses.replace(claim, columns=columns))

  def test_table(self):
    falling = [50.0] * 100 + [30.0] * 100
    synthetic_runs.gridworld(self.folder / 'offline_fqi_lr5e-3', falling, 5)
    synthetic_runs.gridworld(
        self.folder / 'supervised_lr5e-3', [45.0] * 200, 5)
    rows = claims.table(self.folder, 'lr5e-3')
    self.assertLen(rows, len(gridworld_claims.FAMILY.claims))
    judged = [
        (row.claim.text, row.claim.columns[0], row.effect.mean, row.verdict)
        for row in rows if row.verdict != 'not run']
    below = 'T = 200: srank ends below supervised regression'
    together = 'T = 200: return and srank fall together'
    settled = 'T = 200: srank falls after the first fifth'
    more = 'T = 200: srank falls more than under supervised regression'
    keeps = 'supervised, T = 200: srank does not fall'
    self.assertEqual(judged, [
        ('T = 200: srank falls', 'srank', 20, 'holds'),
        ('T = 200: srank falls', 'srank_free', 10, 'holds'),
        (settled, 'srank', 20, 'holds'),
        (settled, 'srank_free', 10, 'holds'),
        (below, 'srank', -15, 'holds'),
        (below, 'srank_free', -7.5, 'holds'),
        (more, 'srank', 20, 'holds'),
        (more, 'srank_free', 10, 'holds'),
        ('T = 200: the return falls from its peak', 'normalized_return',
         20 / 64, 'holds'),
        (together, 'srank', 1, 'holds'),
        (together, 'srank_free', 1, 'holds'),
        (keeps, 'srank', 0, 'holds'),
        (keeps, 'srank_free', 0, 'holds'),
    ])
    self.assertIn('learning rate 0.005', rows[0].setting)

  def test_markdown(self):
    synthetic_runs.gridworld(
        self.folder / 'offline_fqi', [50.0] * 100 + [30.0] * 100, 5)
    text = claims.markdown(claims.table(self.folder))
    self.assertIn(
        '| GRID-OFF | T = 200: srank falls | drop of `srank` | `offline_fqi`; '
        'learning rate 0.001; 200 iterations; 5 seeds | 20 [20, 20] | > 5 | '
        'holds |\n', text)
    self.assertIn('| `oracle` |  | < 5 | not run |\n', text)
    tables = [x for x in text.splitlines() if x.startswith('|')]
    self.assertEqual({line.count('|') for line in tables}, {8})
    counts = [line.split('|')[-2].strip() for line in tables]
    self.assertIn(
        f'holds {sum(x.startswith("holds") for x in counts)}, ', text)
    self.assertIn(f'not run {counts.count("not run")}.', text)

  def test_no_run_at_all(self):
    synthetic_runs.gridworld(self.folder / 'other', [30])
    with self.assertRaisesRegex(UserError, r'offline_fqi\.gin'):
      claims.table(self.folder)

  def test_missing_column(self):
    synthetic_runs.write(
        self.folder / 'offline_fqi', {'loss': {0: [1.0, 2.0]}})
    with self.assertRaisesRegex(UserError, "no column 'srank'"):
      claims.table(self.folder)


if __name__ == '__main__':
  absltest.main()
