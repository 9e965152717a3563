"""Theorem 4.1 and C.1 along fitting iterations, for normal S.

Members of the subsequence (k_l) are the k at which S^k is PSD, up to a
tolerance. Singular values of S and M_k are matched by eigenvector.
"""

from typing import NamedTuple

import numpy as np

from implicit_underparam.theory import kernel_spectrum
from implicit_underparam.theory.kernel_spectrum import (
  SchurForm,
  largest,
  ratios,
)

# A ratio that is 1 but for rounding is in order; S^k that is PSD but for
# rounding leaves nothing to an approximation.
_IN_ORDER = 1 + 1e-9
_EXACT = 1e-9


class Measured(NamedTuple):
  """M_k of one fitting iteration.

  Attributes:
    k: of M_k, from 1.
    phase_error: of S^k, see `kernel_spectrum`.
    matched: [n], ||M_k u_i||_2 for the i-th Schur vector: for normal S the
      singular value of M_k that belongs to lambda_i(S).
    srank: of M_k.
    srank_lambda: of M_k, with |eigenvalues| (A.7).
  """

  k: int
  phase_error: float
  matched: np.ndarray
  srank: int
  srank_lambda: int


class Members(NamedTuple):
  """What is left of the members of the subsequence so far.

  Attributes:
    matched: [n], see `Measured`, of the last member; NaN before the first.
    slack: [n], `kernel_spectrum.phase_slack` of the last member.
    lowest: [3], the least srank, the least srank since singular values of M_k
      are ordered as those of S, and the least srank_lambda; inf before.
    printed: [n, n], the least of C.28's bounds on ratios of singular values.
    exact: [n, n], the same with the exact gap.
  """

  matched: np.ndarray
  slack: np.ndarray
  lowest: np.ndarray
  printed: np.ndarray
  exact: np.ndarray


def no_members(size: int) -> Members:
  """Before the first member, for S [size, size]."""
  none, square = np.full(size, np.nan), np.full((size, size), np.inf)
  return Members(none, none, np.full(3, np.inf), square, square)


def rank_columns(
    members: Members, schur: SchurForm, measured: Measured
) -> dict[str, float]:
  """By how much ranks rise from an earlier member to this one.

  Args:
    members: those before.
    schur: of S, normal or not.
    measured: M_k at a member k.
  """
  rises = [
      measured.srank, measured.srank, measured.srank_lambda
  ] - members.lowest
  any_rank, ordered, eigenvalue_rank = np.where(
      np.isfinite(rises), rises, np.nan
  )
  exact = schur.is_normal and measured.phase_error <= _EXACT
  return {
      'member_srank_rise': any_rank if schur.is_normal else np.nan,
      'ordered_srank_rise': ordered if exact else np.nan,
      'member_srank_lambda_rise': eigenvalue_rank,
  }


def ratio_columns(
    members: Members, schur: SchurForm, measured: Measured
) -> dict[str, float]:
  """Eq. 3 at a member, for normal S of rho < 1.

  Args:
    members: those before.
    schur: of S.
    measured: M_k at a member k.
  """
  sigma, now = schur.magnitudes, ratios(measured.matched)
  pairs = kernel_spectrum.smaller(sigma)
  with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
    excess = now - ratios(sigma)
  change = now / ratios(members.matched)
  slack = kernel_spectrum.phase_slack(schur.eigenvalues, measured.k)
  allowed = (1 + slack)[:, None] * (1 + members.slack)[None, :]
  return {
      'member_ratio_rise': largest(change - 1, pairs),
      'member_ratio_rise_excess': largest(change / allowed - 1, pairs),
      'member_ratio_excess': largest(excess, pairs),
  }


def every_columns(
    members: Members, schur: SchurForm, measured: Measured
) -> dict[str, float]:
  """C.23 and C.29 at every k, for normal S of rho < 1.

  Args:
    members: those up to k.
    schur: of S.
    measured: M_k.
  """
  eigenvalues, k = schur.eigenvalues, measured.k
  pairs = kernel_spectrum.smaller(schur.magnitudes)
  now = ratios(measured.matched)
  bound = kernel_spectrum.ratio_bound(eigenvalues, k)
  following = kernel_spectrum.ratio_bound(eigenvalues, k + 1)
  found = pairs & np.isfinite(members.exact)
  return {
      'f_excess': largest(now / bound - 1, pairs),
      'f_rise': largest(following / bound - 1, pairs),
      'controlled_excess': largest(now / members.printed - 1, found),
      'controlled_exact_excess': largest(now / members.exact - 1, found),
  }


def extended(
    members: Members, schur: SchurForm, measured: Measured
) -> Members:
  """The members with one more.

  Args:
    members: those before.
    schur: of S.
    measured: M_k at a member k.
  """
  now = ratios(measured.matched)
  ordered = measured.phase_error <= _EXACT and not np.any(
      now[kernel_spectrum.smaller(schur.magnitudes)] > _IN_ORDER
  )
  ranks = np.array([
      measured.srank,
      measured.srank if ordered else np.inf,
      measured.srank_lambda,
  ])
  new = members._replace(
      matched=measured.matched, lowest=np.minimum(members.lowest, ranks)
  )
  if not (schur.is_normal and schur.radius < 1):
    return new
  eigenvalues, k = schur.eigenvalues, measured.k
  with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
    printed = now + kernel_spectrum.printed_gap(eigenvalues, k)
    exact = now + kernel_spectrum.exact_gap(eigenvalues, k)
  return new._replace(
      slack=kernel_spectrum.phase_slack(eigenvalues, k),
      printed=np.fmin(members.printed, printed),
      exact=np.fmin(members.exact, exact),
  )
