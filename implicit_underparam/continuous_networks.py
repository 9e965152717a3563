"""Linen modules for continuous actions: the actor and a critic of (s, a)."""

from typing import NamedTuple

import flax.linen as nn
import gin
import jax.numpy as jnp

from implicit_underparam import networks, types

# Of the logarithm of the standard deviation (Haarnoja et al., 2018).
_LOG_STD_MIN = -20.0
_LOG_STD_MAX = 2.0


class Gaussian(NamedTuple):
  """What an actor returns: the action before its tanh is N(mean, std^2).

  Attributes:
    mean: [B, k], one for each of the k numbers of an action.
    log_std: [B, k].
  """

  mean: types.Array
  log_std: types.Array


@gin.register
class GaussianActorNetwork(nn.Module):
  """ReLU layers, then a mean and a log standard deviation a dimension.

  Attributes:
    action_size: k, numbers in an action.
    hidden_units: width of each hidden layer.
  """

  action_size: int
  hidden_units: tuple[int, ...] = (256, 256)

  @nn.compact
  def __call__(self, state: types.Array) -> Gaussian:
    """The Gaussian of states [B, ...]; the log std is clipped to -20 .. 2."""
    networks.check_hidden_units('GaussianActorNetwork', self.hidden_units)
    x = _hidden(networks.vectors(state), self.hidden_units)
    # Both in one product, which is as fast as one of them.
    both = networks.dense(2 * self.action_size, x.shape[-1])(x)
    mean, log_std = jnp.split(both, 2, axis=-1)
    return Gaussian(mean, jnp.clip(log_std, _LOG_STD_MIN, _LOG_STD_MAX))


@gin.register
class CriticNetwork(nn.Module):
  """ReLU layers of state and action, then Q; features: the last layer.

  Attributes:
    hidden_units: width of each hidden layer; the last is d.
  """

  hidden_units: tuple[int, ...] = (256, 256)

  @nn.compact
  def __call__(
      self, state: types.Array, action: types.Array
  ) -> types.NetworkOutput:
    """Q-values [B, 1] and features [B, d] of states [B, ...], actions [B, k].
    """
    networks.check_hidden_units('CriticNetwork', self.hidden_units)
    both = jnp.concatenate([networks.vectors(state), action], axis=-1)
    features = _hidden(both, self.hidden_units)
    q_values = networks.dense(1, features.shape[-1])(features)
    return types.NetworkOutput(q_values, features)


def _hidden(x: types.Array, hidden_units: tuple[int, ...]) -> types.Array:
  for units in hidden_units:
    x = nn.relu(networks.dense(units, x.shape[-1])(x))
  return x
