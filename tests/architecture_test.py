"""The arrows of the design, the one gradient step, lint and types."""

import ast
import pathlib
import re
import subprocess
import sys

from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'implicit_underparam'
NAME = 'implicit_underparam'

# What a module may import from the package besides what is always allowed.
_ALWAYS = {'errors'}
ALLOWED = {
    'errors': set(),
    'types': set(),
    'losses': {'types'},
    'squashed_gaussian': {'types'},
    'optimizers': {'learner'},
    'continuous_networks': {'types', 'networks'},
    'penalties': {'types'},
    'metrics': {'types'},
    'convolutions': {'types'},
    'minatar_networks': {'types', 'networks', 'categorical_networks'},
    'networks': {'types', 'convolutions'},
    'categorical_networks': {'types', 'networks'},
    'run_config': set(),
    'run_folder': {'run_config'},
    'writers': {'run_folder'},
    'serialization': {'types'},
    'checkpoints': {'run_folder', 'serialization', 'types'},
    'learner': {'types'},
    'envs': {'types', 'envs'},
    'seeds': set(),
    'data': {'types', 'envs', 'data', 'run_folder'},
    'agents': {
        'types', 'acting', 'losses', 'networks', 'continuous_networks',
        'squashed_gaussian', 'envs', 'data', 'agents',
    },
    'evaluation': {'types', 'metrics', 'envs', 'writers'},
    'program': {'types', 'seeds'},
    'loops': {'types', 'learner', 'agents', 'data', 'envs', 'program'},
    'episode_evaluation': {'envs'},
    'progress': set(),
    'evaluating': {
        'types', 'acting', 'envs', 'episode_evaluation', 'progress',
    },
    'offline_checks': {'types', 'data', 'envs'},
    'offline_program': {
        'types', 'program', 'progress', 'seeds', 'data', 'envs', 'evaluating',
        'offline', 'offline_checks',
    },
    'probing': {'types'},
    'offline': {
        'types', 'learner', 'probing', 'data', 'episode_evaluation',
        'evaluating', 'offline_program',
    },
    'acting': {'types', 'data'},
    'lanes': set(),
    'target_features': {'types', 'learner'},
    'online_checks': {
        'types', 'agents', 'data', 'envs', 'episode_evaluation', 'learner',
        'online', 'target_features',
    },
    'pure_playing': {'types', 'acting', 'data', 'envs', 'online'},
    'pure_online_program': {
        'types', 'data', 'lanes', 'online', 'online_program', 'progress',
        'pure_playing', 'replay_drivers',
    },
    'online_functions': {'lanes', 'online'},
    'replay_drivers': {'types', 'data', 'online', 'online_functions'},
    'playing': {
        'lanes', 'data', 'envs', 'online', 'online_functions',
        'replay_drivers',
    },
    'online_program': {
        'types', 'program', 'progress', 'lanes', 'data', 'envs', 'online',
        'evaluating', 'online_checks', 'online_functions', 'playing',
        'replay_drivers',
    },
    'online': {
        'types', 'learner', 'probing', 'acting', 'data', 'envs',
        'episode_evaluation', 'evaluating', 'online_checks', 'online_program',
        'pure_online_program', 'target_features',
    },
    'policies': {
        'types', 'acting', 'checkpoints', 'run_folder', 'data', 'runner',
    },
    'metric_sets': {'types'},
    'theory': {'types', 'metrics', 'networks', 'envs', 'theory'},
    'rows': {'types', 'evaluation', 'writers'},
    'figures': {'figures'},
    'configuration': set(),
    'check': {'run_config', 'runner'},
}
_OUTERMOST = {'__init__', 'train', 'runner', 'diagnose'}
# Commands that stand beside what they are about, and what they need besides.
_COMMANDS = {'data/collect.py': {'policies'}}


