"""A lane's replay while it runs: on the device, in main memory, Dopamine's."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from implicit_underparam import types
from implicit_underparam.data import dopamine_replay, replay, ring
from implicit_underparam.errors import UserError

if TYPE_CHECKING:
  from implicit_underparam import online
  from implicit_underparam.online_functions import Functions

Measured = tuple[dict[str, types.Probe], dict[str, types.Array]]


class Driver(Protocol):
  """What the program does with a lane's replay; s seeds in front."""

  def add(
      self,
      step: int,
      frames: Any,
      host_frames: np.ndarray,
      result: ring.Result,
  ) -> None:
    """Keeps a step: frames [s, K, ...] there and here, results [s, K]."""

  def update(
      self, learning: Any, rng: types.Array, first: int, count: int
  ) -> Any:
    """Takes gradient steps."""

  def measure(
      self, train: types.TrainState, rng: types.Array, steps: types.Array
  ) -> Measured:
    """Probes and TD errors."""

  def check_drawable(self) -> None:
    """There is something to draw.

    Raises:
      UserError: there is not.
    """

  def save(self) -> Any:
    """What a checkpoint needs; not written to before the next call."""

  def load(self, saved: Any) -> None:
    """Goes on from there."""


class DeviceDriver:
  """All of it lies on the device, and a dispatch takes several steps."""

  def __init__(
      self, loop: 'online.OnlineLoop', functions: 'Functions',
      make: Callable[[], replay.Contents], shapes: replay.Contents,
      device: jax.Device,
  ):  # fmt: skip
    self._loop = loop
    self._functions = functions
    self._make = make
    self._shapes = shapes
    self._device = device
    self._contents: replay.Contents | None = None

  @property
  def contents(self) -> replay.Contents:
    """The replay; made when it is first asked for, since it may be loaded."""
    if self._contents is None:
      self._contents = self._make()
    return self._contents

  @contents.setter
  def contents(self, contents: replay.Contents) -> None:
    self._contents = contents

  def add(
      self,
      step: int,
      frames: Any,
      host_frames: np.ndarray,
      result: ring.Result,
  ) -> None:
    """Keeps a step."""
    del host_frames
    self.contents = self._functions.add(
        self.contents, np.int32(step), frames, result
    )

  def update(
      self, learning: Any, rng: types.Array, first: int, count: int
  ) -> Any:
    """Takes gradient steps."""
    kept, tree = self.contents
    learning, tree = self._functions.update(count)(
        learning, tree, kept, rng, np.int32(first)
    )
    self.contents = replay.Contents(kept, tree)
    return learning

  def measure(
      self, train: types.TrainState, rng: types.Array, steps: types.Array
  ) -> Measured:
    """Probes and TD errors."""
    kept = self.contents.ring
    rows = self._functions.probe_rows(kept, rng, steps)
    probes, errors = self._functions.measure(train, kept, (rows, None))
    if self._loop.target_features is not None:
      probes['target'] = self._functions.measure_target(
          train, self.contents, rows, rng, steps
      )
    return probes, errors

  def check_drawable(self) -> None:
    """There is something to draw."""
    check_drawable(self.contents.ring)

  def save(self) -> Any:
    """What a checkpoint needs; before the first step, its shapes."""
    return self._shapes if self._contents is None else self._contents

  def load(self, saved: Any) -> None:
    """Goes on from there."""
    # Gone before the other comes: there is no room for two.
    self._contents = None
    self._contents = jax.device_put(saved, self._device)


