"""The statements of section 4.2 and appendix D, for `theory_statements`.

Ranks are whole numbers and need no tolerance. `_STEP` is for what holds along
the gradient flow and is measured along gradient descent: its steps make some
0.001 of it, and no printed form that is false is violated by less than 0.2.
"""

from implicit_underparam.figures.theory_statements import Statement

_STEP = 0.01

FLOW = (
  Statement(
      'Lemma D.0.1', 'the first N - 1 layers stay balanced', 'imbalance', _STEP
  ),
  Statement(
      'Lemma D.0.1',
      'gradient descent unbalances them by its squared steps at most',
      'imbalance_excess', corrected=True,
  ),
  Statement(
      'Lemma D.0.2', "W_phi' with the exponents (N-j)/(N-1), (j-1)/(N-1)",
      'velocity_printed', _STEP,
  ),
  Statement(
      'Lemma D.0.2', "W_phi' with the exponents (N-1-j)/(N-1), (j-1)/(N-1)",
      'velocity', _STEP, corrected=True,
  ),
  Statement(
      'Proposition 4.1', 'singular values grow by eq. 4 with the constant N',
      'growth_printed', _STEP,
  ),
  Statement(
      'Proposition 4.1', 'singular values grow by eq. 4 with N - 1', 'growth',
      _STEP, corrected=True,
  ),
)  # fmt: skip

RANK = (
  Statement(
      'Appendix D.1', 'of two singular values the larger moves faster',
      'discordant_pairs',
  ),
  Statement(
      'Appendix D.1', 'srank does not rise from the start to the end of a fit',
      'fit_rank_rise',
  ),
  Statement(
      'Appendix D.1', 'srank never rises on the way through a fit',
      'fit_rank_rise_within',
  ),
  Statement(
      'Appendix D.1',
      'through all fits sigma_{r+1}(0) <= sigma_r <= sigma_{r-1}(0), r > 1',
      'interlacing', 1e-3, corrected=True,
  ),
  Statement(
      'Proposition 4.2',
      "lambda_k > 0: with TD error left, srank is below the target's",
      'lambda_infinite',
  ),
  Statement(
      'Proposition 4.2',
      "with TD error left, srank is not above the target's",
      'lambda_negative',
  ),
  Statement(
      'Proposition 4.2', 'srank(k) <= srank(0) + c_1 + ... + c_k',
      'compounded_excess',
  ),
  Statement(
      'Proposition 4.2',
      'srank(k) is within what sigma_1(k) and the start leave it',
      'srank_bounds_excess', corrected=True,
  ),
)  # fmt: skip

SELF_TRAINING = (
  Statement(
      'Section 4.2, self-training',
      'srank drops in each iteration, weights copied', 'copied_missing_drop',
  ),
  Statement(
      'Section 4.2, self-training', 'weights copied, nothing moves',
      'copied_move', corrected=True,
  ),
  Statement(
      'Section 4.2, self-training',
      'srank drops in each iteration, weights reset',
      'distilled_missing_drop',
  ),
  Statement(
      'Section 4.2, self-training',
      'srank does not rise from an iteration to the next, weights reset',
      'distilled_rise',
  ),
  Statement(
      'Section 4.2, self-training',
      'kernel regression: srank of A^k does not rise', 'kernel_rise',
  ),
)  # fmt: skip

NEAR = (
  Statement(
      'Theorem 4.2, D.16',
      'no singular value moves by more than the largest entry of zeta',
      'weyl_printed',
  ),
  Statement(
      'Theorem 4.2, D.16', 'no singular value moves by more than |zeta|_2',
      'weyl', corrected=True,
  ),
  Statement(
      'Theorem 4.2, D.17', 'srank rises by alpha at most (an empty set)',
      'alpha_printed_excess',
  ),
  Statement(
      'Theorem 4.2, D.17', 'srank rises by alpha at most', 'alpha_excess',
      corrected=True,
  ),
  Statement(
      'Theorem 4.2, D.17', 'alpha is 0 where |zeta|_2 < gap / (r + N)',
      'alpha', corrected=True,
  ),
  Statement(
      'Theorem 4.2', 'srank is the same where |zeta|_2 < gap / (r + N)',
      'rank_change',
  ),
  Statement(
      'Theorem 4.2',
      'srank does not rise there, whatever zeta', 'worst_rise', corrected=True,
  ),
  Statement(
      'Theorem 4.2',
      'nor where |zeta|_2 < gap / ((1 - delta)(N - r) + delta r)',
      'tight_rise', corrected=True,
  ),
  Statement(
      'Theorem 4.2',
      'targets within |W_N|_inf gap / (r + N) need such a zeta',
      'printed_bound_excess',
  ),
  Statement(
      'Theorem 4.2',
      'targets within |W_N|_2 sigma_min(X) gap / (r + N) need such a zeta',
      'bound_excess', corrected=True,
  ),
  Statement('Theorem 4.2', 'c_k = 0 below epsilon_0', 'c_not_zero'),
  Statement(
      'Theorem 4.2', 'c_k <= 0 below epsilon_0', 'c_rise', corrected=True
  ),
  Statement(
      'Theorem 4.2', 'srank drops in iteration k below epsilon_0',
      'fit_missing_drop',
  ),
  Statement(
      'Theorem 4.2', 'srank does not rise in iteration k below epsilon_0',
      'fit_rise',
  ),
  Statement(
      'Theorem 4.2',
      'srank does not rise in a fit that moves W_phi by gap / (r + N) at most',
      'fit_rise_nearby', corrected=True,
  ),
)  # fmt: skip

DEEP_LINEAR = (*FLOW, *RANK, *SELF_TRAINING, *NEAR)
