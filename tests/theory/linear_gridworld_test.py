"""The deep linear gridworld against full matrices and a plain loop."""

import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, metrics
from implicit_underparam.envs import gridworld
from implicit_underparam.theory import linear_gridworld
from implicit_underparam.theory.gradient_flow import GradientFlow

_GRID = gridworld.make_grid(
    'random', dim_observation=3, size=4, wall_fraction=0.1
)
_FLOW = GradientFlow(step_size=0.01, steps=30, tolerance=0.4)


def _experiment(**options):
  options = {'capacity': 400, 'flow': _FLOW} | options
  return linear_gridworld.LinearGridworld(_GRID, **options)


def _product(weights):
  phi = weights[0]
  for layer in weights[1:-1]:
    phi = layer @ phi
  return phi


class IterationTest(parameterized.TestCase):

  @parameterized.product(
      backup=('control', 'evaluation'), inputs=('concatenation', 'outer')
  )
  def test_is_gradient_descent_on_transitions_one_by_one(self, backup, inputs):
    experiment = _experiment(backup=backup, inputs=inputs)
    state = experiment.init(np.random.default_rng(1))
    new, _ = experiment.iterate(state, 0)
    weights = list(state.weights)
    rows = self._rows(inputs)
    q_before = self._q_values(weights, rows)
    if backup == 'control':
      values = 0.1 * np.log(np.exp(q_before / 0.1).sum(axis=1))
    else:
      values = q_before.mean(axis=1)
    for _ in range(_FLOW.steps):
      weights = self._descend(weights, rows, values, state.data.pairs)
    for ours, plain in zip(new.weights, weights, strict=True):
      np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-12)
    self.assertGreater(np.abs(new.weights[0] - state.weights[0]).max(), 1e-4)

  def _descend(self, weights, rows, values, pairs):
    """A step on the mean of (Q - y)^2, summed over the transitions in turn."""
    first, second, last = weights
    gradients = [np.zeros_like(x) for x in weights]
    for pair in pairs:
      s, a = divmod(int(pair), _GRID.num_actions)
      x = rows[pair]
      target = _GRID.rewards[s] + _GRID.discount * (
          _GRID.transition_matrix[s, a] @ values
      )
      error = 2 * ((last @ second @ first @ x)[0] - target) / len(pairs)
      gradients[0] += error * np.outer((last @ second)[0], x)
      gradients[1] += error * np.outer(last[0], first @ x)
      gradients[2] += error * (second @ first @ x)[None]
    pairs_of = zip(weights, gradients, strict=True)
    return [w - _FLOW.step_size * g for w, g in pairs_of]

  def _rows(self, inputs):
    rows = []
    for s in range(_GRID.num_states):
      for a in range(_GRID.num_actions):
        action = np.zeros(_GRID.num_actions)
        action[a] = 1
        x = _GRID.observations[s].astype(float)
        rows.append(
            np.concatenate([x, action]) if inputs == 'concatenation'
            else np.kron(action, x)
        )
    return np.array(rows)

  def _q_values(self, weights, rows):
    values = rows @ (weights[-1] @ _product(weights))[0]
    return values.reshape(_GRID.num_states, -1)

  @parameterized.parameters('control', 'evaluation')
  def test_ranks_are_those_of_the_whole_feature_matrix(self, backup):
    experiment = _experiment(backup=backup)
    state, columns = experiment.iterate(
        experiment.init(np.random.default_rng(2)), 0
    )
    phi = self._rows('concatenation') @ _product(state.weights).T
    self.assertEqual(phi.shape, (80, 80))
    self.assertEqual(columns['srank'], metrics.srank(phi))
    self.assertEqual(columns['srank_lambda'], metrics.srank_eigenvalues(phi))

  def test_a_rise_is_from_the_start_of_the_run(self):
    experiment = _experiment()
    state = experiment.init(np.random.default_rng(0))
    state = state._replace(first=np.array([5, 9]))
    _, columns = experiment.iterate(state, 0)
    rank, rank_lambda = columns['srank'], columns['srank_lambda']
    self.assertEqual(columns['a21_srank_rise'], rank - 5)
    self.assertEqual(columns['a21_srank_lambda_rise'], rank_lambda - 9)
    gap = abs(rank - rank_lambda) / max(rank, rank_lambda)
    self.assertEqual(columns['a21_rank_difference'], gap)

  def test_online_gathers_with_its_own_policy_into_a_ring(self):
    experiment = _experiment(data='online', transitions_per_iteration=128)
    state = experiment.init(np.random.default_rng(0))
    self.assertEqual((state.data.pairs >= 0).sum(), 0)
    for k, filled in enumerate((128, 256, 384, 400)):
      before = state.data.pairs
      state, _ = experiment.iterate(state, k)
      self.assertEqual((state.data.pairs >= 0).sum(), filled)
    self.assertEqual(state.data.added, 512)
    kept = (np.arange(400) >= 112) & (np.arange(400) < 384)
    np.testing.assert_array_equal(state.data.pairs[kept], before[kept])

  def test_gathered_pairs_follow_the_policy_and_the_dynamics(self):
    greedy = np.zeros((_GRID.num_states, _GRID.num_actions))
    greedy[:, 3] = 1  # Left.
    pairs = linear_gridworld._gather(
        _GRID, greedy, 50 * 40, np.random.default_rng(0)
    )
    states, actions = np.divmod(pairs, _GRID.num_actions)
    self.assertTrue((actions == 3).all())
    visits = np.zeros(_GRID.num_states)
    belief = np.eye(_GRID.num_states)[_GRID.initial_state]
    for _ in range(_GRID.horizon):
      visits += belief
      belief = belief @ _GRID.transition_matrix[:, 3]
    share = np.bincount(states, minlength=_GRID.num_states) / len(states)
    np.testing.assert_allclose(share, visits / visits.sum(), atol=0.05)


