"""The singular values of one or more feature matrices."""

import io
import pathlib
from collections.abc import Mapping

import numpy as np

from implicit_underparam.figures import drawing


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
  figure = drawing.new_figure(8, 3.4, 'constrained')
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
  # A PNG whatever the name that was given ends in.
  buffer = io.BytesIO()
  figure.savefig(buffer, format='png', dpi=150)
  drawing.write(out, buffer.getvalue())
  return out
