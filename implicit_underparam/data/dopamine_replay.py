"""Dopamine's own replay buffer behind the interface of this package's.

For those who bring dopamine-rl. How it treats the end of an episode differs
from the raw DQN Replay format: see `DopamineBuffers`.
"""

import dataclasses
import importlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gin
import jax
import numpy as np

from implicit_underparam import types
from implicit_underparam.errors import UserError

_PARTS = ('accumulator', 'elements', 'replay_buffer', 'samplers')
_MODULES = (
    *(f'dopamine.jax.replay_memory.{part}' for part in _PARTS),
    'dopamine.jax.serialization', 'msgpack',
)  # fmt: skip


@gin.register
@dataclasses.dataclass(frozen=True)
class DopamineReplay:
  """Which of Dopamine's buffers to open.

  Attributes:
    capacity: transitions a seed; every one holds both of its stacks, packed.
    batch_size: B, transitions a gradient step.
    prioritized: by the square root of the loss, as Dopamine's Rainbow does;
      else uniform with replacement.
  """

  capacity: int = 1_000_000
  batch_size: int = 32
  prioritized: bool = False

  def __post_init__(self) -> None:
    sizes = (self.capacity, self.batch_size)
    whole = all(isinstance(size, int) for size in sizes)
    if not whole or not 1 <= self.batch_size <= self.capacity:
      raise UserError(
          f'DopamineReplay.capacity is {self.capacity!r} and .batch_size '
          f'{self.batch_size!r}: give whole numbers, a batch of at least 1 '
          'that is no larger than the replay'
      )

  def open(
      self,
      seeds: Sequence[int],
      num_environments: int,
      frame_shape: Sequence[int],
      frame_dtype: Any,
      stack_size: int,
      update_horizon: int,
      gamma: float,
  ) -> 'DopamineBuffers':
    """Empty buffers, one a seed.

    Args:
      seeds: of the samplers.
      num_environments: K, environments a seed; has to be 1.
      frame_shape: of a frame, such as (84, 84).
      frame_dtype: of a frame.
      stack_size: frames in a state.
      update_horizon: n.
      gamma: discount.

    Raises:
      UserError: for several environments a seed; dopamine-rl is missing.
    """
    if num_environments != 1:
      raise UserError(
          f'DopamineReplay takes 1 environment a seed, and the run has '
          f"{num_environments}: Dopamine's accumulator holds one episode; use "
          "1, or this package's replay"
      )
    settings = {
        'capacity': self.capacity, 'prioritized': self.prioritized,
        'stack_size': stack_size, 'update_horizon': update_horizon,
        'gamma': float(gamma),
    }  # fmt: skip
    frame = (tuple(frame_shape), np.dtype(frame_dtype))
    return DopamineBuffers(seeds, self.batch_size, frame, settings)


