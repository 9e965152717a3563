"""Tests of adam_by_part against one optax.adam a part."""

import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from implicit_underparam import errors, learner, optimizers


def trees(count, seed=0):
  """Parameters, and then gradients, of three parts."""
  rng = np.random.default_rng(seed)
  return [
      {
          'actor': {'kernel': np.float32(rng.normal(size=(3, 2)))},
          'critic_1': {'kernel': np.float32(rng.normal(size=(2, 4)))},
          'log_temperature': np.float32(rng.normal()),
      }
      for _ in range(count)
  ]


def run(optimizer, params, gradients):
  """Parameters after steps; `optax.apply_updates` by hand."""
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for gradient in gradients:
    updates, state = update(gradient, state, params)
    params = jax.tree.map(lambda x, dx: x + dx, params, updates)
  return params


class AdamByPartTest(parameterized.TestCase):

  def test_is_one_optimizer_a_part(self):
    params, *gradients = trees(13)
    rates = {'actor': 1e-4, 'log_temperature': 0.02}
    subject = optimizers.adam_by_part(
        3e-3, rates, b1=0.8, b2=0.95, eps=1e-3
    )
    found = run(subject, params, gradients)
    for part, rate in (rates | {'critic_1': 3e-3}).items():
      alone = optax.adam(rate, b1=0.8, b2=0.95, eps=1e-3)
      want = run(alone, params[part], [x[part] for x in gradients])
      jax.tree.map(
          lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
          found[part], want,
      )  # fmt: skip
      moved = jax.tree.leaves(
          jax.tree.map(lambda x, y: np.abs(x - y).max(), want, params[part])
      )
      # An optimiser of another rate would be seen.
      self.assertGreater(max(moved), 2 * rate)

  def test_without_rates_is_adam(self):
    params, *gradients = trees(4)
    found = run(optimizers.adam_by_part(1e-2), params, gradients)
    want = run(learner.adam(1e-2), params, gradients)
    jax.tree.map(np.testing.assert_array_equal, found, want)

  def test_defaults_are_those_of_sac(self):
    params, *gradients = trees(4)
    found = run(optimizers.adam_by_part(), params, gradients)
    want = run(optax.adam(3e-4), params, gradients)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7), found, want
    )

  @parameterized.parameters(
      ({'actor': 0}, "rates has 0 for 'actor': give a number above 0"),
      ({'actor': -1e-4}, 'rates has -0.0001'),
      ({'actor': '1e-4'}, "rates has '1e-4'"),
  )
  def test_bad_rates(self, rates, message):
    with self.assertRaisesRegex(errors.UserError, message):
      optimizers.adam_by_part(rates=rates)

  def test_a_part_that_there_is_not(self):
    subject = optimizers.adam_by_part(rates={'critics': 1e-4})
    with self.assertRaisesRegex(
        errors.UserError,
        'critics: the agent has actor, critic_1, log_temperature',
    ):
      subject.init(trees(1)[0])

  def test_a_bad_learning_rate(self):
    with self.assertRaisesRegex(errors.UserError, 'learning_rate is 0'):
      optimizers.adam_by_part(0)


if __name__ == '__main__':
  absltest.main()
