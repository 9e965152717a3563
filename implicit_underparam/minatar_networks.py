"""The network of MinAtar (Young & Tian, 2019), in values and in categories."""

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import categorical_networks, networks, types

_CHANNELS = 16
_KERNEL = 3


@jax.custom_vjp
def product(x: types.Array, kernel: types.Array) -> types.Array:
  """x @ kernel, [B, D] of [B, k] and [k, D], with a quicker gradient of x.

  XLA's CPU backend takes twice as long for g @ kernel^T as for the transpose
  of kernel @ g^T, and writes the one as the other where it may.
  """
  return x @ kernel


def _product_saved(x: types.Array, kernel: types.Array) -> tuple:
  return x @ kernel, (x, kernel)


def _product_gradients(saved: tuple, gradient: types.Array) -> tuple:
  x, kernel = saved
  turned = jax.lax.optimization_barrier(kernel @ gradient.T)
  return turned.T, x.T @ gradient


def _dot(
    x: types.Array, kernel: types.Array, *_: object, **__: object
) -> types.Array:
  """`product` in the place of what a dense layer calls."""
  return product(x, kernel)


product.defvjp(_product_saved, _product_gradients)


class PatchConv(nn.Module):
  """A convolution of stride 1 without padding, as one product of matrices.

  Where a kernel is small and so is the image, gathering the patches costs less
  than what a backward convolution does inside a compiled loop, and several
  seeds are one batched product. Parameters are those of `flax.linen.Conv`.

  Attributes:
    features: output channels.
    kernel_size: of both axes.
    kernel_init: an initialiser.
  """

  features: int
  kernel_size: int
  kernel_init: networks.Initializer

  @nn.compact
  def __call__(self, x: types.Array) -> types.Array:
    """[B, H', W', features] of [B, H, W, C]."""
    size = self.kernel_size
    shape = (size, size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    rows, columns = (length - size + 1 for length in x.shape[1:3])
    patches = jnp.concatenate(
        [
            x[:, i : i + rows, j : j + columns]
            for i in range(size)
            for j in range(size)
        ],
        axis=-1,
    )
    # Bytes are gathered, which is a fifth of the work of gathering numbers.
    flat = patches.reshape(-1, patches.shape[-1]).astype(kernel.dtype)
    out = flat @ kernel.reshape(-1, self.features) + bias
    return out.reshape(*patches.shape[:-1], self.features)


def minatar_convolution(
    state: types.Array, init: networks.Initializer
) -> types.Array:
  """What the dense layer reads: [B, 8 * 8 * 16].

  Args:
    state: [B, 10, 10, C, stack] of zeros and ones; frames of a stack become
      channels.
    init: of the kernel.
  """
  x = state.reshape(*state.shape[:-2], -1)
  layer = PatchConv(_CHANNELS, _KERNEL, init, name='Conv_0')
  return networks.vectors(nn.relu(layer(x)))


def _dense(units: int, init: networks.Initializer) -> nn.Dense:
  """The layer whose units are the features."""
  return nn.Dense(
      units, kernel_init=init, dot_general=_dot, name='Dense_0'
  )


@gin.register
class MinAtarNetwork(nn.Module):
  """16 kernels of 3 x 3 and a dense layer (Young & Tian, 2019, section 3).

  Attributes:
    num_actions: A.
    num_units: d, units of the dense layer.
  """

  num_actions: int
  num_units: int = 128

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [B, A] and features [B, d] of states [B, 10, 10, C, 1]."""
    init = nn.initializers.xavier_uniform()
    x = minatar_convolution(state, init)
    features = nn.relu(_dense(self.num_units, init)(x))
    head = nn.Dense(self.num_actions, kernel_init=init, name='Dense_1')
    return types.NetworkOutput(head(features), features)


@gin.register
class CategoricalMinAtarNetwork(categorical_networks.CategoricalNetwork):
  """`MinAtarNetwork` with a categorical return and Rainbow's options.

  Other attributes are those of `CategoricalNetwork`.

  Attributes:
    num_units: d.
  """

  num_units: int = 128

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [B, A], features [B, d], logits [B, A, atoms] of states."""
    init = nn.initializers.xavier_uniform()
    x = minatar_convolution(state, init)
    dense = (
        self.layer(0, self.num_units, init)
        if self.noisy
        else _dense(self.num_units, init)
    )
    features = nn.relu(dense(x))
    return self.head(features, 1, init)
