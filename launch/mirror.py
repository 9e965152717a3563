"""Runs a command in a local folder that is kept as a remote one.

  python -m launch.mirror --remote=gs://bucket/sweep/run --local=DIR \\
      -- python -m implicit_underparam.train --base_dir=DIR ...

The folder is brought from the remote first, if there is one there. While the
command runs, and when it has ended, what is new is copied back, in an order
that leaves a folder that can be gone on with whatever is killed when.
"""

import contextlib
import fcntl
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from absl import app, flags

from launch import mirror_folder, mirror_restore, processes
from launch.errors import SweepError
from launch.mirror_lease import Lease
from launch.mirror_snapshot import OWN

FLAGS = flags.FLAGS

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
# Seconds between tries to copy the end of a run.
_LAST_TRIES = (1, 2, 4, 8, 16, 32, 0)


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('remote', None, 'URL of the folder, say gs://bucket/x.')
  flags.DEFINE_string('local', None, 'Folder that the command works in.')
  flags.DEFINE_float(
      'every',
      60.0,
      'Seconds between copies; 0 to copy only when the command has ended.',
      lower_bound=0.0,
  )
  flags.DEFINE_float(
      'heartbeat',
      10.0,
      'Seconds between signs of life; after six without one, another may take '
      'over.',
      lower_bound=0.01,
  )
  flags.DEFINE_multi_string(
      'needs',
      [],
      'URL=DIR: a folder that the command reads, brought before it starts; '
      'repeat for several.',
  )


def run(
    remote: str,
    local: pathlib.Path,
    command: Sequence[str],
    every: float = 60.0,
    heartbeat: float = 10.0,
    needs: Sequence[tuple[str, pathlib.Path]] = (),
) -> int:
  """Runs a command, mirrored.

  Args:
    remote: URL of the folder.
    local: the folder here; made.
    command: its words.
    every: seconds between copies; 0 for one at the end.
    heartbeat: seconds between signs of life.
    needs: (URL, folder) of what the command reads.

  Returns:
    The command's exit code; 128 + n if signal n ended it.

  Raises:
    SweepError: the remote folder cannot be used, another mirror has it, or
      the end of the run could not be copied.
  """
  with _held(local):
    lease = Lease(remote, heartbeat)
    lease.take()
    try:
      copy = mirror_folder.Copy(remote, local, lease.check)
      copy.restore()
      for url, folder in needs:
        with _held(folder, wait=True):
          mirror_restore.fetch(url, folder)
      return _Process(command, copy, lease, every).run()
    finally:
      lease.release()


class _Process:
  """The command, and the copies made while it runs."""

  def __init__(
      self,
      command: Sequence[str],
      copy: mirror_folder.Copy,
      lease: Lease,
      every: float,
  ):
    self._command = command
    self._copy = copy
    self._lease = lease
    self._every = every
    self._is_lost = False
    self._has_failed = False

  def run(self) -> int:
    process = _start(self._command)

    def stop() -> None:
      self._is_lost = True
      process.kill()

    try:
      for number in _PASSED_ON:
        signal.signal(number, lambda n, _: process.send_signal(n))
      self._lease.keep(stop)
      code = self._wait(process)
    except BaseException:
      process.kill()
      process.wait()
      raise
    if self._is_lost:
      raise SweepError(
          'another mirror took the remote folder over while this one was not '
          'heard of: the command was stopped, and goes on there'
      )
    self._copy_the_end()
    return 128 - code if code < 0 else code

  def _wait(self, process: subprocess.Popen) -> int:
    while True:
      try:
        return process.wait(self._every or None)
      except subprocess.TimeoutExpired:
        self._copy_now()

  def _copy_now(self) -> None:
    """Copies; what fails is tried again next time."""
    try:
      self._copy.update()
      self._has_failed = False
    except (SweepError, OSError) as error:
      if self._is_lost:
        return
      if not self._has_failed:
        _say(f'{error}; tried again every {self._every:g} s')
      self._has_failed = True

  def _copy_the_end(self) -> None:
    for pause in _LAST_TRIES:
      try:
        self._copy.update()
        return
      except (SweepError, OSError) as error:
        if not pause:
          raise SweepError(
              f'the end of the run could not be copied ({error}): start the '
              'same command again, here if possible'
          ) from error
        _say(f'{error}; tried again in {pause} s')
      time.sleep(pause)


def _say(text: str) -> None:
  print(f'mirror: {text}', file=sys.stderr, flush=True)


def _start(command: Sequence[str]) -> subprocess.Popen:
  """Starts a command that does not outlive this process.

  In a session of its own, as a terminal's interrupt is passed on to it, and
  would otherwise come twice.
  """
  try:
    return subprocess.Popen(
        list(command),
        preexec_fn=processes.dying_with_parent(),
        start_new_session=True,
    )
  except OSError as error:
    raise SweepError(
        f'{command[0]} cannot be started: {error.strerror}'
    ) from error


@contextlib.contextmanager
def _held(folder: pathlib.Path, wait: bool = False) -> Iterator[None]:
  """Holds a local folder against other mirrors, and against a run's end."""
  try:
    (folder / OWN).mkdir(parents=True, exist_ok=True)
    with open(folder / OWN / 'lock', 'a', encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
      _check_no_run(folder)
      yield
  except BlockingIOError as error:
    raise SweepError(
        f'--local={folder} is in use by another mirror: wait, or name another'
    ) from error
  except OSError as error:
    raise SweepError(
        f'{error.filename or folder} cannot be used: {error.strerror}'
    ) from error


def _check_no_run(folder: pathlib.Path, patience: float = 5.0) -> None:
  """Waits for the run of a mirror that was killed: it dies after it."""
  if not (folder / '.lock').exists():
    return
  end = time.monotonic() + patience
  with open(folder / '.lock', 'a', encoding='utf-8') as file:
    while True:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
      except BlockingIOError as error:
        if time.monotonic() > end:
          raise SweepError(
              f'--local={folder} is in use by a run: wait, or name another'
          ) from error
      time.sleep(0.05)


def _parse_needs(texts: Sequence[str]) -> list[tuple[str, pathlib.Path]]:
  found = []
  for text in texts:
    url, _, folder = text.rpartition('=')
    if not url or not folder:
      raise SweepError(f'--needs={text}: write URL=DIR')
    found.append((url, pathlib.Path(folder)))
  return found


def _check_flags(command: Sequence[str]) -> None:
  if not FLAGS.remote or '://' not in FLAGS.remote:
    raise SweepError(
        f'--remote={FLAGS.remote or ""}: name a URL, such as gs://bucket/run'
    )
  if not FLAGS.local or '://' in FLAGS.local:
    raise SweepError(
        f'--local={FLAGS.local or ""}: name a folder of this machine'
    )
  if not command:
    raise SweepError('there is no command: write it after --')


def main(argv: Sequence[str]) -> None:
  """Runs the command, and ends as it ended."""
  # Stopped before the command is there: the lease is given back.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  try:
    _check_flags(argv[1:])
    sys.exit(
        run(
            FLAGS.remote,
            pathlib.Path(FLAGS.local),
            argv[1:],
            FLAGS.every,
            FLAGS.heartbeat,
            _parse_needs(FLAGS.needs),
        )
    )
  except SweepError as error:
    sys.exit(f'error: {error}')
  except KeyboardInterrupt:
    sys.exit(130)


if __name__ == '__main__':
  define_flags()
  app.run(main)
