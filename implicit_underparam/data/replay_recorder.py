"""What an online run plays, written as Dopamine's replay_logs."""

import pathlib
from collections.abc import Sequence

import numpy as np

from implicit_underparam.data import replay_logs_writer, ring
from implicit_underparam.envs import vector
from implicit_underparam.errors import UserError


class ReplayRecorder:
  """Logs every seed's steps to FOLDER/<game>/<seed>/replay_logs.

  Args:
    folder: where the logs go.
    environment: what is played; its frames have to be bytes.
    seeds: one log each.
    num_environments: of a seed, which has to be 1: a log is one stream.
    update_horizon: n, noted in the logs.
    capacity: slots of a checkpoint of the log; Dopamine's is the replay's.

  Raises:
    UserError: the format cannot hold what is played.
  """

  def __init__(
      self,
      folder: pathlib.Path,
      environment: vector.Environment,
      seeds: Sequence[int],
      num_environments: int,
      update_horizon: int,
      capacity: int,
  ):
    if num_environments != 1:
      raise UserError(
          'Runner.log_replay is True: a log holds one environment a seed; set '
          'OnlineLoop.num_environments to 1'
      )
    if np.dtype(environment.frame_dtype) != np.uint8:
      raise UserError(
          f'Runner.log_replay is True: a log holds frames of bytes, and those '
          f'of {environment.name} are {np.dtype(environment.frame_dtype)}'
      )
    self._folders = [
        folder / environment.name / str(seed) / 'replay_logs' for seed in seeds
    ]
    self._environment = environment
    self._update_horizon = update_horizon
    self._capacity = capacity
    self._writers: list[replay_logs_writer.ReplayLogWriter] = []

  def add(
      self,
      frames: np.ndarray,
      result: ring.Result,
      step: vector.Step | None = None,
  ) -> None:
    """Notes a step of all seeds; frames [S, 1, ...], results [S, 1]."""
    del step
    if not self._writers:
      self._open([None] * len(self._folders))
    rows = zip(self._writers, frames, *result, strict=True)
    for writer, frame, action, reward, is_terminal, episode_end in rows:
      writer.add(
          frame[0],
          int(action[0]),
          float(reward[0]),
          bool(is_terminal[0]),
          bool(episode_end[0]),
      )

  def suspend(self) -> list[bytes]:
    """Makes the logs durable; from what it gives they can go on."""
    if not self._writers:
      return [b'' for _ in self._folders]
    return [x.suspend() for x in self._writers]

  def resume(self, states: Sequence[bytes]) -> None:
    """Goes on from there; what was logged since is logged anew."""
    self._open([x or None for x in states])

  def close(self) -> None:
    """Writes the last, partial files."""
    for writer in self._writers:
      writer.close()

  def _open(self, states: Sequence[bytes | None]) -> None:
    """Of a run that was killed before its first checkpoint nothing is kept."""
    self._writers = [
        replay_logs_writer.ReplayLogWriter.resume(
            folder,
            state,
            capacity=self._capacity,
            update_horizon=self._update_horizon,
            frame_shape=self._environment.frame_shape,
            stack_size=self._environment.stack_size,
        )
        for folder, state in zip(self._folders, states, strict=True)
    ]
