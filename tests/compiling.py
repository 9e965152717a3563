"""How a test compiles its programs."""

import unittest

import jax


def as_a_run_does(test: unittest.TestCase) -> None:
  """With every optimisation, to the test's end: the other tests have few."""
  before = jax.config.read('jax_disable_most_optimizations')
  jax.config.update('jax_disable_most_optimizations', False)
  test.addCleanup(
      jax.config.update, 'jax_disable_most_optimizations', before
  )
