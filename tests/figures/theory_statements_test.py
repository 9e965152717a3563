"""Verdicts on the theory from rows that are made up."""

import pathlib
import tempfile

import synthetic_runs
from absl.testing import absltest

from implicit_underparam.figures import (
  collection,
  runs,
  theory_claims,
  theory_report,
)
from implicit_underparam.figures import theory_statements as statements

_NAN = float('nan')


class JudgeTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _judge(self, values, **options):
    synthetic_runs.write(self.folder / 'run', {'excess': values})
    statement = statements.Statement('Lemma 0', 'so it is', 'excess', **options)
    [judgement] = statements.judge(runs.read(self.folder / 'run'), [statement])
    return judgement

  def test_one_iteration_above_the_tolerance_is_a_counter_example(self):
    judgement = self._judge({
        3: [0.0, -1.0, 1e-10], 5: [0.0, 0.25, 0.5], 8: [0.0, 0.75, 0.0],
    })
    self.assertEqual(judgement.holds.tolist(), [True, False, False])
    self.assertEqual((judgement.seed, judgement.iteration), (8, 2))
    self.assertEqual(
        judgement.line,
        'Lemma 0: so it is: holds on 1 of 3 instances; counter-example: seed '
        '8, k = 2, where excess is 0.75',
    )

  def test_instances_without_the_assumption_are_left_out(self):
    judgement = self._judge({1: [_NAN, 0.0], 2: [_NAN, _NAN]})
    self.assertEqual(judgement.instances.tolist(), [1])
    self.assertEqual(
        judgement.line,
        'Lemma 0: so it is: holds on 1 of 1 instances, largest violation 0 (1 '
        'left out)',
    )

  def test_no_instance_is_not_a_success(self):
    judgement = self._judge({1: [_NAN], 2: [_NAN]})
    self.assertEndsWith(judgement.line, 'no instance meets its assumption')

  def test_what_is_about_the_end_looks_at_the_end(self):
    judgement = self._judge(
        {1: [9.0, -1.0], 2: [-1.0, 9.0]}, tolerance=-0.5, at_end=True
    )
    self.assertEqual(judgement.holds.tolist(), [True, False])
    self.assertEqual((judgement.seed, judgement.iteration), (2, 2))

  def test_a_statement_without_its_column_is_not_judged(self):
    synthetic_runs.write(self.folder / 'other', {'loss': {1: [0.0]}})
    run = runs.read(self.folder / 'other')
    self.assertEmpty(statements.judge(run, theory_claims.STATEMENTS))


class ReportTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))
    columns = {
        'srank': {1: [9.0, 8.0], 2: [9.0, 9.0]},
        'a21_srank_rise': {1: [0.0, -1.0], 2: [0.0, 0.0]},
    }
    synthetic_runs.write(self.folder / 'grid_eig_online', columns)

  def _configure(self):
    path = self.folder / 'grid_eig_online' / 'config.gin'
    path.write_text('Runner.loop = @TheoryLoop()\n')

  def test_only_runs_of_the_theory_have_verdicts(self):
    run = self.folder / 'grid_eig_online'
    self.assertEmpty(theory_report.verdict_lines(run))
    self.assertFalse(theory_report.has_runs(collection.Collection(self.folder)))
    self._configure()
    [line] = theory_report.verdict_lines(run)
    self.assertIn('holds on 1 of 2 instances', line)

  def test_a_statement_that_applies_nowhere_is_named_at_the_end(self):
    columns = {
        'a21_srank_rise': {1: [0.0, -1.0]},
        'drop_without_growth': {1: [_NAN, _NAN]},
    }
    run = synthetic_runs.write(self.folder / 'td_far', columns)
    (run / 'config.gin').write_text('Runner.loop = @TheoryLoop()\n')
    lines = theory_report.verdict_lines(run)
    self.assertLen(lines, 2)
    self.assertStartsWith(lines[0], 'Figure A.21: ')
    self.assertEqual(
        lines[1],
        'Nothing is said here of statements whose assumption no instance '
        'meets: of Figure 5',
    )
    self._configure()
    there = collection.Collection(self.folder)
    self.assertNotIn('Figure 5', theory_report.document(there))

  def test_the_table_names_the_run_and_the_counter_example(self):
    self._configure()
    there = collection.Collection(self.folder)
    self.assertTrue(theory_report.has_runs(there))
    self.assertIn(
        '| grid_eig_online | 1 of 2 | 0 | seed 2, k = 2 |',
        theory_report.document(there),
    )


class TableTest(absltest.TestCase):

  def test_every_statement_is_said_once(self):
    texts = [
        (x.place, x.text, x.corrected, x.column)
        for x in theory_claims.STATEMENTS
    ]
    self.assertCountEqual(texts, set(texts))


if __name__ == '__main__':
  absltest.main()
