import contextlib
import io
import itertools
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    collection,
    game_verdicts,
    mujoco_claims,
    stratified,
    suites,
    verdicts,
)

_EASIER = ('HalfCheetah', 'Hopper', 'Walker2d')
_UP, _DOWN = np.linspace(100, 200, 20), np.linspace(220, 120, 20)
# Gradient steps an iteration, and iterations: as long as n = 1 in neither.
_STEPS = {1: (10, 20), 8: (80, 6)}


def _online(folder, environment, ends, start=100):
  """Runs whose srank goes to `ends` of n in 20 iterations, or would."""
  for n, end in ends.items():
    steps, length = _STEPS[n]
    synthetic_runs.mujoco(
        folder / environment / f'sac_online_n{n}',
        np.linspace(start, end, 20)[:length].tolist(), 5, gradient_steps=steps)


def _offline(folder, environments, srank):
  for environment, agent in itertools.product(environments, ('sac', 'cql')):
    synthetic_runs.mujoco(
        folder / environment / f'{agent}_offline_20', srank.tolist(), 5)


class WorldsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _games(self):
    return game_verdicts.Games(
        collection.Collection(self.folder, suite=suites.MUJOCO),
        stratified.student)

  def _parts(self):
    games = self._games()
    return {
        id_: {game_verdicts.judge(x, games).verdict for x in group}
        for id_, group in itertools.groupby(
            mujoco_claims.PARTS, lambda x: x.id)}

  def test_every_claim_has_a_line(self):
    ids = {x.id for x in mujoco_claims.PARTS}
    headlines = {*mujoco_claims.HEADLINES, *mujoco_claims.BESIDE}
    self.assertEqual(ids, headlines)
    self.assertEqual(
        set(mujoco_claims.HEADLINES),
        {'GYM-OFF', 'GYM-CQL', 'GYM-ON', 'GYM-ON-ANT'})
    every = mujoco_claims.FAMILY.claims
    self.assertLen({(x.id, x.text, x.columns) for x in every}, len(every))

  def test_all_hold_in_the_paper_s_world(self):
    _offline(self.folder, _EASIER, _DOWN)
    for environment in _EASIER:
      _online(self.folder, environment, {1: 110, 8: 200})
    _online(self.folder, 'Ant', {1: 210, 8: 150}, start=220)
    found = self._parts()
    # As n = 8 has less time for it, at equal updates the world is another.
    for id_ in mujoco_claims.HEADLINES:
      self.assertEqual(found[id_], {'holds'}, id_)

  def test_none_holds_in_the_opposite_world(self):
    _offline(self.folder, _EASIER, _UP)
    for environment in _EASIER:
      _online(self.folder, environment, {1: 200, 8: 110})
    _online(self.folder, 'Ant', {1: 150, 8: 210}, start=220)
    found = self._parts()
    for id_ in mujoco_claims.HEADLINES:
      # Return goes with srank in this world, too.
      together = {'holds'} if id_ in ('GYM-OFF', 'GYM-CQL') else set()
      self.assertEqual(found[id_], {'does not hold'} | together, id_)

  def _judged(self, along):
    games = self._games()
    claim = verdicts.Claim(
        'X', 'x', 'end', ('srank',), 'sac_online_n8', 'sac_online_n1',
        games=('Hopper',), along=along)
    return game_verdicts.judge(claim, games)

  def test_equal_environment_steps_and_equal_gradient_steps(self):
    synthetic_runs.mujoco(
        self.folder / 'Hopper' / 'sac_online_n1',
        np.arange(100, 140).tolist(), gradient_steps=10)
    synthetic_runs.mujoco(
        self.folder / 'Hopper' / 'sac_online_n8',
        np.arange(150, 156).tolist(), gradient_steps=80)
    # Both have 5 iterations of 20 steps after the first: 155 - 105.
    row = self._judged('environment_steps')
    self.assertAlmostEqual(row.effect.mean, 50)
    self.assertEqual(row.notes, ('Hopper: to 100 environment steps',))
    # To 320, the last at which both were measured: rows 1 to 32 of n = 1,
    # the last tenth of which (29 of them or more) are 130 to 132; 1 to 4 of
    # n = 8, so 154.
    row = self._judged('gradient_steps')
    self.assertAlmostEqual(row.effect.mean, 154 - 131)
    self.assertEqual(row.notes, ('Hopper: to 320 gradient steps',))
    # Not cut: the last tenth of 39 is 136 to 139, of 5 it is 155.
    self.assertAlmostEqual(self._judged('').effect.mean, 155 - 137.5)

  def test_only_the_claim_s_environments_count(self):
    _online(self.folder, 'Hopper', {1: 110, 8: 200})
    _online(self.folder, 'Ant', {1: 110, 8: 200})
    games = self._games()
    easier, = [x for x in mujoco_claims.PARTS
               if x.id == 'GYM-ON' and x.columns == ('srank',)]
    row = game_verdicts.judge(easier, games)
    self.assertEqual(set(row.by_game), {'Hopper'})
    self.assertEqual(row.notes[0], 'HalfCheetah: not run')
    self.assertEqual(row.notes[-1], 'Walker2d: not run')
    ant, = [x for x in mujoco_claims.PARTS
            if x.id == 'GYM-ON-ANT' and x.columns == ('srank',)]
    self.assertEqual(
        game_verdicts.judge(ant, games).verdict, 'does not hold')

  def test_document(self):
    _offline(self.folder, ('Hopper',), _DOWN)
    _online(self.folder, 'Hopper', {1: 110, 8: 200})
    shown, errors = io.StringIO(), io.StringIO()
    with (contextlib.redirect_stdout(shown),
          contextlib.redirect_stderr(errors)):
      path, = command.write_claims(
          collection.Collection(self.folder), self.folder / 'out', 'short')
    self.assertEqual(path.name, 'claims_mujoco.md')
    text = path.read_text()
    self.assertIn(text, shown.getvalue())
    lines = text.splitlines()
    self.assertEqual(lines[0], "# The paper's claims about MuJoCo, short")
    self.assertEqual(
        lines[2], 'Environments: Hopper. Not run: HalfCheetah, Walker2d, Ant. '
        '**4 claims:** holds 3, does not hold 0, unclear 0, not run 1.')
    by_id = {x.split(' | ')[0]: x for x in lines[3:20]}
    self.assertEndsWith(by_id['| GYM-OFF'], '**holds** |')
    self.assertEndsWith(by_id['| GYM-ON-ANT'], '**not run** |')
    self.assertIn('GYM-ON/updates', ''.join(by_id))
    self.assertIn('One of each agent was tried', text)
    self.assertIn(
        '| `sac_online_n8` | 1 | 5 | 6 | 100 | 400 |  |', text)
    self.assertNotRegex(text, r'\bgames?\b')


