"""Behaves as a run does, quickly: it can be killed at any moment.

  python fault_command.py FOLDER SECONDS_PER_ROW
"""

import fcntl
import hashlib
import json
import os
import pathlib
import sys
import time

ROWS = 40
CHECKPOINT_EVERY = 5


def run(folder: pathlib.Path, pause: float) -> None:
  """Goes on from the last checkpoint to the end."""
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'a') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _append(folder / 'met_another.txt', str(os.getpid()))
      sys.exit(f'error: {folder} is in use')
    if folder.name == 'bad':
      sys.exit('error: no such binding')
    _go_on(folder, pause)


def _go_on(folder: pathlib.Path, pause: float) -> None:
  state = _restore(folder)
  _append(folder / 'starts.txt', str(state['row']))
  _replace(folder / 'run.json', {'status': 'running'})
  with open(folder / 'metrics.csv', 'a') as file:
    file.truncate(state['size'])
    for row in range(state['row'], ROWS):
      text = hashlib.sha256(f'{state["text"]}{row}'.encode()).hexdigest()
      # In two halves: a kill between them leaves half a row.
      file.write(f'{row},{text[:20]}')
      file.flush()
      time.sleep(pause)
      file.write(f'{text[20:]}\n')
      file.flush()
      state = {'row': row + 1, 'text': text, 'size': file.tell()}
      if (row + 1) % CHECKPOINT_EVERY == 0:
        _replace(folder / 'checkpoint.json', state)
  _replace(folder / 'run.json', {'status': 'finished'})


def _restore(folder: pathlib.Path) -> dict:
  path = folder / 'checkpoint.json'
  if path.exists():
    return json.loads(path.read_text())
  return {'row': 0, 'text': folder.name, 'size': 0}


def _replace(path: pathlib.Path, value: dict) -> None:
  temporary = path.with_name(f'.{path.name}.tmp')
  temporary.write_text(json.dumps(value))
  os.replace(temporary, path)


def _append(path: pathlib.Path, line: str) -> None:
  with open(path, 'a') as file:
    file.write(f'{line}\n')


if __name__ == '__main__':
  run(pathlib.Path(sys.argv[1]), float(sys.argv[2]))
