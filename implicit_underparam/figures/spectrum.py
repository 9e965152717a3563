"""The singular values of one or more feature matrices."""

import contextlib
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.backends import backend_agg
from matplotlib.figure import Figure

from implicit_underparam import errors


def draw(
    spectra: Mapping[str, np.ndarray], out: pathlib.Path, delta: float
) -> pathlib.Path:
  """Draws sigma_i, and the share of the sum that srank counts.

  Args:
    spectra: label -> singular values, in descending order.
    out: the PNG to write.
    delta: threshold of srank; 1 - delta is marked.

  Returns:
    `out`.

  Raises:
    UserError: if the file cannot be written.
  """
  figure = Figure(figsize=(8, 3.4), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  left, right = figure.subplots(1, 2)
  styles = ('-', '--', ':', '-.')
  for i, (label, sigma) in enumerate(spectra.items()):
    index = np.arange(1, len(sigma) + 1)
    share = np.cumsum(sigma) / max(np.sum(sigma), np.finfo(float).tiny)
    style = styles[i % len(styles)]
    left.plot(index, np.where(sigma > 0, sigma, np.nan), style, label=label)
    right.plot(index, share, style)
  left.set(xlabel='index i', ylabel='singular value', yscale='log')
  right.set(xlabel='index k', ylabel='share of the sum, first k values')
  right.axhline(1 - delta, color='0.4', linewidth=0.8)
  right.text(
      1, 1 - delta, f'1 - δ = {1 - delta:g}', va='top', fontsize='small'
  )
  left.legend(frameon=False, fontsize='small')
  temporary = out.with_name(f'.{out.name}.{os.getpid()}')
  try:
    figure.savefig(temporary, format='png', dpi=150)
    os.replace(temporary, out)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)
    raise errors.UserError(
        f'{out} cannot be written ({error.strerror}): give another --out'
    ) from error
  return out
