"""QR-DQN (Dabney et al., 2018), the base of the CQL paper's Atari agent."""

import dataclasses

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import losses, types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class QuantileAgent(value.ValueAgent):
  """Quantile regression towards r + gamma^n theta(s', a*).

  The network needs atoms (`QuantileNetwork`); `loss_type` does not apply.

  Attributes:
    kappa: where the quantile Huber loss becomes linear.
  """

  kappa: float = 1.0

  def __post_init__(self) -> None:
    super().__post_init__()
    if not value.is_finite(self.kappa) or self.kappa <= 0:
      raise self._error('kappa', 'give a number above 0')

  def loss_at(
      self,
      output: types.NetworkOutput,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.LossOutput:
    """The losses, given the online network's output at `batch.state`."""
    del params
    target = jax.lax.stop_gradient(self._target_atoms(target_params, batch))
    unreduced = jax.vmap(losses.quantile_huber_error, (0, 0, None))(
        self._atoms(output, batch.action), target, self.kappa
    )
    metrics = value.value_metrics(
        output.q_values, batch.action, jnp.mean(target, axis=-1)
    )
    return types.LossOutput(unreduced, output.features, metrics)

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """The means of the target's quantiles, [B]."""
    del params
    return jnp.mean(self._target_atoms(target_params, batch), axis=-1)

  def _target_atoms(
      self, target_params: types.Params, batch: types.Batch
  ) -> types.Array:
    """[B, atoms]."""
    output = self.apply(target_params, batch.next_state)
    best = self._atoms(output, jnp.argmax(output.q_values, axis=-1))
    return jax.vmap(losses.bootstrapped_target, (0, 0, 0, None))(
        batch.reward, batch.is_terminal, best, self.cumulative_gamma
    )

  def _atoms(
      self, output: types.NetworkOutput, action: types.Array
  ) -> types.Array:
    """The atoms of an action each, [B, atoms]."""
    if output.atoms is None:
      raise self._error('network', 'it has no atoms: use @QuantileNetwork()')
    one_hot = jax.nn.one_hot(action, output.atoms.shape[1])
    # A selection, which a device may not round as it rounds products.
    return jnp.einsum(
        'bak,ba->bk', output.atoms, one_hot, precision='highest'
    )
