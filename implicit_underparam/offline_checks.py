"""Whether data, network and game of an offline run fit each other."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from implicit_underparam.data import frame_store
from implicit_underparam.data import offline as offline_data
from implicit_underparam.errors import UserError


def identity(meta: Mapping[str, Any], columns: offline_data.Columns) -> int:
  """What tells this data from another: 32 bits of its files' checksums.

  Args:
    meta: of the prepared set.
    columns: with the actions of the evaluated policy, if there is one.
  """
  checksums = json.dumps(meta['checksums'], sort_keys=True)
  value = zlib.crc32(checksums.encode())
  if columns.policy_actions is not None:
    value = zlib.crc32(columns.policy_actions.tobytes(), value)
  return value


def check_actions(
    store: frame_store.FrameStore, network_actions: int, environment: Any
) -> None:
  """The network, the data and the game have the same actions.

  Args:
    store: the data.
    network_actions: A of the network.
    environment: what evaluation plays; None for nothing.

  Raises:
    UserError: they have not.
  """
  wanted = int(store.meta['num_actions'])
  if network_actions != wanted:
    raise UserError(
        f'the network has {network_actions} actions, {store.path} (of '
        f'{store.meta.get("game")}) has {wanted}: bind num_actions = {wanted}'
    )
  if environment and environment.num_actions != wanted:
    raise UserError(
        f'{environment.game} has {environment.num_actions} actions, '
        f'{store.path} has {wanted}: evaluate on the game that the data is of'
    )


def check_observations(
    store: frame_store.FrameStore, environment: Any
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
  stack_size = int(store.meta['stack_size'])
  wanted = (*store.frames.shape[1:], stack_size)
  if environment.observation_shape != wanted:
    raise UserError(
        f'{environment.game} is observed as {environment.observation_shape}, '
        f'and {store.path} holds {wanted}: set AtariEnvironment.stack_size = '
        f'{stack_size}'
    )
