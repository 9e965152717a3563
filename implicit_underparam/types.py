"""What the parts of the package hand to each other.

Arrays are written with their shapes: B transitions in a batch, A actions, d
features, S states, N rows of a probe. One seed is the unit everywhere; the
runner adds a leading seed axis with `jax.vmap`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

Array = jax.Array
Params = Any  # A pytree of arrays.


class NetworkOutput(NamedTuple):
  """What every value network returns.

  Attributes:
    q_values: [B, A].
    features: [B, d], the output of the penultimate layer (the paper's Phi).
    atoms: [B, A, atoms], the return's quantiles, of networks that have them.
    logits: [B, A, atoms], of the return's probabilities on `support`.
    support: [atoms], evenly spaced returns, of networks that have logits.
  """

  q_values: Array
  features: Array
  atoms: Array | None = None
  logits: Array | None = None
  support: Array | None = None


class Batch(NamedTuple):
  """Transitions for one gradient step; a field that is not used is None.

  Attributes:
    state: [B, ...].
    action: [B] int32, or [B, k] in [-1, 1] where actions are continuous.
    reward: [B], the sum over `update_horizon` steps.
    next_state: [B, ...].
    is_terminal: [B], 1 where no bootstrapping may happen.
    target: [B], or [B, A] for all actions at once; regression targets where
      the data holds them (fitted Q-iteration, Monte-Carlo returns).
    weight: [B] importance weights; None means ones.
    next_action: as action, what the evaluated policy does at `next_state`.
    indices: [B], where the transitions lie in the replay, for priorities.
    gradient_steps: [] int32, taken before this one; the learner puts it in.
  """

  state: Array
  # Any, and not Array | None: who uses a field knows that it is there.
  action: Any = None
  reward: Any = None
  next_state: Any = None
  is_terminal: Any = None
  target: Any = None
  weight: Any = None
  next_action: Any = None
  indices: Any = None
  gradient_steps: Any = None


class LossOutput(NamedTuple):
  """What an agent's loss returns, before any reduction.

  Attributes:
    losses: [B], one loss a transition.
    features: [B, d], handed to the penalty; or several such, whose penalties
      add up.
    metrics: named scalars, averaged over the gradient steps of an iteration.
  """

  losses: Array
  features: Array | tuple[Array, ...]
  metrics: Mapping[str, Array]


class TrainState(NamedTuple):
  """What a gradient step changes.

  Attributes:
    params: the online network's parameters.
    target_params: those of Q_{k-1}, the target network.
    opt_state: the optimiser's state; its learning rate is in here.
    gradient_steps: [] int32, steps taken since the start of the run.
  """

  params: Params
  target_params: Params
  opt_state: Any
  gradient_steps: Array


class Hyperparameters(NamedTuple):
  """Numbers that a sweep varies; traced, so a new value compiles nothing.

  The learning rate is traced too: it is part of `TrainState.opt_state`.

  Attributes:
    gradient_steps: gradient steps an iteration (the paper's T, or n).
    penalty_coefficient: the paper's alpha.
    target_update_period: gradient steps between target updates.
    target_update_rate: 1 copies the parameters, less is Polyak averaging.
  """

  gradient_steps: Any
  penalty_coefficient: Any
  target_update_period: Any
  target_update_rate: Any


class Probe(NamedTuple):
  """A set of states on which the network is measured.

  Attributes:
    features: [N, d].
    q_values: [N, A].
  """

  features: Array
  q_values: Array


class Probed(NamedTuple):
  """What an agent shows on a batch of transitions, unreduced.

  Attributes:
    probes: named networks; 'all' is the one that plain metric names refer to.
    errors: named TD errors, [B] each.
  """

  probes: Mapping[str, Probe]
  errors: Mapping[str, Array]


class IterationOutput(NamedTuple):
  """What an iteration shows to the outside.

  Attributes:
    scalars: named scalars of the iteration (loss, td_error, ...).
    probes: named probes; 'all' is the one that plain metric names refer to.
    parameters: the online network's parameters.
    gradient_steps: [] int32, since the start of the run.
    environment_steps: [] int32, transitions that this run has gathered.
    iterations: [] int32, iterations that were finite.
    finite: [] bool, False from the iteration on in which a loss or a
      parameter became NaN or infinite; the state then stays as it was before.
  """

  scalars: Mapping[str, Array]
  probes: Mapping[str, Probe]
  parameters: Params
  gradient_steps: Array
  environment_steps: Array
  iterations: Array
  finite: Array


Penalty = Callable[[Array], Array]
"""features [B, d] -> scalar, differentiable."""

Metric = Callable[..., float]
"""Asks for what it measures by argument name; see `evaluation.measure`."""


class Agent(Protocol):
  """Hyperparameters with pure functions of parameters; holds no state."""

  def init(self, rng: Array, state: Array) -> Params:
    """Fresh parameters, from a key and an example of a batch of states."""

  def loss(
      self, params: Params, target_params: Params, batch: Batch, rng: Array
  ) -> LossOutput:
    """Unreduced losses of a batch; no penalty, no weighting, no gradient."""


class ValuedAgent(Agent, Protocol):
  """An agent that is one network from states to the values of its actions."""

  def apply(
      self, params: Params, state: Array, rng: Array | None = None
  ) -> NetworkOutput:
    """The network's output at states [B, ...]; `rng` is a noisy one's."""


@runtime_checkable
class ActingAgent(Agent, Protocol):
  """An agent that acts and that learns from transitions."""

  @property
  def gamma(self) -> float:
    """Discount of one step."""

  @property
  def update_horizon(self) -> int:
    """n, steps of the return before bootstrapping."""

  @property
  def needs_returns(self) -> bool:
    """Whether the data has to bring Monte-Carlo returns."""

  def explore(
      self, params: Params, state: Array, rng: Array, epsilon: Array | float
  ) -> Array:
    """What it does in states [B, ...] to learn.

    Args:
      params: its parameters.
      state: [B, ...].
      rng: a key.
      epsilon: [], probability of a uniformly random action.
    """

  def act(self, params: Params, state: Array) -> Array:
    """What it does in states [B, ...] when it is evaluated."""

  def probe(
      self, params: Params, target_params: Params, batch: Batch, rng: Array
  ) -> Probed:
    """Its networks and its TD errors on some transitions."""


class PureLoop(Protocol):
  """One experiment that is pure: what an iteration does, for one seed.

  `program.Program` vectorises it over seeds and compiles it.
  """

  @property
  def environment(self) -> Any:
    """Handed to metrics that ask for it."""

  def hyperparameters(self) -> Hyperparameters:
    """The traced numbers that `iterate` takes."""

  def init(self, rng: Array) -> Any:
    """The state before the first iteration; all of it is checkpointed."""

  def iterate(
      self, state: Any, hyperparameters: Hyperparameters
  ) -> tuple[Any, IterationOutput]:
    """Collects, updates and probes once."""

  def probe(self, state: Any) -> Mapping[str, Probe]:
    """The network measured on the probes, without an update."""


class Program(Protocol):
  """An experiment for several seeds, ready to be run by the runner.

  Attributes:
    seeds: one run each; their axis is the first of every array below.
    environment: handed to metrics that ask for it.
    waits: whether `iterate` returns when the device is done, so that nothing
      is gained by measuring an iteration while the next one runs.
  """

  seeds: tuple[int, ...]
  environment: Any
  waits: bool

  def init(self) -> Any:
    """The state before the first iteration."""

  def snapshot(self, state: Any) -> Any:
    """All that a checkpoint needs to go on from a state, as a tree."""

  def place(self, tree: Any) -> Any:
    """The state of a tree that a checkpoint gave back."""

  def iterate(self, state: Any) -> tuple[Any, IterationOutput]:
    """One iteration of every seed; the given state is consumed."""

  def probe(self, state: Any) -> Mapping[str, Probe]:
    """Every seed's probes, without an update."""

  def close(self) -> None:
    """Ends what the program itself writes; called once, after the last."""

  def output_shapes(self) -> IterationOutput:
    """Shapes and types of one seed's output."""


class Loop(Protocol):
  """One experiment, bound to its options by gin."""

  def compile(self, seeds: Sequence[int], seed_axis: str) -> Program:
    """The experiment for several seeds.

    Args:
      seeds: one run each.
      seed_axis: see `seeds.SeedAxis`.
    """
