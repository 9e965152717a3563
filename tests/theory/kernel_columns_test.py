"""Columns of kernel runs beside loops over pairs, powers and eigenvalues."""

import numpy as np
import scipy.linalg
from absl.testing import absltest, parameterized

from implicit_underparam.theory import kernels
from implicit_underparam.theory.kernel_checks import KernelIteration
from implicit_underparam.theory.kernel_instances import (
  CycleInstance,
  RandomInstance,
  ReversibleInstance,
)

_GAMMA, _C, _DELTA, _COUNT, _SEED = 0.9, 0.1, 0.05, 12, 4


def _srank(values):
  shares = np.cumsum(np.sort(values)[::-1]) / values.sum()
  return 1 + int(np.sum(shares < 1 - _DELTA))


def _sigma(matrix):
  return np.linalg.svd(matrix, compute_uv=False)


class _Loops:
  """An instance, and what its columns should be, by the definitions."""

  def __init__(self, instance, tolerance=1e-9):
    problem = instance.draw(np.random.default_rng(_SEED))
    self.problem, self.tolerance = problem, tolerance
    gram = problem.kernel[np.ix_(problem.data, problem.data)]
    n = len(gram)
    self.fit = problem.kernel[:, problem.data] @ np.linalg.inv(
        gram + _C * np.eye(n))
    self.step = _GAMMA * problem.transition @ self.fit
    self.lam = np.linalg.eigvals(self.step)
    self.rho = np.abs(self.lam).max()
    size = np.abs(self.lam)
    self.pairs = [
        (i, j) for i in range(n) for j in range(n)
        if size[i] < size[j] - 1e-9 * self.rho
    ]
    experiment = KernelIteration(instance, _GAMMA, _C, _DELTA, tolerance)
    state, self.rows = experiment.init(np.random.default_rng(_SEED)), []
    for iteration in range(_COUNT):
      state, columns = experiment.iterate(state, iteration)
      self.rows.append(columns)

  def total(self, k, first=0):
    """sum_{first <= i < first + k} S^i."""
    powers = [np.linalg.matrix_power(self.step, i + first) for i in range(k)]
    return np.sum([np.zeros_like(self.step), *powers], axis=0)

  def m(self, i, k):
    """sigma_i(M_k) of normal S."""
    return abs(sum(self.lam[i] ** x for x in range(k)))

  def ratio(self, i, j, k):
    return self.m(i, k) / self.m(j, k)

  def limit(self, i, j):
    return abs(1 - self.lam[j]) / abs(1 - self.lam[i])

  def f(self, i, j, k):
    one, other = abs(self.lam[i]) ** k, abs(self.lam[j]) ** k
    return (1 + one) / (1 - other) * self.limit(i, j)

  def lacks(self, i, k):
    size = abs(self.lam[i]) ** k
    return abs(self.lam[i] ** k - size) / (1 - size)

  def members(self, until):
    def phase(k):
      powers = self.lam**k
      return np.abs(powers - np.abs(powers)).max() / self.rho**k

    return [k for k in range(1, until + 1) if phase(k) <= self.tolerance]

  def worst(self, violation):
    return max(violation(i, j) for i, j in self.pairs)


