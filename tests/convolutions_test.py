"""Tests of implicit_underparam.convolutions."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import convolutions

B, C, D = 2, 3, 4
LAYOUT = ('NHWC', 'HWIO', 'NHWC')
PADDINGS = ('SAME', 'VALID')
# Odd and unequal sides; kernels smaller and larger than the stride.
SHAPES = (
    ((9, 7), (3, 3)), ((11, 12), (5, 5)), ((10, 13), (2, 4)), ((8, 9), (1, 1)),
)


def draw(size, kernel, seed=0, dtype=np.float32, lead=()):
  """(x [..., B, H, W, C], kernel [..., h, w, C, D])."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(*lead, B, *size, C)).astype(dtype)
  return x, rng.normal(size=(*lead, *kernel, C, D)).astype(dtype)


def autodiff(x, kernel, stride, padding):
  """What `convolve` stands for, its gradient left to XLA."""
  return jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT
  )


def loop(x, kernel, stride, padding):
  """Four sums, in float64."""
  x, kernel = np.float64(x), np.float64(kernel)
  size, window = x.shape[1:3], kernel.shape[:2]
  if padding == 'VALID':
    out = [(n - k) // stride + 1 for n, k in zip(size, window, strict=True)]
    low = [0, 0]
  else:
    out = [-(-n // stride) for n in size]
    total = [
        max((o - 1) * stride + k - n, 0)
        for o, k, n in zip(out, window, size, strict=True)
    ]
    low = [t // 2 for t in total]
  y = np.zeros((x.shape[0], *out, kernel.shape[-1]))
  for i, j, u, v in np.ndindex(*out, *window):
    row, column = i * stride + u - low[0], j * stride + v - low[1]
    if 0 <= row < size[0] and 0 <= column < size[1]:
      y[:, i, j] += x[:, row, column] @ kernel[u, v]
  return y


def objective(convolve, stride, padding):
  """A scalar whose cotangents of the output are all different."""

  def f(x, kernel):
    y = convolve(x, kernel, stride, padding)
    weight = jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return jnp.sum(weight * y + 0.5 * y * y)

  return f


def gradients(convolve, stride, padding):
  return jax.grad(objective(convolve, stride, padding), argnums=(0, 1))


def assert_close(got, expected):
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-4)


class ConvolveTest(parameterized.TestCase):

  @parameterized.product(padding=PADDINGS, stride=(1, 2, 3, 4))
  def test_value_and_gradients(self, padding, stride):
    pairs = [draw(*shape) for shape in SHAPES]

    @jax.jit
    def measure(pairs):
      values = [convolutions.convolve(*x, stride, padding) for x in pairs]
      ours = gradients(convolutions.convolve, stride, padding)
      theirs = gradients(autodiff, stride, padding)
      return values, [(ours(*x), theirs(*x)) for x in pairs]

    values, both = measure(pairs)
    for pair, value, (ours, theirs) in zip(pairs, values, both, strict=True):
      np.testing.assert_allclose(
          value, loop(*pair, stride, padding), rtol=2e-5, atol=1e-5
      )
      assert_close(ours, theirs)

  @parameterized.product(padding=PADDINGS, stride=(2, 3))
  def test_finite_differences_in_float64(self, padding, stride):
    jax.config.update('jax_enable_x64', True)
    self.addCleanup(jax.config.update, 'jax_enable_x64', False)
    x, kernel = draw((8, 7), (4, 3), dtype=np.float64)
    weight = np.random.default_rng(1).normal(
        size=loop(x, kernel, stride, padding).shape
    )
    got = jax.jit(
        jax.grad(
            lambda x, kernel: jnp.sum(
                weight * convolutions.convolve(x, kernel, stride, padding)
            ),
            argnums=(0, 1),
        )
    )(x, kernel)
    value = lambda x, kernel: np.sum(weight * loop(x, kernel, stride, padding))
    rng = np.random.default_rng(2)
    for _ in range(5):
      # Linear in each argument: a difference of any width is the derivative.
      dx, dk = rng.normal(size=x.shape), rng.normal(size=kernel.shape)
      along_x = (value(x + dx, kernel) - value(x - dx, kernel)) / 2
      along_k = (value(x, kernel + dk) - value(x, kernel - dk)) / 2
      self.assertAlmostEqual(float(np.sum(got[0] * dx)), along_x, places=9)
      self.assertAlmostEqual(float(np.sum(got[1] * dk)), along_k, places=9)

  @parameterized.parameters(*PADDINGS)
  def test_seeds_side_by_side(self, padding):
    x, kernel = draw((9, 8), (4, 4), lead=(3,))
    reference = jax.jit(gradients(autodiff, 2, padding))
    for axes in ((0, 0), (0, None), (None, 0)):
      args = [
          a if axis == 0 else a[0]
          for a, axis in zip((x, kernel), axes, strict=True)
      ]
      got = jax.jit(
          jax.vmap(gradients(convolutions.convolve, 2, padding), axes)
      )(*args)
      for i in range(3):
        alone = [
            a[i] if axis == 0 else a
            for a, axis in zip(args, axes, strict=True)
        ]
        assert_close([g[i] for g in got], reference(*alone))

  @parameterized.parameters(*PADDINGS)
  def test_inside_a_loop(self, padding):
    x, kernel = draw((9, 8), (4, 4))
    ours = gradients(convolutions.convolve, 2, padding)
    theirs = jax.jit(gradients(autodiff, 2, padding))

    def body(i, carry):
      x, kernel = carry
      gx, gk = ours(x, kernel)
      return x - 1e-3 * gx, kernel - 1e-3 * gk

    got = jax.jit(lambda *args: jax.lax.fori_loop(0, 5, body, args))(x, kernel)
    for _ in range(5):
      gx, gk = theirs(x, kernel)
      x, kernel = x - 1e-3 * gx, kernel - 1e-3 * gk
    assert_close(got, (x, kernel))

  def test_where_the_branch_lies(self):
    x, kernel = draw((9, 8), (4, 4))
    f = lambda x: convolutions.convolve(x, kernel, 2, 'SAME')
    # A rule of one's own for the backward pass has none for the forward mode.
    with self.assertRaises(TypeError):
      jax.jvp(f, (x,), (x,))
    with mock.patch.object(jax, 'default_backend', return_value='gpu'):
      value, tangent = jax.jvp(f, (x,), (x,))
      np.testing.assert_array_equal(value, tangent)
      assert_close(
          gradients(convolutions.convolve, 2, 'SAME')(x, kernel),
          gradients(autodiff, 2, 'SAME')(x, kernel),
      )

  def test_another_padding(self):
    with self.assertRaisesRegex(ValueError, "'FULL': use 'SAME' or 'VALID'"):
      convolutions.convolve(*draw((9, 8), (4, 4)), 2, 'FULL')


if __name__ == '__main__':
  absltest.main()
