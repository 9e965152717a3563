import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile

import synthetic_runs
from absl import flags as absl_flags
from absl.testing import absltest, flagsaver, parameterized

from implicit_underparam.figures import __main__ as command

_ROOT = pathlib.Path(__file__).parents[2]


def _python(*arguments):
  return subprocess.run(
      [sys.executable, *arguments], cwd=_ROOT, capture_output=True, text=True,
      check=False)


def _figures(*arguments):
  return _python('-m', 'implicit_underparam.figures', *arguments)


def _error(arguments, **flags):
  """The message of main, in this process; None if it returns."""
  absl_flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(**flags):
    try:
      command.main(['figures', *arguments])
    except SystemExit as stop:
      return stop.code
  return None


class CommandTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory()
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)
    cls.runs = cls.folder / 'runs'
    for name in ('offline_fqi', 'oracle'):
      synthetic_runs.gridworld(cls.runs / name, [20, 45, 40, 30])

  def test_one_figure(self):
    out = self.folder / 'one'
    result = _figures('--figure=a11a', f'--runs={self.runs}', f'--out={out}')
    self.assertEqual(result.stderr, '')
    self.assertEqual(result.stdout.splitlines(), [
        str(out / 'figure_a11a.png'), str(out / 'figure_a11a.pdf')])

  def test_a_variant_overwrites_nothing(self):
    runs, out = self.folder / 'two', self.folder / 'variants'
    for name in ('offline_fqi', 'oracle'):
      for ending in ('', '_lr5e-3'):
        synthetic_runs.gridworld(runs / f'{name}{ending}', [20, 45, 40, 30])
    for variant in ('', 'lr5e-3'):
      with contextlib.redirect_stdout(io.StringIO()):
        self.assertIsNone(_error(
            [], figure='a11a', claims=True, runs=str(runs), out=str(out),
            variant=variant))
    self.assertEqual(
        {path.relative_to(out).as_posix() for path in out.rglob('*.*')},
        {f'{x}figure_a11a.{y}' for x in ('', 'lr5e-3/') for y in ('png', 'pdf')}
        | {'claims.md', 'claims_lr5e-3.md'})

  def test_all_and_claims(self):
    out = self.folder / 'all'
    output, errors = io.StringIO(), io.StringIO()
    with (contextlib.redirect_stdout(output),
          contextlib.redirect_stderr(errors)):
      self.assertIsNone(_error(
          [], figure='all', claims=True, runs=str(self.runs), out=str(out)))
    self.assertEqual(
        {path.name for path in out.iterdir()},
        {f'figure_{x}.{y}'
         for x in ('2a', '4c', '6a', 'a11a', 'gridworld_rank_return')
         for y in ('png', 'pdf')} | {'claims.md'})
    self.assertIn((out / 'claims.md').read_text(), output.getvalue())
    self.assertIn('figure 3a is not drawn', errors.getvalue())
    self.assertNotIn('atari', errors.getvalue())
    self.assertIn(
        'has no run supervised; make it with python -m '
        'implicit_underparam.train '
        f'--base_dir={self.runs}/supervised '
        '--gin_files=gin_configs/gridworld/supervised.gin\n', errors.getvalue())

  def test_list(self):
    self.assertEqual(
        [line.split()[0] for line in command.list_figures().splitlines()],
        [*command.find_figures(), 'all'])

  def test_unknown_figure(self):
    result = _figures('--figure=9')
    self.assertEqual(result.returncode, 1)
    self.assertEqual(result.stdout, '')
    self.assertEqual(
        result.stderr,
        'error: --figure=9 is unknown: choose one of '
        f'{", ".join(command.find_figures())}, all; or what these stand for '
        f'as well: {", ".join(self._others())}\n',
    )

  def _others(self):
    return sorted(
        {y for x in command.find_figures().values() for y in x.also})

  def test_missing_runs(self):
    self.assertRegex(
        _error([], figure='3a', runs=str(self.runs),
               out=str(self.folder / 'none')),
        'error: .*lacks: online_fqi_n10, online_fqi, supervised;.*'
        '--gin_files=gin_configs/gridworld/online_fqi_n10.gin$')
    self.assertFalse((self.folder / 'none').exists())

  @parameterized.parameters(
      ((), {'figure': '2a', 'out': 'x'}, '--runs is missing'),
      ((), {'figure': '2a', 'runs': 'x'}, '--out is missing'),
      ((), {'figure': '2a', 'runs': 'nowhere', 'out': 'x'},
       'nowhere is not a folder'),
      ((), {}, 'nothing to do'),
      (('2a',), {}, "'2a' is not a flag"),
  )
  def test_wrong_flags(self, arguments, flags, message):
    error = _error(arguments, **flags)
    self.assertStartsWith(error, 'error: ')
    self.assertIn(message, error)
    self.assertNotIn('\n', error)

  def test_no_jax_and_no_gin(self):
    # DESIGN: figures read CSV files only.
    result = _python('-c', '\n'.join((
        'import importlib, pkgutil, sys',
        'from implicit_underparam import figures',
        'for module in pkgutil.iter_modules(figures.__path__):',
        '  importlib.import_module(f"{figures.__name__}.{module.name}")',
        'own = {x.split(".")[1] for x in sys.modules',
        '       if x.startswith("implicit_underparam.")}',
        'print(sorted(own), [x for x in sys.modules',
        '    if x in ("jax", "flax", "gin", "scipy", "pandas",',
        '             "matplotlib.pyplot")])',
    )))
    self.assertEqual(
        result.stdout, "['errors', 'figures'] []\n", result.stderr)

  def test_a_run_that_starts_does_not_wait_for_matplotlib(self):
    result = _python('-c', '\n'.join((
        'import sys',
        'from implicit_underparam.figures import summary',
        'print("matplotlib" in sys.modules)',
    )))
    self.assertEqual(result.stdout, 'False\n', result.stderr)


if __name__ == '__main__':
  absltest.main()