class ColumnsTest(parameterized.TestCase):

  def _equal(self, row, expected):
    for name, value in expected.items():
      np.testing.assert_allclose(
          row[name], value, rtol=1e-6, atol=1e-9, err_msg=name)

  def test_psd(self):
    loops = _Loops(ReversibleInstance(6))
    size = np.abs(loops.lam)
    ranks = [
        [_srank(_sigma(loops.total(k, first))) for k in range(1, _COUNT + 1)]
        for first in (0, 1)
    ]
    floor = 6 / (1 + _DELTA / (1 - _DELTA) / (1 - loops.rho))
    for k in range(2, _COUNT + 1):
      self._equal(loops.rows[k - 1], {
          'psd_srank_rise': ranks[0][k - 1] - ranks[0][k - 2],
          'psd_shifted_srank_rise': ranks[1][k - 1] - ranks[1][k - 2],
          'psd_ratio_rise': loops.worst(
              lambda i, j, k=k:
              loops.ratio(i, j, k) / loops.ratio(i, j, k - 1) - 1),
          'psd_ratio_excess': loops.worst(
              lambda i, j, k=k: loops.ratio(i, j, k) - size[i] / size[j]),
          'psd_shifted_excess': loops.worst(
              lambda i, j, k=k:
              (loops.ratio(i, j, k) - 1) * size[i] / size[j]),
          'psd_floor_excess': loops.worst(
              lambda i, j, k=k: loops.limit(i, j) - loops.ratio(i, j, k)),
          'psd_srank_floor_excess': floor - ranks[0][k - 1],
      })

  @parameterized.parameters(
      (CycleInstance(4, 2), 1e-9), (CycleInstance(3, 1, 0.05), 0.4))
  def test_normal(self, instance, tolerance):
    loops = _Loops(instance, tolerance)
    self.assertNotEmpty(loops.members(_COUNT)[1:])
    for k, row in enumerate(loops.rows, 1):
      self._equal(row, {
          'f_excess': loops.worst(
              lambda i, j, k=k: loops.ratio(i, j, k) / loops.f(i, j, k) - 1),
          'f_rise': loops.worst(
              lambda i, j, k=k: loops.f(i, j, k + 1) / loops.f(i, j, k) - 1),
          **self._controlled(loops, k), **self._member(loops, k),
      })

  def _controlled(self, loops, k):
    """C.29, with C.28's gap and with the exact one."""
    size, members = np.abs(loops.lam), loops.members(k)

    def printed(i, j, kl):
      constant = 2 * size[j] / (1 - size[j]) * loops.limit(i, j)
      return loops.ratio(i, j, kl) + (size[i] / size[j]) ** kl * constant

    def exact(i, j, kl):
      least = (1 - size[i] ** kl) / (1 + loops.lacks(j, kl))
      gap = (1 + size[i] ** kl - least) / (1 - size[j] ** kl)
      return loops.ratio(i, j, kl) + gap * loops.limit(i, j)

    return {
        name: loops.worst(
            lambda i, j, bound=bound: loops.ratio(i, j, k)
            / min(bound(i, j, kl) for kl in members) - 1
        ) if members else np.nan
        for name, bound in (
            ('controlled_excess', printed), ('controlled_exact_excess', exact))
    }

  def _member(self, loops, k):
    """Eq. 3 from the member before k to k."""
    size, members = np.abs(loops.lam), loops.members(k)
    if k not in members or len(members) < 2:
      return {}
    last = members[-2]
    ranks = [_srank(_sigma(loops.total(x))) for x in members]
    return {
        'member_srank_rise': ranks[-1] - min(ranks[:-1]),
        'member_ratio_rise': loops.worst(
            lambda i, j: loops.ratio(i, j, k) / loops.ratio(i, j, last) - 1),
        'member_ratio_rise_excess': loops.worst(
            lambda i, j: loops.ratio(i, j, k) / loops.ratio(i, j, last)
            / (1 + loops.lacks(i, k)) / (1 + loops.lacks(j, last)) - 1),
        'member_ratio_excess': loops.worst(
            lambda i, j: loops.ratio(i, j, k) - size[i] / size[j]),
    }

  def test_not_normal(self):
    loops = _Loops(RandomInstance(kernels.RBFKernel(), 5, 2, 7))
    step, size = loops.step, np.abs(loops.lam)
    triangle = scipy.linalg.schur(step.astype(complex))[0]
    away = np.linalg.norm(np.triu(triangle, 1), 2)
    bounds = (
        np.abs(loops.fit).sum(axis=1).max(),
        _sigma(loops.problem.transition)[0] * _sigma(loops.fit)[0],
    )
    reward, first = loops.problem.reward, None
    for k, row in enumerate(loops.rows, 1):
      total, shifted = loops.total(k), loops.total(k, 1)
      sigma, q_values = _sigma(total), loops.fit @ total @ reward
      values = np.sort(np.abs(np.linalg.eigvals(total)))[::-1]
      moved = np.abs(sigma - values).max()
      printed = sum(j * loops.rho ** (j - 1) for j in range(1, k + 1)) * away
      exact = sum(
          (loops.rho + away) ** j - loops.rho**j for j in range(k))
      ranks = [_srank(_sigma(x)) for x in (total, shifted, loops.fit @ total)]
      first = first or ranks
      self._equal(row, {
          'c31_excess':
              np.abs(_sigma(step) - np.sort(size)[::-1]).max() - away,
          'c32_excess': (moved - printed) / sigma[0],
          'c32_exact_excess': (moved - exact) / sigma[0],
          'spectral_radius_excess': loops.rho - 1,
          'spectral_radius_gamma_excess': loops.rho - _GAMMA,
          'spectral_radius_bound_excess': loops.rho - _GAMMA * min(bounds),
          'recursion_printed_error':
              np.abs(loops.fit @ reward).max() / np.abs(q_values).max(),
          'srank_change': ranks[0] - first[0],
          'srank_shifted_change': ranks[1] - first[1],
          'srank_map_change': ranks[2] - first[2],
      })

  def test_positive(self):
    loops = _Loops(ReversibleInstance(30, kernel=kernels.RandomKernel(12)))
    ranks = [
        _srank(np.abs(np.linalg.eigvals(loops.total(k))))
        for k in range(1, _COUNT + 1)
    ]
    found = [x['positive_srank_lambda_rise'] for x in loops.rows[1:]]
    np.testing.assert_array_equal(found, np.diff(ranks))
    self.assertLess(ranks[-1], ranks[0])


if __name__ == '__main__':
  absltest.main()
