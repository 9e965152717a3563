"""Thins finished runs to CSVs small enough to keep in git.

  python -m launch.collect --runs=DIR --out=results/gridworld
"""

import csv
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
      'every', 5, 'Keep one iteration in so many, and the first.', lower_bound=1
  )
  flags.DEFINE_integer('digits', 5, 'Significant digits to keep.')


def copy_configuration(run: pathlib.Path, out: pathlib.Path) -> None:
  """Copies config.gin, by which figures tell MinAtar's runs from Atari's."""
  source = run / 'config.gin'
  if source.is_file():
    (out / 'config.gin').write_bytes(source.read_bytes())


def thin(source: pathlib.Path, out: pathlib.Path, every: int) -> None:
  """Copies metrics.csv with fewer rows and digits."""
  with open(source, newline='') as file:
    header, *rows = list(csv.reader(file))
  iteration = header.index('iteration')
  out.parent.mkdir(parents=True, exist_ok=True)
  with open(out, 'w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(header)
    for row in rows:
      done = int(row[iteration]) + 1
      if done % every == 0 or done == 1:
        writer.writerow([_shorten(x) for x in row])


def _shorten(text: str) -> str:
  if text.lstrip('-').isdigit():
    return text
  return f'{float(text):.{FLAGS.digits}g}'


def main(argv: Sequence[str]) -> None:
  """Thins every run below --runs."""
  del argv
  runs = pathlib.Path(FLAGS.runs)
  found = sorted(runs.rglob('metrics.csv'))
  if not found:
    sys.exit(f'error: --runs={runs}: there is no metrics.csv below it')
  for path in found:
    out = pathlib.Path(FLAGS.out) / path.parent.relative_to(runs)
    thin(path, out / 'metrics.csv', FLAGS.every)
    copy_configuration(path.parent, out)
  print(f'{len(found)} runs thinned to {FLAGS.out}')


if __name__ == '__main__':
  define_flags()
  app.run(main)