def sources(folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted(folder.rglob('*.py'))


def imported(path: pathlib.Path) -> set[str]:
  """Full names of the modules that a file imports, wherever it does so."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {x.name for x in node.names}
    elif isinstance(node, ast.ImportFrom):
      names.add(node.module or '')
      names |= {f'{node.module}.{x.name}' for x in node.names}
  return names


def parts(names: set[str]) -> set[str]:
  """First-level parts of the package among module names."""
  found = {x.split('.')[1] for x in names if x.startswith(f'{NAME}.')}
  known = {x.stem for x in PACKAGE.iterdir()}
  return found & known


class ArrowTest(parameterized.TestCase):

  def test_every_module_imports_only_what_lies_before_it(self):
    for path in sources(PACKAGE):
      part = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
      if part in _OUTERMOST:
        continue
      self.assertIn(part, ALLOWED, f'{part} has no place in the arrows')
      more = _COMMANDS.get(str(path.relative_to(PACKAGE)), set())
      extra = parts(imported(path)) - ALLOWED[part] - _ALWAYS - more
      self.assertEmpty(extra, f'{path} imports {extra}')

  def test_the_check_sees_a_wrong_arrow(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'bad.py'
    path.write_text('def f():\n  from implicit_underparam import runner\n')
    self.assertEqual(parts(imported(path)), {'runner'})

  @parameterized.parameters('jax', 'flax', 'gin', 'optax')
  def test_figures_and_launch_read_no_programs(self, library):
    for folder in (PACKAGE / 'figures', ROOT / 'launch'):
      for path in sources(folder):
        roots = {x.split('.')[0] for x in imported(path)}
        self.assertNotIn(library, roots, str(path))

  def test_launch_does_not_import_the_package(self):
    for path in sources(ROOT / 'launch'):
      self.assertEmpty(parts(imported(path)), str(path))

  @parameterized.parameters(
      (r'apply_updates\(', 'learner.py'),
      (r'gin\.parse_config', 'configuration.py'),
  )
  def test_happens_in_one_place(self, pattern, place):
    found = {
        str(path.relative_to(PACKAGE))
        for path in sources(PACKAGE)
        if re.search(pattern, path.read_text())
    }
    self.assertEqual(found, {place})


class TestNamesTest(absltest.TestCase):

  def test_no_two_files_of_tests_share_a_name(self):
    # Pytest imports them by that, whatever their folder.
    names = [x.name for x in (ROOT / 'tests').rglob('*.py')]
    self.assertCountEqual(names, set(names))


class ImportTest(absltest.TestCase):

  def run_python(self, code: str) -> str:
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    self.assertEqual(result.stderr, '')
    return result.stdout

  def test_the_package_loads_nothing_and_prints_nothing(self):
    code = (
        'import sys\n'
        'import implicit_underparam\n'
        'heavy = {"jax", "numpy", "flax", "gin", "absl", "matplotlib"}\n'
        'assert not heavy & set(sys.modules)\n'
    )
    self.assertEqual(self.run_python(code), '')

  def test_no_part_of_the_core_needs_tensorflow(self):
    code = (
        'import importlib, pkgutil, sys\n'
        'sys.modules["tensorflow"] = None\n'
        'import implicit_underparam as package\n'
        'for x in pkgutil.walk_packages(package.__path__, package.__name__ +'
        ' "."):\n'
        '  if not x.name.endswith("__main__"):\n'
        '    importlib.import_module(x.name)\n'
        'print(package.metrics.srank([[1.0, 0.0], [0.0, 1.0]]))\n'
    )
    self.assertEqual(self.run_python(code).strip(), '2')


class ToolTest(parameterized.TestCase):

  @parameterized.parameters(
      (['ruff', 'check', '.'],),
      (['mypy', '--no-incremental', '--cache-dir=/dev/null'],),
  )
  def test_is_clean(self, command):
    result = subprocess.run(
        [sys.executable, '-m', *command],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == '__main__':
  absltest.main()
