"""Transitions on disk: what an online run logs, and files of any origin."""

import json
import os
import pathlib

import gymnasium
import h5py
import numpy as np
import transition_sets
from absl.testing import absltest, parameterized
from transition_sets import SIZE, changed, columns, data, given, lacking

from implicit_underparam.data import (
    ring,
    transition_files,
    transition_recorder,
)
from implicit_underparam.envs import continuous

_SEEDS = (3, 8)
_LIMIT = 14  # Some hoppers fall before they are cut.
_STEPS = 30


class Played:
  """Two hoppers for each of two seeds, with actions that a seed decides."""

  def __init__(self, folder: pathlib.Path):
    self.environment = continuous.ContinuousEnvironment(
        'Hopper-v4', max_episode_steps=_LIMIT
    )
    self.recorder = transition_recorder.TransitionRecorder(
        folder, self.environment, _SEEDS
    )
    self.vector = self.environment.make(4)

  def play(self, first: int, num_steps: int) -> None:
    """Steps from new episodes; the last one of an iteration cuts them."""
    seen = self.vector.reset([first + i for i in range(4)])
    for i in range(num_steps):
      chosen = actions(first + i)
      step = self.vector.step(chosen)
      result = ring.Result(
          *(
              np.reshape(x, (2, 2, *x.shape[1:]))
              for x in (
                  chosen, step.reward, step.is_terminal,
                  step.episode_end | (i == num_steps - 1),
              )
          )
      )  # fmt: skip
      frames = seen[..., -1].reshape(2, 2, -1)
      self.recorder.add(frames, result, step)
      seen = step.observation


def actions(step):
  rng = np.random.default_rng((1, step))
  return rng.uniform(-1, 1, (4, 3)).astype(np.float32)


def by_hand(first, num_steps, lane):
  """What the k-th hopper of a seed shows to a loop of gymnasium alone."""
  columns = {name: [] for name in transition_files.COLUMNS}
  envs = [
      gymnasium.make('Hopper-v4', max_episode_steps=_LIMIT) for _ in range(2)
  ]
  seen = [
      env.reset(seed=first + 2 * lane + k)[0] for k, env in enumerate(envs)
  ]
  for i in range(num_steps):
    for k, env in enumerate(envs):
      action = actions(first + i)[2 * lane + k]
      then, reward, terminated, over, _ = env.step(action)
      is_cut = not terminated and (over or i == num_steps - 1)
      row = (seen[k], action, reward, then, terminated, is_cut)
      for column, x in zip(columns.values(), row, strict=True):
        column.append(x)
      seen[k] = env.reset()[0] if terminated or over else then
  return columns


class RecorderTest(transition_sets.FolderTest):

  def log(self, seed):
    return self.folder / 'Hopper-v4' / str(seed) / 'transitions'

  def check_log(self, *iterations):
    """The logs are those of so many iterations, by hand."""
    for lane, seed in enumerate(_SEEDS):
      found = transition_files.read_log(self.log(seed))
      pieces = [by_hand(first, _STEPS, lane) for first in iterations]
      for name, column in found.items():
        expected = np.concatenate([x[name] for x in pieces])
        if column.dtype != bool:
          self.assertEqual(column.dtype, np.float32, name)
          expected = expected.astype(np.float32)
        np.testing.assert_array_equal(column, expected, name)

  def test_a_log_is_what_a_loop_by_hand_sees(self):
    played = Played(self.folder)
    for first in (100, 200):
      played.play(first, _STEPS)
      played.recorder.suspend()
    played.play(300, _STEPS)
    played.recorder.close()
    self.check_log(100, 200, 300)
    found = transition_files.read_log(self.log(3))
    self.assertLen(found['rewards'], 3 * 2 * _STEPS)
    self.assertBetween(found['terminals'].sum(), 2, 30)
    # And not only the 3 times 2 at the end of an iteration.
    self.assertGreater(found['timeouts'].sum(), 8)
    self.assertFalse((found['timeouts'] & found['terminals']).any())
    names = [x.name for x in sorted(self.log(8).iterdir())]
    self.assertEqual(names, [f'part_{i:05d}.hdf5' for i in range(3)])
    with h5py.File(self.log(8) / names[0]) as file:
      self.assertEqual(file.attrs['environment'], 'Hopper-v4')
      self.assertEqual(file.attrs['seed'], 8)

  def test_it_is_read_for_the_offline_loop(self):
    played = Played(self.folder)
    played.play(100, _STEPS)
    played.recorder.close()
    path = self.folder / 'Hopper-v4' / '{seed}' / 'transitions'
    for lane, found in enumerate(
        transition_sets.read(data(path, id='Hopper-v4'), _SEEDS)
    ):
      transition_sets.check(found, by_hand(100, _STEPS, lane), bound=1.0)

  def test_it_goes_on_from_a_checkpoint(self):
    first = Played(self.folder)
    first.play(100, _STEPS)
    saved = first.recorder.suspend()
    first.play(200, _STEPS)
    first.recorder.suspend()
    first.play(300, 5)
    # Killed here, and while a part is written.
    (self.log(8) / 'part_00002.unfinished').write_bytes(b'half')
    for seed in _SEEDS:
      self.assertLen(transition_files.parts(self.log(seed)), 2)
    second = Played(self.folder)
    second.recorder.resume(saved)
    for seed in _SEEDS:
      self.assertLen(transition_files.parts(self.log(seed)), 1)
    for begin in (200, 300, 400):
      second.play(begin, _STEPS)
      second.recorder.suspend()
    second.recorder.close()
    self.check_log(100, 200, 300, 400)
    self.assertEmpty(list(self.folder.rglob('*.unfinished')))

  def test_a_killed_run_without_a_checkpoint_begins_anew(self):
    first = Played(self.folder)
    first.play(100, _STEPS)
    first.recorder.close()
    second = Played(self.folder)
    second.play(200, _STEPS)
    second.recorder.close()
    self.check_log(200)

  def test_nothing_is_touched_before_the_first_step(self):
    first = Played(self.folder)
    first.play(100, _STEPS)
    saved = first.recorder.suspend()
    second = Played(self.folder)
    self.assertEqual(second.recorder.suspend(), [b'', b''])
    second.recorder.close()
    self.check_log(100)
    self.assertEqual([json.loads(x) for x in saved], [{'parts': 1}] * 2)

  def test_a_part_that_is_gone_is_named(self):
    first = Played(self.folder)
    first.play(100, _STEPS)
    saved = first.recorder.suspend()
    path = self.log(8) / 'part_00000.hdf5'
    path.unlink()
    self.check_refused(
        f'{path} is missing, which the run has logged: put it back',
        Played(self.folder).recorder.resume, saved,
    )  # fmt: skip

  def test_a_folder_that_cannot_be_written_is_named(self):
    played = Played(self.folder)
    played.play(100, 2)
    for path in (*self.log(3).iterdir(), self.log(3)):
      path.rmdir()
    self.check_refused(
        'part_00000.hdf5 cannot be written', played.recorder.close
    )