class FixedPointTest(absltest.TestCase):

  def test_one_more_backup_and_fit_leaves_the_fixed_point(self):
    experiment = _experiment(
        backup='evaluation', start='fixed_point', perturbation=0.0
    )
    state = experiment.init(np.random.default_rng(3))
    self.assertLess(state.distance, 1e-9)
    _, columns = experiment.iterate(state, 0)
    self.assertLess(columns['change'], 1e-8)
    self.assertTrue(np.isnan(columns['drop_without_growth']))

  def test_a_drop_that_comes_nearer_is_a_violation(self):
    measure = linear_gridworld._drop_without_growth
    self.assertAlmostEqual(measure(-1, 0.5), np.log(2))
    self.assertAlmostEqual(measure(-2, 4.0), -np.log(4))
    self.assertTrue(np.isnan(measure(0, 0.5)))


class BadInputTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'num_layers': 2}, 'LinearGridworld.num_layers is 2'),
      ({'data': 'both'}, 'LinearGridworld.data is .both.'),
      ({'capacity': -5}, 'LinearGridworld.capacity is -5: give a whole number'),
      ({'transitions_per_iteration': 0},
       'LinearGridworld.transitions_per_iteration is 0'),
      ({'scale': 0}, 'LinearGridworld.scale is 0: give a number above 0'),
      ({'temperature': -1.0}, 'LinearGridworld.temperature is -1.0: give a'),
      ({'perturbation': 'a'}, "LinearGridworld.perturbation is 'a'"),
      ({'start': 'fixed_point'}, "LinearGridworld.backup = 'evaluation'"),
  )
  def test_is_one_line(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message) as caught:
      _experiment(**options)
    self.assertNotIn('\n', str(caught.exception))

  def test_too_large_a_step_is_noticed(self):
    flow = GradientFlow(step_size=5.0, steps=30, tolerance=0.4)
    experiment = _experiment(flow=flow)
    state = experiment.init(np.random.default_rng(0))
    with self.assertRaisesRegex(errors.UserError, 'GradientFlow.step_size'):
      for k in range(20):
        state, _ = experiment.iterate(state, k)


if __name__ == '__main__':
  absltest.main()
