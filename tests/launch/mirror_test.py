"""A run that is mirrored can be killed at any moment and go on elsewhere."""

import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import fake_run
from absl.testing import absltest, parameterized

from launch import (
    mirror,
    mirror_folder,
    mirror_restore,
    mirror_snapshot,
    storage,
)
from launch.errors import SweepError
from launch.mirror_lease import Lease

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What looks at the folder, of `mirror_snapshot`.
_LOOKS = ('complete_checkpoints', '_read', '_stage', '_link', '_names')
_CHANGES = ('pipe_file', 'mv', 'rm_file', 'rm', 'makedirs')


class Killed(BaseException):
  """Nothing but a kill ends a block in this way."""


class FailingFiles:
  """A file system, and the moment at which its user is killed.

  Args:
    files: that does the work.
    kill_at: the change, counted from 0, that is half done.
    meanwhile: called with each change.
  """

  def __init__(
      self,
      files: Any,
      kill_at: int | None,
      meanwhile: Callable[[], None],
  ):
    self._files = files
    self._kill_at = kill_at
    self._meanwhile = meanwhile
    self.changes = 0

  def __getattr__(self, name: str) -> Any:
    if name in _CHANGES:
      return lambda *args, **kwargs: self._change(name, *args, **kwargs)
    return getattr(self._files, name)

  def put(self, sources: list[str], targets: list[str]) -> None:
    for source, target in zip(sources, targets, strict=True):
      self._change('pipe_file', target, pathlib.Path(source).read_bytes())

  def _change(self, name: str, *args: Any, **kwargs: Any) -> Any:
    self._meanwhile()
    self.changes += 1
    if self.changes - 1 == self._kill_at:
      if name == 'pipe_file':
        self._files.pipe_file(args[0], args[1][:len(args[1]) // 2])
      raise Killed
    return getattr(self._files, name)(*args, **kwargs)


@contextlib.contextmanager
def failing(
    kill_at: int | None, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[list[FailingFiles]]:
  opened: list[FailingFiles] = []
  real = storage.filesystem

  def filesystem(url: str) -> tuple[Any, str]:
    files, root = real(url)
    opened.append(FailingFiles(files, kill_at, meanwhile))
    return opened[-1], root

  with mock.patch.object(storage, 'filesystem', filesystem):
    yield opened


class SnapshotTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def take(self, start: int, look: int, steps: int, target: str) -> bool:
    """Takes a snapshot; at one of the looks at the folder the run goes on.

    Returns:
      Whether there were as many looks.
    """
    local = self.folder / f'from_{target}'
    run = fake_run.FakeRun(local).steps()
    for _ in itertools.islice(run, start):
      pass
    looks = 0

    def meanwhile() -> None:
      nonlocal looks
      if looks == look:
        for _ in itertools.islice(run, steps):
          pass
      looks += 1

    with contextlib.ExitStack() as stack:
      for name in _LOOKS:
        stack.enter_context(before(name, meanwhile))
      snapshot = mirror_snapshot.take(local, ())
    self.lay_out(snapshot, self.folder / f'to_{target}')
    return looks > look

  def lay_out(
      self, snapshot: mirror_snapshot.Snapshot, folder: pathlib.Path
  ) -> None:
    files = snapshot.files | snapshot.growing | snapshot.staged
    for name, entry in files.items():
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(entry.source, folder / name)
    for number in snapshot.checkpoints:
      for name in ('leaves.json', 'array/d/data'):
        self.assertIn(f'checkpoints/{number}/{name}', snapshot.staged)
    if snapshot.metrics is not None:
      (folder / 'metrics.csv').write_bytes(snapshot.metrics)

  def step_with_three_checkpoints(self) -> int:
    folder = self.folder / 'counted'
    for i, _ in enumerate(fake_run.FakeRun(folder).steps(), 1):
      if len(mirror_snapshot.complete_checkpoints(folder)) == 3:
        return i
    raise AssertionError('no step has three')

  def test_whatever_happens_meanwhile_it_can_be_gone_on_with(self):
    # Before the first checkpoint, and before one of three is removed.
    starts = (8, self.step_with_three_checkpoints())
    for start, steps in itertools.product(starts, (3, 45)):
      for look in range(100):
        name = f'{start}_{steps}_{look}'
        if not self.take(start, look, steps, name):
          break
        with self.subTest(name):
          run = fake_run.FakeRun(self.folder / f'to_{name}').steps()
          for _ in itertools.islice(run, 6):
            pass
      self.assertGreater(look, 3)


def before(name: str, meanwhile: Callable[[], None]) -> Any:
  """Has something happen whenever a snapshot looks at the folder."""
  real = getattr(mirror_snapshot, name)

  def call(*args: Any) -> Any:
    meanwhile()
    return real(*args)

  return mock.patch.object(mirror_snapshot, name, call)


class CopyTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.url = f'file://{self.folder}/remote'
    self.expected = fake_run.undisturbed(self.folder / 'undisturbed')
    self.places = itertools.count()

  def elsewhere(self) -> pathlib.Path:
    return self.folder / f'local_{next(self.places)}'

  def copy(self, local: pathlib.Path) -> mirror_folder.Copy:
    return mirror_folder.Copy(self.url, local, lambda: None)

  def finish_elsewhere(self) -> pathlib.Path:
    """Goes on with what the remote folder holds; fails if that cannot be."""
    local = self.elsewhere()
    self.copy(local).restore()
    for _ in fake_run.FakeRun(local).steps():
      pass
    return local

  def assert_as_undisturbed(self, folder: pathlib.Path) -> None:
    self.assertEqual(fake_run.results(folder), self.expected)

  def changes_of_an_update(self, steps: int, more: int) -> int:
    """Of the second update, which has checkpoints to add and to remove."""
    self.url = f'file://{self.folder}/counted'
    with failing(None) as opened:
      copy = self.update_once(steps)
      self.advance(more)
      before = opened[0].changes
      copy.update()
    return opened[0].changes - before

  def update_once(self, steps: int) -> mirror_folder.Copy:
    local = self.elsewhere()
    copy = self.copy(local)
    copy.restore()
    self.run = fake_run.FakeRun(local).steps()
    self.advance(steps)
    copy.update()
    return copy

  def advance(self, steps: int) -> None:
    for _ in itertools.islice(self.run, steps):
      pass

  def test_every_change_of_an_update_may_be_the_last(self):
    # Across the first checkpoint, and across later ones and the end of a log.
    for steps, more in ((5, 45), (75, 50)):
      number = self.changes_of_an_update(steps, more)
      self.assertGreater(number, 6)
      for k in range(number):
        with self.subTest(steps=steps, change=k):
          self.url = f'file://{self.folder}/killed_{steps}_{k}'
          with failing(None) as opened:
            copy = self.update_once(steps)
            self.advance(more)
            opened[0]._kill_at = opened[0].changes + k
            with self.assertRaises(Killed):
              copy.update()
          self.assert_as_undisturbed(self.finish_elsewhere())

  def test_kills_and_a_run_that_goes_on_meanwhile(self):
    for seed in range(8):
      chance = random.Random(seed)
      self.url = f'file://{self.folder}/chance_{seed}'
      state, is_killed = {}, True
      while is_killed or state.get('status') != 'finished':
        local = self.elsewhere()
        self.run = fake_run.FakeRun(local).steps()
        try:
          with failing(
              chance.randrange(150),
              lambda x=chance: self.advance(x.choice((0, 0, 0, 1, 7, 60))),
          ):
            copy = self.copy(local)
            copy.restore()
            for _ in range(chance.randrange(8)):
              self.advance(chance.randrange(60))
              copy.update()
            is_killed = False
        except Killed:
          is_killed = True
        state = storage.read_json(storage.join(self.url, 'run.json'))
      self.assert_as_undisturbed(self.finish_elsewhere())

  def test_what_is_finished_is_all_there(self):
    local = self.elsewhere()
    copy = self.copy(local)
    copy.restore()
    for _ in fake_run.FakeRun(local).steps():
      pass
    with failing(None) as opened:
      copy = self.copy(local)
      copy.restore()
      number = opened[0].changes
      copy.update()
      number = opened[0].changes - number
    for k in range(number):
      self.url = f'file://{self.folder}/finished_{k}'
      with contextlib.suppress(Killed), failing(k):
        copy = self.copy(local)
        copy.restore()
        copy.update()
      if storage.read_json(storage.join(self.url, 'run.json')):
        fetched = self.elsewhere()
        mirror_restore.fetch(self.url, fetched)
        self.assert_as_undisturbed(fetched)

  def test_the_folder_itself_is_that_of_the_run(self):
    local = self.elsewhere()
    copy = self.copy(local)
    copy.restore()
    for _ in fake_run.FakeRun(local).steps():
      copy.update()
    copy.update()
    remote = self.folder / 'remote'
    names = self.names(local)
    found = {
        x.relative_to(remote).as_posix()
        for x in remote.rglob('*')
        if x.is_file() and not x.is_relative_to(remote / '.pieces')
    }
    self.assertEqual(found, {*names - self.growing(names), '.mirror.json'})
    self.assertEqual(
        sorted(os.listdir(remote / 'checkpoints')), ['35', '40']
    )
    self.assertEqual(
        (remote / 'metrics.csv').read_bytes(), self.expected['metrics.csv']
    )

  def names(self, folder: pathlib.Path) -> set[str]:
    return {
        x.relative_to(folder).as_posix()
        for x in folder.rglob('*')
        if x.is_file() and '.mirror' not in x.parts
    }

  def growing(self, names: set[str]) -> set[str]:
    return {x for x in names if x.endswith('.gz.tmp')}

  def test_only_what_is_new_is_copied(self):
    copy = self.update_once(100)
    with failing(None) as opened:
      copy = self.copy(self.folder / 'local_0')
      copy.restore()
      copy.update()
      before = opened[0].changes
      copy.update()
      self.assertEqual(opened[0].changes, before)

  def test_a_folder_made_by_hand_is_gone_on_with(self):
    run = fake_run.FakeRun(self.folder / 'remote').steps()
    for _ in itertools.islice(run, 100):
      pass
    local = self.finish_elsewhere()
    self.assert_as_undisturbed(local)
    self.assertIn(
        '"from": ', (self.folder / 'remote' / 'run.json').read_text()
    )

  def test_the_folder_that_was_copied_last_is_not_taken_back(self):
    self.update_once(60)
    self.advance(60)
    local = self.folder / 'local_0'
    rows = (local / 'metrics.csv').read_bytes()
    self.copy(local).restore()
    self.assertEqual((local / 'metrics.csv').read_bytes(), rows)

  def test_the_remote_folder_wins_over_an_older_one(self):
    self.update_once(60)
    other = self.elsewhere()
    copy = self.copy(other)
    copy.restore()
    self.run = fake_run.FakeRun(other).steps()
    self.advance(40)
    copy.update()
    first = self.folder / 'local_0'
    for _ in itertools.islice(fake_run.FakeRun(first).steps(), 90):
      pass
    self.assertGreater(*(
        int(mirror_snapshot.complete_checkpoints(x)[-1]) for x in (first, other)
    ))
    self.copy(first).restore()
    self.assertEqual(self.names(first), self.names(other))
    self.assertEqual(
        (first / 'metrics.csv').read_bytes(),
        (other / 'metrics.csv').read_bytes(),
    )

  def test_a_file_that_grew_otherwise_is_copied_anew(self):
    self.update_once(60)
    other = self.elsewhere()
    copy = self.copy(other)
    copy.restore()
    path = max(other.rglob('*.gz.tmp'))
    number = mirror_snapshot.complete_checkpoints(other)[-1]
    shutil.copytree(
        other / 'checkpoints' / number, other / 'checkpoints' / '1000'
    )
    path.write_bytes(os.urandom(path.stat().st_size + 10))
    copy.update()
    third = self.elsewhere()
    self.copy(third).restore()
    self.assertEqual(
        (third / path.relative_to(other)).read_bytes(), path.read_bytes()
    )

  def test_a_kill_while_it_is_brought_does_no_harm(self):
    self.update_once(100)
    local = self.elsewhere()
    with (
        mock.patch.object(mirror_restore, '_join', side_effect=Killed),
        self.assertRaises(Killed),
    ):
      self.copy(local).restore()
    self.assertNotEmpty(self.names(local))
    self.copy(local).restore()
    for _ in fake_run.FakeRun(local).steps():
      pass
    self.assert_as_undisturbed(local)

  def test_a_folder_that_was_only_read_can_be_worked_in_later(self):
    self.update_once(60)
    local = self.elsewhere()
    mirror_restore.fetch(self.url, local)
    rows = (local / 'metrics.csv').read_bytes()
    self.assertEqual(rows, (self.folder / 'remote/metrics.csv').read_bytes())
    self.copy(local).restore()
    for _ in fake_run.FakeRun(local).steps():
      pass
    self.assert_as_undisturbed(local)

  def test_what_is_of_something_else_is_not_removed(self):
    self.update_once(60)
    local = self.elsewhere()
    local.mkdir()
    (local / 'thesis.tex').write_text('long')
    with self.assertRaisesRegex(SweepError, 'is not empty, and not a copy of'):
      self.copy(local).restore()
    self.assertTrue((local / 'thesis.tex').exists())

  @parameterized.parameters(
      ('checkpoints/*/array/d/data', 'is not the file of 4000 bytes'),
      ('.mirror.json', 'is damaged'),
      ('.pieces/replay/*/*/*/*/*/*', 'is not the file of'),
  )
  def test_a_damaged_folder_is_one_clear_line(self, pattern, message):
    self.update_once(100)
    path = sorted((self.folder / 'remote').glob(pattern))[0]
    path.write_bytes(path.read_bytes()[:-3])
    with self.assertRaisesRegex(SweepError, message):
      self.copy(self.elsewhere()).restore()

  def test_a_missing_file_is_one_clear_line(self):
    self.update_once(100)
    (self.folder / 'remote' / 'config.gin').unlink()
    with self.assertRaisesRegex(SweepError, 'lacks a file'):
      self.copy(self.elsewhere()).restore()


class LeaseTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.url = f'file://{self.create_tempdir().full_path}/remote'

  def test_a_second_holder_is_refused_and_told_of_the_first(self):
    first = Lease(self.url, 0.3)
    first.take()
    first.keep(self.fail)
    self.addCleanup(first.release)
    with self.assertRaisesRegex(
        SweepError, rf'in use by process {os.getpid()} on .* after 2 s without'
    ):
      Lease(self.url, 0.3).take()

  def test_a_dead_holder_s_place_is_taken_and_it_is_told_if_it_wakes(self):
    first = Lease(self.url, 0.02)
    first.take()
    second = Lease(self.url, 0.02)
    second.take()
    with self.assertRaisesRegex(SweepError, 'was taken over by process'):
      first.check()
    lost = threading.Event()
    first.keep(lost.set)
    self.assertTrue(lost.wait(10))
    first.release()
    second.check()

  def test_a_lease_that_was_given_back_is_free_at_once(self):
    first = Lease(self.url, 1000.0)
    with mock.patch.object(time, 'sleep'):
      first.take()
      first.release()
      Lease(self.url, 1000.0).take()

  def test_of_two_at_the_same_time_the_later_has_it(self):
    first, second = Lease(self.url, 0.1), Lease(self.url, 0.1)
    with mock.patch.object(
        time, 'sleep', side_effect=lambda _: second._beat()
    ), self.assertRaisesRegex(SweepError, 'was taken over'):
      first.take()
    second.check()


class MirrorTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.remote = self.folder / 'remote'

  def words(
      self, local: pathlib.Path, command: list[str], *options: str
  ) -> list[str]:
    return [
        sys.executable, '-m', 'launch.mirror', f'--remote=file://{self.remote}',
        f'--local={local}', '--every=0.02', '--heartbeat=0.05', *options, '--',
        *command,
    ]  # fmt: skip

  def start(self, *args: Any, **kwargs: Any) -> subprocess.Popen:
    return subprocess.Popen(
        self.words(*args, **kwargs), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

  def fake(self, local: pathlib.Path) -> list[str]:
    script = pathlib.Path(__file__).with_name('fake_run.py')
    return [sys.executable, str(script), str(local), '0.008']

  def test_killed_at_random_moments_it_ends_as_if_undisturbed(self):
    chance = random.Random(0)
    kills = 0
    for i in range(5):
      local = self.folder / f'machine_{i}'
      process = self.start(local, self.fake(local))
      while i < 4 and process.poll() is None:
        if (local / 'metrics.csv').exists():
          time.sleep(chance.uniform(0.0, 0.4))
          process.kill()
          break
        time.sleep(0.005)
      output = process.communicate()
      kills += process.returncode == -signal.SIGKILL
    self.assertEqual(process.returncode, 0, output)
    self.assertGreater(kills, 1)
    expected = fake_run.undisturbed(self.folder / 'undisturbed')
    self.assertEqual(fake_run.results(local), expected)
    self.assertEqual(
        (self.remote / 'metrics.csv').read_bytes(), expected['metrics.csv']
    )
    status = json.loads((self.remote / 'run.json').read_text())
    self.assertEqual(status, {'status': 'finished'})

  def test_signals_are_passed_on_and_a_kill_takes_the_command_along(self):
    local = self.folder / 'local'
    program = (
        'import pathlib, signal, sys, time\n'
        'def stop(*_):\n'
        '  pathlib.Path("run.json").write_text("{}")\n'
        '  sys.exit(7)\n'
        'signal.signal(signal.SIGTERM, stop)\n'
        'print("ready", flush=True)\n'
        'time.sleep(20)\n'
        'print("alive")\n'
    )
    command = [
        sys.executable, '-c', f'import os\nos.chdir({str(local)!r})\n{program}'
    ]
    process = self.start(local, command)
    process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=30)
    self.assertEqual(process.returncode, 7, errors)
    self.assertEqual((self.remote / 'run.json').read_text(), '{}')
    self.assertFalse((self.remote / '.lease.json').exists())
    process = self.start(local, command)
    process.stdout.readline()
    process.kill()
    # The output ends when the last process that can write there does.
    self.assertEqual(process.communicate()[0], '')

  def run_here(self, *command: str, **options: Any) -> int:
    handlers = [(x, signal.getsignal(x)) for x in mirror._PASSED_ON]
    try:
      return mirror.run(
          f'file://{self.remote}', self.folder / 'local', command,
          heartbeat=0.02, **options,
      )  # fmt: skip
    finally:
      for number, handler in handlers:
        signal.signal(number, handler)

  def test_what_it_needs_is_brought_first(self):
    (self.folder / 'other' / 'replay').mkdir(parents=True)
    (self.folder / 'other' / 'replay' / 'x.gz').write_text('frames')
    local = self.folder / 'data'
    url = f'file://{self.folder}/other/replay'
    code = self.run_here(
        'grep', '-q', 'frames', f'{local}/x.gz', needs=[(url, local)]
    )
    self.assertEqual(code, 0)
    with self.assertRaisesRegex(SweepError, f'{url}s is empty'):
      self.run_here('true', needs=[(f'{url}s', local)])

  def test_the_command_s_end_is_its_own(self):
    self.assertEqual(self.run_here('false'), 1)
    self.assertEqual(self.run_here('sh', '-c', 'kill -9 $$'), 128 + 9)
    with self.assertRaisesRegex(SweepError, 'no-such-command cannot be start'):
      self.run_here('no-such-command')

  def test_a_service_that_fails_for_a_while_is_tried_again(self):
    answers = [SweepError('unreachable'), SweepError('unreachable'), None]
    with (
        mock.patch.object(mirror_folder.Copy, 'update', side_effect=answers),
        mock.patch.object(mirror, '_LAST_TRIES', (0.01, 0.01, 0)),
    ):
      self.assertEqual(self.run_here('true'), 0)
    with (
        mock.patch.object(
            mirror_folder.Copy, 'update', side_effect=SweepError('gone')
        ),
        mock.patch.object(mirror, '_LAST_TRIES', (0.01, 0)),
        self.assertRaisesRegex(SweepError, r'could not be copied \(gone\)'),
    ):
      self.run_here('true')

  def test_two_in_one_local_folder_are_refused(self):
    with (
        mirror._held(self.folder / 'local'),
        self.assertRaisesRegex(SweepError, 'in use by another mirror'),
    ):
      self.run_here('true')

  @parameterized.parameters(
      (['--remote=/tmp/x', '--local=y', '--', 'true'], '--remote=/tmp/x: name'),
      (['--remote=file:///x', '--', 'true'], '--local=: name a folder'),
      (['--remote=file:///x', '--local=y'], 'there is no command'),
      (
          ['--remote=file:///x', '--local=y', '--needs=z', '--', 'true'],
          '--needs=z: write URL=DIR',
      ),
  )
  def test_bad_flags_are_one_line(self, words, message):
    result = subprocess.run(
        [sys.executable, '-m', 'launch.mirror', *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    self.assertEqual(result.returncode, 1)
    self.assertStartsWith(result.stderr, f'error: {message}')
    self.assertEqual(result.stderr.count('\n'), 1)


if __name__ == '__main__':
  absltest.main()
