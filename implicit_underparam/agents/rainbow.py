"""Rainbow (Hessel et al., 2018): a categorical return, n-step, prioritised.

What is of the network (dueling, noisy) is an option there, the horizon one of
every value agent, the sampling one of the replay.
"""

import dataclasses

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import losses, types
from implicit_underparam.agents import value


@gin.register
@dataclasses.dataclass(frozen=True)
class RainbowAgent(value.ValueAgent):
  """Cross-entropy to the projected r + gamma^n Z(s', a*) (Bellemare et al.).

  The network needs logits (`RainbowNetwork`, `CategoricalMLPNetwork`);
  `loss_type` does not apply.

  Attributes:
    double: the online network chooses a* (van Hasselt et al., 2016).
  """

  double: bool = False

  def __post_init__(self) -> None:
    super().__post_init__()
    if not isinstance(self.double, bool):
      raise self._error('double', 'give True or False')

  @property
  def draws_noise(self) -> bool:
    """Whether the loss trains a noisy network with its noise."""
    return True

  def loss(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
  ) -> types.LossOutput:
    """The losses of a batch; independent noise at `state` and `next_state`."""
    online_rng, target_rng = jax.random.split(rng)
    output = self.apply(params, batch.state, online_rng)
    return self.loss_at(output, params, target_params, batch, target_rng)

  def loss_at(
      self,
      output: types.NetworkOutput,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array | None = None,
  ) -> types.LossOutput:
    """`loss`, given the online network's output at `batch.state`.

    Args:
      output: with the gradient of the loss.
      params: the online network's; for `double`.
      target_params: the target network's.
      batch: transitions.
      rng: draws the noise at `next_state`; None is none.

    Returns:
      Losses [B], features [B, d], the metrics of every value agent.
    """
    logits, _ = self._logits(output, batch.action)
    target, support = jax.lax.stop_gradient(
        self._target(params, target_params, batch, rng)
    )
    unreduced = jax.vmap(losses.categorical_cross_entropy)(logits, target)
    metrics = value.value_metrics(
        output.q_values, batch.action, _mean(target, support)
    )
    return types.LossOutput(unreduced, output.features, metrics)

  def targets(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
  ) -> types.Array:
    """The means of the projected targets, without noise: [B]."""
    target, support = self._target(params, target_params, batch)
    return _mean(target, support)

  def _target(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array | None = None,
  ) -> tuple[types.Array, types.Array]:
    """Probabilities [B, atoms] and their support [atoms]."""
    output = self.apply(target_params, batch.next_state, rng)
    chooser = output
    if self.double:
      # The same noise: Dopamine's target and online network share it here.
      chooser = self.apply(params, batch.next_state, rng)
    best = jnp.argmax(chooser.q_values, axis=-1)
    logits, support = self._logits(output, best)
    moved = jax.vmap(losses.bootstrapped_target, (0, 0, None, None))(
        batch.reward, batch.is_terminal, support, self.cumulative_gamma
    )
    project = jax.vmap(losses.categorical_projection, (0, 0, None))
    return project(moved, jax.nn.softmax(logits), support), support

  def _logits(
      self, output: types.NetworkOutput, action: types.Array
  ) -> tuple[types.Array, types.Array]:
    """The logits of an action each, [B, atoms], and their support, [atoms]."""
    if output.logits is None or output.support is None:
      raise self._error('network', 'it has no logits: use @RainbowNetwork()')
    one_hot = jax.nn.one_hot(action, output.logits.shape[1])
    chosen = jnp.sum(output.logits * one_hot[:, :, None], axis=1)
    return chosen, output.support


def _mean(probabilities: types.Array, support: types.Array) -> types.Array:
  """The mean return of distributions [B, atoms]: [B]."""
  return jnp.sum(probabilities * support, axis=-1)
