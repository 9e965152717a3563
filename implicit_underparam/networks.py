"""Linen modules from states to `NetworkOutput(q_values, features, ...)`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import convolutions, errors, types

Initializer = Callable[..., types.Array]


def fan_in_uniform(fan_in: int) -> Callable[..., types.Array]:
  """An initialiser, uniform in +-1 / sqrt(fan_in).

  PyTorch's default for the weights and the biases of a linear layer, and so
  that of the gridworld code of Fu et al. (2019).

  Args:
    fan_in: inputs of the layer.

  Returns:
    A function (key, shape, dtype) -> array.
  """
  bound = fan_in**-0.5

  def init(
      key: types.Array,
      shape: tuple[int, ...],
      dtype: jnp.dtype = jnp.float32,
  ) -> types.Array:
    return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

  return init


@gin.register
class MLPNetwork(nn.Module):
  """ReLU layers, then one linear head an action; features: the last layer.

  Attributes:
    num_actions: A.
    hidden_units: width of each hidden layer; the last is d.
    flatten: states [B, ...] of any shape are made vectors [B, k].
  """

  num_actions: int
  hidden_units: tuple[int, ...] = (64, 64)
  flatten: bool = False

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [..., A] and features [..., d] of states [..., k]."""
    check_hidden_units('MLPNetwork', self.hidden_units)
    features = vectors(state) if self.flatten else state
    for units in self.hidden_units:
      features = nn.relu(dense(units, features.shape[-1])(features))
    q_values = dense(self.num_actions, features.shape[-1])(features)
    return types.NetworkOutput(q_values, features)


def check_hidden_units(name: str, hidden_units: Sequence[int]) -> None:
  """Raises UserError where the widths of a network's layers are none."""
  if not isinstance(hidden_units, Sequence) or not all(
      isinstance(x, int) and x > 0 for x in hidden_units
  ):
    raise errors.UserError(
        f'{name}.hidden_units is {hidden_units!r}: give the width of each '
        'hidden layer, such as (64, 64)'
    )


def vectors(state: types.Array) -> types.Array:
  """States [B, ...] as vectors [B, k]."""
  return state.reshape((state.shape[0], -1))


def dense(units: int, fan_in: int) -> nn.Dense:
  """A linear layer as PyTorch begins one; see `fan_in_uniform`."""
  init = fan_in_uniform(fan_in)
  return nn.Dense(units, kernel_init=init, bias_init=init)


class Conv(nn.Module):
  """A convolution with a bias; see `convolutions`.

  Parameters are named and shaped as those of `flax.linen.Conv`.

  Attributes:
    features: output channels.
    kernel_size: of both axes.
    stride: of both axes.
    padding: 'SAME' or 'VALID'.
    kernel_init: an initialiser.
  """

  features: int
  kernel_size: int
  stride: int
  padding: str
  kernel_init: Initializer

  @nn.compact
  def __call__(self, x: types.Array) -> types.Array:
    """[B, H', W', features] of [B, H, W, C]."""
    shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    return convolutions.convolve(x, kernel, self.stride, self.padding) + bias


def nature_convolutions(
    state: types.Array, padding: str, init: Initializer
) -> types.Array:
  """The convolutions of Mnih et al. (2015), within a compact method.

  Args:
    state: [B, H, W, C] frames, 0 .. 255.
    padding: 'SAME' or 'VALID'.
    init: of the kernels.

  Returns:
    [B, k], what the first dense layer reads.

  Raises:
    UserError: for another padding, and for frames that are too small.
  """
  if padding not in ('SAME', 'VALID'):
    raise errors.UserError(
        f"the network's padding is {padding!r}: use 'SAME' (Dopamine's) or "
        "'VALID'"
    )
  x = state.astype(jnp.float32) / 255.0
  for i, (channels, size, stride) in enumerate(
      ((32, 8, 4), (64, 4, 2), (64, 3, 1))
  ):
    # Dopamine's names, so that its parameters can be taken as they are.
    layer = Conv(channels, size, stride, padding, init, name=f'Conv_{i}')
    x = nn.relu(layer(x))
  if 0 in x.shape[1:3]:
    raise errors.UserError(
        f'frames of {state.shape[1]} x {state.shape[2]} are too small for the '
        "network's padding 'VALID': use 'SAME'"
    )
  return vectors(x)


def _nature_features(
    state: types.Array, padding: str, num_units: int, init: Initializer
) -> types.Array:
  """The layers of Mnih et al. (2015) up to the penultimate one: [B, d]."""
  x = nature_convolutions(state, padding, init)
  return nn.relu(nn.Dense(num_units, kernel_init=init, name='Dense_0')(x))


@gin.register
class NatureNetwork(nn.Module):
  """The Atari network of Table B.1: 32, 64, 64 channels, 512 units.

  Attributes:
    num_actions: A.
    padding: 'SAME' is Dopamine's, 11 x 11 x 64 into the dense layer;
      'VALID' is that of Mnih et al. (2015), 7 x 7 x 64, half the work.
    num_units: d, units of the penultimate layer.
  """

  num_actions: int
  padding: str = 'SAME'
  num_units: int = 512

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [B, A], features [B, d] of frames [B, 84, 84, 4], 0 .. 255."""
    init = nn.initializers.xavier_uniform()
    features = _nature_features(state, self.padding, self.num_units, init)
    head = nn.Dense(self.num_actions, kernel_init=init, name='Dense_1')
    return types.NetworkOutput(head(features), features)


@gin.register
class QuantileNetwork(nn.Module):
  """The Atari network with quantiles of the return (Dabney et al., 2018).

  Attributes:
    num_actions: A.
    num_atoms: quantiles an action.
    padding: as in `NatureNetwork`.
    num_units: d.
  """

  num_actions: int
  num_atoms: int = 200
  padding: str = 'SAME'
  num_units: int = 512

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Their means [B, A], features [B, d] and quantiles [B, A, atoms]."""
    init = nn.initializers.variance_scaling(3**-0.5, 'fan_in', 'uniform')
    features = _nature_features(state, self.padding, self.num_units, init)
    size = self.num_actions * self.num_atoms
    flat = nn.Dense(size, kernel_init=init, name='Dense_1')(features)
    atoms = flat.reshape((-1, self.num_actions, self.num_atoms))
    return types.NetworkOutput(jnp.mean(atoms, axis=-1), features, atoms)
