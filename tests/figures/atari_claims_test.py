import contextlib
import io
import pathlib
import tempfile

import numpy as np
import synthetic_runs
from absl.testing import absltest, parameterized

from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures import (
    atari_claims,
    atari_report,
    claims,
    collection,
    game_verdicts,
    improvement,
    runs,
    suites,
    verdicts,
)

_UP = np.linspace(200, 400, 40).tolist()
_DOWN = np.linspace(400, 60, 40).tolist()
_HALFWAY = np.linspace(400, 260, 40).tolist()
_LEVEL = [300.0] * 40
_IDS = {f'ATARI-{x}' for x in (
    'OFF', 'OFF4X', 'CQL', 'FQE', 'MC', 'PEN', 'CQLPEN', 'EIG', 'SV', 'TD')}


class AtariClaimsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enterContext(tempfile.TemporaryDirectory()))

  def _write(self, seeds=5, changes=None, game='Pong_5', **sranks):
    for name, srank in sranks.items():
      synthetic_runs.atari(self.folder / game / name, srank, seeds, changes)

  def _verdicts(self):
    rows = claims.table(self.folder, family=atari_claims.FAMILY)
    return {
        (row.claim.id, row.claim.text): row.verdict
        for row in rows if row.verdict != 'not run'}

  def _verdict(self, id_, text):
    return self._verdicts()[id_, text]

  def test_every_experiment_is_asked_about(self):
    self.assertEqual({x.id for x in atari_claims.FAMILY.claims}, _IDS)
    texts = [(x.id, x.text) for x in atari_claims.FAMILY.claims]
    self.assertLen(set(texts), len(texts))

  def test_all_hold_in_the_paper_s_world(self):
    for game in ('Pong_5', 'Pong_20', 'Qbert_5'):
      self._write(
          dqn_offline=_DOWN, cql_offline=_DOWN, fitted_q_evaluation=_DOWN,
          dqn_offline_penalty=_HALFWAY, cql_offline_penalty=_HALFWAY,
          monte_carlo=np.linspace(200, 380, 20).tolist() + [380.0] * 20,
          game=game)
    found = self._verdicts()
    self.assertLen(found, len(atari_claims.FAMILY.claims))
    self.assertEqual(set(found.values()), {'holds'}, found)

  def test_games_on_more_data_are_judged_by_themselves(self):
    self._write(dqn_offline=_DOWN)
    self._write(dqn_offline=_UP, game='Pong_20')
    rows = {(x.claim.id, x.claim.text): x for x in claims.table(
        self.folder, family=atari_claims.FAMILY)}
    least = rows['ATARI-OFF', 'DQN: srank falls']
    more = rows['ATARI-OFF4X', '20%, DQN: srank falls']
    self.assertEqual([*least.by_game], ['Pong_5'])
    self.assertEqual([*more.by_game], ['Pong_20'])
    self.assertEqual((least.verdict, more.verdict), ('holds', 'does not hold'))

  def test_none_holds_in_the_opposite_world(self):
    self._write(
        dqn_offline=_UP, cql_offline=_UP, fitted_q_evaluation=_UP,
        dqn_offline_penalty=_DOWN, cql_offline_penalty=_DOWN,
        monte_carlo=_DOWN)
    found = self._verdicts()
    held = {key for key, x in found.items() if x != 'does not hold'}
    # In this world these columns still go with srank.
    self.assertEqual({id_ for id_, _ in held}, {
        'ATARI-OFF', 'ATARI-CQL', 'ATARI-EIG', 'ATARI-TD'})
    self.assertTrue(all(
        'together' in text or 'goes with' in text or 'as srank' in text
        for _, text in held), held)

  @parameterized.parameters(
      ('ATARI-OFF', 'DQN: return and srank fall together', 'eval_return'),
      ('ATARI-EIG', 'DQN: srank_lambda goes with srank', 'srank_lambda'),
      ('ATARI-EIG', 'DQN: srank_lambda falls', 'srank_lambda'),
      ('ATARI-OFF', 'DQN: the return falls after the first fifth',
       'eval_return'),
  )
  def test_flips_with_its_column(self, id_, text, column):
    for name, values, expected in (
        ('down', _DOWN, 'holds'), ('up', _UP, 'does not hold')):
      folder = self.folder / name
      changes = {column: values}
      synthetic_runs.atari(
          folder / 'Pong_5/dqn_offline', _DOWN, 5, changes)
      rows = claims.table(folder, family=atari_claims.FAMILY)
      verdict, = (
          x.verdict for x in rows if (x.claim.id, x.claim.text) == (id_, text))
      self.assertEqual(verdict, expected)

  @parameterized.parameters((20, 'does not hold'), (30, 'holds'))
  def test_falls_means_by_more_than_the_margin(self, fall, expected):
    self._write(dqn_offline=[300.0] * 20 + [300.0 - fall] * 20)
    self.assertEqual(
        self._verdict('ATARI-OFF', 'DQN: srank falls'), expected)

  @parameterized.parameters(
      (300, 3, 'holds', 'holds'),
      (20, 3, 'holds', 'does not hold'),
      (2, 6, 'does not hold', 'does not hold'),
  )
  def test_growth_of_singular_values(self, first, second, larger, tenfold):
    self._write(dqn_offline=_DOWN, changes={
        'sigma_1': [1.0] * 20 + [first] * 20,
        'sigma_100': [1.0] * 20 + [second] * 20})
    grows = 'DQN: sigma_1 grows by'
    self.assertEqual(self._verdict(
        'ATARI-SV', f'{grows} a larger factor than sigma_100'), larger)
    self.assertEqual(self._verdict(
        'ATARI-SV', f'{grows} over 10 times the factor of sigma_100'), tenfold)

  def test_one_game_is_judged_as_its_seeds_are(self):
    self._write(seeds=3, dqn_offline=_DOWN, dqn_offline_penalty=_HALFWAY)
    there = collection.Collection(self.folder, suite=suites.ATARI)
    for claim in atari_claims.FAMILY.claims:
      row = game_verdicts.judge(claim, atari_report.games(
          there, atari_claims.FAMILY))
      alone = verdicts.judge(claim, there)
      if claim.over_games == 'mean' and claim.where != atari_claims.FOUR_TIMES:
        self.assertEqual(row.verdict, alone.verdict, claim)
        if alone.effect is not None:
          self.assertEqual(row.effect.count, 3)
          np.testing.assert_allclose(
              (row.effect.mean, row.effect.low, row.effect.high),
              (alone.effect.mean, alone.effect.low, alone.effect.high),
              rtol=1e-12)

  def test_improvement_over_games(self):
    # Returns end at twice srank; seeds differ by 1: relative (x - b) / b.
    for game, ends in {'A_5': (100, 150), 'B_5': (100, 90),
                       'C_5': (200, 210)}.items():
      for name, end in zip(('dqn_offline', 'dqn_offline_penalty'), ends,
                           strict=True):
        self._write(game=game, **{name: [float(end - 2)] * 20})
    rows = {x.claim.text: x for x in claims.table(
        self.folder, family=atari_claims.FAMILY)}
    median = rows['DQN: the median relative improvement of the return is '
                  'positive']
    self.assertAlmostEqual(median.effect.mean, 0.05)
    np.testing.assert_allclose([*median.by_game.values()], [0.5, -0.1, 0.05])
    self.assertEqual((median.agree, median.verdict), (2, 'holds'))
    share = rows['DQN: the return improves in most games']
    self.assertEqual(
        (share.effect.mean, share.effect.low, share.effect.high), (2/3,) * 3)
    self.assertEqual((share.agree, share.verdict), (2, 'holds'))
    mean = rows['DQN: the return ends higher with the penalty']
    # Each game's in units of its best run: 1/3, -1/10, 1/21.
    self.assertAlmostEqual(mean.effect.mean, (1/3 - 1/10 + 1/21) / 3)

  def test_improvement_is_that_of_the_bars(self):
    # At the limit of 100 iterations the penalty helps A; at the end, B.
    found = []
    for game, early, late in (('A_5', 30, 8), ('B_5', 9, 90), ('C_5', 11, 1)):
      for name, ends in (('dqn_offline', (10, 10)),
                         ('dqn_offline_penalty', (early, late))):
        synthetic_runs.atari(
            self.folder / game / name, [5.0] * 22, 4,
            {'eval_return': [float(x) for x in ends for _ in range(11)]},
            gradient_steps=625_000)
      found.append(improvement.measure(*(
          runs.read(self.folder / game / f'dqn_offline{x}')
          for x in ('_penalty', '')), improvement.OFFLINE_LIMIT))
    rows = {x.claim.text: x for x in claims.table(
        self.folder, family=atari_claims.FAMILY)}
    row = rows['DQN: the median relative improvement of the return is positive']
    self.assertEqual(row.effect, improvement.median(found))
    self.assertAlmostEqual(row.effect.mean, 0.1)
    np.testing.assert_allclose(
        [*row.by_game.values()], [x.effect.mean for x in found])

  def test_a_table_for_each_suite_that_there_are_runs_of(self):
    self._write(monte_carlo=_LEVEL)
    out = self.folder / 'out'
    shown, errors = io.StringIO(), io.StringIO()
    with (contextlib.redirect_stdout(shown),
          contextlib.redirect_stderr(errors)):
      path, = command.write_claims(
          collection.Collection(self.folder), out, 'Pong, 5%')
    self.assertEqual(path, out / 'claims_atari.md')
    text = path.read_text()
    self.assertStartsWith(text, '# Claims about offline Atari, Pong, 5%\n')
    self.assertNotIn('GRID-', text)
    self.assertIn(text, shown.getvalue())
    self.assertIn('gin_configs/atari/dqn_offline.gin', errors.getvalue())
    self.assertNotIn('gridworld', errors.getvalue())
    synthetic_runs.gridworld(self.folder / 'grid' / 'monte_carlo', [30] * 9)
    with (contextlib.redirect_stdout(shown),
          contextlib.redirect_stderr(errors)):
      paths = command.write_claims(collection.Collection(self.folder), out)
    self.assertEqual(
        [x.name for x in paths], ['claims.md', 'claims_atari.md'])
    self.assertEqual(
        paths[1].read_text(), text.replace(', Pong, 5%', '', 1))


if __name__ == '__main__':
  absltest.main()
