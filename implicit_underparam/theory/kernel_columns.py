"""What M_k violates of section 4.1, A.7 and appendix C: columns of a run."""

from typing import NamedTuple

import numpy as np

from implicit_underparam import metrics
from implicit_underparam.theory import kernel_regression, kernel_spectrum
from implicit_underparam.theory.kernel_regression import (
  KernelProblem,
  relative,
)
from implicit_underparam.theory.kernel_spectrum import (
  SchurForm,
  largest,
  ratios,
)
from implicit_underparam.theory.kernel_subsequence import Measured, Members

_PSD_COLUMNS = (
    'psd_srank_rise', 'psd_ratio_rise', 'psd_ratio_excess',
    'psd_shifted_srank_rise', 'psd_shifted_excess', 'psd_floor_excess',
    'psd_srank_floor_excess',
)


class Before(NamedTuple):
  """What columns compare M_k with; NaN at k = 1.

  Attributes:
    matched: [n], see `kernel_subsequence.Measured`, of M_{k-1}.
    sranks: [4], see `ranks`, of M_{k-1}.
    first: [4], the same of M_1.
  """

  matched: np.ndarray
  sranks: np.ndarray
  first: np.ndarray


class KernelState(NamedTuple):
  """What an instance carries from one fitting iteration to the next.

  Attributes:
    problem: the MDP, the kernel and the data.
    fit: [N, n], A.
    factor: [n, n], R of A = Q R, with the singular values of A.
    step: [n, n], S = gamma P^pi A.
    schur: of S.
    fixed: [2], columns that are the same for every k, see `fixed_excesses`.
    q_values: [N], Q_{k-1}.
    total: [n, n], M_{k-1}.
    eigenvalues: [n], those of M_{k-1}, in the order of S's.
    before: what else there is of M_{k-1}.
    members: of the subsequence.
  """

  problem: KernelProblem
  fit: np.ndarray
  factor: np.ndarray
  step: np.ndarray
  schur: SchurForm
  fixed: np.ndarray
  q_values: np.ndarray
  total: np.ndarray
  eigenvalues: np.ndarray
  before: Before
  members: Members


def ranks(state: KernelState, delta: float) -> np.ndarray:
  """[4], srank_delta of M_k, of sum_{i=1}^k S^i, by eigenvalues, of A M_k.

  M_k's by eigenvalues is A.7's; A M_k maps rewards to Q_k.

  Args:
    state: of k.
    delta: of srank.
  """
  spectra = (
      metrics.singular_values(state.total),
      metrics.singular_values(state.step @ state.total),
      np.abs(state.eigenvalues),
      metrics.singular_values(state.factor @ state.total),
  )
  return np.array([
      float(metrics.srank(None, delta, singular_values=x)) for x in spectra
  ])


def rank_columns(state: KernelState, sranks: np.ndarray) -> dict[str, float]:
  """Ranks, and what of A.7 is true for every k.

  Args:
    state: of k, with `before` still of k - 1.
    sranks: [4], see `ranks`.
  """
  before = state.before
  rise = sranks[2] - before.sranks[2]
  return {
      'srank': sranks[0],
      'srank_shifted': sranks[1],
      'srank_lambda': sranks[2],
      'srank_map': sranks[3],
      'srank_change': sranks[0] - before.first[0],
      'srank_shifted_change': sranks[1] - before.first[1],
      'srank_map_change': sranks[3] - before.first[3],
      'positive_srank_lambda_rise': (
          rise if state.schur.is_positive else np.nan
      ),
  }


def radius_bound(
    transition: np.ndarray, fit: np.ndarray, gamma: float
) -> float:
  """gamma min(||A||_inf, ||P^pi||_2 ||A||_2), no less than rho(gamma P^pi A).

  Args:
    transition: [n, N], P^pi, whose rows sum to 1.
    fit: [N, n], A.
    gamma: the discount.
  """
  rows = np.linalg.norm(fit, np.inf)
  spectral = np.linalg.norm(transition, 2) * np.linalg.norm(fit, 2)
  return float(gamma * min(rows, spectral))


