"""Tests of implicit_underparam.data.sampling."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import sampling


class UniformIndicesTest(parameterized.TestCase):

  @parameterized.parameters(1, 2, 7, 10_000, 65_537, 10_000_000, 2**31 - 1)
  def test_is_the_upper_word_of_the_exact_product(self, size):
    rng = jax.random.key(size)
    bits = np.asarray(jax.random.bits(rng, (1000,), jnp.uint32))
    expected = [int(x) * size >> 32 for x in bits]
    index = sampling.uniform_indices(rng, 1000, size)
    np.testing.assert_array_equal(index, expected)
    traced = jax.jit(sampling.uniform_indices, static_argnums=1)
    np.testing.assert_array_equal(traced(rng, 1000, size), expected)

  def test_all_indices_are_equally_likely(self):
    index = sampling.uniform_indices(jax.random.key(0), 200_000, 50)
    counts = np.bincount(index, minlength=50)
    statistic = np.sum((counts - 4000.0) ** 2 / 4000)
    # Chi-squared with 49 degrees of freedom: above 94 once in 10,000 seeds.
    self.assertLess(statistic, 94)


if __name__ == '__main__':
  absltest.main()
