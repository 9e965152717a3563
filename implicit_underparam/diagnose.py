"""Is this network collapsing? Every rank measure of a feature matrix.

  python -m implicit_underparam.diagnose --features=FILE.npy
  python -m implicit_underparam.diagnose --base_dir=DIR [--checkpoint=N]

Prints the measures and draws the spectrum.
"""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from implicit_underparam import errors, metrics

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the command's flags; not at import, where they would collide."""
  flags.DEFINE_string(
      'features', None, 'A .npy file with features [N, d] or [seeds, N, d].'
  )
  flags.DEFINE_string('base_dir', None, "A run's folder.")
  flags.DEFINE_integer(
      'checkpoint', None, 'Iterations done there; the latest if None.'
  )
  flags.DEFINE_float('delta', 0.01, 'Threshold of srank.')
  flags.DEFINE_string('out', None, 'The figure; beside the input if None.')


def load_features(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Feature matrices of a .npy file, by a name for each.

  Args:
    path: holds numbers [N, d], or [seeds, N, d].

  Returns:
    name -> [N, d].

  Raises:
    UserError: if there is no such file, or it does not hold that.
  """
  try:
    array = np.load(path, allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise errors.UserError(
        f'--features={path}: cannot be read as .npy '
        f'({str(error).splitlines()[0]})'
    ) from error
  if not isinstance(array, np.ndarray) or array.dtype.kind not in 'fiub':
    raise errors.UserError(
        f'--features={path}: holds {getattr(array, "dtype", type(array))}, not '
        'an array of real numbers; save it with numpy.save'
    )
  if array.ndim == 2:
    return {path.name: array}
  if array.ndim == 3 and array.shape[0]:
    return {f'seed {i}': x for i, x in enumerate(array)}
  raise errors.UserError(
      f'--features={path}: has shape {array.shape}; wanted [N, d] '
      'or [seeds, N, d]'
  )


def run_features(
    base_dir: pathlib.Path, checkpoint: int | None
) -> dict[str, np.ndarray]:
  """Features of a run's probe states at a checkpoint, by seed.

  Args:
    base_dir: the run's folder; its config.gin is what is built.
    checkpoint: iterations done, or None for the latest.

  Returns:
    'seed k' -> [N, d].

  Raises:
    UserError: for a folder without a run, or without that checkpoint.
  """
  # Imported late: a .npy file needs neither JAX programs nor Orbax.
  from implicit_underparam import checkpoints, policies

  configured = policies.configured_run(base_dir)
  program = configured.loop.compile(configured.seeds, configured.seed_axis)
  checkpointer = checkpoints.Checkpointer(base_dir / 'checkpoints')
  restored = checkpointer.restore(
      program.snapshot(program.init()), iteration=checkpoint
  )
  if restored is None:
    raise errors.UserError(
        f'--base_dir={base_dir}: there is no checkpoint yet; let the run go on'
    )
  probes = program.probe(program.place(restored[1]))
  return {
      f'seed {seed}': np.asarray(probes['all'].features[i])
      for i, seed in enumerate(configured.seeds)
  }


def measures(features: np.ndarray, delta: float) -> dict[str, float]:
  """Every measure of one feature matrix [N, d], by name."""
  spectrum = metrics.singular_values(features)
  given: Mapping[str, Any] = {'singular_values': spectrum}
  return {
      f'srank (delta = {delta:g})': metrics.srank(features, delta, **given),
      'effective rank': metrics.effective_rank(features, **given),
      'stable rank': metrics.stable_rank(features, **given),
      'numerical rank': metrics.numerical_rank(features, **given),
      'feature rank': metrics.feature_rank(features, **given),
      'dead units (fraction)': metrics.dead_fraction(features),
      'dormant units (fraction)': metrics.dormant_fraction(features),
      'feature norm': metrics.feature_norm(features),
      'largest singular value': metrics.sigma_max(features, **given),
      'smallest singular value': metrics.sigma_min(features, **given),
  }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
  """The measures as aligned text, one column a matrix."""
  names = list(next(iter(rows.values())))
  width = max(len(name) for name in names)
  columns = [max(len(title), 10) for title in rows]
  lines = [
      ' ' * width
      + ''.join(f'  {t:>{w}}' for t, w in zip(rows, columns, strict=True))
  ]
  for name in names:
    cells = (
        f'  {_number(row[name]):>{w}}'
        for row, w in zip(rows.values(), columns, strict=True)
    )
    lines.append(f'{name:<{width}}' + ''.join(cells))
  return '\n'.join(lines)


def _number(value: float) -> str:
  return f'{value:d}' if isinstance(value, int) else f'{value:.4g}'


def _input() -> tuple[dict[str, np.ndarray], pathlib.Path]:
  """The matrices that the flags name, and where the figure goes."""
  if bool(FLAGS.features) == bool(FLAGS.base_dir):
    raise errors.UserError(
        'give either --features=FILE.npy or --base_dir=DIR'
    )
  if FLAGS.features:
    path = pathlib.Path(FLAGS.features)
    return load_features(path), path.with_name(f'{path.stem}_spectrum.png')
  base_dir = pathlib.Path(str(FLAGS.base_dir))
  features = run_features(base_dir, FLAGS.checkpoint)
  return features, base_dir / 'spectrum.png'


def main(argv: Sequence[str]) -> None:
  """Measures, prints and draws."""
  from implicit_underparam.figures import spectrum

  try:
    if len(argv) > 1:
      raise errors.UserError(
          f'{argv[1]!r} is not a flag: write --features={argv[1]}'
      )
    matrices, out = _input()
    out = pathlib.Path(FLAGS.out) if FLAGS.out else out
    shapes = {' x '.join(map(str, x.shape)) for x in matrices.values()}
    rows = {k: measures(x, FLAGS.delta) for k, x in matrices.items()}
    print(f'features: {", ".join(sorted(shapes))} (rows x units)')
    print(table(rows))
    spectra = {k: metrics.singular_values(x) for k, x in matrices.items()}
    print(f'figure: {spectrum.draw(spectra, out, FLAGS.delta)}')
  except errors.UserError as error:
    sys.exit('error: ' + str(error).split('\n')[0])


if __name__ == '__main__':
  define_flags()
  app.run(main)
