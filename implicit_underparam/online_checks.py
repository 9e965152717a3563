"""What an online loop's options have to be."""

from typing import TYPE_CHECKING, Any

import jax

from implicit_underparam import (
    episode_evaluation,
    errors,
    learner,
    target_features,
    types,
)
from implicit_underparam.agents import value
from implicit_underparam.data import dopamine_replay, replay
from implicit_underparam.envs import vector

if TYPE_CHECKING:
  from implicit_underparam import online

CLOCKS = ('gradient_steps', 'agent_steps')


def check(loop: 'online.OnlineLoop') -> None:
  """Looks at every option.

  Raises:
    UserError: one cannot be.
  """
  _check_parts(loop)
  for name in ('training_steps', 'num_environments', 'probe_size'):
    _check_whole(loop, name, 1)
  for name in ('min_replay_history', 'epsilon_decay_period', 'num_threads'):
    _check_whole(loop, name, 0)
  _check_numbers(loop)
  _check_history(loop)


def check_actions(loop: 'online.OnlineLoop', params: types.Params) -> None:
  """The network has the environment's actions.

  Args:
    loop: the experiment.
    params: shapes of a seed's parameters.

  Raises:
    UserError: it has others.
  """
  agent: Any = loop.agent
  environment = loop.environment
  example = jax.ShapeDtypeStruct(
      (1, *environment.observation_shape), environment.frame_dtype
  )
  action_size = vector.action_size(environment)
  if action_size is not None:
    _check_action_vectors(loop, params, example, action_size)
    return
  if not hasattr(agent, 'apply'):
    raise errors.UserError(
        f'{environment.name} has actions that are counted, and a '
        f'{type(agent).__name__} needs continuous ones: bind '
        'OnlineLoop.environment to @ContinuousEnvironment()'
    )
  output = jax.eval_shape(agent.apply, params, example)
  num_actions = int(output.q_values.shape[-1])
  if num_actions != environment.num_actions:
    network = type(agent.network).__name__
    raise errors.UserError(
        f'{network}.num_actions is {num_actions}, and {environment.name} has '
        f'{environment.num_actions}: bind it to that'
    )
  if num_actions > 256:
    raise errors.UserError(
        f'{environment.name} has {num_actions} actions, and a replay keeps '
        'bytes: 256 at most'
    )


def _check_action_vectors(
    loop: 'online.OnlineLoop',
    params: types.Params,
    example: Any,
    action_size: int,
) -> None:
  agent, name = loop.agent, loop.environment.name
  if hasattr(agent, 'apply'):
    raise errors.UserError(
        f'{name} has continuous actions, and a {type(agent).__name__} needs '
        'ones that are counted: bind Learner.agent to @SACAgent()'
    )
  found = jax.eval_shape(agent.act, params, example).shape[-1]
  if found != action_size:
    raise errors.UserError(
        f'the actor has action_size = {found}, and {name} has actions of '
        f'{action_size} numbers: bind GaussianActorNetwork.action_size to that'
    )
  if loop.replay.prioritized:
    kind = type(loop.replay).__name__
    raise errors.UserError(
        f'{kind}.prioritized is True, and a {type(agent).__name__} has losses '
        'below 0, which make no priorities: set it to False'
    )
  if loop.target_features is not None:
    raise errors.UserError(
        'OnlineLoop.target_features needs the values of all actions, and a '
        f'{type(agent).__name__} has none: bind it to None'
    )


def check_place(loop: 'online.OnlineLoop', place: str) -> None:
  """The frames lie where they are needed.

  Raises:
    UserError: they do not.
  """
  if loop.target_features is not None and place != 'device':
    raise errors.UserError(
        'OnlineLoop.target_features needs the frames on the device, and they '
        'are in main memory: lower Replay.capacity, or bind it to None'
    )


def _check_parts(loop: 'online.OnlineLoop') -> None:
  if not isinstance(loop.learner, learner.Learner):
    raise _error(loop, 'learner', 'bind it to @Learner()')
  if not isinstance(loop.learner.agent, types.ActingAgent):
    raise errors.UserError(
        'OnlineLoop.learner has an agent that does not learn from '
        'transitions: bind Learner.agent, for example to @DQNAgent()'
    )
  if loop.agent.needs_returns:
    raise errors.UserError(
        f'OnlineLoop.learner has a {type(loop.agent).__name__}, which learns '
        'from a fixed data set only: use OfflineLoop'
    )
  environment = loop.environment
  # A class has these too: of a binding without its parentheses.
  if isinstance(environment, type) or not any(
      hasattr(environment, x) for x in ('make', 'step')
  ):
    raise _error(loop, 'environment', 'bind it to @AtariEnvironment()')
  kinds = (replay.Replay, dopamine_replay.DopamineReplay)
  if not isinstance(loop.replay, kinds):
    raise _error(loop, 'replay', 'bind it to @Replay()')
  _check_options(loop)
  if loop.learner.target_update_period is None:
    raise errors.UserError(
        'Learner.target_update_period is None, which is for fitted iterations: '
        'give the steps between target updates, such as 2000'
    )


