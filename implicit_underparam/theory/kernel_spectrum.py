"""What S = gamma P^pi A and M_k = sum_{i<k} S^i have for spectra (appendix C).

S = U (Lambda + N) U^H is its Schur form: Lambda holds the eigenvalues, N is
strictly upper triangular, and 0 where S is normal. Columns of U are then
eigenvectors, by which singular values of S and of M_k are matched. Pairs are
arrays [n, n] with i the first axis and j the second.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

# Relative to the spectral norm of S, or its spectral radius: what rounding, and
# the conditioning of eigenvalues, may account for.
_NORMAL = 1e-10
_POSITIVE = 1e-8
_TIE = 1e-9


class SchurForm(NamedTuple):
  """The complex Schur form of a matrix.

  Attributes:
    eigenvalues: [n] complex128, lambda_i.
    vectors: [n, n] complex128, U.
    departure: ||N||_2, no less than Delta(S), its infimum over Schur forms.
    norm: ||S||_2.
  """

  eigenvalues: np.ndarray
  vectors: np.ndarray
  departure: np.float64
  norm: np.float64

  @property
  def magnitudes(self) -> np.ndarray:
    """[n], |lambda_i|: sigma_i(S) where S is normal."""
    return np.abs(self.eigenvalues)

  @property
  def radius(self) -> float:
    """rho(S), the largest |lambda_i|."""
    return float(self.magnitudes.max())

  @property
  def is_normal(self) -> bool:
    """Whether N is 0 up to rounding."""
    return bool(self.departure <= _NORMAL * self.norm)

  @property
  def is_positive(self) -> bool:
    """Whether all eigenvalues are real and not negative, up to rounding."""
    distance = np.hypot(
        np.minimum(self.eigenvalues.real, 0), self.eigenvalues.imag
    )
    return bool(distance.max() <= _POSITIVE * self.radius)

  @property
  def is_psd(self) -> bool:
    """Whether S is (symmetric) positive semi-definite, up to rounding."""
    return self.is_normal and self.is_positive


def schur_form(matrix: np.ndarray) -> SchurForm:
  """The complex Schur form of a real matrix [n, n]."""
  triangle, vectors = scipy.linalg.schur(matrix, output='complex')
  return SchurForm(
      np.diag(triangle).copy(),
      vectors,
      np.float64(np.linalg.norm(np.triu(triangle, 1), 2)),
      np.float64(np.linalg.norm(matrix, 2)),
  )


def phase_error(eigenvalues: np.ndarray, k: int) -> float:
  """max_i |lambda_i^k - |lambda_i|^k| / rho^k: how far S^k is from PSD.

  For a normal S it is ||S^k - |S|^k||_2 / ||S^k||_2 with |S| = (S^T S)^(1/2).

  Args:
    eigenvalues: [n], of S.
    k: a power.

  Returns:
    From 0 to 2; 0 for S = 0.
  """
  size = np.abs(eigenvalues)
  if not size.any():
    return 0.0
  # Powers of S itself might underflow.
  powers = (size / size.max()) ** k
  turned = np.abs(np.exp(1j * k * np.angle(eigenvalues)) - 1)
  return float((powers * turned).max())


def smaller(magnitudes: np.ndarray) -> np.ndarray:
  """[n, n] bool, the pairs of sigma_i(S) < sigma_j(S) that are no ties."""
  margin = _TIE * magnitudes.max()
  return magnitudes[:, None] < magnitudes[None, :] - margin


def ratios(values: np.ndarray) -> np.ndarray:
  """[n, n], values_i / values_j."""
  return values[:, None] / values[None, :]


def largest(values: np.ndarray, where: np.ndarray) -> float:
  """The largest of the values at `where`; NaN where that is nowhere."""
  return float(values[where].max()) if where.any() else np.nan


def limit_ratios(eigenvalues: np.ndarray) -> np.ndarray:
  """[n, n], |1 - lambda_j| / |1 - lambda_i|, to which ratios of M_k tend."""
  return ratios(1 / np.abs(1 - eigenvalues))


def ratio_bound(eigenvalues: np.ndarray, k: int) -> np.ndarray:
  """f(k) = (1 + sigma_i^k) / |1 - sigma_j^k| |1 - lambda_j| / |1 - lambda_i|.

  C.23; no lambda may be of size 1.

  Args:
    eigenvalues: [n], of a normal S.
    k: a fitting iteration, 1 or more.

  Returns:
    [n, n], an upper bound of sigma_i(M_k) / sigma_j(M_k).
  """
  powers = np.abs(eigenvalues) ** k
  factor = (1 + powers)[:, None] / np.abs(1 - powers)[None, :]
  return factor * limit_ratios(eigenvalues)


def printed_gap(eigenvalues: np.ndarray, k: int) -> np.ndarray:
  """[n, n], C.28's bound on f(k) - sigma_i(M_k) / sigma_j(M_k) at k = k_l.

  (sigma_i / sigma_j)^k 2 sigma_j / (1 - sigma_j) |1 - lambda_j| / |1 -
  lambda_i|, for 0 < sigma_j < 1.
  """
  sigma = np.abs(eigenvalues)
  # Where sigma_i is the larger one nothing is claimed, and powers overflow.
  powers = np.minimum(ratios(sigma), 1) ** k
  constant = 2 * sigma / np.abs(1 - sigma)
  return powers * constant[None, :] * limit_ratios(eigenvalues)


def phase_slack(eigenvalues: np.ndarray, k: int) -> np.ndarray:
  """[n], |lambda^k - sigma^k| / (1 - sigma^k), 0 where S^k is PSD.

  1 - sigma^k <= |1 - lambda^k| <= (1 - sigma^k) (1 + this), for sigma < 1.
  """
  powers = np.abs(eigenvalues) ** k
  return np.abs(eigenvalues**k - powers) / (1 - powers)


def exact_gap(eigenvalues: np.ndarray, k: int) -> np.ndarray:
  """[n, n], a bound on f(k) - sigma_i(M_k) / sigma_j(M_k) at any k.

  ((1 + sigma_i^k) - (1 - sigma_i^k) / (1 + e_j)) / (1 - sigma_j^k) times
  `limit_ratios`, where e_j is `phase_slack`. It is the gap itself, 2 sigma_i^k
  / (1 - sigma_j^k) times that, where S^k is PSD.
  """
  powers = np.abs(eigenvalues) ** k
  least = (1 - powers)[:, None] / (1 + phase_slack(eigenvalues, k))[None, :]
  factor = ((1 + powers)[:, None] - least) / (1 - powers)[None, :]
  return factor * limit_ratios(eigenvalues)


def printed_departure(radius: float, departure: float, k: int) -> float:
  """sum_{j=1}^k j |lambda_1|^{j-1} Delta of C.32, first order in Delta."""
  powers = np.arange(1, k + 1)
  return float(departure * np.sum(powers * radius ** (powers - 1.0)))


def exact_departure(radius: float, departure: float, k: int) -> float:
  """sum_{j<k} (|lambda_1| + Delta)^j - |lambda_1|^j, of all orders in Delta."""
  powers = np.arange(k, dtype=np.float64)
  return float(np.sum((radius + departure) ** powers - radius**powers))


def rank_floor(size: int, radius: float, delta: float) -> float:
  """n / (1 + delta / ((1 - delta) (1 - rho))): the least srank_delta(M_k).

  For PSD S of spectral radius rho < 1, where 1 <= sigma_i(M_k) <= 1 / (1 -
  rho) for every i and k >= 1.

  Args:
    size: n.
    radius: rho(S), below 1.
    delta: of srank.
  """
  return size / (1 + delta / ((1 - delta) * (1 - radius)))
