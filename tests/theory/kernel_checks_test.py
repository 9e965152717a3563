"""Kernel fitted Q-iteration as an experiment: columns, verdicts, instances."""

import jax
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from implicit_underparam import errors, networks
from implicit_underparam.envs import gridworld, tabular
from implicit_underparam.figures import theory_kernel_claims
from implicit_underparam.theory import kernels
from implicit_underparam.theory.kernel_checks import KernelIteration
from implicit_underparam.theory.kernel_gridworld import GridworldInstance
from implicit_underparam.theory.kernel_instances import (
  CycleInstance,
  GivenInstance,
  RandomInstance,
  ReversibleInstance,
)

_CHECKED = settings(max_examples=15, deadline=None)
_SEEDS = st.integers(0, 10**6)
_DISCOUNTS = st.floats(0.01, 0.98)
# Nobody may see these above their tolerance: true as printed, or corrected.
_FALSE = {
    'recursion_printed_error', 'psd_ratio_excess', 'member_ratio_excess',
    'member_srank_rise', 'member_srank_lambda_rise', 'c32_excess',
    'spectral_radius_excess', 'spectral_radius_gamma_excess',
}
_TRUE = [
    x for x in theory_kernel_claims.KERNEL
    if x.column not in _FALSE and not x.at_end
]
_GRID = gridworld.make_grid('random', dim_observation=3, size=3)
_SWAP = GivenInstance(
    ((1, -0.99), (-0.99, 1)), ((0, 1), (1, 0)), (1.0, 0.0))


def _spec(array):
  """All of an array that a checkpoint must meet again, but its numbers."""
  return array.dtype, array.shape, np.asarray(array).flags.c_contiguous


def _run(experiment, seed=0, count=14):
  """{column: [count]} of one instance."""
  state, rows = experiment.init(np.random.default_rng(seed)), []
  for iteration in range(count):
    state, columns = experiment.iterate(state, iteration)
    rows.append({k: float(v) for k, v in columns.items()})
  return {name: np.array([x[name] for x in rows]) for name in rows[0]}


