"""The ledger: every experiment, at its scale, with what its runs answer."""

import contextlib
import csv
import io
import json
import pathlib
import re
import shlex
import tempfile

import numpy as np
import synthetic_runs
from absl import flags as absl_flags
from absl.testing import absltest, flagsaver, parameterized

from implicit_underparam.errors import UserError
from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    experiments,
    ledger,
    ledger_command,
    ledger_report,
    ledger_theory,
    runs,
    scales,
    suites,
    theory_claims,
)

_ROOT = pathlib.Path(__file__).parents[2]
# Of the paper, as they were listed before any of this was written.
_IDS = {
    *(f'GRID-{x}' for x in (
        'OFF', 'ON', 'FIT', 'REINIT', 'PEN', 'ORACLE', 'ONEHOT', 'EIG',
        'TDFIX')),
    *(f'ATARI-{x}' for x in (
        'OFF', 'OFF4X', 'CQL', 'ON', 'TD', 'RAINBOW', 'FQE', 'MC', 'PEN',
        'CQLPEN', 'RAINBOWPEN', 'ONPEN', 'EIG', 'SV', 'TARGET')),
    'GYM-OFF', 'GYM-CQL', 'GYM-ON',
    *(f'TH-{x}' for x in ('KERNEL', 'QRECUR', 'EIG', 'SV', 'COMPOUND')),
}
_DOWN = np.linspace(400, 60, 40).tolist()


class _FolderTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _entries(self, id_='', folder=''):
    found = ledger.entries(collection.Collection(self.folder / folder))
    return [x for x in found if id_ in ('', x.experiment)]

  def _heads(self, folder=''):
    found = ledger.headlines(self._entries(folder=folder))
    return {(x.experiment.id, x.scale): x for x in found}


class ExperimentsTest(absltest.TestCase):

  def test_every_experiment_of_the_paper_is_there_and_marked(self):
    paper = {
        x.id for x in experiments.EXPERIMENTS if x.kind == experiments.PAPER}
    self.assertEqual(paper, _IDS | {'GYM-ON-ANT'})
    self.assertLen(experiments.BY_ID, len(experiments.EXPERIMENTS))
    minatar = {x for x in experiments.BY_ID if x.startswith('MINATAR-')}
    self.assertEqual(minatar, {
        x.replace('ATARI', 'MINATAR') for x in _IDS if x.startswith('ATARI')})
    for id_ in minatar:
      self.assertEqual(experiments.BY_ID[id_].kind, experiments.MINATAR)

  def test_figures_exist(self):
    known = {
        y for x in command.find_figures().values() for y in (x.id, *x.also)}
    for x in experiments.EXPERIMENTS:
      self.assertContainsSubset(x.figures, known)

  def test_commands(self):
    for id_, scale, sweep in (
        ('GRID-OFF', 'paper', 'grid_off'),
        ('ATARI-CQLPEN', 'paper', 'atari_cqlpen'),
        ('MINATAR-CQLPEN', 'laptop', 'atari_cqlpen'),
        ('GYM-ON-ANT', 'laptop', 'gym_on'), ('TH-SV', 'paper', 'th_sv')):
      self.assertEqual(
          experiments.BY_ID[id_].command(),
          f'python -m launch.sweep --sweep={sweep} --scale={scale} '
          '--base_dir=DIR')

  def test_sweeps_of_the_commands_exist(self):
    for x in experiments.EXPERIMENTS:
      sweep, = re.findall('--sweep=([a-z0-9_]+) ', x.command())
      path = _ROOT / 'launch' / 'sweeps' / f'{sweep}.py'
      self.assertTrue(path.is_file(), x.id)
      self.assertIn(f'--scale={x.scale} ', x.command())

  def test_every_statement_is_of_an_experiment(self):
    found = {
        ledger_theory.statement_experiment(x)
        for x in theory_claims.STATEMENTS}
    self.assertEqual(found, {
        *(x for x in _IDS if x.startswith('TH-')), 'GRID-EIG', 'GRID-TDFIX'})


