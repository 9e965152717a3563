"""Features fit to P^pi Q_{k-1}, whose rank Proposition 4.2 needs (D.2)."""

import dataclasses

import gin
import jax
import jax.numpy as jnp

from implicit_underparam import errors, learner, types

STARTS = ('fresh', 'current')


@gin.register
@dataclasses.dataclass(frozen=True)
class TargetFeatures:
  """Fits gamma P^pi Q, without the reward, in the same class of networks.

  Q is the network's own, pi greedy; the agent's loss is used with all rewards
  0, and without the penalty. The features of the fit are "Target" in Figure
  D.2, those of Q are "Main". The paper does not say how the fit was made.

  Attributes:
    gradient_steps: of the fit.
    start: 'fresh' parameters, or the 'current' ones.
  """

  gradient_steps: int = 2000
  start: str = 'fresh'

  def __post_init__(self) -> None:
    if not isinstance(self.gradient_steps, int) or self.gradient_steps < 1:
      raise errors.UserError(
          f'TargetFeatures.gradient_steps is {self.gradient_steps!r}: give a '
          'whole number, at least 1'
      )
    if self.start not in STARTS:
      raise errors.UserError(
          f'TargetFeatures.start is {self.start!r}: use one of '
          f'{", ".join(STARTS)}'
      )

  def fit(
      self,
      fitter: learner.Learner,
      train: types.TrainState,
      sample: learner.SampleFn,
      rng: types.Array,
  ) -> types.TrainState:
    """The network that fits the target of another.

    Args:
      fitter: the gradient step.
      train: its parameters are Q's.
      sample: as `Learner.fit` has it.
      rng: a key.

    Returns:
      A state whose parameters are the fit.
    """
    plain = dataclasses.replace(
        fitter, penalty=None, penalty_coefficient=0.0, target_update_period=None
    )
    init_rng, fit_rng = jax.random.split(rng)

    def without_reward(i: types.Array, key: types.Array) -> types.Batch:
      batch = sample(i, key)
      return batch._replace(reward=jnp.zeros_like(batch.reward))

    example = sample(jnp.int32(0), init_rng).state[:1]
    start = plain.init(init_rng, example)
    if self.start == 'current':
      opt_state = plain.optimizer.init(train.params)
      start = start._replace(params=train.params, opt_state=opt_state)
    return plain.fit(
        start._replace(target_params=train.params),
        without_reward,
        fit_rng,
        plain.hyperparameters(self.gradient_steps),
    )[0]
