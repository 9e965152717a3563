"""Eq. 1 and 2 against brute-force minimisation and explicit powers."""

import hypothesis.extra.numpy as hnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from implicit_underparam import errors
from implicit_underparam.theory import kernel_regression
from implicit_underparam.theory.kernel_regression import KernelProblem

_CHECKED = settings(max_examples=25, deadline=None)
_KERNEL = np.array([[1.0, 0.5], [0.5, 1.0]])
_P = np.array([[0.2, 0.8], [0.0, 1.0]])


def _floats(shape, low, high):
  return hnp.arrays(np.float64, shape, elements=st.floats(low, high))


@st.composite
def problems(draw):
  """MDPs with kernels and data, which may be few of the pairs, or repeat."""
  count = draw(st.integers(1, 5))
  data = np.array(draw(st.lists(
      st.integers(0, count - 1), min_size=1, max_size=6)))
  factor = draw(_floats((count, count), -1, 1))
  weights = draw(_floats((len(data), count), 0, 1)) + 1e-3
  return KernelProblem(
      factor @ factor.T + 0.05 * np.eye(count), data,
      weights / weights.sum(axis=1, keepdims=True),
      draw(_floats(len(data), -2, 2)),
  )


def _objective(q_values, problem, labels, c):
  """J(Q) of eq. 1, written out."""
  total = sum((q_values[i] - y) ** 2 for i, y in zip(
      problem.data, labels, strict=True))
  return total + c * q_values @ np.linalg.inv(problem.kernel) @ q_values


class SolutionTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ('all', (0, 1, 2, 3)), ('subset', (1, 3)), ('repeated', (2, 2, 0)))
  def test_lemma_c_0_1_against_a_minimiser(self, data):
    rng = np.random.default_rng(1)
    factor = rng.standard_normal((4, 4))
    labels, c = rng.standard_normal(len(data)), 0.7
    problem = KernelProblem(
        factor @ factor.T + 0.2 * np.eye(4), np.array(data), None, None)
    found = optimize.minimize(
        _objective, np.zeros(4), (problem, labels, c), tol=1e-10)
    solved = kernel_regression.fit(problem.kernel, problem.data, c) @ labels
    np.testing.assert_allclose(solved, found.x, atol=2e-5)
    self.assertLess(
        kernel_regression.solution_error(problem, solved, labels, c), 1e-12)
    self.assertGreater(
        kernel_regression.solution_error(problem, found.x + 0.1, labels, c),
        1e-3)

  @_CHECKED
  @given(problems(), st.floats(0.01, 10), st.floats(0, 0.99))
  def test_q_k_is_a_m_k_r(self, problem, c, gamma):
    fit = kernel_regression.fit(problem.kernel, problem.data, c)
    step = gamma * problem.transition @ fit
    q_values, total = np.zeros(len(fit)), np.zeros_like(step)
    for k in range(1, 7):
      q_values = fit @ problem.labels(q_values, gamma)
      total = kernel_regression.next_sum(step, total)
      powers = sum(np.linalg.matrix_power(step, i) for i in range(k))
      np.testing.assert_allclose(total, powers, rtol=1e-10, atol=1e-12)
      np.testing.assert_allclose(
          q_values, fit @ powers @ problem.reward, rtol=1e-10, atol=1e-10)

  def test_eq_2_as_printed_lacks_what_one_fit_gives(self):
    fit = kernel_regression.fit(_KERNEL, np.arange(2), 0.1)
    step, reward = 0.9 * _P @ fit, np.array([1.0, 0.0])
    q_2 = fit @ (reward + 0.9 * _P @ fit @ reward)
    printed = fit @ step @ reward  # sum_{i=1}^1 S^i, for Q_{1+1}.
    np.testing.assert_allclose(q_2 - printed, fit @ reward)
    self.assertGreater(np.abs(q_2 - printed).max(), 0.8)


class BadInputTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ('stochastic', {'transition': [[0.5, 0.4], [0, 1]]},
       r'row 0 of P\^pi is no distribution \(sum 0.9,'),
      ('negative', {'transition': [[1, 0], [-0.5, 1.5]]},
       r'row 1 of P\^pi is no distribution \(sum 1, least entry -0.5\)'),
      ('nan', {'transition': [[np.nan, 1], [0, 1]]}, r'row 0 of P\^pi'),
      ('psd', {'kernel': [[1, 2], [2, 1]]},
       r'not positive semi-definite \(eigenvalues from -1 to 3\)'),
      ('symmetric', {'kernel': [[1, 0.5], [0, 1]]}, 'kernel is not symmetric'),
      ('zero', {'kernel': np.zeros((2, 2))}, 'kernel is 0, or not finite'),
      ('infinite', {'kernel': [[np.inf, 0], [0, 1]]}, '0, or not finite'),
      ('shapes', {'reward': [1.0]}, r'shapes .*: give \[N, N\], \[n\]'),
      ('data', {'data': [0, 2]}, 'give integers from 0 to 1'),
      ('reward', {'reward': [1.0, np.nan]}, 'rewards are NaN or infinite'),
  )
  def test_one_line_says_what_is_wrong(self, changes, message):
    whole = {
        'kernel': _KERNEL, 'data': np.arange(2), 'transition': _P,
        'reward': np.zeros(2),
    }
    kernel_regression.checked(KernelProblem(**whole), 'x')
    changes = {k: np.asarray(v) for k, v in changes.items()}
    with self.assertRaisesRegex(errors.UserError, message) as caught:
      kernel_regression.checked(
          KernelProblem(**whole | changes), 'KernelIteration.instance')
    self.assertStartsWith(str(caught.exception), 'KernelIteration.instance: ')
    self.assertNotIn('\n', str(caught.exception))


if __name__ == '__main__':
  absltest.main()