class HostDriver:
  """The frames lie in main memory; those of one step at a time go over."""

  def __init__(
      self, loop: 'online.OnlineLoop', functions: 'Functions',
      contents: replay.Contents, device: jax.Device, num_seeds: int,
  ):  # fmt: skip
    environment = loop.environment
    self._functions = functions
    self._device = device
    self._single = num_seeds == 1
    self._contents = jax.device_put(contents, device)
    self._frames = replay.HostFrames(
        loop.layout,
        num_seeds,
        environment.frame_shape,
        environment.frame_dtype,
    )

  def add(
      self,
      step: int,
      frames: Any,
      host_frames: np.ndarray,
      result: ring.Result,
  ) -> None:
    """Keeps a step."""
    del frames
    self._frames.add(step, host_frames[None] if self._single else host_frames)
    self._contents = self._functions.add(
        self._contents, np.int32(step), None, result
    )

  def update(
      self, learning: Any, rng: types.Array, first: int, count: int
  ) -> Any:
    """Takes gradient steps, one by one: priorities change with each."""
    for i in range(first, first + count):
      drawn = self._functions.draw(self._contents, rng, np.int32(i))
      windows = self._windows(drawn.rows)
      kept, tree = self._contents
      learning, tree = self._functions.update_on_windows(
          learning, tree, kept, drawn, windows, rng, np.int32(i)
      )
      self._contents = replay.Contents(kept, tree)
    return learning

  def measure(
      self, train: types.TrainState, rng: types.Array, steps: types.Array
  ) -> Measured:
    """Probes and TD errors."""
    kept = self._contents.ring
    rows = self._functions.probe_rows(kept, rng, steps)
    windows = self._windows(rows)
    return self._functions.measure(train, kept, (rows, windows))

  def _windows(self, rows: types.Array) -> np.ndarray:
    if self._single:
      return self._frames.windows(np.asarray(rows)[None])[0]
    return self._frames.windows(np.asarray(rows))

  def check_drawable(self) -> None:
    """There is something to draw."""
    check_drawable(self._contents.ring)

  def save(self) -> Any:
    """What a checkpoint needs."""
    return {'columns': self._contents, 'frames': self._frames.frames}

  def load(self, saved: Any) -> None:
    """Goes on from there."""
    self._contents = jax.device_put(saved['columns'], self._device)
    self._frames.frames = saved['frames']


class DopamineDriver:
  """Dopamine's own buffers give batches and take losses."""

  def __init__(
      self, loop: 'online.OnlineLoop', functions: 'Functions',
      seeds: Sequence[int],
  ):  # fmt: skip
    assert isinstance(loop.replay, dopamine_replay.DopamineReplay)
    environment = loop.environment
    self._loop = loop
    self._functions = functions
    self._single = len(seeds) == 1
    self._buffers = loop.replay.open(
        seeds,
        loop.num_environments,
        environment.frame_shape,
        environment.frame_dtype,
        environment.stack_size,
        loop.agent.update_horizon,
        loop.agent.gamma,
    )

  def add(
      self,
      step: int,
      frames: Any,
      host_frames: np.ndarray,
      result: ring.Result,
  ) -> None:
    """Keeps a step."""
    del step, frames
    arrays = (host_frames, *(np.asarray(x) for x in result))
    self._buffers.add(*(x[None] if self._single else x for x in arrays))

  def update(
      self, learning: Any, rng: types.Array, first: int, count: int
  ) -> Any:
    """Takes gradient steps, one by one."""
    for i in range(first, first + count):
      batch = self._buffers.sample()
      learning, losses = self._functions.update_on(
          learning, self._given(batch), rng, np.int32(i)
      )
      found = np.asarray(losses)
      self._buffers.feedback(
          batch.indices, found[None] if self._single else found
      )
    return learning

  def measure(
      self, train: types.TrainState, rng: types.Array, steps: types.Array
  ) -> Measured:
    """Probes and TD errors."""
    del rng, steps
    batch = self._buffers.sample(self._loop.probe_size)
    batch = self._given(batch)._replace(weight=None)
    return self._functions.measure(train, None, batch)

  def _given(self, batch: types.Batch) -> types.Batch:
    """What a gradient step takes of a batch."""
    batch = batch._replace(indices=None)
    return jax.tree.map(lambda x: x[0], batch) if self._single else batch

  def check_drawable(self) -> None:
    """Dopamine's own buffer refuses to draw from nothing."""

  def save(self) -> Any:
    """What a checkpoint needs."""
    return self._buffers.save()

  def load(self, saved: Any) -> None:
    """Goes on from there."""
    self._buffers.load(saved)


def check_drawable(kept: ring.Ring) -> None:
  """There is something to draw.

  Raises:
    UserError: there is not.
  """
  if np.min(np.asarray(kept.num_starts)) < 1:
    raise UserError(
        'the replay holds no transition that may be drawn: all episodes are '
        "cut within the agent's update_horizon; raise the limit of steps of "
        'the environment, or OnlineLoop.training_steps'
    )