def _check_options(loop: 'online.OnlineLoop') -> None:
  target = loop.target_features
  if target is not None:
    if not isinstance(target, target_features.TargetFeatures):
      raise _error(
          loop, 'target_features', 'bind it to @TargetFeatures(), or None'
      )
    if not isinstance(loop.replay, replay.Replay):
      raise _error(loop, 'target_features', 'this needs @Replay()')
  evaluation = loop.evaluation
  if evaluation is not None:
    if not isinstance(evaluation, episode_evaluation.EpisodeEvaluation):
      raise _error(
          loop, 'evaluation', 'bind it to @EpisodeEvaluation(), or None'
      )
    _check_same(loop, evaluation)
  if not isinstance(loop.overlap, bool):
    raise _error(loop, 'overlap', 'give True or False')


def _check_same(
    loop: 'online.OnlineLoop', evaluation: episode_evaluation.EpisodeEvaluation
) -> None:
  """The policy can play where it is evaluated."""
  here, there = loop.environment, evaluation.environment
  counted = vector.action_size(here) is None
  actions = 'num_actions' if counted else 'action_size'
  for name in (actions, 'observation_shape'):
    mine, other = getattr(here, name), getattr(there, name, None)
    if mine != other:
      raise errors.UserError(
          f'EpisodeEvaluation.environment is {there.name} with {name} {other}, '
          f'and OnlineLoop.environment {here.name} with {mine}: bind them to '
          'the same'
      )


def _check_whole(loop: 'online.OnlineLoop', name: str, least: int) -> None:
  number = getattr(loop, name)
  if type(number) is not int or number < least:
    raise _error(loop, name, f'give a whole number, at least {least}')


def _check_numbers(loop: 'online.OnlineLoop') -> None:
  ratio = loop.data_reuse_ratio
  if (
      isinstance(ratio, bool)
      or not value.is_finite(ratio)
      or not 0.01 <= ratio <= 1000
  ):
    raise _error(
        loop,
        'data_reuse_ratio',
        'give the gradient steps for each agent step, from 0.01 to 1000, such '
        'as 0.25, 1 or 4',
    )
  epsilon = loop.epsilon_train
  if not value.is_finite(epsilon) or not 0 <= epsilon <= 1:
    raise _error(loop, 'epsilon_train', 'give a probability')
  clip = loop.reward_clip
  if clip is not None and (not value.is_finite(clip) or clip <= 0):
    raise _error(loop, 'reward_clip', 'give a number above 0, or None')
  if loop.target_update_clock not in CLOCKS:
    raise _error(loop, 'target_update_clock', f'use one of {", ".join(CLOCKS)}')
  if loop.training_steps % loop.num_environments:
    raise _error(
        loop,
        'training_steps',
        f'give a multiple of num_environments ({loop.num_environments})',
    )


def _check_history(loop: 'online.OnlineLoop') -> None:
  """The first batch finds transitions."""
  size = loop.replay.batch_size
  least = (loop.agent.update_horizon + 1) * loop.num_environments + size
  if loop.replay.capacity < least:
    kind = type(loop.replay).__name__
    raise errors.UserError(
        f'{kind}.capacity is {loop.replay.capacity}, too small for batches of '
        f'{size}: make it {least} or more'
    )
  if loop.min_replay_history < least:
    raise _error(
        loop,
        'min_replay_history',
        f'give at least {least}, for a first batch of {size}',
    )
  # An iteration begins with new episodes, and ends those it has.
  horizon, stride = loop.agent.update_horizon, loop.num_environments
  if loop.training_steps <= horizon * stride:
    raise _error(
        loop,
        'training_steps',
        f'give at least {(horizon + 1) * stride}, for transitions of '
        f'update_horizon ({horizon}) steps',
    )


def _error(
    loop: 'online.OnlineLoop', name: str, advice: str
) -> errors.UserError:
  return errors.UserError(
      f'OnlineLoop.{name} is {getattr(loop, name)!r}: {advice}'
  )
