"""Makes finished runs CSVs that are small enough to keep in git.

  python -m launch.collect --runs=DIR --out=results/theory --compress

--every=5 makes them smaller, at a price: a running mean over 25 iterations is
then one over 5 rows, and verdicts say so.
"""

import csv
import gzip
import io
import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string('runs', None, 'Folder of the runs.', required=True)
  flags.DEFINE_string('out', None, 'Folder to write.', required=True)
  flags.DEFINE_integer(
      'every', 1, 'Keep one iteration in so many, and the first.', lower_bound=1
  )
  flags.DEFINE_integer('digits', 5, 'Significant digits to keep.')
  flags.DEFINE_bool('compress', False, 'Write metrics.csv.gz.')


def copy_configuration(run: pathlib.Path, out: pathlib.Path) -> None:
  """Copies config.gin, by which figures tell MinAtar's runs from Atari's."""
  source = run / 'config.gin'
  if source.is_file():
    (out / 'config.gin').write_bytes(source.read_bytes())


def thin(source: pathlib.Path, out: pathlib.Path, every: int) -> None:
  """Copies metrics.csv with fewer digits, and fewer rows if asked.

  Args:
    source: a metrics.csv.
    out: what to write; compressed if its name ends with .gz.
    every: keep one iteration in so many, and the first.
  """
  with open(source, newline='') as file:
    header, *rows = list(csv.reader(file))
  iteration = header.index('iteration')
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(header)
  for row in rows:
    done = int(row[iteration]) + 1
    if done % every == 0 or done == 1:
      writer.writerow([_shorten(x) for x in row])
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


def main(argv: Sequence[str]) -> None:
  """Copies every run below --runs."""
  del argv
  runs = pathlib.Path(FLAGS.runs)
  found = sorted(runs.rglob('metrics.csv'))
  if not found:
    sys.exit(f'error: --runs={runs}: there is no metrics.csv below it')
  for path in found:
    out = pathlib.Path(FLAGS.out) / path.parent.relative_to(runs)
    name = 'metrics.csv.gz' if FLAGS.compress else 'metrics.csv'
    thin(path, out / name, FLAGS.every)
    copy_configuration(path.parent, out)
  print(f'{len(found)} runs copied to {FLAGS.out}')


if __name__ == '__main__':
  define_flags()
  app.run(main)
