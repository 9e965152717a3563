"""Linen modules from states to `NetworkOutput(q_values, features)`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, types


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
  """

  num_actions: int
  hidden_units: tuple[int, ...] = (64, 64)

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [..., A] and features [..., d] of states [..., k]."""
    if not isinstance(self.hidden_units, Sequence) or not all(
        isinstance(x, int) and x > 0 for x in self.hidden_units
    ):
      raise errors.UserError(
          f'MLPNetwork.hidden_units is {self.hidden_units!r}: give the width '
          'of each hidden layer, such as (64, 64)'
      )
    features = state
    for units in self.hidden_units:
      features = nn.relu(_dense(units, features.shape[-1])(features))
    q_values = _dense(self.num_actions, features.shape[-1])(features)
    return types.NetworkOutput(q_values, features)


def _dense(units: int, fan_in: int) -> nn.Dense:
  init = fan_in_uniform(fan_in)
  return nn.Dense(units, kernel_init=init, bias_init=init)
