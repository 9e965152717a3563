"""Appendix C's bounds on explicit matrices; what is false, by example."""

import math
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import scipy.linalg
from absl.testing import absltest
from hypothesis import given, settings
from hypothesis import strategies as st

from implicit_underparam import metrics
from implicit_underparam.theory import kernel_spectrum

_CHECKED = settings(max_examples=25, deadline=None)


def _sum(matrix, k):
  """M_k, by explicit powers."""
  return sum(np.linalg.matrix_power(matrix, i) for i in range(k))


def _sigma(matrix):
  return np.linalg.svd(matrix, compute_uv=False)


def _rotation(radius, turns):
  x, y = radius * np.cos(2 * np.pi * turns), radius * np.sin(2 * np.pi * turns)
  return np.array([[x, -y], [y, x]])


@st.composite
def spectra(draw):
  """[n] complex, in pairs of conjugates, within the unit disc."""
  sizes = draw(st.lists(st.floats(0, 0.99), min_size=1, max_size=4))
  turns = [draw(st.floats(0, 1)) for _ in sizes]
  half = np.array(sizes) * np.exp(2j * np.pi * np.array(turns))
  return np.concatenate([half, half.conj()])


def _of(eigenvalues, k):
  """sigma_i(M_k) of normal S, by the sum of powers of each eigenvalue."""
  return np.abs(sum(eigenvalues**i for i in range(k)))