def fixed_excesses(
    problem: KernelProblem, fit: np.ndarray, gamma: float, schur: SchurForm
) -> np.ndarray:
  """[2], rho(S) over its bound, and C.31.

  Args:
    problem: of which S is.
    fit: [N, n], A.
    gamma: the discount.
    schur: of S = gamma P^pi A.
  """
  sigma = metrics.singular_values(gamma * problem.transition @ fit)
  return np.array([
      schur.radius - radius_bound(problem.transition, fit, gamma),
      _moved(sigma, schur.magnitudes) - schur.departure,
  ])


def solution_columns(
    state: KernelState, labels: np.ndarray, c: float
) -> dict[str, float]:
  """Lemma C.0.1 and eq. 2, as printed and with the sum from i = 0.

  Args:
    state: of k.
    labels: [n], that Q_k fits.
    c: of eq. 1.
  """
  problem, q_values, fit = state.problem, state.q_values, state.fit
  unrolled = fit @ (state.total @ problem.reward)
  printed = unrolled - fit @ problem.reward
  return {
      'solution_error': kernel_regression.solution_error(
          problem, q_values, labels, c
      ),
      'recursion_error': relative(unrolled - q_values, q_values),
      'recursion_printed_error': relative(printed - q_values, q_values),
      'q_max': np.abs(q_values).max(),
  }


def departure_columns(
    state: KernelState, gamma: float, k: int
) -> dict[str, float]:
  """C.31, C.32, and the size of S's eigenvalues.

  Args:
    state: of k.
    gamma: the discount.
    k: from 1.
  """
  schur = state.schur
  sigma = metrics.singular_values(state.total)
  radius, departure = schur.radius, float(schur.departure)
  columns = {
      'sigma_max': sigma[0],
      'sigma_min': sigma[-1],
      'spectral_radius': radius,
      'spectral_radius_excess': radius - 1,
      'spectral_radius_gamma_excess': radius - gamma,
      'spectral_radius_bound_excess': state.fixed[0],
      'departure': departure,
      'c31_excess': state.fixed[1],
      'c32_excess': np.nan,
      'c32_exact_excess': np.nan,
  }
  if schur.is_normal:
    return columns
  change = _moved(sigma, np.abs(state.eigenvalues))
  printed = kernel_spectrum.printed_departure(radius, departure, k)
  exact = kernel_spectrum.exact_departure(radius, departure, k)
  return columns | {
      'c32_excess': (change - printed) / sigma[0],
      'c32_exact_excess': (change - exact) / sigma[0],
  }


def psd_columns(
    state: KernelState, measured: Measured, sranks: np.ndarray, delta: float
) -> dict[str, float]:
  """Corollary C.1.1, for PSD S.

  Args:
    state: of k, with `before` still of k - 1.
    measured: M_k.
    sranks: [4], see `ranks`.
    delta: of srank.
  """
  schur, rises = state.schur, sranks - state.before.sranks
  if not schur.is_psd:
    return dict.fromkeys(_PSD_COLUMNS, np.nan)
  sigma, now = schur.magnitudes, ratios(measured.matched)
  pairs = kernel_spectrum.smaller(sigma)
  with np.errstate(divide='ignore', invalid='ignore'):
    bound = ratios(sigma)
    shifted = ratios(np.linalg.norm(
        state.step @ state.total @ schur.vectors, axis=0
    ))
  below = pairs & (sigma[None, :] < 1)
  floor = kernel_spectrum.limit_ratios(sigma)
  least = kernel_spectrum.rank_floor(len(sigma), schur.radius, delta)
  values = (
      rises[0],
      largest(now / ratios(state.before.matched) - 1, pairs),
      largest(now - bound, pairs),
      rises[1],
      largest(shifted - bound, pairs),
      largest(floor - now, below),
      least - sranks[0] if schur.radius < 1 else np.nan,
  )
  return dict(zip(_PSD_COLUMNS, values, strict=True))


def _moved(sigma: np.ndarray, magnitudes: np.ndarray) -> float:
  """max_i |sigma_i - |lambda_i||, both sorted."""
  return float(np.abs(np.sort(sigma) - np.sort(magnitudes)).max())
