import pathlib
from typing import Any
from unittest import mock

import numpy as np
import small_logs
from absl.testing import absltest, parameterized

from implicit_underparam.data import (
    frame_store,
    log_copy,
    prepare,
)
from implicit_underparam.errors import UserError


class PrepareTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.source = self.folder / 'replay_logs'
    self._count = 0

  def _prepare(self, **options: Any) -> frame_store.FrameStore:
    self._count += 1
    out = self.folder / f'out{self._count}'
    prepare.prepare(self.source, out, prepare.Options(**options))
    return frame_store.FrameStore.open(out, verify=True)

  def _check(
      self,
      store: frame_store.FrameStore,
      truth: small_logs.Truth,
      adds: list[int],
      startable: set[int] | None = None,
  ) -> None:
    """Compares all rows, which may start, and some windows with the stream."""
    rows = len(adds)
    self.assertEqual(store.meta['counts']['rows'], rows)
    for name in ('frames', 'actions', 'rewards', 'terminals'):
      np.testing.assert_array_equal(
          getattr(store, name)[:rows], getattr(truth, name)[adds]
      )
    starts = [
        i for i, t in enumerate(adds)
        if i == 0 or adds[i - 1] != t - 1 or not truth.may_follow(t - 1)
    ]
    np.testing.assert_array_equal(store.segments, starts)
    taken = set(adds)
    for n in (1, 3, 20):
      expected = [
          i for i, t in enumerate(adds)
          if truth.is_valid(t, n, taken)
          and (startable is None or t in startable)
      ]
      np.testing.assert_array_equal(store.starts(n), expected)
      for i in store.starts(n)[::7]:
        self._check_window(store, truth, int(i), adds[i], n)

  def _check_window(
      self,
      store: frame_store.FrameStore,
      truth: small_logs.Truth,
      i: int,
      t: int,
      n: int,
  ) -> None:
    ends = np.flatnonzero(store.terminals[i : i + n])
    m = int(ends[0]) + 1 if len(ends) else n
    frames = m if len(ends) else n + 1
    for name, before, after in (
        ('frames', 3, frames), ('rewards', 0, m), ('terminals', 0, m),
        ('actions', 0, m),
    ):
      np.testing.assert_array_equal(
          getattr(store, name)[i - before : i + after],
          getattr(truth, name)[t - before : t + after],
      )
    self.assertFalse(truth.padding[t])

  @parameterized.product(
      steps=(150, 199, 600), dump_padded=(True, False)
  )
  def test_everything(self, steps, dump_padded):
    truth = small_logs.write_log(self.source, steps, dump_padded=dump_padded)
    self._check(self._prepare(), truth, truth.held())

  @parameterized.parameters(
      (1, 'before checkpoint 0'),
      (3, 'between checkpoints 2 and 3'),
      (6, 'between checkpoints 4 and 5'),
  )
  def test_a_boundary_was_skipped(self, seed, where):
    truth = small_logs.write_log(
        self.source, 1500, seed=seed, dump_padded=False
    )
    held = truth.held()
    self.assertLess(len(held), len(truth.actions))
    store = self._prepare()
    self._check(store, truth, held)
    self.assertIn(f'Rows {where}', ' '.join(store.meta['notes']))

  def test_a_missing_checkpoint_is_a_gap(self):
    truth = small_logs.write_log(self.source)
    for path in self.source.glob('*_ckpt.2.gz'):
      path.unlink()
    store = self._prepare()
    self._check(store, truth, truth.held(ignored=(2,)))
    self.assertIn('Checkpoints 2 are not there', ' '.join(store.meta['notes']))

  @parameterized.parameters(0.05, 0.25, 0.995)
  def test_prefix(self, fraction):
    truth = small_logs.write_log(self.source)
    count = round(fraction * small_logs.CAPACITY)
    first_of_ring = range(0, len(truth.actions), small_logs.CAPACITY)
    adds = [
        t for first in first_of_ring for t in range(first, first + count)
        if t < len(truth.actions)
    ]
    with mock.patch.object(log_copy, '_CHUNK_BYTES', 7 * 6):
      store = self._prepare(fraction=fraction)
    self._check(store, truth, adds)

  def test_prefix_reads_no_further(self):
    truth = small_logs.write_log(self.source)
    self.assertGreaterEqual(len(truth.actions) % small_logs.CAPACITY, 20)
    out = self.folder / 'out'
    report = prepare.prepare(
        self.source, out, prepare.Options(fraction=0.1, verify_all=False)
    )
    self.assertEqual(report.read, 6 * 20 * len(truth.dumps))
    self.assertFalse(report.meta['verified'])
    # Behind the prefix nothing is looked at then.
    small_logs.corrupt(self.source / '$store$_observation_ckpt.1.gz')
    self._prepare(fraction=0.1, verify_all=False)

  def test_damage_is_found_behind_the_prefix_too(self):
    small_logs.write_log(self.source)
    self.assertTrue(self._prepare(fraction=0.1).meta['verified'])
    small_logs.corrupt(self.source / '$store$_observation_ckpt.1.gz')
    with self.assertRaisesRegex(UserError, r'observation_ckpt\.1\.gz is corr'):
      self._prepare(fraction=0.1)

  @parameterized.parameters((0.2, 10, 0), (0.5, 30, 1), (0.01, 7, 2))
  def test_blocks(self, fraction, size, seed):
    truth = small_logs.write_log(self.source)
    store = self._prepare(
        mode='blocks', fraction=fraction, block_size=size, seed=seed
    )
    adds = small_logs.adds_of(store)
    self._check(store, truth, adds)
    new = np.diff([0, *truth.dumps])
    available = int(sum(new // size))
    chosen = max(1, round(fraction * available))
    self.assertLen(adds, chosen * size)
    self.assertEqual(
        store.meta['chosen'],
        {'unit': 'blocks', 'count': chosen, 'of': available},
    )
    for k, file in enumerate(store.meta['files']):
      self.assertEqual(file['rows'] % size, 0)
      mean = chosen * (new[k] // size) / available
      self.assertBetween(file['rows'] // size, mean - 1, mean + 1)
    runs = np.split(adds, np.flatnonzero(np.diff(adds) != 1) + 1)
    for run in runs:
      # A run that crosses checkpoints is of blocks on either side.
      if not set(run) & set(truth.dumps):
        self.assertEqual(len(run) % size, 0)

  @parameterized.parameters((0.3, 0), (0.3, 1), (1.0, 0))
  def test_trajectories(self, fraction, seed):
    truth = small_logs.write_log(self.source)
    ends = np.flatnonzero(truth.terminals | truth.limits)
    episodes = [
        set(range(first, last + 1))
        for first, last in zip([0, *ends + 1], ends, strict=False)
    ]
    self.assertTrue(any(set(truth.dumps) & e - {min(e)} for e in episodes))
    store = self._prepare(mode='trajectories', fraction=fraction, seed=seed)
    adds = small_logs.adds_of(store)
    self._check(store, truth, adds)
    chosen = [e for e in episodes if e <= set(adds)]
    self.assertLen(chosen, round(fraction * len(episodes)))
    self.assertEqual(set().union(*chosen), set(adds))
    self.assertLen(set(adds), len(adds))

  def test_cut_episodes_are_no_trajectories(self):
    truth = small_logs.write_log(self.source)
    for k in (0, 3):
      for path in self.source.glob(f'*_ckpt.{k}.gz'):
        path.unlink()
    held = set(truth.held(ignored=(0, 3)))
    ends = np.flatnonzero(truth.terminals | truth.limits)
    whole = [
        set(range(first, last + 1))
        for first, last in zip([0, *ends + 1], ends, strict=False)
        if set(range(max(first - 1, 0), last + 1)) <= held
    ]
    store = self._prepare(mode='trajectories')
    self.assertEqual(set(small_logs.adds_of(store)), set().union(*whole))

  @parameterized.product(fraction=(0.05, 0.4), n=(1, 3))
  def test_transitions(self, fraction, n):
    truth = small_logs.write_log(self.source)
    held = set(truth.held())
    available = [
        t for t in range(len(truth.actions)) if truth.is_valid(t, n, held)
    ]
    store = self._prepare(
        mode='transitions', fraction=fraction, update_horizon=n, seed=3
    )
    adds = np.array(small_logs.adds_of(store))
    drawn = set(adds[store.starts(n)])
    self.assertLen(drawn, round(fraction * len(available)))
    self.assertLessEqual(drawn, set(available))
    needed: set[int] = set()
    for t in drawn:
      needed |= set(range(t - 3, t + 1))
      for k in range(t, t + n):
        if truth.terminals[k]:
          break
        needed.add(k + 1)
    np.testing.assert_array_equal(adds, sorted(needed))
    self._check(store, truth, list(adds), drawn)

  @parameterized.parameters('blocks', 'trajectories', 'transitions')
  def test_draws_follow_from_the_seed(self, mode):
    small_logs.write_log(self.source)
    options = {'mode': mode, 'fraction': 0.2, 'block_size': 10}
    first, same, other = (
        self._prepare(**options, seed=seed) for seed in (0, 0, 1)
    )
    self.assertEqual(
        small_logs.contents(first.path), small_logs.contents(same.path)
    )
    self.assertNotEqual(small_logs.adds_of(first), small_logs.adds_of(other))

  def test_files_without_episode_ends(self):
    truth = small_logs.write_log(self.source, limit=0.0)
    for path in self.source.glob('episode_end*'):
      path.unlink()
    self._check(self._prepare(), truth, truth.held())


if __name__ == '__main__':
  absltest.main()