class TrueTest(absltest.TestCase):

  @_CHECKED
  @given(spectra(), st.integers(1, 30))
  def test_c_23_and_the_gap(self, eigenvalues, k):
    now = kernel_spectrum.ratios(_of(eigenvalues, k))
    bound = kernel_spectrum.ratio_bound(eigenvalues, k)
    self.assertLessEqual((now / bound).max(), 1 + 1e-9)
    pairs = kernel_spectrum.smaller(np.abs(eigenvalues))
    later = kernel_spectrum.ratio_bound(eigenvalues, k + 1)
    self.assertTrue(np.all(later[pairs] <= bound[pairs] * (1 + 1e-12)))
    gap = kernel_spectrum.exact_gap(eigenvalues, k)
    self.assertTrue(np.all(bound - now <= gap * (1 + 1e-9) + 1e-12))

  @_CHECKED
  @given(spectra(), st.integers(1, 6), st.integers(1, 12), st.integers(1, 20))
  def test_ratios_fall_where_powers_are_psd(self, some, turns, k, steps):
    # Angles 2 pi m / turns: S^k is PSD at multiples of turns.
    angles = np.round(np.angle(some) / (2 * np.pi) * turns) / turns
    eigenvalues = np.abs(some) * np.exp(2j * np.pi * angles)
    pairs = kernel_spectrum.smaller(np.abs(eigenvalues))
    first, last = (
        kernel_spectrum.ratios(_of(eigenvalues, x * turns))
        for x in (k, k + steps)
    )
    self.assertTrue(np.all((last <= first * (1 + 1e-8))[pairs]))
    gap = kernel_spectrum.exact_gap(eigenvalues, k * turns)
    bound = kernel_spectrum.ratio_bound(eigenvalues, k * turns)
    np.testing.assert_allclose(bound - first, gap, rtol=1e-6, atol=1e-9)
    with np.errstate(all='ignore'):  # sigma_j = 0, of no pair.
      printed = kernel_spectrum.printed_gap(eigenvalues, k * turns)
    self.assertTrue(np.all((gap <= printed * (1 + 1e-8) + 1e-9)[pairs]))

  @_CHECKED
  @given(
      st.lists(st.floats(0, 0.99), min_size=2, max_size=9),
      st.floats(0.01, 0.5))
  def test_srank_falls_where_sigma_of_m_is_ordered_as_that_of_s(
      self, sizes, delta):
    # The least of them negative: even powers are PSD, and M_2 is in order.
    eigenvalues = np.sort(sizes) * np.append(-1, np.ones(len(sizes) - 1))
    sigma = [_of(eigenvalues, k) for k in range(2, 40, 2)]
    self.assertTrue(np.all(np.diff(sigma[0]) >= 0))
    ranks = [metrics.srank(np.diag(x), delta) for x in sigma]
    self.assertLessEqual(np.diff(ranks).max(), 0)

  @_CHECKED
  @given(
      hnp.arrays(np.float64, (4, 4), elements=st.floats(-0.6, 0.6)),
      st.integers(1, 15),
  )
  def test_c_31_and_the_corrected_c_32(self, matrix, k):
    form = kernel_spectrum.schur_form(matrix)
    size = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    # Eigenvalues of defective matrices are known to few digits.
    self.assertLessEqual(
        np.abs(_sigma(matrix) - size).max(), form.departure + 1e-3)
    total = _sum(matrix, k)
    upper = form.vectors.conj().T @ total @ form.vectors
    moved = np.abs(_sigma(total) - np.sort(np.abs(np.diag(upper)))[::-1])
    bound = kernel_spectrum.exact_departure(form.radius, form.departure, k)
    self.assertLessEqual(moved.max(), bound + 1e-9 * (1 + bound))

  def test_a_circulant_matrix_has_the_eigenvalues_of_its_fourier_transform(
      self):
    column = np.array([0.1, 0.5, 0.0, 0.2])
    form = kernel_spectrum.schur_form(scipy.linalg.circulant(column))
    self.assertTrue(form.is_normal)
    self.assertFalse(form.is_psd)
    found, expected = (
        sorted(np.round(x, 12) + 0, key=lambda z: (z.real, z.imag))
        for x in (form.eigenvalues, np.fft.fft(column))
    )
    np.testing.assert_allclose(found, expected, atol=1e-11)

  def test_the_phase_error_is_that_of_the_polar_form(self):
    matrix = scipy.linalg.block_diag(_rotation(0.9, 0.21), -0.7, 0.4)
    for k in (1, 2, 5, 24):
      power = np.linalg.matrix_power(matrix, k)
      positive = scipy.linalg.polar(power)[1]
      error = np.linalg.norm(power - positive, 2) / np.linalg.norm(power, 2)
      self.assertAlmostEqual(
          kernel_spectrum.phase_error(np.linalg.eigvals(matrix), k), error, 10)
    self.assertEqual(kernel_spectrum.phase_error(np.zeros(2), 3), 0)

  def test_psd_normal_and_positive_are_told_apart(self):
    psd = np.array([[0.5, 0.2], [0.2, 0.5]])
    for matrix, normal, positive in (
        (psd, True, True), (np.diag([0.5, -0.1]), True, False),
        (np.array([[0.5, 0.3], [0.0, 0.2]]), False, True),
        (_rotation(0.5, 0.3), True, False)):
      form = kernel_spectrum.schur_form(matrix)
      self.assertEqual((form.is_normal, form.is_positive), (normal, positive))
      self.assertEqual(form.is_psd, normal and positive)

  def test_the_rank_floor_is_reached(self):
    # 5 of 10 eigenvalues at rho, the others at 0: sums of 1 / (1 - rho) and 1.
    rho, delta = 0.9, 0.1 - 1e-6
    self.assertAlmostEqual(
        kernel_spectrum.rank_floor(10, rho, delta), 10 / (1 + 10 / 9), 4)
    limit = np.linalg.inv(np.eye(10) - np.diag([rho] * 5 + [0.0] * 5))
    self.assertEqual(metrics.srank(limit, delta), 5)

  @_CHECKED
  @given(spectra(), st.integers(1, 30), st.floats(0.01, 0.5))
  def test_normal_s_has_a_rank_floor_too(self, eigenvalues, k, delta):
    rho, sigma = np.abs(eigenvalues).max(), _of(eigenvalues, k)
    least = (1 - rho) / (1 + rho)
    self.assertGreaterEqual(sigma.min() / sigma.max(), least * (1 - 1e-9))
    floor = len(sigma) / (1 + delta / (1 - delta) / least)
    self.assertGreaterEqual(metrics.srank(np.diag(sigma), delta), floor - 1e-3)

  def test_a_spectrum_of_both_signs_reaches_the_ratio(self):
    sigma = _of(np.array([0.9, -0.9]), 6)
    self.assertAlmostEqual(sigma[1] / sigma[0], 0.1 / 1.9)


