"""Writes a folder as a run does, and is as strict as a run when it goes on.

  python fake_run.py FOLDER SECONDS_PER_STEP
"""

import hashlib
import json
import os
import pathlib
import sys
import time
import zlib
from collections.abc import Iterator

ITERATIONS = 40
CHECKPOINT_EVERY = 5
RING = 7  # Iterations that one file of the replay log takes.
_KEEP = 2
_HEADER = 'seed,iteration,gradient_steps,environment_steps,loss\n'


class CannotGoOn(Exception):
  pass


class FakeRun:
  """`steps` does a run, and yields wherever it may be killed."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._checkpoints = folder / 'checkpoints'
    self._logs = folder / 'replay' / 'ALE' / 'Pong' / '0' / 'replay_logs'
    self._metrics = folder / 'metrics.csv'

  def steps(self) -> Iterator[None]:
    self._folder.mkdir(parents=True, exist_ok=True)
    start, state, log = self._restore()
    if not start and not (self._folder / 'config.gin').exists():
      self._put('config.gin', 'x = 1\n')
    yield
    self._put('run.json', json.dumps({'status': 'running', 'from': start}))
    yield
    self._cut(start)
    yield
    self._take_back(log)
    for iteration in range(start, ITERATIONS):
      state = _digest(f'{state}{iteration}')
      yield from self._log(iteration, state)
      with open(self._metrics, 'ab', buffering=0) as file:
        if not file.tell():
          file.write(_HEADER.encode())
        file.write(f'0,{iteration},{iteration},0,{state}\n'.encode())
      yield
      if (iteration + 1) % CHECKPOINT_EVERY == 0:
        yield from self._save(iteration + 1, state)
    (self._folder / 'summary.png').write_bytes(os.urandom(50))
    yield
    self._put('run.json', json.dumps({'status': 'finished'}))

  def _put(self, name: str, text: str) -> None:
    temporary = self._folder / f'.{name}.tmp'
    temporary.write_text(text)
    os.replace(temporary, self._folder / name)

  def _names(self) -> list[int]:
    if not self._checkpoints.is_dir():
      return []
    return sorted(
        int(x.name) for x in self._checkpoints.iterdir() if x.name.isdecimal()
    )

  def _restore(self) -> tuple[int, str, dict]:
    if not self._names():
      return 0, 'start', {'number': 0, 'size': 0, 'sizes': []}
    if not (self._folder / 'config.gin').exists():
      raise CannotGoOn('config.gin is missing')
    newest = self._checkpoints / str(self._names()[-1])
    table = json.loads((newest / 'leaves.json').read_text())
    data = (newest / 'array' / 'd' / 'data').read_bytes()
    if zlib.crc32(data) != table['crc']:
      raise CannotGoOn(f'{newest} is damaged')
    return int(newest.name), data[:8].decode(), table['log']

  def _save(self, done: int, state: str) -> Iterator[None]:
    partial = self._checkpoints / f'.partial-{done}'
    (partial / 'array' / 'd').mkdir(parents=True, exist_ok=True)
    data = state.encode() * 500
    table = {'crc': zlib.crc32(data), 'log': self._suspend()}
    (partial / 'leaves.json').write_text(json.dumps(table))
    yield
    (partial / 'array' / 'd' / 'data').write_bytes(data)
    yield
    os.rename(partial, self._checkpoints / str(done))
    yield
    for old in self._names()[:-_KEEP]:
      removed = self._checkpoints / f'.removed-{old}'
      os.rename(self._checkpoints / str(old), removed)
      yield
      for path in sorted(removed.rglob('*'), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
        yield
      removed.rmdir()

  def _cut(self, start: int) -> None:
    """As `writers._prepare` does."""
    if not self._metrics.exists():
      if start:
        raise CannotGoOn('metrics.csv is missing')
      return
    lines = self._metrics.read_bytes().splitlines(keepends=True)
    rows = [x for x in lines[1:] if x.endswith(b'\n')]
    iterations = [int(x.split(b',')[1]) for x in rows]
    if iterations != list(range(len(iterations))):
      raise CannotGoOn(f'rows {iterations}')
    if len(rows) < start:
      raise CannotGoOn(f'{len(rows)} rows, but a checkpoint of {start}')
    if not start and len(rows) > CHECKPOINT_EVERY:
      raise CannotGoOn(f'{len(rows)} rows, but no checkpoint')
    kept = sum(map(len, [*lines[:1], *rows[:start]])) if start else 0
    os.truncate(self._metrics, kept)

  def _growing(self, number: int) -> pathlib.Path:
    return self._logs / f'.$store$_action_ckpt.{number}.gz.tmp'

  def _complete(self, number: int) -> pathlib.Path:
    return self._logs / f'$store$_action_ckpt.{number}.gz'

  def _log(self, iteration: int, state: str) -> Iterator[None]:
    with open(self._growing(iteration // RING), 'ab', buffering=0) as file:
      file.write(state.encode() * 100)
    yield
    if (iteration + 1) % RING == 0:
      number = iteration // RING
      os.replace(self._growing(number), self._complete(number))
      yield

  def _suspend(self) -> dict:
    sizes = []
    while self._complete(len(sizes)).exists():
      sizes.append(self._complete(len(sizes)).stat().st_size)
    path = self._growing(len(sizes))
    size = path.stat().st_size if path.exists() else 0
    return {'number': len(sizes), 'size': size, 'sizes': sizes}

  def _take_back(self, log: dict) -> None:
    """As `replay_log_folder.take_back` does."""
    self._logs.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(log['sizes']):
      if self._complete(number).stat().st_size != size:
        raise CannotGoOn(f'{self._complete(number)} is altered')
    growing = self._growing(log['number'])
    if log['size']:
      if not growing.exists():
        os.replace(self._complete(log['number']), growing)
      if growing.stat().st_size < log['size']:
        raise CannotGoOn(f'{growing} is too short')
      os.truncate(growing, log['size'])
    kept = {self._complete(x).name for x in range(log['number'])}
    for path in self._logs.iterdir():
      if path.name not in kept and not (log['size'] and path == growing):
        path.unlink()


def _digest(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def undisturbed(folder: pathlib.Path) -> dict[str, bytes]:
  """What a run that nobody kills leaves."""
  for _ in FakeRun(folder).steps():
    pass
  return results(folder)


def results(folder: pathlib.Path) -> dict[str, bytes]:
  """The files of a folder that have to be the same for every run."""
  found = [folder / 'metrics.csv', *folder.rglob('*_ckpt.*.gz*')]
  return {
      x.relative_to(folder).as_posix(): x.read_bytes()
      for x in found
  }


if __name__ == '__main__':
  for _ in FakeRun(pathlib.Path(sys.argv[1])).steps():
    time.sleep(float(sys.argv[2]))