class VerdictTest(parameterized.TestCase):

  def _holds(self, columns, but=()):
    for statement in _TRUE:
      if statement.column in but:
        continue
      values = columns[statement.column]
      worst = np.max(values, initial=-np.inf, where=~np.isnan(values))
      self.assertLessEqual(
          worst, max(statement.tolerance, 1e-8), statement.column)

  @_CHECKED
  @given(_SEEDS, _DISCOUNTS, st.integers(2, 12), st.floats(0.01, 2))
  def test_psd(self, seed, gamma, size, c):
    experiment = KernelIteration(ReversibleInstance(size), gamma, c)
    columns = _run(experiment, seed)
    self._holds(columns)
    np.testing.assert_array_equal(columns['member'], 1)

  @_CHECKED
  @given(_SEEDS, _DISCOUNTS, st.integers(2, 12))
  def test_symmetric(self, seed, gamma, size):
    columns = _run(
        KernelIteration(ReversibleInstance(size, lazy=False), gamma), seed)
    self._holds(columns)
    np.testing.assert_array_equal(columns['member'][1::2], 1)

  @_CHECKED
  @given(
      _SEEDS, _DISCOUNTS, st.integers(2, 6), st.integers(1, 3),
      st.sampled_from((0.0, 0.2)), st.sampled_from((1e-9, 0.3)))
  def test_normal(self, seed, gamma, length, width, stay, tolerance):
    instance = CycleInstance(length, width, stay)
    columns = _run(KernelIteration(instance, gamma, tolerance=tolerance), seed)
    # What is printed holds where S^k is PSD, not where it almost is.
    almost = ('member_ratio_rise', 'controlled_excess')
    self._holds(columns, almost if tolerance > 0.1 else ())
    if not stay:
      np.testing.assert_array_equal(columns['member'][length - 1::length], 1)

  @_CHECKED
  @given(
      _SEEDS, st.floats(0, 0.99), st.integers(1, 8), st.floats(0.05, 2),
      st.sampled_from((kernels.RBFKernel(), kernels.RandomKernel(3))))
  def test_random(self, seed, gamma, num_data, concentration, kernel):
    instance = RandomInstance(kernel, 4, 2, num_data, concentration)
    self._holds(_run(KernelIteration(instance, gamma), seed))

  @_CHECKED
  @given(_SEEDS, st.integers(2, 10))
  def test_positive_but_not_normal(self, seed, size):
    instance = ReversibleInstance(size, kernel=kernels.RandomKernel())
    columns = _run(KernelIteration(instance, delta=0.1), seed)
    self._holds(columns)

  @parameterized.named_parameters(
      ('psd', ReversibleInstance(8),
       'psd_ positive_ member_ f_ controlled_ ordered_'),
      ('symmetric', ReversibleInstance(8, lazy=False), 'member_ f_ contr'),
      ('normal', CycleInstance(5, 2), 'member_ f_ controlled_'),
      ('positive', ReversibleInstance(8, kernel=kernels.RandomKernel()),
       'positive_ c32_ member_srank_lambda'),
      ('random', RandomInstance(kernels.RBFKernel(), 4, 2, 6), 'c32_'))
  def test_what_applies_is_said(self, instance, prefixes):
    always = 'solution_ recursion_ c31_ spectral_ srank'
    said = tuple(f'{prefixes} {always}'.split())
    for name, values in _run(KernelIteration(instance)).items():
      if any(x.column == name for x in theory_kernel_claims.KERNEL):
        self.assertEqual(
            np.isfinite(values).any(), name.startswith(said), name)

  def test_counter_examples_are_seen(self):
    columns = _run(KernelIteration(_SWAP, 0.99, 0.01))
    self.assertEqual(columns['member_srank_rise'][3], 1)
    self.assertEqual(columns['member_srank_lambda_rise'][3], 1)
    self.assertGreater(columns['member_ratio_excess'][1], 90)
    diverging = GivenInstance(
        ((1.6, 0.8), (0.8, 0.4)), ((1, 0), (1, 0)), (1.0, 0.0))
    columns = _run(KernelIteration(diverging, 0.9, 0.01))
    self.assertGreater(columns['spectral_radius_excess'][0], 0.07)
    chain = GivenInstance(
        np.eye(4), np.eye(3, 4) * 0.9 + np.eye(3, 4, 1) * 0.1, (0, 0, 1.0))
    columns = _run(KernelIteration(chain, 0.99, 0.01), count=60)
    self.assertGreater(columns['c32_excess'][-1], 0.05)

  @parameterized.parameters(
      ReversibleInstance(4), CycleInstance(3, 1),
      RandomInstance(kernels.RBFKernel(), 3, 2, 4))
  def test_a_checkpoint_of_any_iteration_fits_the_first(self, instance):
    experiment = KernelIteration(instance)
    state = experiment.init(np.random.default_rng(0))
    specs = jax.tree.map(_spec, state)
    for x in jax.tree.leaves(state):
      # Another order would not be continued to the last bit.
      self.assertTrue(np.asarray(x).flags.c_contiguous)
    for iteration in range(7):
      state, _ = experiment.iterate(state, iteration)
      self.assertEqual(jax.tree.map(_spec, state), specs)

  def test_ranks_are_those_of_explicit_matrices(self):
    instance = RandomInstance(kernels.RBFKernel(), 5, 2, 7)
    experiment = KernelIteration(instance, 0.9, delta=0.05)
    problem = instance.draw(np.random.default_rng(3))
    gram = problem.kernel[np.ix_(problem.data, problem.data)]
    fit = problem.kernel[:, problem.data] @ np.linalg.inv(
        gram + 0.1 * np.eye(7))
    step = 0.9 * problem.transition @ fit
    columns, total = _run(experiment, 3, 9), np.zeros((7, 7))
    for k in range(9):
      total += np.linalg.matrix_power(step, k)
      for name, values in (
          ('srank', np.linalg.svd(total)[1]),
          ('srank_shifted', np.linalg.svd(step @ total)[1]),
          ('srank_map', np.linalg.svd(fit @ total)[1]),
          ('srank_lambda', np.abs(np.linalg.eigvals(total)))):
        shares = np.cumsum(np.sort(values)[::-1]) / values.sum()
        rank = 1 + int(np.sum(shares < 0.95))
        self.assertEqual(columns[name][k], rank, (name, k))


