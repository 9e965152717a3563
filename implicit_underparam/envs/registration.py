"""The gridworlds and the Atari games as gymnasium environments.

Importing this module registers them, so that gymnasium finds them by

  gymnasium.make('implicit_underparam.envs.registration:'
                 'implicit_underparam/Grid16SmoothObs-v0')

or, after the import, by the part behind the colon alone;
'implicit_underparam/Atari-v0' also needs game='Pong'. Nothing of the
environments themselves is imported before one is made.
"""

from typing import Any

import gymnasium
from gymnasium.envs.registration import registry

NAMESPACE = 'implicit_underparam'
_GRIDWORLD = 'implicit_underparam.envs.gridworld_env:GridworldEnv'
_ATARI = 'implicit_underparam.envs.atari_env:AtariEnv'
_ENVIRONMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    'Grid16SmoothObs-v0': (_GRIDWORLD, {'observation': 'smooth'}),
    'Grid16OneHot-v0': (_GRIDWORLD, {'observation': 'one_hot'}),
    'Grid16RandomObs-v0': (_GRIDWORLD, {'observation': 'random'}),
    'Grid16Sparse-v0': (
        _GRIDWORLD, {'observation': 'one_hot', 'sparse_reward': True}),
    'Atari-v0': (_ATARI, {}),
}
ENVIRONMENT_IDS = tuple(f'{NAMESPACE}/{name}' for name in _ENVIRONMENTS)


def register_environments() -> None:
  """Adds the environments to gymnasium's registry; again changes nothing."""
  for environment_id, (entry_point, kwargs) in zip(
      ENVIRONMENT_IDS, _ENVIRONMENTS.values(), strict=True):
    # gymnasium would print a warning on replacing an entry. No step limit is
    # given: the environments truncate by themselves, also without
    # gymnasium.make.
    if environment_id not in registry:
      gymnasium.register(environment_id, entry_point, kwargs=dict(kwargs))


register_environments()