class StudentTest(absltest.TestCase):

  def test_one_game_is_student_s(self):
    values = np.array([3.0, 5, 10])
    # t of 2 degrees, 97.5%: 4.302653.
    half = 4.302653 * values.std(ddof=1) / np.sqrt(3)
    found = stratified.student([values])
    self.assertEqual((found.mean, found.count), (6, 3))
    np.testing.assert_allclose(
        (found.low, found.high), (6 - half, 6 + half), rtol=1e-6)

  def test_two_games_with_equal_variance_have_all_degrees(self):
    found = stratified.student(
        [np.array([1.0, 2, 3]), np.array([11.0, 12, 13])])
    # Variance of the mean of two means: (1/3 + 1/3) / 4; t of 4: 2.776445.
    half = 2.776445 * np.sqrt(1 / 6)
    np.testing.assert_allclose(
        (found.mean, found.low, found.high), (7, 7 - half, 7 + half),
        rtol=1e-6)

  def test_covers_what_it_says_where_the_bootstrap_does_not(self):
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(400):
      values = [rng.normal(size=3), 2 * rng.normal(size=3)]
      student = stratified.student(values)
      bootstrap = stratified.of_means(
          [x[:, None] for x in values], lambda x: x[..., 0].mean(0), 200)
      covered += [x.low < 0 < x.high for x in (student, bootstrap)]
    self.assertBetween(covered[0], 367, 393)
    self.assertLess(covered[1], 360)

  def test_no_spread_and_one_seed(self):
    found = stratified.student([np.array([4.0, 4]), np.array([2.0, 2])])
    self.assertEqual((found.low, found.mean, found.high), (3, 3, 3))
    found = stratified.student([np.array([4.0]), np.array([2.0, 3])])
    self.assertEqual((found.mean, found.count), (3.25, 3))
    self.assertTrue(np.isnan(found.low))


if __name__ == '__main__':
  absltest.main()