class EntriesTest(_FolderTest):

  def test_every_experiment_appears_whatever_was_run(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [40, 30, 20], 5)
    found = self._entries()
    self.assertEqual(
        list(dict.fromkeys(x.experiment for x in found)),
        list(experiments.BY_ID))
    for x in found:
      if x.experiment.startswith(('ATARI', 'GYM', 'TH', 'MINATAR')):
        self.assertEqual(x.verdict, 'not run')
        self.assertEqual(
            x.notes, experiments.BY_ID[x.experiment].command(), x)
        self.assertEqual((x.scale, x.effect, x.seeds), ('', None, 0))

  def test_an_effect_is_what_the_seeds_say(self):
    # The return is srank / 64 and ends at the last of ten rows.
    columns = {
        'srank': {0: [9.0] * 9 + [20.0], 1: [9.0] * 9 + [24.0],
                  2: [9.0] * 9 + [31.0]}}
    for name in ('srank_free', 'normalized_return', 'q_star_fit_error'):
      columns[name] = columns['srank']
    synthetic_runs.write(self.folder / 'oracle', columns)
    columns = {name: {s: [10.0] * 10 for s in range(3)} for name in columns}
    synthetic_runs.write(self.folder / 'offline_fqi', columns)
    found, = (x for x in self._entries('GRID-ORACLE') if x.claim == (
        'srank ends above that of bootstrapped targets'))
    # 10, 14, 21: mean 15, s = 5.568, t of two degrees 4.303.
    self.assertAlmostEqual(found.effect.mean, 15)
    self.assertAlmostEqual(
        found.effect.low, 15 - 4.302653 * np.sqrt(31 / 3), places=4)
    self.assertEqual(
        (found.verdict, found.seeds, found.scale, found.games, found.agree),
        ('holds', 3, 'smoke', '', ''))
    self.assertIn('3 seeds', found.notes)
    self.assertStartsWith(found.setting, '`oracle` − `offline_fqi`; ')
    self.assertIn('10 iterations', found.setting)

  def test_games(self):
    for game in ('Pong_5', 'Qbert_5'):
      synthetic_runs.atari(
          self.folder / game / 'dqn_offline', _DOWN, 3, gradient_steps=100,
          environment_steps=0)
    found = next(
        x for x in self._entries('ATARI-OFF')
        if x.claim == 'DQN: srank falls')
    self.assertEqual(
        (found.verdict, found.seeds, found.scale, found.games, found.agree),
        ('holds', 3, 'smoke', 'Pong_5, Qbert_5', '2/2'))
    self.assertEqual(found.setting, (
        '`dqn_offline`; 40 iterations, 3,900 gradient updates'))
    self.assertEqual(found.notes, '3 seeds')

  def test_run_and_undefined_is_not_not_run(self):
    synthetic_runs.atari(
        self.folder / 'Pong_5' / 'dqn_offline', [300.0] * 40, 3,
        {'eval_return': [1.0] * 40})
    found = next(
        x for x in self._entries('ATARI-OFF') if 'fall together' in x.claim)
    self.assertEqual((found.verdict, found.effect), ('unclear', None))
    self.assertEqual(found.games, 'Pong_5')
    self.assertIn('undefined', found.notes)

  def test_statements(self):
    synthetic_runs.write(
        self.folder / 'grid_eig_offline',
        {'a21_srank_rise': {0: [0.0, -1.0], 1: [0.0, 0.0], 2: [0.0, -2.0]}})
    (self.folder / 'grid_eig_offline' / 'config.gin').write_text(
        'Runner.loop = @TheoryLoop()\n')
    found = self._entries('GRID-EIG')
    judged, = (x for x in found if x.scale)
    self.assertEqual(
        (judged.verdict, judged.agree, judged.seeds, judged.scale),
        ('does not hold', '2/3', 3, 'smoke'))
    self.assertEqual(
        ledger_report.effect_text(judged), 'holds on 2 of 3 instances')
    self.assertIn('seed 1, k = 2', judged.notes)
    self.assertIn('`grid_eig_offline`; 2 iterations', judged.setting)

  def test_one_seed(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [40, 30, 20], 1)
    found = next(x for x in self._entries('GRID-ORACLE') if x.scale)
    self.assertEqual((found.verdict, found.seeds), ('unclear', 1))
    self.assertEndsWith(ledger_report.effect_text(found), '[no interval]')


