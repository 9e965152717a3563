import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import gin
import jax
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import run_folder
from implicit_underparam.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parent.parent

_HOLD = """
import sys, time
from implicit_underparam import run_folder
with run_folder.RunFolder(sys.argv[1]) as folder:
  folder.start(seeds=[0], device='cpu')
  print('held', flush=True)
  time.sleep(600)
"""

_HOLD_AND_FORK = """
import os, sys, time
from implicit_underparam import run_folder
with run_folder.RunFolder(sys.argv[1]):
  if not os.fork():
    # The worker speaks, so that what a fork does there is done.
    print(os.getpid(), flush=True)
  time.sleep(600)
"""

_FULL_DISK = """
import resource, sys
from implicit_underparam import run_folder
from implicit_underparam.errors import UserError
with run_folder.RunFolder(sys.argv[1]) as folder:
  folder.check_config('A.n = 1\\nA.b = 2\\n', may_differ=['A.n'])
  folder.start(seeds=[0], device='cpu')
  resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
  for write in (
      lambda: folder.check_config('A.n = 1' + '0' * 90 + '\\nA.b = 2\\n',
                                  may_differ=['A.n']),
      lambda: folder.finish('finished'),
  ):
    try:
      write()
    except UserError as error:
      print(error, flush=True)
"""

_CONFIG = """import somewhere.else

# Macros:
# ==============================================================================
lr = 0.1

# Parameters for Runner:
# ==============================================================================
Runner.num_iterations = 10
Runner.seeds = (0, 1, 2)
Runner.text = \\
    'a long one = with # signs'

# Parameters for target/adam:
# ==============================================================================
target/adam.learning_rate = %lr
"""


def _spawn(code: str, *args: str) -> subprocess.Popen[str]:
  return subprocess.Popen(
      [sys.executable, '-c', code, *args], cwd=_ROOT, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )


def _kill(process: subprocess.Popen[str]) -> None:
  process.kill()
  process.communicate()


def _temporary_folder(test: absltest.TestCase) -> pathlib.Path:
  return pathlib.Path(test.enter_context(tempfile.TemporaryDirectory()))


class LockTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.path = _temporary_folder(self) / 'a' / 'run'

  def test_second_process_is_refused_until_the_first_is_killed(self):
    first = _spawn(_HOLD, str(self.path))
    self.addCleanup(_kill, first)
    self.assertEqual(first.stdout.readline(), 'held\n')
    with self.assertRaises(UserError) as raised:
      with run_folder.RunFolder(self.path):
        pass
    self.assertIn(f'--base_dir {self.path} ', str(raised.exception))
    self.assertIn(f'process {first.pid} ', str(raised.exception))
    self.assertNotIn('\n', str(raised.exception))
    self.assertEqual(
        run_folder.RunFolder.read_status(self.path)['status'], 'running'
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with run_folder.RunFolder(self.path) as folder:
      folder.start(seeds=[0], device='cpu')
    record = run_folder.RunFolder.read_status(self.path)
    self.assertEqual(record['times_resumed'], 1)

  def test_second_context_of_the_same_process_is_refused(self):
    with run_folder.RunFolder(self.path):
      with self.assertRaisesRegex(UserError, f'process {os.getpid()} '):
        run_folder.RunFolder(self.path).__enter__()
    with run_folder.RunFolder(self.path):
      pass

  def test_forked_worker_does_not_hold_the_lock_of_a_killed_run(self):
    run = _spawn(_HOLD_AND_FORK, str(self.path))
    worker = int(run.stdout.readline())
    try:
      run.kill()
      run.wait()
      os.kill(worker, 0)
      with run_folder.RunFolder(self.path):
        pass
    finally:
      os.kill(worker, signal.SIGKILL)
      run.communicate()


class BaseDirTest(parameterized.TestCase):

  @parameterized.parameters('', 'gs://bucket/run')
  def test_no_folder(self, base_dir):
    with self.assertRaisesRegex(UserError, '--base_dir .*: name'):
      run_folder.RunFolder(base_dir)

  @parameterized.parameters('file', 'file/below')
  def test_is_a_file_or_below_one(self, name):
    root = _temporary_folder(self)
    (root / 'file').write_text('precious')
    path = root / name
    with self.assertRaisesRegex(UserError, f'--base_dir {path} '):
      run_folder.RunFolder(path).__enter__()
    self.assertEqual((root / 'file').read_text(), 'precious')

  @parameterized.parameters('', 'below')
  def test_not_writable(self, name):
    with tempfile.TemporaryDirectory() as root:
      os.chmod(root, 0o555)
      path = pathlib.Path(root, name)
      is_root = os.geteuid() == 0
      if is_root:
        os.seteuid(65534)
      try:
        with self.assertRaisesRegex(
            UserError, f'--base_dir {path} .*Permission denied'
        ):
          run_folder.RunFolder(path).__enter__()
      finally:
        if is_root:
          os.seteuid(0)
        os.chmod(root, 0o755)


class ConfigTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = run_folder.RunFolder(_temporary_folder(self))
    self.folder = self.enter_context(folder)
    self.file = folder.path / 'config.gin'
    self.folder.check_config(_CONFIG)

  def test_is_written_as_given(self):
    self.assertEqual(self.file.read_text(), _CONFIG)

  def test_same_again(self):
    before = self.file.stat().st_mtime_ns
    self.folder.check_config(_CONFIG)
    self.assertEqual(self.file.stat().st_mtime_ns, before)

  def test_longer_run_rewrites_the_file(self):
    longer = _CONFIG.replace('num_iterations = 10', 'num_iterations = 20')
    self.folder.check_config(longer)
    self.assertEqual(self.file.read_text(), longer)

  def test_iterations_are_not_exempt_when_not_named(self):
    longer = _CONFIG.replace('num_iterations = 10', 'num_iterations = 20')
    with self.assertRaisesRegex(UserError, 'was 10 .* is 20 now'):
      self.folder.check_config(longer, may_differ=())

  def test_comments_and_imports_are_no_bindings(self):
    self.folder.check_config(
        '\n'.join(
            line for line in _CONFIG.splitlines()
            if not line.startswith(('#', 'import'))
        )
    )

  @parameterized.parameters(
      ('lr = 0.1', 'lr = 0.2', 'lr', '0.1', '0.2'),
      ('(0, 1, 2)', '(0, 1)', 'Runner.seeds', r'\(0, 1, 2\)', r'\(0, 1\)'),
      ('a long one', 'along', 'Runner.text', "'a long one", "'along = with"),
      ('%lr', '3', 'target/adam.learning_rate', '%lr', '3'),
      ('lr = 0.1\n', '', 'lr', '0.1', 'not bound'),
      ('lr =', 'a = 1\nlr =', 'a', 'not bound', '1'),
  )
  def test_another_value(self, old, new, name, was, now):
    with self.assertRaisesRegex(
        UserError, f'^{name} was {was}.* and is {now}.* --base_dir'
    ):
      self.folder.check_config(_CONFIG.replace(old, new))
    self.assertEqual(self.file.read_text(), _CONFIG)

  def test_operative_config_of_gin(self):
    names = ('some_rather_long_name', 'another_rather_long_name', 'third')

    @gin.configurable('probe')
    def probe(num_iterations, seeds=(0,), table=None):
      return num_iterations, seeds, table

    def operative(num_iterations, last):
      gin.clear_config()
      gin.bind_parameter('probe.num_iterations', num_iterations)
      gin.bind_parameter('probe.table', dict.fromkeys(names, 1.5) | {'z': last})
      probe()
      return gin.operative_config_str()

    self.addCleanup(gin.clear_config)
    may_differ = ('probe.num_iterations',)
    self.file.unlink()
    self.folder.check_config(operative(1, 2), may_differ)
    self.folder.check_config(operative(9, 2), may_differ)
    with self.assertRaisesRegex(UserError, "^probe.table was .*'z': 2.*'z': 3"):
      self.folder.check_config(operative(9, 3), may_differ)


class StatusTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.path = _temporary_folder(self)

  def _start(self, seeds=(0, 1)):
    folder = self.enter_context(run_folder.RunFolder(self.path))
    folder.start(seeds=seeds, device='cpu: a machine')
    return folder

  def test_no_run(self):
    self.assertIsNone(run_folder.RunFolder.read_status(self.path))

  def test_running(self):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    self._start(seeds=np.arange(3))
    record = json.loads((self.path / 'run.json').read_text())
    self.assertEqual(record, run_folder.RunFolder.read_status(self.path))
    self.assertEqual(record['status'], 'running')
    self.assertEqual(record['seeds'], [0, 1, 2])
    self.assertEqual(record['device'], 'cpu: a machine')
    self.assertEqual(record['times_resumed'], 0)
    self.assertIsNone(record['ended'])
    self.assertEqual(record['versions']['jax'], jax.__version__)
    self.assertEqual(record['versions']['numpy'], np.__version__)
    self.assertEqual(record['versions']['python'], sys.version.split()[0])
    started = datetime.datetime.fromisoformat(record['started'])
    self.assertEqual(started.utcoffset(), datetime.timedelta(0))
    self.assertBetween(started, before, datetime.datetime.now(datetime.UTC))

  def test_finished_and_extended(self):
    folder = self._start()
    folder.finish('finished', stopped_seeds={3: 'iteration 57: loss is nan'})
    first = run_folder.RunFolder.read_status(self.path)
    self.assertEqual(first['status'], 'finished')
    self.assertEqual(
        first['stopped_seeds'], {'3': 'iteration 57: loss is nan'}
    )
    self.assertGreaterEqual(first['ended'], first['started'])
    folder.start(seeds=[0, 1], device='cpu')
    again = run_folder.RunFolder.read_status(self.path)
    self.assertEqual(again['status'], 'running')
    self.assertEqual(again['times_resumed'], 1)
    self.assertEqual(again['started'], first['started'])
    self.assertIsNone(again['ended'])

  def test_failed(self):
    self._start().finish('failed', reason='no space')
    record = run_folder.RunFolder.read_status(self.path)
    self.assertEqual((record['status'], record['reason']),
                     ('failed', 'no space'))

  def test_failed_wants_a_reason(self):
    with self.assertRaises(ValueError):
      self._start().finish('failed')

  def test_damaged(self):
    for content in ('{"status": "runn', '[]', '{}', '\xff'):
      (self.path / 'run.json').write_text(content, encoding='latin-1')
      with self.assertRaisesRegex(UserError, 'run.json .*remove it'):
        run_folder.RunFolder.read_status(self.path)
      with self.assertRaisesRegex(UserError, 'run.json .*remove it'):
        run_folder.RunFolder(self.path).start([0], 'cpu')

  def test_full_disk_leaves_the_old_files(self):
    process = _spawn(_FULL_DISK, str(self.path))
    out, error = process.communicate()
    self.assertEqual(error, '')
    lines = out.splitlines()
    self.assertLen(lines, 2)
    for line, name in zip(lines, ('config.gin', 'run.json'), strict=True):
      self.assertEqual(
          line, f'{self.path / name} could not be written: File too large; '
          'free space and start the same command again: it goes on from the '
          'last checkpoint'
      )
    self.assertEqual(
        (self.path / 'config.gin').read_text(), 'A.n = 1\nA.b = 2\n'
    )
    record = run_folder.RunFolder.read_status(self.path)
    self.assertEqual(record['status'], 'running')
    self.assertCountEqual(
        os.listdir(self.path), ['.lock', 'config.gin', 'run.json']
    )


if __name__ == '__main__':
  absltest.main()