class FalseTest(absltest.TestCase):
  """What is printed and not so; docs/theory.md derives what is."""

  def test_eq_3s_bound_fails_at_once_even_for_psd(self):
    # sigma_i / sigma_j = 0.2, and M_1 = I; the limit is (1 - .5) / (1 - .1).
    matrix = np.diag([0.5, 0.1])
    for k, ratio in ((1, 1.0), (2, 1.1 / 1.5), (200, 5 / 9)):
      sigma = _sigma(_sum(matrix, k))
      self.assertAlmostEqual(sigma[1] / sigma[0], ratio)
      self.assertGreater(ratio, 0.2)
      shifted = _sigma(matrix @ _sum(matrix, k))
      self.assertLessEqual(shifted[1] / shifted[0], 0.2 + 1e-12)

  def test_k_1_is_not_0(self):
    # M_0 = 0 has no ratios, and a rank that no other can be below.
    self.assertEqual(metrics.srank(_sum(np.diag([0.5, 0.1]), 1) * 0), 0)
    self.assertEqual(metrics.srank(_sum(np.diag([0.5, 0.1]), 2)), 2)

  def test_theorem_4_1_flattening_srank_rises_on_even_k(self):
    # Two pairs that lead to each other, pi; g = [[1, -.99], [-.99, 1]].
    swap, gram = np.array([[0, 1], [1, 0]]), np.array([[1, -0.99], [-0.99, 1]])
    step = 0.99 * swap @ gram @ np.linalg.inv(gram + 0.01 * np.eye(2))
    self.assertLess(np.abs(step - step.T).max(), 1e-12)
    ranks, ratios = [], []
    for k in (2, 4, 400):
      total = _sum(step, k)
      ranks.append(metrics.srank(total, 0.01))
      # (1, 1) has sigma(S) = 0.495, (1, -1) has 0.985.
      ratios.append(total.sum() / (total[0] - total[1])[0] / 2)
    self.assertEqual(ranks, [1, 2, 2])
    self.assertGreater(ratios[0], ratios[1])
    self.assertGreater(ratios[1], ratios[2])
    self.assertGreater(ratios[2], 3.9)

  def test_an_order_of_the_limits_is_not_enough(self):
    # sigma(S) = .9, .9, .5 and 1 / |1 - lambda| = .74, .74, .67.
    matrix = scipy.linalg.block_diag(_rotation(0.9, 0.25), -0.5)
    self.assertLess(
        kernel_spectrum.phase_error(np.linalg.eigvals(matrix), 4), 1e-12)
    self.assertEqual(metrics.srank(_sum(matrix, 4), 0.3), 2)
    self.assertEqual(metrics.srank(_sum(matrix, 400), 0.3), 3)

  def test_a_least_common_multiple_lets_angles_grow(self):
    # theta / 2 pi: the golden ratio and sqrt 2; p / q within 1 / q^2.
    turns = [(math.sqrt(5) - 1) / 2, math.sqrt(2) - 1]
    for most in (20, 200, 2000):
      found = [Fraction(x).limit_denominator(most) for x in turns]
      for x, fraction in zip(turns, found, strict=True):
        self.assertLess(abs(x - fraction), fraction.denominator**-2)
      multiple = math.lcm(*(x.denominator for x in found))
      self.assertGreater(_off(turns, np.array([multiple])), 0.15)
      # Dirichlet's theorem for both at once has a better k, and a smaller one.
      self.assertLess(_off(turns, np.arange(1, multiple)), multiple**-0.5)

  def test_c_32_is_of_first_order_only(self):
    # Three of four pairs of a chain are data, alike to none; 0.99 / 1.01 P.
    step = 0.99 / 1.01 * np.array([[0.9, 0.1, 0], [0, 0.9, 0.1], [0, 0, 0.9]])
    form = kernel_spectrum.schur_form(step)
    total = _sum(step, 200)
    moved = np.abs(_sigma(total) - 1 / (1 - form.radius)).max()
    size = (form.radius, form.departure)
    printed = kernel_spectrum.printed_departure(*size, 200)
    self.assertAlmostEqual(printed, size[1] / (1 - size[0]) ** 2, 5)
    self.assertGreater(moved, 1.13 * printed)
    self.assertLess(moved, kernel_spectrum.exact_departure(*size, 200))

  def test_s_may_have_eigenvalues_above_1(self):
    # P = 1 e_1^T and A = a u u^T with u = (2, 1) / sqrt 5: 6/5 gamma a.
    gram = np.array([[1.6, 0.8], [0.8, 0.4]])
    fit = gram @ np.linalg.inv(gram + 0.01 * np.eye(2))
    step = 0.9 * np.array([[1.0, 0], [1, 0]]) @ fit
    radius = np.abs(np.linalg.eigvals(step)).max()
    self.assertAlmostEqual(radius, 0.9 * 1.2 * 2 / 2.01)
    self.assertGreater(radius, 1.07)


def _off(turns, k):
  """The least over k of the largest distance of k turns to a whole number."""
  away = np.outer(turns, k)
  return np.abs(away - np.round(away)).max(axis=0).min()


if __name__ == '__main__':
  absltest.main()
