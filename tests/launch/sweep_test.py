"""The sweeps as data: every experiment, its runs and their configurations."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from absl.testing import absltest, parameterized

from implicit_underparam import check, configuration
from implicit_underparam.figures import __main__ as figures
from implicit_underparam.figures import claims, suites
from launch import catalog, listing, planning
from launch.experiment import SCALES
from launch.run import Preparation, Run

_ROOT = pathlib.Path(__file__).parent.parent.parent
_SWEEPS = {name: catalog.load(name) for name in catalog.names()}
# Of experiments.md, by hand.
_EXPERIMENTS = """
    GRID-OFF GRID-ON GRID-FIT GRID-REINIT GRID-PEN GRID-ORACLE GRID-ONEHOT
    GRID-EIG GRID-TDFIX
    ATARI-OFF ATARI-OFF4X ATARI-CQL ATARI-ON ATARI-TD ATARI-RAINBOW ATARI-FQE
    ATARI-MC ATARI-PEN ATARI-CQLPEN ATARI-RAINBOWPEN ATARI-ONPEN ATARI-EIG
    ATARI-SV ATARI-TARGET
    GYM-OFF GYM-CQL GYM-ON
    TH-KERNEL TH-QRECUR TH-EIG TH-SV TH-COMPOUND
""".split()
_GAMES = ('gridworld', 'minatar', 'mujoco', 'theory')  # Suites on a laptop.


def _tasks(scale=None):
  for name, one in _SWEEPS.items():
    for there, tasks in one.scales.items():
      if scale in (None, there):
        for task in tasks:
          yield name, there, task


class SweepsTest(parameterized.TestCase):

  @parameterized.parameters(*_EXPERIMENTS)
  def test_every_experiment_is_a_sweep_at_every_scale(self, experiment):
    name = experiment.lower().replace('-', '_')
    found = _SWEEPS[name]
    self.assertEqual(found.experiments, (experiment,))
    self.assertEqual(tuple(found.scales), SCALES)
    self.assertNotEmpty(found.figures)

  def test_there_is_nothing_else(self):
    named = {x for one in _SWEEPS.values() for x in one.experiments}
    self.assertEqual(named, set(_EXPERIMENTS))

  @parameterized.parameters(*_SWEEPS)
  def test_tasks_are_well_formed(self, name):
    for scale, tasks in _SWEEPS[name].scales.items():
      names = [task.name for task in tasks]
      self.assertLen(set(names), len(names), scale)
      for task in tasks:
        self.assertRegex(task.name, r'^([A-Za-z]\w*/)?[\w.-]+$')
        self.assertGreater(task.cost, 0)
        self.assertContainsSubset(task.after, names)
        self.assertNotIn(task.name, task.after)

  @parameterized.parameters(*_SWEEPS)
  def test_figures_are_drawn(self, name):
    drawn = figures.find_figures()
    self.assertContainsSubset(
        _SWEEPS[name].figures,
        {x for figure in drawn.values() for x in (figure.id, *figure.also)})

  def test_a_run_is_the_same_in_all_sweeps_of_a_scale(self):
    for scale in SCALES:
      found = {}
      for name, _, task in _tasks(scale):
        self.assertEqual(found.setdefault(task.name, task), task, name)

  def test_every_configuration_is_one_that_train_takes(self):
    # Games differ in a name alone, which is checked once for each.
    distinct = {}
    for _, _, task in _tasks():
      if isinstance(task, Run):
        game = re.split('[_/]', task.name)[0]
        bindings = tuple(x.replace(game, 'GAME') for x in task.bindings)
        distinct[task.gin_files, bindings] = task
    plan = [
        {
            'name': task.name,
            'gin_files': task.gin_files,
            'gin_bindings': [x.replace('{base_dir}', '/D')
                             for x in task.bindings],
        }
        for task in distinct.values()
    ]
    self.assertGreater(len(plan), 100)
    self.assertEqual(check.errors_of(plan), [])

  def test_every_file_is_there(self):
    files = {x for _, _, task in _tasks() if isinstance(task, Run)
             for x in task.gin_files}
    for file in files:
      self.assertTrue(configuration.find(file).is_file(), file)


class SharedTest(parameterized.TestCase):

  def test_on_a_laptop_each_figure_s_runs_are_made(self):
    made = {task.name.split('/')[-1] for _, _, task in _tasks('laptop')}
    for figure in figures.find_figures().values():
      if not figure.runs:
        continue  # Of whatever there is.
      if figure.suite.name == 'mujoco':
        self.assertNotEmpty(made & set(figure.runs), figure.id)
      elif figure.suite.name in _GAMES:
        self.assertContainsSubset(set(figure.runs), made, figure.id)

  def test_at_the_paper_s_scale_too(self):
    made = {task.name.split('/')[-1] for _, _, task in _tasks('paper')}
    for figure in figures.find_figures().values():
      if figure.suite.name != 'minatar':
        self.assertContainsSubset(set(figure.runs), made, figure.id)

  def test_the_claims_find_their_runs(self):
    made = {task.name.split('/')[-1] for _, _, task in _tasks('laptop')}
    paper = {task.name.split('/')[-1] for _, _, task in _tasks('paper')}
    for family in claims.FAMILIES:
      there = made if family.suite is suites.MINATAR else paper
      self.assertContainsSubset(set(family.runs), there, family.file)

  def test_figures_2_and_3_share_their_supervised_runs(self):
    names = [{x.name for x in _SWEEPS[name].scales['laptop']}
             for name in ('grid_off', 'grid_on')]
    self.assertEqual(names[0] & names[1], {'supervised', 'supervised_t10'})

  def test_a_collection_has_the_runs_of_its_experiments(self):
    for collection, parts in (
        ('mujoco', ('gym_off', 'gym_cql', 'gym_on')),
        ('gridworld', ('grid_off', 'grid_pen', 'grid_onehot')),
        ('atari_online', ('atari_on', 'atari_rainbow', 'atari_target')),
        ('theory', ('th_kernel', 'th_eig', 'grid_eig', 'grid_tdfix')),
    ):
      for scale in SCALES:
        whole = set(_SWEEPS[collection].scales[scale])
        for part in parts:
          self.assertContainsSubset(_SWEEPS[part].scales[scale], whole)


class PreparationTest(absltest.TestCase):

  def test_what_is_read_of_the_sweep_was_waited_for(self):
    count = 0
    for name, scale, task in _tasks():
      if not task.reads_sweep():
        continue
      count += 1
      there = {x.name: x for x in _SWEEPS[name].scales[scale]}
      texts = (
          (task.source,) if isinstance(task, Preparation)
          else task.gin_bindings)
      [text] = [x for x in texts if '{base_dir}' in x]
      path = text.split('{base_dir}/')[1]
      seeds = getattr(task, 'seeds', ()) or ('',)
      for seed in seeds:
        one = path.replace('{seed}', str(seed)).rstrip("'")
        self.assertTrue(
            any(one == x or one.startswith(f'{x}/') for x in task.after), task)
      for waited in task.after:
        if isinstance(there[waited], Run):
          # A part's folder would have another name.
          self.assertTrue(there[waited].whole)
          self.assertLen(planning.split([there[waited]]), 1)
    self.assertGreater(count, 100)

  def test_a_log_is_not_split_by_a_flag(self):
    override = planning.Override(seeds_per_run=1)
    names = [x.name for x in planning.tasks(
        _SWEEPS['gym_off'], 'gym_off', 'paper', override)]
    self.assertIn('Ant/sac_online_n1', names)
    self.assertIn('Ant/sac_offline_20/seeds_3', names)

  def test_behind_a_url_what_is_read_is_brought_first(self):
    tasks = {x.name: x for x in planning.tasks(
        _SWEEPS['gym_off'], 'gym_off', 'paper', planning.Override())}
    url, log = 'gs://bucket/sweep', 'Ant/sac_online_n1'
    words = planning.command(tasks['Ant/sac_offline_20'], url)
    copy = planning.local_copy(url, log)
    self.assertIn(f'--needs={url}/{log}={copy}', words)
    read = [x for x in words if 'TransitionData.path' in x]
    self.assertLen(read, 1)
    self.assertIn(f"'{copy}/replay/", read[0])
    self.assertNotIn('--needs', ' '.join(planning.command(tasks[log], url)))

  def test_behind_a_url_a_set_is_copied_when_it_is_whole(self):
    tasks = planning.tasks(
        _SWEEPS['atari_off'], 'atari_off', 'smoke', planning.Override())
    prepared = [x for x in tasks if x.name.startswith('prepared/')]
    self.assertNotEmpty(prepared)
    for task in prepared:
      words = planning.command(task, 'gs://bucket/sweep')
      self.assertIn('--every=0', words)
      self.assertTrue(any(x.startswith('--needs=') for x in words))


class OtherScaleTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.base_dir = self.create_tempdir().full_path
    self.tasks = {
        scale: planning.tasks(
            _SWEEPS['atari_on'], 'atari_on', scale, planning.Override())
        for scale in SCALES
    }

  def made(self, scale, base_dir, finished):
    """The record of a sweep, as another machine and folder left it."""
    record = {}
    for task in self.tasks[scale]:
      words = planning.command(task, base_dir)
      record[task.name] = {'command': ['/other/python', *words[1:]]}
      if task.name in finished:
        folder = pathlib.Path(self.base_dir) / task.name
        folder.mkdir(parents=True)
        (folder / 'run.json').write_text('{"status": "finished"}')
    return {'runs': record}

  def test_a_finished_run_of_another_is_not_taken_for_it(self):
    name = 'Breakout/dqn_online_n8'
    record = self.made('laptop', '/moved/since', (name,))
    planning.check_same(self.tasks['laptop'], self.base_dir, record)
    for scale in ('smoke', 'paper'):
      with self.assertRaisesRegex(planning.SweepError, f'{name} is there'):
        planning.check_same(self.tasks[scale], self.base_dir, record)
    planning.check_same(self.tasks['paper'], self.base_dir, {})

  def test_what_a_folder_does_not_remember_is_looked_at_again(self):
    name = 'Breakout/dqn_online_n8'
    record = self.made('laptop', self.base_dir, (name,))
    tasks, run = self.tasks['laptop'], record['runs'][name]
    for known, expected in (
        ({}, set()), ({'state': 'waiting', 'attempts': 0}, set()),
        ({'state': 'done'}, {name}),
        ({'state': 'failed', 'attempts': 1}, set()),
        ({'state': 'running', 'attempts': 1}, {name})):
      run.update(state='', attempts=0)
      run.update(known)
      self.assertEqual(
          planning.known_finished(tasks, self.base_dir, record), expected)
    self.assertEqual(planning.known_finished(tasks, self.base_dir, {}), set())

  def test_a_run_that_is_finished_as_a_whole_is_not_split(self):
    sweep = catalog.load('grid_oracle')
    override = planning.Override(seeds_per_run=2)
    folder = pathlib.Path(self.base_dir) / 'oracle'
    folder.mkdir(parents=True)
    (folder / 'run.json').write_text('{"status": "finished"}')
    names = [x.name for x in planning.tasks(
        sweep, 'grid_oracle', 'laptop', override, self.base_dir)]
    self.assertIn('oracle', names)
    self.assertIn('offline_fqi/seeds_0_1', names)
    self.assertNotIn('offline_fqi', names)

  def test_behind_a_url_neither(self):
    name = 'Breakout/dqn_online_n8'
    record = self.made('smoke', 'gs://bucket/sweep', (name,))
    planning.check_same(self.tasks['smoke'], self.base_dir, record)
    with self.assertRaisesRegex(planning.SweepError, 'another --scale'):
      planning.check_same(self.tasks['laptop'], self.base_dir, record)

  def test_what_is_not_finished_may_be_another(self):
    record = self.made('laptop', self.base_dir, ())
    planning.check_same(self.tasks['smoke'], self.base_dir, record)


class ListingTest(absltest.TestCase):

  def test_groups_and_counts(self):
    lines = listing.table(_SWEEPS).splitlines()
    self.assertLess(lines.index('Gridworld'), lines.index('MuJoCo'))
    rows = {x.split()[0]: x for x in lines if x.startswith('  ') and x.split()}
    self.assertContainsSubset(_SWEEPS, rows)
    self.assertRegex(
        rows['gym_on'], r'2 runs, .* 4 runs, 2.5 h .* 20 runs, .* MuJoCo, on')
    self.assertRegex(rows['atari_target'], r' 1 run, ')
    seen = {task.name for _, _, task in _tasks('laptop')
            if isinstance(task, Run)}
    self.assertIn(f' {len(seen)} runs, ', rows['total'])


class CommandTest(absltest.TestCase):

  def run_module(self, module, *arguments):
    return subprocess.run(
        [sys.executable, '-m', module, *arguments],
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

  def test_shows_commands(self):
    result = self.run_module(
        'launch.sweep', '--sweep=atari_off', '--base_dir=/tmp/x', '--dry_run',
        '--only=Pong', '--scale=paper',
    )
    prepare, train = map(shlex.split, result.stdout.splitlines())
    self.assertEqual(prepare[1:], [
        '-m', 'implicit_underparam.data.prepare',
        '--source=gs://atari-replay-datasets/dqn/Pong/1/replay_logs',
        '--out=/tmp/x/prepared/Pong_5', '--fraction=0.05',
    ])
    self.assertEqual(train[1:], [
        '-m', 'implicit_underparam.train',
        '--base_dir=/tmp/x/Pong_5/dqn_offline',
        '--gin_files=gin_configs/atari/dqn_offline.gin',
        '--gin_files=gin_configs/atari/data_5.gin',
        "--gin_bindings=game = 'Pong'",
        "--gin_bindings=OfflineData.path = '/tmp/x/prepared/Pong_5'",
        '--gin_bindings=Runner.seeds = (0, 1, 2, 3, 4)',
    ])

  def test_an_unknown_sweep_is_one_line(self):
    result = self.run_module(
        'launch.sweep', '--sweep=gridwold', '--base_dir=/tmp/x'
    )
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('did you mean gridworld', result.stderr)

  def test_a_smoke_sweep_to_its_report_and_at_another_scale(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    made, copy = folder / 'made', folder / 'copy'
    command = ('launch.sweep', '--sweep=theory', '--only=^kernel_psd$',
               '--retries=0')
    result = self.run_module(
        *command, '--scale=smoke', f'--base_dir={made}')
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertIn('1 of 1 runs are finished', result.stdout)
    self.assertIn('kernel_psd', (made / 'report.html').read_text())
    record = json.loads((made / 'sweep.json').read_text())
    self.assertEqual(record['runs']['kernel_psd']['scale'], 'smoke')
    status = self.run_module('launch.sweep', '--status', f'--base_dir={made}')
    self.assertIn('smoke, engine local: finished\n1 done', status.stdout)
    # A folder that remembers nothing is not taken at its word, ever.
    shutil.copytree(made / 'kernel_psd', copy / 'kernel_psd')
    for _ in range(2):
      result = self.run_module(
          *command, '--scale=paper', f'--base_dir={copy}')
      self.assertEqual(result.returncode, 1)
      self.assertRegex(
          result.stderr,
          r'^error: kernel_psd: Runner.seeds was \(0, 1\) .*nothing was start')
      self.assertLen(result.stderr.strip().splitlines(), 1)
      self.assertFalse((copy / 'sweep.json').exists())

  def test_what_waits_for_a_failure_is_not_said_to_have_a_log(self):
    path = self.create_tempfile('mine.py', (
        'from launch.experiment import Sweep\n'
        'from launch.run import Run\n'
        "FILES = ('gin_configs/atari/dqn_offline.gin',)\n"
        "NONE = ('OfflineData.path = \"/none\"',)\n"
        "SWEEP = Sweep('t', (), (), {'laptop': (\n"
        "    Run('a', gin_files=FILES, gin_bindings=NONE),\n"
        "    Run('b', gin_files=FILES, gin_bindings=NONE, after=('a',)))})\n"))
    folder = self.create_tempdir().full_path
    result = self.run_module(
        'launch.sweep', f'--sweep={path.full_path}', f'--base_dir={folder}',
        '--retries=0', '--noreport')
    self.assertEqual(result.returncode, 1, result.stderr)
    self.assertIn(f'failed: a, see {folder}/logs/a.txt\n', result.stdout)
    self.assertIn('not started: b, what it waits for has', result.stdout)

  def test_a_scale_without_runs_is_one_line(self):
    path = self.create_tempfile('mine.py', (
        'from launch.experiment import Sweep\n'
        "SWEEP = Sweep('t', (), (), {'laptop': ()})\n"))
    result = self.run_module(
        'launch.sweep', f'--sweep={path.full_path}', '--base_dir=/tmp/x')
    self.assertRegex(result.stderr, '^error: .*it has no run at --scale=lap')

  def test_so_is_a_folder_that_nothing_opens(self):
    result = self.run_module(
        'launch.sweep', '--sweep=gym_cql', '--base_dir=nowhere://bucket/sweep'
    )
    self.assertEqual(result.returncode, 1)
    self.assertLen(result.stderr.strip().splitlines(), 1)
    self.assertIn('nowhere://bucket/sweep', result.stderr)


class DocumentTest(absltest.TestCase):

  def test_none_names_a_sweep_that_there_is_not(self):
    found = set()
    for path in (_ROOT / 'README.md', *(_ROOT / 'docs').glob('*.md')):
      found |= set(re.findall(r'--sweep=(\w+)(?![\w.])', path.read_text()))
    self.assertContainsSubset(found, set(_SWEEPS))
    self.assertGreater(len(found), 4)


if __name__ == '__main__':
  absltest.main()
