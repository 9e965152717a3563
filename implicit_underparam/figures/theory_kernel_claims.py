"""Section 4.1, A.7 and appendix C: statements on kernel fitted Q-iteration.

Ratios are sigma_i / sigma_j of M_k for sigma_i(S) < sigma_j(S), matched by
eigenvector.
"""

from implicit_underparam.figures.theory_statements import Statement

_MEMBERS = 'Theorem 4.1, C.1'

KERNEL: tuple[Statement, ...] = (
    Statement(
        'Lemma C.0.1', 'Q_k minimises eq. 1 (c Q = g_XD (y - Q_D), relative)',
        'solution_error', tolerance=1e-10,
    ),
    Statement(
        'Eq. 2',
        'Q_k = A (sum_{i=1}^{k-1} S^i) R, exponents as we read them',
        'recursion_printed_error', tolerance=1e-10,
    ),
    Statement(
        'Eq. 2', 'Q_k = A (sum_{i=0}^{k-1} S^i) R, relative',
        'recursion_error', tolerance=1e-10, corrected=True,
    ),
    Statement(
        'Section 4.1', 'srank(M_k) is lower at the end than at k = 1',
        'srank_change', tolerance=-0.5, at_end=True,
    ),
    Statement(
        'Section 4.1', 'so is srank(sum_{i=1}^k S^i), as C.11 has M_k',
        'srank_shifted_change', tolerance=-0.5, at_end=True,
    ),
    Statement(
        'Section 4.1', 'so is srank(A M_k), which maps rewards to Q_k',
        'srank_map_change', tolerance=-0.5, at_end=True,
    ),
    Statement(
        'Corollary C.1.1', 'for PSD S srank(M_k) never rises',
        'psd_srank_rise', tolerance=0.0,
    ),
    Statement(
        'Corollary C.1.1', 'for PSD S ratios never rise (relative)',
        'psd_ratio_rise',
    ),
    Statement(
        'Corollary C.1.1', 'for PSD S ratios are <= sigma_i(S) / sigma_j(S)',
        'psd_ratio_excess',
    ),
    Statement(
        'Corollary C.1.1',
        'for PSD S ratios of sum_{i=1}^k S^i are <= sigma_i(S) / sigma_j(S)',
        'psd_shifted_excess', corrected=True,
    ),
    Statement(
        'Corollary C.1.1', 'for PSD S srank(sum_{i=1}^k S^i) never rises',
        'psd_shifted_srank_rise', tolerance=0.0, corrected=True,
    ),
    Statement(
        'Corollary C.1.1',
        'for PSD S ratios are >= (1 - sigma_j(S)) / (1 - sigma_i(S))',
        'psd_floor_excess', corrected=True,
    ),
    # Ties are counted up to 4 ulp of float32, a small part of a rank.
    Statement(
        'Corollary C.1.1',
        'for PSD S srank(M_k) >= n / (1 + delta / ((1 - delta) (1 - rho)))',
        'psd_srank_floor_excess', tolerance=1e-3, corrected=True,
    ),
    Statement(
        _MEMBERS, 'for normal S ratios never rise along (k_l) (relative)',
        'member_ratio_rise', tolerance=1e-8,
    ),
    Statement(
        _MEMBERS,
        'they rise by what S^k lacks of PSD at most (relative)',
        'member_ratio_rise_excess', corrected=True,
    ),
    Statement(
        _MEMBERS, 'for normal S ratios are <= sigma_i(S) / sigma_j(S) on (k_l)',
        'member_ratio_excess',
    ),
    Statement(
        _MEMBERS, 'for normal S srank(M_k) never rises along (k_l)',
        'member_srank_rise', tolerance=0.0,
    ),
    Statement(
        _MEMBERS,
        'it never rises once sigma(M_{k_l}) are in the order of sigma(S)',
        'ordered_srank_rise', tolerance=0.0, corrected=True,
    ),
    Statement(
        'C.23', 'for normal S every ratio is <= f(k) (relative)', 'f_excess',
    ),
    Statement('C.23', 'f(k) never rises (relative)', 'f_rise'),
    Statement(
        'C.29',
        "ratios at t >= k_l are <= those at k_l and C.28's gap (relative)",
        'controlled_excess', tolerance=1e-8,
    ),
    Statement(
        'C.29',
        'with the gap 2 sigma_i^k / (1 - sigma_j^k) and what S^k lacks of PSD',
        'controlled_exact_excess', corrected=True,
    ),
    Statement(
        'A.7', 'srank_lambda(M_k) never rises where S^k has spectrum >= 0',
        'member_srank_lambda_rise', tolerance=0.0,
    ),
    Statement(
        'A.7', 'it never rises at all where S has a real spectrum >= 0',
        'positive_srank_lambda_rise', tolerance=0.0, corrected=True,
    ),
    Statement(
        'C.31', '|sigma_i(S) - |lambda_i(S)|| <= Delta(S)', 'c31_excess',
    ),
    Statement(
        'C.32',
        '|sigma_i(M_k) - |lambda_i(M_k)|| <= sum_j j |lambda_1|^(j-1) Delta',
        'c32_excess',
    ),
    Statement(
        'C.32',
        'it is <= sum_{j<k} (|lambda_1| + Delta)^j - |lambda_1|^j',
        'c32_exact_excess', corrected=True,
    ),
    Statement(
        'C.32', 'S = gamma P^pi A has eigenvalues below 1 (rho - 1)',
        'spectral_radius_excess', tolerance=0.0,
    ),
    Statement(
        'C.32', 'as those of P^pi and A are below 1, S has them below gamma',
        'spectral_radius_gamma_excess', tolerance=0.0,
    ),
    Statement(
        'C.32', 'they are <= gamma min(||A||_inf, ||P^pi||_2 ||A||_2)',
        'spectral_radius_bound_excess', corrected=True,
    ),
)