class GridworldTest(parameterized.TestCase):

  def test_transitions_are_those_of_the_gridworld(self):
    instance = GridworldInstance(
        _GRID, kernels.RBFKernel(), 9, 'uniform', temperature=0.5)
    problem = instance.draw(np.random.default_rng(0))
    policy = tabular.boltzmann_policy(tabular.q_star(_GRID, 0.5), 0.5)
    free = list(_GRID.free_states)
    self.assertLen(set(problem.data), 9)
    for row, pair in enumerate(problem.data):
      state, action = free[pair // 5], pair % 5
      self.assertEqual(problem.reward[row], _GRID.rewards[state])
      for column in range(5 * len(free)):
        following, then = free[column // 5], column % 5
        chance = _GRID.transition_matrix[state, action, following]
        self.assertAlmostEqual(
            problem.transition[row, column], chance * policy[following, then])

  def test_visited_pairs_follow_one_another(self):
    instance = GridworldInstance(_GRID, kernels.RandomKernel(), 60)
    data = instance.draw(np.random.default_rng(0)).data
    states, actions = _GRID.free_states[data // 5], data % 5
    self.assertEqual(states[0], _GRID.initial_state)
    self.assertEqual(states[50], _GRID.initial_state)
    steps = np.delete(np.arange(59), 49)
    self.assertGreater(_GRID.transition_matrix[
        states[steps], actions[steps], states[steps + 1]].min(), 0)

  def test_the_tangent_kernel_is_that_of_gradients(self):
    network = networks.MLPNetwork(num_actions=2, hidden_units=(5, 4))
    pairs = kernels.Pairs(
        np.float32([[1, 2], [1, 2], [0.5, -1]]), np.array([0, 1, 1]), 2)
    gram = kernels.TangentKernel(network)(pairs, np.random.default_rng(4))
    key = jax.random.key(int(np.random.default_rng(4).integers(2**31)))
    params = network.init(key, pairs.observations[0])
    rows = []
    for state, action in zip(pairs.observations, pairs.actions, strict=True):
      gradient = jax.grad(
          lambda p, s=state, a=action: network.apply(p, s).q_values[a])(params)
      rows.append(np.concatenate(
          [np.ravel(x) for x in jax.tree.leaves(gradient)]))
    expected = np.array(rows) @ np.array(rows).T
    np.testing.assert_allclose(
        gram, expected / np.trace(expected) * 3, rtol=1e-5)

  def test_an_rbf_kernel_in_units_of_the_median(self):
    pairs = kernels.Pairs(np.array([[0.0], [3], [0]]), np.array([0, 0, 1]), 2)
    gram = kernels.RBFKernel(0.5)(pairs, np.random.default_rng(0))
    # Squared distances 9, 2 and 11; the median is 9.
    np.testing.assert_allclose(gram[0], np.exp([0, -2, -4 / 9]))


class BadInputTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ('gamma', {'gamma': 1.0}, 'KernelIteration.gamma is 1.0: give a number'),
      ('gamma_type', {'gamma': '1'}, "KernelIteration.gamma is '1'"),
      ('c', {'c': 0.0}, 'KernelIteration.c is 0.0: give a number above 0'),
      ('delta', {'delta': 1.0}, 'KernelIteration.delta is 1.0'),
      ('tolerance', {'tolerance': -1}, 'KernelIteration.tolerance is -1'),
      ('delta_type', {'delta': 'a'}, "KernelIteration.delta is 'a'"),
      ('instance', {'instance': 3}, 'KernelIteration.instance is 3'),
      ('class', {'instance': CycleInstance}, 'KernelIteration.instance is <'),
  )
  def test_the_experiment_names_the_binding(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message):
      KernelIteration(**{'instance': _SWAP} | options)

  @parameterized.named_parameters(
      ('policy', lambda: _init(((1, 0), (0, 1)), ((0, 0.9), (1, 0))),
       r'KernelIteration.instance: row 0 of P\^pi is no distribution'),
      ('kernel', lambda: _init(((1, 2), (2, 1)), ((0, 1), (1, 0))),
       'KernelIteration.instance: the kernel is not positive semi-definite'),
      ('ragged', lambda: _init(((1, 2), (2,)), ((0, 1), (1, 0))),
       'GivenInstance: .*: give tuples of numbers'),
      ('size', lambda: ReversibleInstance(1), 'ReversibleInstance.size is 1'),
      ('stay', lambda: CycleInstance(stay=1.5), 'CycleInstance.stay is 1.5'),
      ('data', lambda: RandomInstance(kernels.RBFKernel(), 2, 2, 5),
       'RandomInstance.num_data is 5: give at most the 4 pairs'),
      ('sampling', lambda: GridworldInstance(_GRID, None, 3, 'all'),
       "GridworldInstance.sampling is 'all': give one of visited, uniform"),
      ('temperature', lambda: GridworldInstance(
          _GRID, None, 3, temperature=-1), 'GridworldInstance.temperature is'),
      ('reward', lambda: GivenInstance(((1,),), ((1,),), 3.0).draw(None),
       'GivenInstance: .*: give tuples of numbers'),
      ('stay_type', lambda: CycleInstance(stay='a'),
       "CycleInstance.stay is 'a'"),
      ('smoothness', lambda: ReversibleInstance(smoothness=5),
       'ReversibleInstance.smoothness is 5: give two numbers'),
      ('smoothness_order', lambda: ReversibleInstance(smoothness=(5.0, 1.0)),
       r'ReversibleInstance.smoothness is \(5.0, 1.0\)'),
      ('no_kernel', lambda: ReversibleInstance(kernel=5),
       'ReversibleInstance.kernel is 5: bind it to a kernel'),
      ('kernel_class', lambda: RandomInstance(kernels.RBFKernel),
       'RandomInstance.kernel is <class'),
      ('grid_kernel', lambda: GridworldInstance(_GRID, None, 3),
       'GridworldInstance.kernel is None'),
      ('length', lambda: kernels.RBFKernel(0), 'RBFKernel.length is 0'),
      ('rank', lambda: kernels.RandomKernel(0), 'RandomKernel.rank is 0'),
      ('alike', lambda: kernels.RBFKernel()(kernels.Pairs(
          np.zeros((4, 1)), np.zeros(4, int), 1), None), 'look alike'),
      ('actions', lambda: kernels.TangentKernel(networks.MLPNetwork(3))(
          kernels.Pairs(np.zeros((4, 1)), np.zeros(4, int), 2),
          np.random.default_rng(0)), 'num_actions to 2'),
  )
  def test_what_cannot_be_drawn(self, build, message):
    with self.assertRaisesRegex(errors.UserError, message) as caught:
      build()
    self.assertNotIn('\n', str(caught.exception))


def _init(kernel, transition):
  instance = GivenInstance(kernel, transition, (0.0, 1.0))
  return KernelIteration(instance).init(np.random.default_rng(0))


if __name__ == '__main__':
  absltest.main()
