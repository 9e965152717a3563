"""Rainbow's networks: categorical returns, dueling heads, noisy layers."""

import math

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, networks, types


def _is_finite(x: object) -> bool:
  return isinstance(x, (int, float)) and math.isfinite(x)


class NoisyDense(nn.Module):
  """A dense layer with factorised noise on its weights.

  y = x (mu + sigma o f(p) f(q)^T) + mu_b + sigma_b o f(q) with p and q standard
  normal and f(e) = sgn(e) sqrt|e| (Fortunato et al., 2018, Eqs. 9 to 11). One
  draw serves the whole batch; without an rng named 'noise' there is none.

  Attributes:
    features: outputs.
    sigma_0: sigma starts at sigma_0 / sqrt(inputs).
  """

  features: int
  sigma_0: float = 0.5

  @nn.compact
  def __call__(self, x: types.Array) -> types.Array:
    """[..., features] of [..., k]."""
    if not _is_finite(self.sigma_0) or self.sigma_0 < 0:
      raise errors.UserError(
          f"the noisy network's sigma_0 is {self.sigma_0!r}: give a number, 0 "
          'or more'
      )
    fan_in = x.shape[-1]
    mean = networks.fan_in_uniform(fan_in)
    scale = nn.initializers.constant(self.sigma_0 / math.sqrt(fan_in))
    shape, bias_shape = (fan_in, self.features), (self.features,)
    # Dopamine's names and order: the same key gives the same parameters.
    kernel = self.param('kernel_mu', mean, shape)
    kernel_sigma = self.param('kernel_sigma', scale, shape)
    bias = self.param('bias_mu', mean, bias_shape)
    bias_sigma = self.param('bias_sigma', scale, bias_shape)
    if self.has_rng('noise'):
      into, out = self._noise(fan_in)
      kernel = kernel + kernel_sigma * jnp.outer(into, out)
      bias = bias + bias_sigma * out
    return x @ kernel + bias

  def _noise(self, fan_in: int) -> tuple[types.Array, types.Array]:
    """f(p) [k] and f(q) [features]."""
    keys = jax.random.split(self.make_rng('noise'))
    p = jax.random.normal(keys[0], (fan_in,))
    q = jax.random.normal(keys[1], (self.features,))
    root = lambda e: jnp.sign(e) * jnp.sqrt(jnp.abs(e))
    return root(p), root(q)


class CategoricalNetwork(nn.Module):
  """What the networks below have in common (Bellemare et al., 2017).

  Attributes:
    num_actions: A.
    num_atoms: atoms of the return's distribution.
    v_max: the largest return that it can hold.
    v_min: the smallest one; None is -v_max.
    dueling: a value and advantages add up to the logits (Wang et al., 2016);
      both heads are linear in the features, as Dopamine has it, where those
      of Hessel et al. (2018) have a hidden layer each.
    noisy: noise on every dense layer, in the place of exploration by chance.
    sigma_0: scale of the noise at the start, 0.5 in both papers, 0.1 in
      Dopamine.
  """

  num_actions: int
  num_atoms: int = 51
  v_max: float = 10.0
  v_min: float | None = None
  dueling: bool = False
  noisy: bool = False
  sigma_0: float = 0.5

  def layer(
      self, index: int, units: int, init: networks.Initializer
  ) -> nn.Module:
    """A dense layer, under Dopamine's name for the one of this index."""
    if self.noisy:
      return NoisyDense(units, self.sigma_0, name=f'NoisyNetwork_{index}')
    return nn.Dense(units, kernel_init=init, name=f'Dense_{index}')

  def head(
      self, features: types.Array, index: int, init: networks.Initializer
  ) -> types.NetworkOutput:
    """Everything that follows features [B, d]; `index` counts its layers."""
    support = self._support()
    size = self.num_actions * self.num_atoms
    flat = self.layer(index, size, init)(features)
    logits = flat.reshape((-1, self.num_actions, self.num_atoms))
    if self.dueling:
      value = self.layer(index + 1, self.num_atoms, init)(features)
      centred = logits - jnp.mean(logits, axis=1, keepdims=True)
      logits = value[:, None, :] + centred
    q_values = jnp.sum(support * jax.nn.softmax(logits), axis=-1)
    return types.NetworkOutput(
        q_values, features, logits=logits, support=support
    )

  def _support(self) -> types.Array:
    """The returns of the atoms, [atoms]."""
    if not _is_finite(self.v_max):
      raise self._error('v_max', 'give a number')
    v_min = -self.v_max if self.v_min is None else self.v_min
    if not isinstance(self.num_atoms, int) or self.num_atoms < 2:
      raise self._error('num_atoms', 'give a whole number, at least 2')
    if not _is_finite(v_min):
      raise self._error('v_min', 'give a number, or None for -v_max')
    if v_min >= self.v_max:
      raise self._error('v_max', f'give a number above v_min, here {v_min}')
    return jnp.linspace(v_min, self.v_max, self.num_atoms)

  def _error(self, name: str, advice: str) -> errors.UserError:
    return errors.UserError(
        f'{type(self).__name__}.{name} is {getattr(self, name)!r}: {advice}'
    )


@gin.register
class RainbowNetwork(CategoricalNetwork):
  """The Atari network with a categorical return and Rainbow's options.

  Without an option its parameters start as in Dopamine's `RainbowNetwork`,
  with one as in its `FullRainbowNetwork`, and bear their names. The features
  are the units of the dense layer that the head, or with `dueling` both heads,
  read. Other attributes are those of `CategoricalNetwork`.

  Attributes:
    padding: as in `NatureNetwork`.
    num_units: d.
  """

  padding: str = 'SAME'
  num_units: int = 512

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [B, A], features [B, d], logits [B, A, atoms] of frames."""
    if self.dueling or self.noisy:
      init = nn.initializers.xavier_uniform()
    else:
      init = nn.initializers.variance_scaling(3**-0.5, 'fan_in', 'uniform')
    x = networks.nature_convolutions(state, self.padding, init)
    features = nn.relu(self.layer(0, self.num_units, init)(x))
    return self.head(features, 1, init)


@gin.register
class CategoricalMLPNetwork(CategoricalNetwork):
  """ReLU layers with a categorical return, for observations that are vectors.

  The features are the last hidden layer. Other attributes are those of
  `CategoricalNetwork`.

  Attributes:
    hidden_units: width of each hidden layer; the last is d.
    flatten: states [B, ...] of any shape are made vectors [B, k].
  """

  hidden_units: tuple[int, ...] = (64, 64)
  flatten: bool = False

  @nn.compact
  def __call__(self, state: types.Array) -> types.NetworkOutput:
    """Q-values [B, A], features [B, d], logits [B, A, atoms] of [B, k]."""
    networks.check_hidden_units('CategoricalMLPNetwork', self.hidden_units)
    init = nn.initializers.xavier_uniform()
    x = networks.vectors(state) if self.flatten else state
    for i, units in enumerate(self.hidden_units):
      x = nn.relu(self.layer(i, units, init)(x))
    return self.head(x, len(self.hidden_units), init)