class HeadlinesTest(_FolderTest):

  def test_what_was_also_measured_changes_no_verdict(self):
    # Of the parts of MINATAR-EIG both hold; MINATAR-SV has others beside.
    for game in ('Asterix', 'Breakout'):
      for name in ('dqn_offline_20', 'cql_offline_20'):
        synthetic_runs.minatar(self.folder / game / name, _DOWN, 5)
    heads = self._heads()
    eig = heads['MINATAR-EIG', 'smoke']
    self.assertEqual(eig.verdict, 'holds')
    sigma = heads['MINATAR-SV', 'smoke']
    self.assertEqual(sigma.verdict, 'holds')
    beside = [x for x in sigma.parts if not x.counts]
    self.assertIn('not run', {x.verdict for x in beside})
    self.assertEqual(
        sigma.command,
        'python -m launch.sweep --sweep=atari_sv --scale=smoke --base_dir=DIR')

  def test_a_part_that_was_not_run_leaves_the_whole_open(self):
    synthetic_runs.minatar(self.folder / 'Asterix/dqn_offline_20', _DOWN, 5)
    self.assertEqual(
        self._heads()['MINATAR-EIG', 'smoke'].verdict, 'not run')
    text = ledger_report.markdown(self._entries())
    row = next(
        x for x in text.splitlines() if x.startswith('| [MINATAR-EIG]'))
    self.assertEndsWith(row, '| holds 1, not run 1 | **not run in part** |')

  def test_corrected_statements_do_not_count(self):
    for name, printed, corrected in (
        ('a', [0.5], [0.0]), ('b', [0.5], [0.0])):
      synthetic_runs.write(self.folder / name, {
          'recursion_printed_error': {0: printed},
          'recursion_error': {0: corrected}})
      (self.folder / name / 'config.gin').write_text('@TheoryLoop()\n')
    head = self._heads()['TH-QRECUR', 'smoke']
    self.assertEqual(head.verdict, 'does not hold')
    self.assertEqual(
        {(x.counts, x.verdict) for x in head.parts if x.scale},
        {(True, 'does not hold'), (False, 'holds')})

  def test_a_row_a_scale(self):
    synthetic_runs.minatar(self.folder / 'Asterix/dqn_offline_20', _DOWN, 5)
    synthetic_runs.minatar(
        self.folder / 'Asterix/cql_offline_20', _DOWN, 5,
        environment_steps=999)
    heads = self._heads()
    self.assertContainsSubset(
        {('MINATAR-EIG', 'smoke'), ('MINATAR-EIG', 'laptop')}, heads)
    for scale in ('smoke', 'laptop'):
      part, = heads['MINATAR-EIG', scale].parts
      self.assertEqual((part.scale, part.verdict), (scale, 'holds'))


