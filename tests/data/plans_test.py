import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam.data import plans
from implicit_underparam.errors import UserError


def _stream(sizes: tuple[int, ...], capacity: int = 40) -> plans.Stream:
  """Checkpoints of a ring; the first begins in slot 0, the others in the last.

  Every seventh row ends an episode; so few rows that all can be counted.
  """
  rows = sum(sizes)
  terminals = np.arange(rows) % 7 == 6
  return plans.Stream(
      terminals=terminals,
      ends=terminals.copy(),
      gaps=np.zeros(len(sizes), bool),
      offsets=np.cumsum([0, *sizes]),
      first_slots=np.array([0] + [capacity - 1] * (len(sizes) - 1)),
      capacity=capacity,
  )


class PlansTest(parameterized.TestCase):

  def test_prefix_by_hand(self):
    stream = _stream((39, 40, 5))
    plan = plans.prefix(stream, 0.1)
    # Slots 0..3 of each; rows 39 and 79 stand in slot 39.
    np.testing.assert_array_equal(
        np.flatnonzero(plan.take),
        [0, 1, 2, 3, 40, 41, 42, 43, 80, 81, 82, 83],
    )
    np.testing.assert_array_equal(np.flatnonzero(plan.starts), [0, 40, 80])

  def test_all_of_it_is_one_segment(self):
    plan = plans.prefix(_stream((39, 40, 5)), 1.0)
    self.assertTrue(plan.take.all())
    np.testing.assert_array_equal(np.flatnonzero(plan.starts), [0])

  def test_a_gap_begins_a_segment(self):
    stream = _stream((39, 40, 5))
    stream.gaps[2] = True
    plan = plans.prefix(stream, 1.0)
    np.testing.assert_array_equal(np.flatnonzero(plan.starts), [0, 79])

  def test_checkpoints_without_new_rows(self):
    stream = _stream((39, 0, 40, 0))
    rng = np.random.default_rng(0)
    for plan in (
        plans.prefix(stream, 1.0),
        plans.trajectories(stream, 1.0, rng),
        plans.transitions(stream, 1.0, 1, rng),
        plans.blocks(stream, 1.0, 3, rng),
    ):
      self.assertGreater(plan.take.sum(), 70)

  @parameterized.parameters('transitions', 'trajectories', 'blocks')
  def test_everything_is_as_likely(self, mode):
    stream = _stream((39, 40, 0, 12))
    counts = np.zeros(stream.rows)
    repeats = 600
    for seed in range(repeats):
      rng = np.random.default_rng(seed)
      if mode == 'transitions':
        plan = plans.transitions(stream, 0.25, 1, rng)
        counts += plan.allowed
      elif mode == 'trajectories':
        plan = plans.trajectories(stream, 0.25, rng)
        counts += plan.take
      else:
        plan = plans.blocks(stream, 0.25, 1, rng)
        counts += plan.take
      self.assertEqual(plan.chosen, round(0.25 * plan.available))
    share = plan.chosen / plan.available
    possible = counts > 0
    # 13 episodes of 7 rows, of which 3 are padding by position.
    rows = np.arange(stream.rows)
    if mode == 'transitions':
      np.testing.assert_array_equal(possible, rows % 7 >= 3)
    else:
      self.assertTrue(possible.all())
    deviation = np.sqrt(share * (1 - share) / repeats)
    # Blocks: the same number from each checkpoint, up to rounding.
    tolerance = 0.1 if mode == 'blocks' else 4.5 * deviation
    np.testing.assert_allclose(
        counts[possible] / repeats, share, atol=tolerance
    )

  def test_no_whole_episode(self):
    stream = _stream((5,))
    with self.assertRaisesRegex(UserError, 'no whole episode'):
      plans.trajectories(stream, 1.0, np.random.default_rng(0))

  def test_no_transition(self):
    with self.assertRaisesRegex(UserError, 'no transition of so many steps'):
      plans.transitions(_stream((4,)), 1.0, 1, np.random.default_rng(0))


if __name__ == '__main__':
  absltest.main()
