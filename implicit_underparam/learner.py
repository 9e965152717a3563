"""The one gradient step, and the rules for the target network."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import gin
import jax
import jax.numpy as jnp
import optax

from implicit_underparam import errors, types

SampleFn = Callable[[types.Array, types.Array], types.Batch]
"""(steps taken in this call, a key) -> a batch."""

SampleFromFn = Callable[[Any, types.Array, types.Array], types.Batch]
"""(replay, steps taken in this call, a key) -> a batch."""

FeedbackFn = Callable[[Any, types.Batch, types.Array], Any]
"""(replay, a batch, its losses [B]) -> the replay that is sampled next."""


@gin.register
def adam(
    learning_rate: float = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
  """Adam (Kingma & Ba, 2015), its learning rate kept in the state.

  Args:
    learning_rate: step size; a value of the state, so another one compiles
      nothing.
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the latter.

  Returns:
    An optax transformation.

  Raises:
    UserError: for a learning rate that is not a positive number.
  """
  if not isinstance(learning_rate, (int, float)) or learning_rate <= 0:
    raise errors.UserError(
        f'adam.learning_rate is {learning_rate!r}: give a number above 0'
    )
  make = optax.inject_hyperparams(optax.adam, static_args=('b1', 'b2', 'eps'))
  return make(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


@gin.register
@dataclasses.dataclass(frozen=True)
class Learner:
  """Minimises mean_i w_i l_i + alpha L(Phi), a step at a time.

  Attributes:
    agent: gives parameters and unreduced losses.
    optimizer: an optax transformation.
    penalty: features [B, d] -> scalar, L above; None for none.
    penalty_coefficient: alpha above.
    target_update_period: gradient steps between target updates; None updates
      the target at the end of every `fit`, as fitted Q-iteration does.
    target_update_rate: 1 copies the parameters; less is Polyak averaging.
  """

  agent: types.Agent
  optimizer: optax.GradientTransformation
  penalty: types.Penalty | None = None
  penalty_coefficient: float = 0.0
  target_update_period: int | None = None
  target_update_rate: float = 1.0

  def __post_init__(self) -> None:
    period, rate = self.target_update_period, self.target_update_rate
    if period is not None and not _is_whole(period):
      raise errors.UserError(
          f'Learner.target_update_period is {period!r}: give a whole number of '
          'gradient steps, at least 1, or None'
      )
    if not (isinstance(rate, (int, float)) and 0 < rate <= 1):
      raise errors.UserError(
          f'Learner.target_update_rate is {rate!r}: give a number above 0 and '
          'at most 1 (1 copies the parameters)'
      )
    if self.penalty is None and self.penalty_coefficient != 0:
      raise errors.UserError(
          f'Learner.penalty_coefficient is {self.penalty_coefficient} but '
          'there is no penalty: bind Learner.penalty, for example to '
          '@singular_value_penalty'
      )

  def hyperparameters(self, gradient_steps: int) -> types.Hyperparameters:
    """The numbers that `step` and `fit` take as traced arguments."""
    return types.Hyperparameters(
        gradient_steps=jnp.int32(gradient_steps),
        penalty_coefficient=jnp.float32(self.penalty_coefficient),
        target_update_period=jnp.int32(self.target_update_period or 0),
        target_update_rate=jnp.float32(self.target_update_rate),
    )

  def init(self, rng: types.Array, state: types.Array) -> types.TrainState:
    """Fresh parameters, the target equal to them."""
    params = self.agent.init(rng, state)
    # A copy: the two trees may not share buffers, since states are donated.
    target_params = jax.tree.map(jnp.copy, params)
    opt_state = self.optimizer.init(params)
    return types.TrainState(params, target_params, opt_state, jnp.int32(0))

  def reinitialize(
      self, train: types.TrainState, rng: types.Array, state: types.Array
  ) -> types.TrainState:
    """Fresh parameters and optimiser; target and step count stay."""
    fresh = self.init(rng, state)
    return train._replace(params=fresh.params, opt_state=fresh.opt_state)

  def step(
      self,
      train: types.TrainState,
      batch: types.Batch,
      rng: types.Array,
      hyperparameters: types.Hyperparameters,
      count: types.Array | None = None,
  ) -> tuple[types.TrainState, Mapping[str, types.Array]]:
    """One gradient step and, where it is due, one target update.

    Args:
      train: the state before.
      batch: transitions.
      rng: for losses that draw random numbers.
      hyperparameters: from `hyperparameters()`, or other values. What this
        learner was built without (a penalty, a period, averaging) stays out.
        A period that is Python's 0 leaves target updates to the caller; a
        learner built with 1 takes no other.
      count: steps taken, this one included, that a target update is due by;
        None counts from the start of the run.

    Returns:
      The state after and named scalars: loss (without the penalty), penalty
      (without its coefficient; only where there is one), the agent's own.
    """
    train, metrics, _ = self.step_with_losses(
        train, batch, rng, hyperparameters, count
    )
    return train, metrics

  def fit(
      self,
      train: types.TrainState,
      sample: SampleFn,
      rng: types.Array,
      hyperparameters: types.Hyperparameters,
      first: types.Array | int = 0,
  ) -> tuple[types.TrainState, Mapping[str, types.Array]]:
    """`fit_with_feedback` on data that the losses do not change.

    Args:
      train: the state before.
      sample: (steps taken in this call, a key) -> a batch.
      rng: as there.
      hyperparameters: as there.
      first: as there.

    Returns:
      The state after and the steps' scalars, averaged.
    """
    train, _, means = self.fit_with_feedback(
        train,
        (),
        lambda _, i, key: sample(i, key),
        lambda replay, batch, losses: replay,
        rng,
        hyperparameters,
        first,
    )
    return train, means

  def fit_with_feedback(
      self,
      train: types.TrainState,
      replay: Any,
      sample: SampleFromFn,
      feedback: FeedbackFn,
      rng: types.Array,
      hyperparameters: types.Hyperparameters,
      first: types.Array | int = 0,
  ) -> tuple[types.TrainState, Any, Mapping[str, types.Array]]:
    """`hyperparameters.gradient_steps` steps on freshly sampled batches.

    Args:
      train: the state before.
      replay: what the losses change, such as priorities; a pytree.
      sample: (replay, steps taken in this call, a key) -> a batch.
      feedback: (replay, batch, losses [B]) -> the replay after a step.
      rng: a key; step i folds in 2i for the batch, 2i + 1 for the loss.
      hyperparameters: as in `step`; `gradient_steps` may be a Python integer,
        which compiles a program for that number.
      first: i of the first step. Calls that share a key and go on from each
        other take the steps of one long call; targets are due at multiples
        of the period in i + 1.

    Returns:
      The state and the replay after, and the steps' scalars, averaged.
    """

    # Targets are updated between the steps: a branch beside every step would
    # copy all parameters.
    alone = hyperparameters
    if not self._updates_each_step(hyperparameters.target_update_period):
      alone = hyperparameters._replace(target_update_period=0)

    def one(
        i: types.Array, train: types.TrainState, replay: Any
    ) -> tuple[types.TrainState, Any, Mapping[str, types.Array]]:
      # Two folds and no split: the key that a loss does not use costs nothing.
      step = first + i
      batch = sample(replay, i, sample_key(rng, step))
      train, metrics, losses = self.step_with_losses(
          train, batch, loss_key(rng, step), alone
      )
      return train, feedback(replay, batch, losses), metrics

    def body(i: types.Array, carry: tuple) -> tuple:
      train, replay, totals = carry
      train, replay, metrics = one(i, train, replay)
      return train, replay, jax.tree.map(jnp.add, totals, metrics)

    num_steps = hyperparameters.gradient_steps
    if isinstance(num_steps, int) and num_steps == 1:
      # A loop would carry copies of all parameters.
      train, replay, means = one(jnp.int32(0), train, replay)
      train = self._due_target(train, hyperparameters, jnp.int32(first + 1))
    else:
      shapes = jax.eval_shape(one, jnp.int32(0), train, replay)[2]
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
      train, replay, totals = self._between_targets(
          body, (train, replay, zeros), hyperparameters, first
      )
      means = jax.tree.map(lambda x: x / num_steps, totals)
    if self.target_update_period is None:
      train = self.update_target(train, hyperparameters.target_update_rate)
    return train, replay, means

  def _between_targets(
      self,
      body: Callable[[types.Array, tuple], tuple],
      carry: tuple,
      hyperparameters: types.Hyperparameters,
      first: types.Array | int,
  ) -> tuple:
    """Runs `body` for every step, and target updates where they are due."""
    num_steps = hyperparameters.gradient_steps
    period = hyperparameters.target_update_period
    if not self._updates_targets(period) or self._updates_each_step(period):
      return jax.lax.fori_loop(0, num_steps, body, carry)

    def run(state: tuple) -> tuple:
      """The steps up to the next target update, or to the last one."""
      i, (train, *rest) = state
      due = period * ((first + i) // period + 1) - first
      end = jnp.minimum(due, num_steps).astype(jnp.int32)
      train, *rest = jax.lax.fori_loop(i, end, body, (train, *rest))
      # The same for all seeds, so that it stays a branch.
      train = self._due_target(train, hyperparameters, first + end)
      return end, (train, *rest)

    start = (jnp.int32(0), carry)
    return jax.lax.while_loop(lambda x: x[0] < num_steps, run, start)[1]

  def step_with_losses(
      self,
      train: types.TrainState,
      batch: types.Batch,
      rng: types.Array,
      hyperparameters: types.Hyperparameters,
      count: types.Array | None = None,
  ) -> tuple[types.TrainState, Mapping[str, types.Array], types.Array]:
    """`step`, and also the losses [B] without their weights."""
    gradient = jax.grad(self._objective, has_aux=True)
    batch = batch._replace(gradient_steps=train.gradient_steps)
    grads, (metrics, losses) = gradient(
        train.params, train.target_params, batch, rng, hyperparameters
    )
    updates, opt_state = self.optimizer.update(
        grads, train.opt_state, train.params
    )
    params = optax.apply_updates(train.params, updates)
    train = train._replace(
        params=params,
        opt_state=opt_state,
        gradient_steps=train.gradient_steps + 1,
    )
    count = train.gradient_steps if count is None else count
    train = self._periodic_target(train, hyperparameters, count)
    return train, metrics, losses

  def _objective(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      rng: types.Array,
      hyperparameters: types.Hyperparameters,
  ) -> tuple[types.Array, tuple[dict[str, types.Array], types.Array]]:
    output = self.agent.loss(params, target_params, batch, rng)
    losses = output.losses
    if batch.weight is not None:
      losses = losses * batch.weight
    loss = jnp.mean(losses)
    metrics = {'loss': loss, **output.metrics}
    if self.penalty is None:
      return loss, (metrics, output.losses)
    penalties = [self.penalty(x) for x in jax.tree.leaves(output.features)]
    penalty = functools.reduce(jnp.add, penalties)
    metrics['penalty'] = penalty
    loss = loss + hyperparameters.penalty_coefficient * penalty
    return loss, (metrics, output.losses)

  def _periodic_target(
      self,
      train: types.TrainState,
      hyperparameters: types.Hyperparameters,
      count: types.Array,
  ) -> types.TrainState:
    period = hyperparameters.target_update_period
    if self._updates_each_step(period):
      return self.update_target(train, hyperparameters.target_update_rate)
    return self._due_target(train, hyperparameters, count)

  def _due_target(
      self,
      train: types.TrainState,
      hyperparameters: types.Hyperparameters,
      count: types.Array,
  ) -> types.TrainState:
    """`_periodic_target`, of what a step has not updated by itself."""
    period = hyperparameters.target_update_period
    if not self._updates_targets(period) or self._updates_each_step(period):
      return train
    updated = self.update_target(train, hyperparameters.target_update_rate)
    return train._replace(
        target_params=optax.periodic_update(
            updated.target_params,
            train.target_params,
            count,
            period,
        )
    )

  def _updates_targets(self, period: types.Array | int) -> bool:
    """Whether steps have to look after the target at all."""
    return self.target_update_period is not None and not (
        isinstance(period, int) and period == 0
    )

  def _updates_each_step(self, period: types.Array | int) -> bool:
    """Whether the target moves with every step, so that none needs a branch."""
    return self.target_update_period == 1 and self._updates_targets(period)

  def update_target(
      self, train: types.TrainState, rate: types.Array | float
  ) -> types.TrainState:
    """Target parameters moved towards the parameters by a rate; 1 copies."""
    if self.target_update_rate == 1:
      return train._replace(target_params=train.params)
    return train._replace(
        target_params=optax.incremental_update(
            train.params, train.target_params, rate
        )
    )


def sample_key(rng: types.Array, step: types.Array) -> types.Array:
  """The key with which `Learner.fit` draws the batch of a step."""
  return jax.random.fold_in(rng, 2 * step)


def loss_key(rng: types.Array, step: types.Array) -> types.Array:
  """The key that `Learner.fit` gives the loss of a step."""
  return jax.random.fold_in(rng, 2 * step + 1)


def kept_if(finite: types.Array, new: Any, old: Any) -> Any:
  """A tree where `finite` [] bool holds, else what was there before."""
  return jax.tree.map(lambda x, y: jnp.where(finite, x, y), new, old)


def all_finite(tree: Any) -> types.Array:
  """[] bool, whether no number of a tree is NaN or infinite."""
  leaves = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]
  return jnp.all(jnp.stack(leaves))


def _is_whole(value: object) -> bool:
  return isinstance(value, int) and value >= 1
