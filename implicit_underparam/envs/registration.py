"""The gridworlds as gymnasium environments.

Importing this module registers them, so that gymnasium finds them by

  gymnasium.make('implicit_underparam.envs.registration:'
                 'implicit_underparam/Grid16SmoothObs-v0')

or, after the import, by the part behind the colon alone. Nothing of the
environments themselves is imported before one is made.
"""

from typing import Any

import gymnasium
from gymnasium.envs.registration import registry

NAMESPACE = 'implicit_underparam'
_ENTRY_POINT = 'implicit_underparam.envs.gridworld_env:GridworldEnv'
_GRIDWORLDS: dict[str, dict[str, Any]] = {
    'Grid16SmoothObs-v0': {'observation': 'smooth'},
    'Grid16OneHot-v0': {'observation': 'one_hot'},
    'Grid16RandomObs-v0': {'observation': 'random'},
    'Grid16Sparse-v0': {'observation': 'one_hot', 'sparse_reward': True},
}
ENVIRONMENT_IDS = tuple(f'{NAMESPACE}/{name}' for name in _GRIDWORLDS)


def register_environments() -> None:
  """Adds the gridworlds to gymnasium's registry; again changes nothing."""
  for environment_id, kwargs in zip(
      ENVIRONMENT_IDS, _GRIDWORLDS.values(), strict=True):
    # gymnasium would print a warning on replacing an entry. No step limit is
    # given: the environment truncates by itself, also without gymnasium.make.
    if environment_id not in registry:
      gymnasium.register(environment_id, _ENTRY_POINT, kwargs=dict(kwargs))


register_environments()
