"""Whether data, network and game of an offline run fit each other."""

from typing import Any

import jax
import numpy as np

from implicit_underparam import types
from implicit_underparam.data import frame_store
from implicit_underparam.envs import vector
from implicit_underparam.errors import UserError


def check_actions(
    store: frame_store.FrameStore,
    agent: types.ActingAgent,
    params: types.Params,
    example: Any,
    environment: vector.Environment | None,
) -> None:
  """The network, the data and the game have the same actions.

  Args:
    store: the data.
    agent: that learns from it.
    params: shapes of a seed's parameters.
    example: shape of a batch of states.
    environment: what evaluation plays; None for nothing.

  Raises:
    UserError: they have not.
  """
  if 'action_size' in store.meta:
    _check_action_vectors(store, agent, params, example, environment)
    return
  if not hasattr(agent, 'apply'):
    raise UserError(
        f'{store.path} has actions that are counted, and a '
        f'{type(agent).__name__} needs continuous ones: bind OfflineLoop.data '
        'to @TransitionData()'
    )
  output = jax.eval_shape(agent.apply, params, example)
  network_actions = int(output.q_values.shape[-1])
  wanted = int(store.meta['num_actions'])
  if network_actions != wanted:
    raise UserError(
        f'the network has {network_actions} actions, {store.path} (of '
        f'{store.meta.get("game")}) has {wanted}: bind num_actions = {wanted}'
    )
  if environment and environment.num_actions != wanted:
    raise UserError(
        f'{environment.name} has {environment.num_actions} actions, '
        f'{store.path} has {wanted}: evaluate on the game that the data is of'
    )


def _check_action_vectors(
    store: frame_store.FrameStore,
    agent: types.ActingAgent,
    params: types.Params,
    example: Any,
    environment: vector.Environment | None,
) -> None:
  wanted = int(store.meta['action_size'])
  if hasattr(agent, 'apply'):
    raise UserError(
        f'{store.path} has continuous actions, and a {type(agent).__name__} '
        'needs ones that are counted: bind Learner.agent to @SACAgent()'
    )
  found = jax.eval_shape(agent.act, params, example).shape[-1]
  if found != wanted:
    raise UserError(
        f'the actor has action_size = {found}, and {store.path} has actions '
        f'of {wanted} numbers: bind GaussianActorNetwork.action_size to that'
    )
  if environment and vector.action_size(environment) != wanted:
    raise UserError(
        f'{environment.name} has other actions than {store.path}, of {wanted} '
        'numbers: evaluate on the environment that the data is of'
    )


def check_observations(
    store: frame_store.FrameStore, environment: vector.Environment | None
) -> None:
  """The game shows what the data holds.

  Args:
    store: the data.
    environment: what evaluation plays; None for nothing.

  Raises:
    UserError: it does not.
  """
  if not environment:
    return
  frame = (store.frames.shape[1:], np.dtype(store.frames.dtype))
  shown = (environment.frame_shape, environment.frame_dtype)
  if shown != frame:
    raise UserError(
        f'{environment.name} shows {_described(*shown)}, and {store.path} '
        f'holds {_described(*frame)}: evaluate on the game that the data is of'
    )
  stack_size = int(store.meta['stack_size'])
  if environment.stack_size != stack_size:
    kind = type(environment)
    advice = f'set {kind.__name__}.stack_size = {stack_size}'
    if isinstance(getattr(kind, 'stack_size', None), property):
      advice = f'prepare it again with --stack_size={environment.stack_size}'
    raise UserError(
        f'{environment.name} is observed in stacks of {environment.stack_size} '
        f'frames, and {store.path} in stacks of {stack_size}: {advice}'
    )


def _described(shape: tuple[int, ...], dtype: np.dtype) -> str:
  return f'{dtype} frames of {" x ".join(str(x) for x in shape)}'
