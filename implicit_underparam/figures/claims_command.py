"""What `--claims` does: judges every suite and writes a table of each."""

import pathlib

from implicit_underparam.figures import claims, drawing, notes, theory_report
from implicit_underparam.figures import collection as collection_lib


def write_claims(
    collection: collection_lib.Collection, out: pathlib.Path, title: str = ''
) -> list[pathlib.Path]:
  """Judges the claims, writes and prints a table for every suite.

  Args:
    collection: the runs.
    out: folder for the files.
    title: what the runs are of.

  Returns:
    The files written: claims.md for the gridworld, claims_atari.md and
    claims_atari_online.md for Atari, claims_minatar.md for MinAtar,
    claims_mujoco.md for MuJoCo, claims_theory.md for the theory; those of a
    variant end with its name, as claims_lr5e-3.md.
  """
  written = []
  has_theory = theory_report.has_runs(collection)
  families = claims.choose_families(collection, may_be_none=has_theory)
  for family in families:
    text = claims.document(collection, family, title)
    notes.report_missing(family.runs, collection.of(family.suite))
    written.append(_write(_named(out / family.file, collection), text))
  if has_theory:
    text = theory_report.document(collection)
    path = _named(out / theory_report.FILE, collection)
    written.append(_write(path, text))
  return written


def _named(
    path: pathlib.Path, collection: collection_lib.Collection
) -> pathlib.Path:
  stem = collection_lib.full_name(path.stem, collection.variant)
  return path.with_name(f'{stem}{path.suffix}')


def _write(path: pathlib.Path, text: str) -> pathlib.Path:
  drawing.write(path, text.encode())
  print(text)
  return path