class DopamineBuffers:
  """One `ReplayBuffer` of Dopamine a seed; on the host.

  An episode of T transitions ends otherwise than in the raw format: the last
  (o, a) is not stored; the transition before it is the terminal one, followed
  by stack_size - 1 copies whose oldest frames are zeroed, one after another.
  """

  def __init__(
      self, seeds: Sequence[int], batch_size: int,
      frame: tuple[tuple[int, ...], np.dtype], settings: dict[str, Any],
  ):  # fmt: skip
    """Opens empty buffers; `DopamineReplay.open` says what these are."""
    self._dopamine = _dopamine()
    self._batch_size = batch_size
    self._frame = frame
    self._settings = settings
    self._buffers = [self._make_buffer(seed) for seed in seeds]

  def add(
      self, frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray,
      is_terminal: np.ndarray, episode_end: np.ndarray,
  ) -> None:  # fmt: skip
    """Adds one step of every seed.

    Args:
      frames: [S, 1, *frame], o_t, the newest frame.
      actions: [S, 1], a_t, taken at o_t.
      rewards: [S, 1], r_t, which followed.
      is_terminal: [S, 1], whether a_t ended the episode.
      episode_end: [S, 1], whether it ended, by a time limit too.
    """
    shape, dtype = self._frame
    if (frames.shape, frames.dtype) != ((len(self._buffers), 1, *shape), dtype):
      raise ValueError(f'{frames.dtype}{frames.shape} is not {self._frame}')
    for s, buffer in enumerate(self._buffers):
      transition = self._dopamine.elements.TransitionElement(
          # The accumulator keeps it; who gave it may write to it again.
          frames[s, 0].copy(),
          int(actions[s, 0]),
          float(rewards[s, 0]),
          bool(is_terminal[s, 0]),
          bool(episode_end[s, 0] or is_terminal[s, 0]),
      )
      buffer.add(transition, **self._priority_of_new(buffer))

  def sample(self, num_samples: int | None = None) -> types.Batch:
    """Draws transitions of every seed.

    Args:
      num_samples: how many of a seed; a batch's if None.

    Returns:
      NumPy arrays with leading axes [S, B]; states [S, B, *frame, stack].
      `indices` are the buffer's keys; `weight` is 1 / sqrt(p + 1e-10) over
      its largest in the batch, None where sampling is uniform.

    Raises:
      UserError: a buffer is empty.
    """
    if not self.num_transitions():
      raise UserError(
          'the replay is empty: gather more before the first gradient step, '
          'with min_replay_history'
      )
    size = self._batch_size if num_samples is None else num_samples
    drawn = [self._sample_one(buffer, size) for buffer in self._buffers]
    return jax.tree.map(lambda *arrays: np.stack(arrays), *drawn)

  def feedback(self, indices: np.ndarray, losses: np.ndarray) -> None:
    """Sets priorities to sqrt(loss + 1e-10), as Dopamine's Rainbow does.

    Nothing happens where sampling is uniform, to transitions that have left
    the buffer since they were drawn, and for losses that are not finite: the
    seed has stopped.

    Args:
      indices: [S, B], of the batch.
      losses: [S, B].
    """
    if not self._settings['prioritized']:
      return
    for buffer, keys, loss in zip(self._buffers, indices, losses, strict=True):
      oldest = buffer.add_count - self._settings['capacity']
      known = (keys >= oldest) & np.isfinite(loss)
      if known.any():
        loss = np.asarray(loss, np.float64)
        buffer.update(keys[known], priorities=np.sqrt(loss[known] + 1e-10))

  def num_transitions(self) -> int:
    """Transitions that can be drawn: of the seed that has the fewest."""
    fewest = min(buffer.add_count for buffer in self._buffers)
    return min(fewest, self._settings['capacity'])

  def save(self) -> list[bytes]:
    """All of every buffer, the state of its random numbers included.

    Returns:
      One piece a seed, in Dopamine's format; about as large as the buffer.
    """
    return [self._pack(buffer) for buffer in self._buffers]

  def load(self, saved: Sequence[bytes]) -> None:
    """Goes on where `save` left off.

    Args:
      saved: what it returned, for the same settings and number of seeds.

    Raises:
      UserError: it is of other settings.
    """
    for buffer, packed in zip(self._buffers, saved, strict=True):
      self._unpack(buffer, packed)

  def _make_buffer(self, seed: int) -> Any:
    settings, dopamine = self._settings, self._dopamine
    if settings['prioritized']:
      sampler = dopamine.samplers.PrioritizedSamplingDistribution(
          seed,
          priority_exponent=1.0,
          # Full, it adds before it removes: with a power of two, past its end.
          max_capacity=settings['capacity'] + 1,
      )
    else:
      sampler = dopamine.samplers.UniformSamplingDistribution(seed)
    # All that gin could bind is given, for config.gin must not name it.
    return dopamine.replay_buffer.ReplayBuffer(
        dopamine.accumulator.TransitionAccumulator(
            settings['stack_size'], settings['update_horizon'],
            settings['gamma'],
        ),
        sampler, batch_size=self._batch_size,
        max_capacity=settings['capacity'], checkpoint_duration=1,
        compress=True,
    )  # fmt: skip

  def _priority_of_new(self, buffer: Any) -> dict[str, float]:
    """Rainbow's rule for new transitions: the largest priority ever set."""
    if not self._settings['prioritized']:
      return {}
    return {'priority': float(_sum_tree(buffer).max_recorded_priority)}

  def _sample_one(self, buffer: Any, size: int) -> types.Batch:
    elements, metadata = buffer.sample(size, with_sample_metadata=True)
    weights = None
    if self._settings['prioritized']:
      weights = 1.0 / np.sqrt(metadata.probabilities + 1e-10)
      weights = (weights / weights.max()).astype(np.float32)
    return types.Batch(
        state=elements.state,
        action=elements.action.astype(np.int32),
        reward=elements.reward.astype(np.float32),
        next_state=elements.next_state,
        is_terminal=elements.is_terminal.astype(np.float32),
        weight=weights,
        indices=metadata.keys,
    )

  def _pack(self, buffer: Any) -> bytes:
    state = {'settings': self._settings, 'buffer': buffer.to_state_dict()}
    if self._settings['prioritized']:
      # Dopamine does not save it, and new transitions would start lower.
      tree = _sum_tree(buffer)
      state['max_recorded_priority'] = float(tree.max_recorded_priority)
    encode = self._dopamine.serialization.encode
    return self._dopamine.msgpack.packb(state, default=encode)

  def _unpack(self, buffer: Any, packed: bytes) -> None:
    state = self._dopamine.msgpack.unpackb(
        packed,
        object_hook=self._dopamine.serialization.decode,
        strict_map_key=False,
    )
    for name, now in self._settings.items():
      before = state['settings'][name]
      if before != now:
        raise UserError(
            f"the replay was saved with {name} = {before}, and this run's is "
            f'{now}: use the configuration it was made with'
        )
    buffer.from_state_dict(state['buffer'])
    if self._settings['prioritized']:
      tree = _sum_tree(buffer)
      # What was read cannot be written to.
      tree.from_state_dict({'nodes': tree.to_state_dict()['nodes'].copy()})
      tree.max_recorded_priority = state['max_recorded_priority']


def _sum_tree(buffer: Any) -> Any:
  # Dopamine's agents reach for it in the same way.
  return buffer._sampling_distribution._sum_tree


def _dopamine() -> SimpleNamespace:
  """The modules that a replay needs, by name; no TensorFlow among them."""
  modules = {}
  try:
    # Importing registers names, which gin refuses once a run is configured.
    with gin.unlock_config():
      for name in _MODULES:
        modules[name.rpartition('.')[2]] = importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise UserError(
        f'DopamineReplay needs dopamine-rl ({error.name} is missing): pip '
        "install 'implicit_underparam[dopamine]'"
    ) from error
  return SimpleNamespace(**modules)
