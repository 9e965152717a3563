"""What an online run does with continuous actions, logged as HDF5 files."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicit_underparam.data import ring, transition_files
from implicit_underparam.envs import bounds, vector
from implicit_underparam.errors import UserError


class TransitionRecorder:
  """Logs every seed's steps to FOLDER/<id>/<seed>/transitions/part_*.hdf5.

  A part is written whole, with each checkpoint of the run, and never again:
  after a kill the run goes on from the checkpoint, and parts beyond it go.

  Args:
    folder: where the logs go.
    environment: what is played.
    seeds: one log each.
  """

  def __init__(
      self,
      folder: pathlib.Path,
      environment: Any,
      seeds: Sequence[int],
  ):
    transition_files.h5py()
    name = environment.name.replace('/', '_')
    self._folders = [folder / name / str(x) / 'transitions' for x in seeds]
    self._seeds = seeds
    self._environment = environment
    self._is_begun = False
    self._num_parts = 0
    # A dictionary of arrays [S, K, ...] for each step since the last part.
    self._steps: list[dict[str, np.ndarray]] = []

  def add(
      self, frames: np.ndarray, result: ring.Result, step: vector.Step
  ) -> None:
    """Notes a step of all seeds.

    Args:
      frames: [S, K, ...], what the actions were chosen on.
      result: [S, K, ...]; an `episode_end` that is no terminal is a timeout.
      step: what came of it, [S K, ...].
    """
    if not self._is_begun:
      self._take_back(0)
    following = np.array(step.observation[..., -1])
    ended = step.episode_end
    if step.final_observation is not None:
      following[ended] = step.final_observation[ended][..., -1]
    native = bounds.stretched(
        np.asarray(result.action), self._environment.spaces.action
    )
    self._steps.append({
        'observations': np.array(frames),
        'actions': native.astype(np.float32),
        'rewards': np.array(result.reward, np.float32),
        'next_observations': following.reshape(frames.shape),
        'terminals': np.array(result.is_terminal),
        'timeouts': np.asarray(result.episode_end & ~result.is_terminal),
    })

  def suspend(self) -> list[bytes]:
    """Makes the logs durable; from what it gives they can go on."""
    if not self._is_begun:
      return [b'' for _ in self._folders]
    self._write()
    state = json.dumps({'parts': self._num_parts}).encode()
    return [state for _ in self._folders]

  def resume(self, states: Sequence[bytes]) -> None:
    """Goes on from there; what was logged since is logged anew.

    Raises:
      UserError: a part is missing.
    """
    kept = json.loads(states[0])['parts'] if states[0] else 0
    self._take_back(kept)

  def close(self) -> None:
    """Writes what no part holds yet."""
    if self._is_begun:
      self._write()

  def _take_back(self, num_parts: int) -> None:
    """Leaves so many parts, and no more."""
    for folder in self._folders:
      folder.mkdir(parents=True, exist_ok=True)
      for i in range(num_parts):
        path = transition_files.part(folder, i)
        if not path.is_file():
          raise UserError(
              f'{path} is missing, which the run has logged: put it back, or '
              'begin in another --base_dir'
          )
      for path in transition_files.parts(folder)[num_parts:]:
        path.unlink()
    self._num_parts = num_parts
    self._is_begun = True

  def _write(self) -> None:
    if not self._steps:
      return
    for i, folder in enumerate(self._folders):
      columns = {
          name: np.concatenate([x[name][i] for x in self._steps])
          for name in transition_files.COLUMNS
      }
      attributes: dict[str, Any] = {
          'environment': self._environment.name,
          'seed': self._seeds[i],
      }
      path = transition_files.part(folder, self._num_parts)
      transition_files.write(path, columns, attributes)
    self._num_parts += 1
    self._steps = []
