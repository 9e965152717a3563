"""Section 4.1, A.7 and appendix C along kernel fitted Q-iteration."""

import dataclasses

import gin
import jax
import numpy as np

from implicit_underparam import errors
from implicit_underparam.theory import (
  experiment,
  kernel_columns,
  kernel_regression,
  kernel_spectrum,
  kernel_subsequence,
)
from implicit_underparam.theory.bindings import check_delta
from implicit_underparam.theory.kernel_columns import Before, KernelState
from implicit_underparam.theory.kernel_instances import Instance
from implicit_underparam.theory.kernel_subsequence import Measured, Members

_NAME = 'KernelIteration'
_RANK_COLUMNS = (
    'member_srank_rise', 'ordered_srank_rise', 'member_srank_lambda_rise',
)
_RATIO_COLUMNS = (
    'member_ratio_rise', 'member_ratio_rise_excess', 'member_ratio_excess',
)
_EVERY_COLUMNS = (
    'f_excess', 'f_rise', 'controlled_excess', 'controlled_exact_excess',
)


@gin.register
@dataclasses.dataclass(frozen=True)
class KernelIteration:
  """Kernel fitted Q-iteration; what M_k violates of the theorems.

  Attributes:
    instance: draws the MDP, the kernel and the data.
    gamma: the discount.
    c: the regularisation of eq. 1, in units of the kernel, whose mean diagonal
      is 1: 0.1 fits a pair that is like no other to 91% of its label.
    delta: of srank.
    tolerance: k is a member of the subsequence if ||S^k - |S|^k|| <= tolerance
      ||S^k||, in the spectral norm for normal S, else of the eigenvalues.
  """

  instance: Instance
  gamma: float = 0.95
  c: float = 0.1
  delta: float = 0.01
  tolerance: float = 1e-9

  gradient_steps = 0

  def __post_init__(self) -> None:
    if isinstance(self.instance, type) or not hasattr(self.instance, 'draw'):
      raise errors.UserError(
          f'{_NAME}.instance is {self.instance!r}: bind it to one of '
          'implicit_underparam.theory, such as @RandomInstance()'
      )
    kernel_regression.check_gamma(self.gamma, _NAME)
    kernel_regression.check_positive(self.c, f'{_NAME}.c')
    kernel_regression.check_positive(self.tolerance, f'{_NAME}.tolerance')
    check_delta(_NAME, self.delta)

  def init(self, rng: np.random.Generator) -> KernelState:
    """Draws a problem; Q_0 = 0 and M_0 = 0."""
    problem = kernel_regression.checked(
        self.instance.draw(rng), f'{_NAME}.instance'
    )
    fit = kernel_regression.fit(problem.kernel, problem.data, self.c)
    step = self.gamma * problem.transition @ fit
    schur, size = kernel_spectrum.schur_form(step), len(step)
    state = KernelState(
        problem, fit, np.linalg.qr(fit).R, step, schur,
        kernel_columns.fixed_excesses(problem, fit, self.gamma, schur),
        np.zeros(len(fit)), np.zeros_like(step), np.zeros(size, np.complex128),
        Before(np.full(size, np.nan), *np.full((2, 4), np.nan)),
        kernel_subsequence.no_members(size),
    )
    # As a checkpoint restores them: the order counts in the last digit.
    return jax.tree.map(lambda x: np.asarray(x, order='C'), state)

  def iterate(
      self, state: KernelState, iteration: int
  ) -> tuple[KernelState, experiment.Scalars]:
    """Q_k from Q_{k-1}, and M_k from M_{k-1}."""
    labels = state.problem.labels(state.q_values, self.gamma)
    state = state._replace(
        q_values=state.fit @ labels,
        total=kernel_regression.next_sum(state.step, state.total),
        eigenvalues=1 + state.schur.eigenvalues * state.eigenvalues,
    )
    k, sranks = iteration + 1, kernel_columns.ranks(state, self.delta)
    matched = np.linalg.norm(state.total @ state.schur.vectors, axis=0)
    if k == 1:
      state = state._replace(before=state.before._replace(first=sranks))
    measured = Measured(
        k, kernel_spectrum.phase_error(state.schur.eigenvalues, k), matched,
        int(sranks[0]), int(sranks[2]),
    )
    members, subsequence = self._subsequence(state, measured)
    columns = {
        **kernel_columns.rank_columns(state, sranks),
        **kernel_columns.solution_columns(state, labels, self.c),
        **kernel_columns.departure_columns(state, self.gamma, k),
        **kernel_columns.psd_columns(state, measured, sranks, self.delta),
        **subsequence,
    }
    before = Before(matched, sranks, state.before.first)
    return state._replace(members=members, before=before), columns

  def _subsequence(
      self, state: KernelState, measured: Measured
  ) -> tuple[Members, dict[str, float]]:
    """Theorem 4.1, C.1 and A.7."""
    schur, members = state.schur, state.members
    is_member = measured.phase_error <= self.tolerance
    contracts = schur.is_normal and schur.radius < 1
    columns = {
        'phase_error': measured.phase_error, 'member': float(is_member),
    }
    columns |= dict.fromkeys(
        (*_RANK_COLUMNS, *_RATIO_COLUMNS, *_EVERY_COLUMNS), np.nan
    )
    if is_member:
      columns |= kernel_subsequence.rank_columns(members, schur, measured)
      if contracts:
        columns |= kernel_subsequence.ratio_columns(members, schur, measured)
      members = kernel_subsequence.extended(members, schur, measured)
    if contracts:
      columns |= kernel_subsequence.every_columns(members, schur, measured)
    return members, columns
