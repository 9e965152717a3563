"""Data sets of continuous control for the offline loop.

From the log of an online run, an HDF5 file of D4RL, or a Minari data set. A
transition is two rows of a `FrameStore` that lies in memory, its state and
where it led, so that all that is done with prepared sets is done with these.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gin
import numpy as np

from implicit_underparam.data import offline, transition_files
from implicit_underparam.envs import bounds, continuous, gymnasium_registry
from implicit_underparam.errors import UserError

_MINARI = 'minari:'
_SEED = '{seed}'
# Of an action beyond its bounds: what float32 makes of a number on them.
_SLACK = 1e-4


class TransitionStore(NamedTuple):
  """Transitions as a `frame_store.FrameStore` has them.

  Row 2i is where the i-th began, with what was done there; row 2i + 1 is where
  it led.

  Attributes:
    frames: float32 [2 N, ...].
    actions: float32 [2 N, k], in [-1, 1].
    rewards: float32 [2 N].
    terminals: uint8 [2 N].
    meta: what is known of them.
    path: where they come from.
  """

  frames: np.ndarray
  actions: np.ndarray
  rewards: np.ndarray
  terminals: np.ndarray
  meta: Mapping[str, Any]
  path: str

  def starts(self, update_horizon: int) -> np.ndarray:
    """The rows that may start a transition of so many steps: int64.

    Raises:
      UserError: more than one; they are kept one by one.
    """
    if update_horizon != 1:
      raise UserError(
          f'update_horizon is {update_horizon}, and {self.path} holds single '
          'transitions: set it to 1'
      )
    return np.arange(0, len(self.frames), 2)


@gin.register
@dataclasses.dataclass(frozen=True)
class TransitionData(offline.OfflineData):
  """Transitions of continuous control, drawn uniformly with replacement.

  Attributes:
    path: a folder `transitions` that an online run logged, with its
      part_*.hdf5; an HDF5 file of D4RL's layout; or 'minari:ID', a Minari data
      set that lies on this machine. With '{seed}' in it, each seed of a run
      reads its own.
    id: of the environment, whose dimensions and bounds the data has to have.
    fraction: of the transitions that is kept, sampled uniformly without
      replacement (the paper's 20%); None keeps all.
    sample_seed: of that sample; the number of a seed's own log is added.
    arguments: of that environment, as in `GymnasiumEnvironment`.
    batch_size: B.
    placement: as of `OfflineData`.
  """

  id: str | None = None
  sample_seed: int = 0
  arguments: Mapping[str, Any] = dataclasses.field(
      default_factory=dict, hash=False
  )

  def __post_init__(self) -> None:
    for name, example in (
        ('path', 'the folder `transitions` of a log'),
        ('id', "the environment of the data, such as 'HalfCheetah-v4'"),
    ):
      text = getattr(self, name)
      if not text or not isinstance(text, str):
        raise UserError(
            f'TransitionData.{name} is {text!r}: bind it to the name of '
            f'{example}'
        )
    super().__post_init__()
    for name in ('game', 'policy'):
      if getattr(self, name) is not None:
        raise UserError(
            f'TransitionData.{name} has no use with continuous actions: leave '
            'it out'
        )
    if type(self.sample_seed) is not int or self.sample_seed < 0:
      raise UserError(
          f'TransitionData.sample_seed is {self.sample_seed!r}: give a whole '
          'number, 0 or more'
      )
    kept = self.fraction
    if kept is not None and not (
        type(kept) in (int, float) and 0 < kept <= 1
    ):
      raise UserError(
          f'TransitionData.fraction is {kept!r}: give a number above 0 and at '
          'most 1, or None for all'
      )

  def open(self, seed: int = 0) -> Any:
    """A seed's transitions, checked against the environment.

    Args:
      seed: which, if each has its own.

    Raises:
      UserError: they are not there, damaged, or of another environment.
    """
    assert self.path is not None and self.id is not None
    path = self.path.replace(_SEED, str(seed))
    environment = continuous.ContinuousEnvironment(
        self.id, arguments=self.arguments
    )
    spaces = environment.spaces
    columns = _read(path)
    _check_environment(path, self.id)
    _check(path, self.id, columns, spaces)
    columns = self._sampled(columns, seed if self.by_seed else 0)
    return _store(path, self.id, columns, spaces)

  def _sampled(
      self, columns: Mapping[str, np.ndarray], seed: int
  ) -> Mapping[str, np.ndarray]:
    if self.fraction is None:
      return columns
    size = len(columns['rewards'])
    rng = np.random.default_rng((self.sample_seed, seed))
    count = max(1, round(self.fraction * size))
    rows = np.sort(rng.choice(size, count, replace=False))
    return {name: x[rows] for name, x in columns.items()}


def _read(path: str) -> Mapping[str, np.ndarray]:
  if path.startswith(_MINARI):
    return _read_minari(path.removeprefix(_MINARI))
  place = pathlib.Path(path)
  if place.is_dir():
    return transition_files.read_log(place)
  return transition_files.read(place)


def _load_minari(name: str) -> Any:
  try:
    minari = importlib.import_module('minari')
  except ImportError as error:
    raise UserError(
        'Minari data sets need minari: pip install '
        '"implicit_underparam[mujoco]"'
    ) from error
  with _readable(name):
    return minari.load_dataset(name)


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
  """One line for a data set that is missing or damaged."""
  try:
    yield
  except (OSError, ValueError, KeyError) as error:
    reason = ' '.join(str(error).split())
    raise UserError(
        f'minari:{name} cannot be opened ({reason}): `minari list local` shows '
        f'what there is, `minari download {name}` fetches it'
    ) from error


def _read_minari(name: str) -> Mapping[str, np.ndarray]:
  with _readable(name):
    episodes = list(_load_minari(name).iterate_episodes())
  arrays = [_episode(name, x) for x in episodes]
  if not arrays:
    raise UserError(f'minari:{name} has no episodes')
  return {key: np.concatenate([x[key] for x in arrays]) for key in arrays[0]}


def _episode(name: str, episode: Any) -> dict[str, np.ndarray]:
  """One episode's T + 1 observations as T transitions."""
  shown, actions = episode.observations, episode.actions
  if not isinstance(shown, np.ndarray) or not isinstance(actions, np.ndarray):
    raise UserError(
        f'minari:{name} has observations or actions that are no arrays: this '
        'reads Box spaces only'
    )
  if len(shown) != len(actions) + 1:
    raise UserError(
        f'minari:{name}: episode {episode.id} has {len(shown)} observations '
        f'for {len(actions)} actions, and so no last next observation'
    )
  return {
      'observations': shown[:-1],
      'actions': actions,
      'rewards': np.asarray(episode.rewards),
      'next_observations': shown[1:],
      'terminals': np.asarray(episode.terminations),
  }


def _check_environment(path: str, id: str) -> None:
  """What says what it is of is of this environment: many have like shapes."""
  if path.startswith(_MINARI):
    spec = _load_minari(path.removeprefix(_MINARI)).spec.env_spec
    found = [spec.id] if spec is not None else []
  else:
    found = transition_files.environments(pathlib.Path(path))
  others = [name for name in found if name != id]
  if others:
    raise UserError(
        f'{path} is of {others[0]}, and TransitionData.id is {id}: name the '
        'environment that the data is of'
    )


def _check(
    path: str,
    id: str,
    columns: Mapping[str, np.ndarray],
    spaces: gymnasium_registry.Spaces,
) -> None:
  """The data is of the environment.

  Raises:
    UserError: it has other dimensions, NaN, or actions out of bounds.
  """
  for name, space in (
      ('observations', spaces.observation),
      ('next_observations', spaces.observation),
      ('actions', spaces.action),
  ):
    shape = columns[name].shape[1:]
    if shape != space.shape:
      raise UserError(
          f'{path} has {name} of shape {list(shape)}, and {id} has '
          f'{list(space.shape)}: name the environment that the data is of'
      )
  for name in ('observations', 'actions', 'rewards', 'next_observations'):
    # As it will be kept: what float32 cannot hold is infinite.
    with np.errstate(over='ignore'):
      kept = columns[name].astype(np.float32).reshape(len(columns[name]), -1)
    broken = ~np.isfinite(kept).all(1)
    if broken.any():
      raise UserError(
          f'{path} has NaN or infinite {name} in {broken.sum()} transitions, '
          f'the first of them number {int(np.argmax(broken))}: remove them'
      )
  actions, bounds = columns['actions'], spaces.action
  beyond = np.maximum(actions - bounds.high, bounds.low - actions)
  worst = float(beyond.max(initial=0.0))
  if worst > _SLACK:
    raise UserError(
        f'{path} has actions up to {worst:.3g} outside the bounds of {id}, '
        f'{bounds.low.min():g} to {bounds.high.max():g}: name the environment '
        'that the data is of'
    )


def _store(
    path: str,
    id: str,
    columns: Mapping[str, np.ndarray],
    spaces: gymnasium_registry.Spaces,
) -> TransitionStore:
  pairs = np.stack(
      [columns['observations'], columns['next_observations']], axis=1
  )
  frames = pairs.astype(np.float32).reshape(-1, *pairs.shape[2:])
  actions = bounds.shrunk(columns['actions'], spaces.action)
  checksum = zlib.crc32(frames.tobytes(), zlib.crc32(actions.tobytes()))
  rewards = columns['rewards'].astype(np.float32)
  terminals = columns['terminals'].astype(np.uint8)
  checksum = zlib.crc32(rewards.tobytes(), checksum)
  checksum = zlib.crc32(terminals.tobytes(), checksum)
  meta = {
      'game': id,
      'action_size': actions.shape[1],
      'frame_shape': frames.shape[1:],
      'stack_size': 1,
      'checksums': {'transitions': f'{checksum:08x}'},
  }
  return TransitionStore(
      frames,
      _every_second(actions),
      _every_second(rewards),
      _every_second(terminals),
      meta,
      path,
  )


def _every_second(array: np.ndarray) -> np.ndarray:
  """[N, ...] at the even ones of 2 N rows, zeros between them."""
  out = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
  out[::2] = array
  return out
