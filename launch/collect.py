"""Makes finished runs CSVs that are small enough to keep in git.

  python -m launch.collect --runs=DIR --out=results/theory --compress

--every=5 makes them smaller, at a price: a running mean over 25 iterations is
then one over 5 rows, and verdicts say so. How a run ended, and at which scale a
sweep made it, goes with it.
"""

import csv
import gzip
import io
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from launch import state
from launch.errors import SweepError

FLAGS = flags.FLAGS
_KEYS = ('status', 'stopped_seeds', 'seeds')  # Of run.json.


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('runs', None, 'Folder of the runs.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write.', required=True)
  flags.DEFINE_integer(
      'every', 1, 'Keep one iteration in so many, and the first.', lower_bound=1
  )
  flags.DEFINE_integer(
      'digits', 5, 'Significant digits to keep.', lower_bound=1
  )
  flags.DEFINE_bool('compress', False, 'Write metrics.csv.gz.')


def copy_configuration(run: pathlib.Path, out: pathlib.Path) -> None:
  """Copies config.gin, by which figures tell MinAtar's runs from Atari's."""
  source = run / 'config.gin'
  if source.is_file():
    (out / 'config.gin').write_bytes(source.read_bytes())


def describe(run: pathlib.Path, root: pathlib.Path) -> dict[str, Any]:
  """How a run stands, and at which scale a sweep made it.

  Args:
    run: its folder.
    root: that all runs are below; sweep.json is there or between.

  Returns:
    What of it figures and verdicts go by; {} where nothing is known.

  Raises:
    SweepError: run.json or sweep.json cannot be read.
  """
  known = _read_json(run / 'run.json')
  found = {key: known[key] for key in _KEYS if known.get(key)}
  for parent in (run, *run.parents):
    sweep = _read_json(parent / state.FILE)
    of_run = sweep.get('runs', {}).get(run.relative_to(parent).as_posix())
    if of_run is not None:
      return {**found, 'scale': of_run.get('scale', sweep.get('scale'))}
    if parent == root:
      break
  return found


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(found, dict):
      raise ValueError('no object')
  except (OSError, ValueError) as error:
    raise SweepError(
        f'{path} cannot be read ({error}): restore it, or take it away'
    ) from error
  return found


def thin(source: pathlib.Path, out: pathlib.Path, every: int) -> None:
  """Copies metrics.csv with fewer digits, and fewer rows if asked.

  Args:
    source: a metrics.csv; a last line without its end is left out.
    out: what to write; compressed if its name ends with .gz.
    every: keep one iteration in so many, and the first.

  Raises:
    SweepError: the file is not a run's.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  try:
    lines = source.read_text(encoding='utf-8').split('\n')[:-1]
    header, *rows = list(csv.reader(lines))
    iteration = header.index('iteration')
    writer.writerow(header)
    for row in rows:
      done = int(row[iteration]) + 1
      if done % every == 0 or done == 1:
        writer.writerow([_shorten(x) for x in row])
  except (ValueError, IndexError) as error:
    raise SweepError(
        f'{source} does not hold the rows of a run ({error}): mend it, or take '
        'it away'
    ) from error
  data = text.getvalue().encode()
  out.parent.mkdir(parents=True, exist_ok=True)
  # Without the time, so that the same rows are the same file.
  out.write_bytes(
      gzip.compress(data, mtime=0) if out.suffix == '.gz' else data
  )


def _shorten(text: str) -> str:
  if text.lstrip('-').isdigit():
    return text
  return f'{float(text):.{FLAGS.digits}g}'


def copy(runs: pathlib.Path, out: pathlib.Path) -> int:
  """Copies every run below a folder; tells of those that are not finished.

  Args:
    runs: the folder.
    out: that of the copies.

  Returns:
    How many there are.

  Raises:
    SweepError: there is none, or one cannot be read.
  """
  found = sorted(runs.rglob('metrics.csv'))
  if not found:
    raise SweepError(f'--runs={runs}: there is no metrics.csv below it')
  for path in found:
    run = path.parent
    copied = out / run.relative_to(runs)
    description = describe(run, runs)
    name = 'metrics.csv.gz' if FLAGS.compress else 'metrics.csv'
    thin(path, copied / name, FLAGS.every)
    copy_configuration(run, copied)
    if description:
      text = json.dumps(description, indent=1)
      (copied / 'run.json').write_text(f'{text}\n', encoding='utf-8')
    status = description.get('status', 'finished')
    if status != 'finished':
      print(f'note: {run} is copied as it stands: {status}', file=sys.stderr)
  return len(found)


def main(argv: Sequence[str]) -> None:
  """Copies every run below --runs, and shows a user's error as one line."""
  if len(argv) > 1:
    sys.exit(f'error: {argv[1]!r} is not a flag: write --runs={argv[1]}')
  try:
    count = copy(pathlib.Path(FLAGS.runs), pathlib.Path(FLAGS.out))
  except SweepError as error:
    sys.exit(f'error: {error}')
  except OSError as error:
    reason = error.strerror or error
    sys.exit(f'error: --out={FLAGS.out}: {error.filename}: {reason}')
  print(f'{count} runs copied to {FLAGS.out}')


if __name__ == '__main__':
  define_flags()
  app.run(main)