class FolderOfPartsTest(transition_sets.FolderTest):

  def refused(self, message):
    self.check_refused(message, data(self.folder).open)

  def test_parts_follow_one_another(self):
    parts = [columns(20, seed=x) for x in range(11)]
    # In any order, as a file system may list them.
    for i in (10, 3, *range(3), *range(4, 10)):
      self.file(parts[i], f'part_{i:05d}.hdf5')
    (self.folder / 'part_00011.unfinished').write_bytes(b'half')
    (found,) = transition_sets.read(data(self.folder))
    transition_sets.check(
        found,
        {name: np.concatenate([x[name] for x in parts]) for name in parts[0]},
    )

  def test_what_is_no_log_is_refused(self):
    self.refused('has no part_00000.hdf5: name the folder `transitions`')
    # As in a folder of images.
    (self.folder / '0.png').write_bytes(b'png')
    self.refused('has no part_00000.hdf5')
    self.file(columns(), 'part_00000.hdf5')
    third = self.file(columns(), 'part_00002.hdf5')
    self.refused('part_00001.hdf5 is missing, and later parts are there')
    for found in (lacking('timeouts'), columns(shown=4)):
      self.file(found, 'part_00001.hdf5')
      self.refused(r'part_00001.hdf5 has columns of shapes .* are not parts of')
    self.file(columns(), 'part_00001.hdf5')
    whole = third.stat().st_size
    for size in (whole - 1, whole // 2, 100, 0):
      os.truncate(third, size)
      self.refused('part_00002.hdf5 cannot be read as HDF5')


class FileTest(transition_sets.FolderTest):

  @parameterized.parameters(
      (lacking('next_observations'), 'has no next_observations .of actions, '),
      (lacking('terminals'), 'has no terminals'),
      ({}, 'has no observations'),
      (changed('rewards', 7, np.nan), 'infinite rewards in 1 .* number 7'),
      (changed('observations', [3, 9], np.nan), 'observations in 2 .*number 3'),
      (changed('next_observations', 59, np.inf), 'infinite next_observations'),
      (changed('actions', 0, np.nan), 'NaN or infinite actions'),
      (changed('actions', 5, 2.5), 'up to 0.5 outside the bounds.*, -2 to 2'),
      (changed('actions', 5, -3), 'actions up to 1 outside the bounds'),
      (columns(shown=4), r'observations of shape \[4\], and Pendulum-v1 has'),
      (columns(done=2), r'actions of shape \[2\], and Pendulum-v1 has \[1\]'),
      (columns(0), 'has no transitions'),
      (given(observations=np.zeros(SIZE)), r'observations of shape \[60\] a'),
      (given(actions=np.zeros(SIZE)), r'actions of shape \[60\]'),
      (given(rewards=np.zeros((SIZE, 1))), r'rewards of shape \[60, 1\]'),
      (given(rewards=3.0), r'rewards of shape \[\]'),
      (given(rewards=np.array([b'a'] * SIZE)), 'rewards of .* give numbers'),
      (given(rewards=np.zeros(59)), 'columns of different lengths: .*ds 59'),
      (given(terminals=np.full(SIZE, 2)), 'terminals that are neither 0 nor'),
      (given(terminals=np.full(SIZE, np.nan)), 'terminals that are neither'),
      ({**lacking('rewards'), 'rewards/of': 3.0}, 'has rewards as a group'),
  )
  def test_what_does_not_fit_is_refused(self, found, message):
    # Also where it is not in the sample.
    source = data(self.file(found), fraction=0.1)
    self.check_refused('data.hdf5 .*' + message, source.open)

  def test_a_missing_or_another_kind_of_file_is_refused(self):
    self.check_refused('there is no such file', data('/nowhere/x.hdf5').open)
    path = self.folder / 'notes.txt'
    path.write_text('observations')
    self.check_refused('cannot be read as HDF5', data(path).open)

  def test_what_is_written_is_read(self):
    path, found = self.folder / 'part_00000.hdf5', columns()
    transition_files.write(path, found, {'environment': 'X'})
    for name, column in transition_files.read(path).items():
      np.testing.assert_array_equal(column, found[name])
      self.assertEqual(column.dtype, found[name].dtype)


if __name__ == '__main__':
  absltest.main()