class ScalesTest(_FolderTest):

  @parameterized.parameters(
      ('GRID-OFF', 'GRIDWORLD', 500, 5, 1, 0, 'paper'),
      ('GRID-OFF', 'GRIDWORLD', 500, 4, 1, 0, 'laptop'),
      ('GRID-OFF', 'GRIDWORLD', 499, 5, 1, 0, 'laptop'),
      ('GRID-OFF', 'GRIDWORLD', 3, 5, 1, 0, 'smoke'),
      ('ATARI-OFF', 'ATARI', 11, 5, 3_125_000, 0, 'paper'),
      ('ATARI-OFF4X', 'ATARI', 11, 5, 3_125_000, 0, 'laptop'),
      ('ATARI-PEN', 'ATARI', 11, 5, 625_000, 0, 'paper'),
      ('ATARI-ON', 'ATARI_ONLINE', 11, 5, 9, 5_000_000, 'paper'),
      ('ATARI-ON', 'ATARI_ONLINE', 11, 5, 9e9, 2_500_000, 'laptop'),
      ('ATARI-RAINBOW', 'ATARI_ONLINE', 11, 5, 9, 2_500_000, 'paper'),
      ('ATARI-ON', 'ATARI_ONLINE', 11, 5, 9, 50, 'smoke'),
      ('ATARI-OFF', 'ATARI', 10, 5, 599, 0, 'smoke'),
      ('MINATAR-ON', 'MINATAR', 11, 5, 1e7, 1e7, 'laptop'),
      ('GYM-ON', 'MUJOCO', 11, 5, 9, 100_000, 'paper'),
      ('GYM-OFF', 'MUJOCO', 11, 5, 99_999, 0, 'laptop'),
      ('TH-SV', 'THEORY', 7, 1, 1, 0, 'paper'),
      ('TH-SV', 'THEORY', 3, 1, 1, 0, 'smoke'),
  )
  def test_sizes(self, id_, suite, rows, seeds, updates, steps, expected):
    folder = synthetic_runs.write(
        self.folder / 'run', {'srank': {s: [1.0] * rows for s in range(seeds)}},
        gradient_steps=updates, environment_steps=steps)
    run = runs.read(folder)
    self.assertEqual(
        scales.of([run], getattr(suites, suite), id_), expected)

  @parameterized.parameters(
      ('smoke', 'oracle', 'oracle', 60, 'smoke'),
      ('smoke', 'Pong_5/dqn', 'Pong_5/dqn', 60, 'smoke'),
      ('smoke', 'oracle', 'oracle/seeds_0_1', 60, 'smoke'),
      ('smoke', 'oracle', 'oracle_2', 60, 'laptop'),
      ('paper', 'oracle', 'oracle', 3, 'smoke'),
      ('laptop', 'oracle', 'oracle', 500, 'paper'),
  )
  def test_a_sweep_can_only_call_it_a_test(
      self, scale, folder, name, rows, expected
  ):
    synthetic_runs.gridworld(self.folder / folder, [1.0] * rows, 5)
    (self.folder / 'sweep.json').write_text(json.dumps(
        {'scale': scale, 'runs': {name: {}}, 'command': 'x'}))
    run = runs.read(self.folder / folder)
    self.assertEqual(scales.of([run], suites.GRIDWORLD, ''), expected)

  def test_a_run_of_a_sweep_in_two_scales_and_its_copy_say_their_own(self):
    synthetic_runs.gridworld(self.folder / 'a', [1.0] * 60, 5)
    for of_run, of_copy, expected in (
        ({'scale': 'smoke'}, None, 'smoke'),
        ({'scale': 'laptop'}, None, 'laptop'),
        ({'scale': 'laptop'}, 'smoke', 'smoke'),
        ({}, None, 'smoke'),
    ):
      (self.folder / 'sweep.json').write_text(json.dumps(
          {'scale': 'smoke', 'runs': {'a': of_run}}))
      (self.folder / 'a' / 'run.json').write_text(json.dumps(
          {'status': 'finished', 'scale': of_copy}))
      run = runs.read(self.folder / 'a')
      self.assertEqual(scales.of([run], suites.GRIDWORLD, ''), expected)

  def test_the_smallest_of_what_is_compared(self):
    there = [
        runs.read(synthetic_runs.gridworld(self.folder / x, [1.0] * k, 5))
        for x, k in (('a', 500), ('b', 60), ('c', 500))]
    self.assertEqual(scales.of(there, suites.GRIDWORLD, ''), 'laptop')
    self.assertEqual(
        scales.numbers(there, suites.GRIDWORLD), '500 and 60 iterations')


class DocumentTest(_FolderTest):

  def _run(self, out=''):
    """What the command prints, its exit status or message."""
    absl_flags.FLAGS.mark_as_parsed()
    output, status = io.StringIO(), None
    with contextlib.redirect_stdout(output), flagsaver.flagsaver(
        ledger=True, runs=str(self.folder / 'runs'), out=str(out)):
      try:
        command.main(['figures'])
      except SystemExit as stop:
        status = stop.code
    return output.getvalue(), status

  def test_files_links_and_commands(self):
    for name in ('oracle', 'offline_fqi'):
      synthetic_runs.gridworld(self.folder / 'runs/grid' / name, [9, 5, 4], 5)
    (self.folder / 'runs/grid/commands.txt').write_text('make it\n')
    (self.folder / 'runs/sweep.json').write_text(json.dumps(
        {'scale': 'laptop', 'runs': {'grid/oracle': {}}, 'command': 'sweep!'}))
    docs = self.folder / 'docs'
    (docs / 'figures' / 'more').mkdir(parents=True)
    for path in ('figures/figure_a11a', 'figures/more/figure_a11a'):
      (docs / f'{path}.png').touch()
    (docs / 'claims.md').touch()
    shown, status = self._run(docs / 'table.md')
    self.assertIsNone(status)
    text = (docs / 'table.md').read_text()
    self.assertIn(text, shown)
    self.assertIn(
        '[a11a](figures/figure_a11a.png), '
        '[a11a of more](figures/more/figure_a11a.png)', text)
    self.assertIn('[claims](claims.md)', text)
    self.assertIn('```\nmake it\n```', text)
    self.assertIn('```\nsweep!\n```', text)
    self.assertIn(f'--ledger --runs={self.folder}/runs --out={docs}', text)
    self.assertIn('## Rank against return', text)
    self.assertIn('\n### GRID-ORACLE smoke\n', text)
    self.assertIn('](#grid-oracle-smoke) |', text)
    with (docs / 'table.csv').open() as file:
      rows = list(csv.DictReader(file))
    found = self._entries()
    self.assertLen(rows, len(found))
    for row, x in zip(rows, found, strict=True):
      self.assertEqual(
          (row['experiment'], row['claim'], row['verdict'], row['scale']),
          (x.experiment, x.claim, x.verdict, x.scale))
      if x.effect is not None:
        np.testing.assert_equal(float(row['effect']), x.effect.mean)

  def test_a_folder_gets_the_ledger(self):
    synthetic_runs.gridworld(self.folder / 'runs/oracle', [9, 5, 4], 5)
    self._run(self.folder / 'out')
    self.assertEqual(
        {x.name for x in (self.folder / 'out').iterdir()},
        {'ledger.md', 'ledger.csv'})
    self.assertStartsWith(self._run()[0], '# The ledger\n')

  def test_bad_input_is_one_line(self):
    (self.folder / 'runs').mkdir()
    self.assertRegex(self._run()[1], 'error: .*holds no run')
    synthetic_runs.gridworld(self.folder / 'runs/a/oracle', [9, 5, 4])
    synthetic_runs.gridworld(self.folder / 'runs/b/oracle', [9, 5, 4])
    self.assertRegex(self._run()[1], 'error: several runs are called oracle')
    (self.folder / 'runs/b/oracle/metrics.csv').write_text(
        'seed,iteration,gradient_steps,environment_steps,srank_free\n0,x\n')
    self.assertRegex(self._run()[1], 'error: line 2 of .* is not 5 numbers')
    (self.folder / 'runs/b/oracle/metrics.csv').unlink()
    (self.folder / 'runs/sweep.json').write_text('{')
    for message in (self._run()[1],):
      self.assertRegex(message, 'error: .*sweep.json is not the file of a sw')
      self.assertNotIn('\n', message)

  def test_an_unreadable_file_of_commands(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [9, 5, 4])
    (self.folder / 'commands.txt').write_bytes(b'\xff')
    with self.assertRaisesRegex(UserError, 'commands.txt cannot be read'):
      ledger_command.write(collection.Collection(self.folder))


class ReproductionTest(absltest.TestCase):

  def test_the_document_is_what_its_command_writes(self):
    document = _ROOT / 'docs' / 'reproduction.md'
    text = document.read_text()
    line = re.search(
        r'^python -m implicit_underparam\.figures --ledger .*$', text, re.M)
    flags = dict(
        x.removeprefix('--').split('=') for x in shlex.split(line[0])[4:])
    self.assertEqual(flags['out'], 'docs/reproduction.md')
    with contextlib.chdir(_ROOT):
      there = collection.Collection(flags['runs'])
      found = ledger.entries(there)
      written = ledger_command.text_of(
          there, found, flags['out'], flags.get('title', ''))
    self.assertEqual(written, text)
    self.assertEqual(
        ledger_report.to_csv(found),
        document.with_suffix('.csv').read_text())

  def test_links_lead_to_files(self):
    docs = _ROOT / 'docs'
    for document in ('reproduction.md', 'findings.md'):
      links = re.findall(r'\]\(([^)#]+)', (docs / document).read_text())
      self.assertNotEmpty(links)
      for link in set(links):
        self.assertTrue((docs / link).exists(), f'{document}: {link}')


if __name__ == '__main__':
  absltest.main()
