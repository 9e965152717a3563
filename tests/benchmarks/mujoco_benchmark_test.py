"""Tests of the benchmark of MuJoCo: that it runs, not how fast."""

import contextlib
import csv
import importlib.util
import io
import pathlib
import subprocess
import sys
from typing import Any
from unittest import mock

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from benchmarks import mujoco, mujoco_report, package_mujoco, timing
from implicit_underparam.agents import continuous_cql, sac

ROOT = pathlib.Path(__file__).parent.parent.parent
# No part of what the tests install.
HAS_PEER = importlib.util.find_spec('stable_baselines3') is not None


def contestant(name: str, *seconds: float) -> timing.Contestant:
  timings = [timing.Timing(10, x, x / 2) for x in seconds]
  return timing.Contestant(name, lambda: 10, timings)


def multiplications(jaxpr: Any) -> int:
  """Twice those of all products in a program, wherever they are."""
  total = 0
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'dot_general':
      (contracted, _), _ = equation.params['dimension_numbers']
      shape = equation.invars[0].aval.shape
      length = int(np.prod([shape[i] for i in contracted]))
      total += 2 * length * equation.outvars[0].aval.size
    for inner in jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda x: isinstance(x, jax.extend.core.ClosedJaxpr),
    ):
      if isinstance(inner, jax.extend.core.ClosedJaxpr):
        total += multiplications(inner.jaxpr)
  return total


class CommandTest(absltest.TestCase):

  def test_the_quick_run(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'timings.csv'
    wanted = {mujoco_report.PRODUCTS, mujoco_report.GRADIENT}
    if HAS_PEER:
      wanted |= {mujoco_report.PRODUCTS_PEER, mujoco_report.PEER}
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'benchmarks.mujoco', '--quick'),
            *('--platform=cpu', '--core=-1', f'--output={path}'),
            f'--peer={HAS_PEER}', *(f'--only={x}' for x in wanted),
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    self.assertEqual(done.returncode, 0, done.stderr)
    with path.open() as file:
      rows = list(csv.DictReader(file))
    self.assertEqual({row['contestant'] for row in rows}, wanted)
    for row in rows:
      self.assertGreater(int(row['steps']), 0)
      self.assertGreater(float(row['cpu']), 0)
    self.assertIn('of products at that speed', done.stdout)

  def test_a_missing_package_is_one_line(self):
    with mock.patch.object(
        importlib.util, 'find_spec', lambda x: x == 'mujoco' or None
    ):
      mujoco.check_packages(peer=False)
      with self.assertRaisesRegex(
          SystemExit, "^error: pip install 'stable-baselines3', or say --nopeer"
      ):
        mujoco.check_packages(peer=True)

  def test_every_question_is_of_contestants(self):
    made = set(mujoco.makers(transitions(2), mujoco._SCALE, False))
    names = {x.one for x in mujoco_report.QUESTIONS}
    names |= {x.other for x in mujoco_report.QUESTIONS}
    peers = {
        mujoco_report.PEER,
        mujoco_report.ONLINE_PEER,
        mujoco_report.PRODUCTS_PEER,
    }
    self.assertEqual(names - peers, made)


class ReportTest(absltest.TestCase):

  def test_ratios_are_of_the_same_round(self):
    found = [
        contestant(mujoco_report.GRADIENT, 10.0, 20.0, 40.0),
        contestant(mujoco_report.PEER, 20.0, 60.0, 240.0),
        contestant(mujoco_report.PRODUCTS, 0.02, 0.02, 0.04),
    ]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      mujoco_report.print_answers(found, 'wall', 2**26)
    text = out.getvalue()
    self.assertRegex(
        text, r'baselines3 +3.00 \(2.00 to 6.00\)   \(at least 3: holds\)'
    )
    # Two products of 2^25, of 2 ms each, in a step of 2 s.
    self.assertRegex(text, r'67 MFLOP')
    self.assertRegex(text, r'package: 17 \(8 to 17\) GFLOP/s')
    self.assertRegex(
        text, r'least 4.0 \(4.0 to 8.0\); all 2000.0 \(1000.0 to 4000.0\)'
    )
    self.assertNotIn('PyTorch', text)


class PackageTest(absltest.TestCase):

  def test_random_play_follows_itself(self):
    data = package_mujoco.random_play(1003)
    # The last of the first episode's 1,000 led to another episode.
    self.assertEqual(data.state.shape, (1002, 17))
    self.assertEqual(data.action.shape, (1002, 6))
    self.assertEqual(data.reward.shape, (1002,))
    broken = np.any(data.state[1:] != data.next_state[:-1], axis=1)
    np.testing.assert_array_equal(np.flatnonzero(broken), [998])
    self.assertBetween(np.min(data.action), -1, -0.99)
    self.assertBetween(np.max(data.action), 0.99, 1)

  def test_the_loop_is_the_shipped_one(self):
    loop = package_mujoco.make_loop(steps=50, capacity=500, history=300)
    self.assertEqual(loop.environment.id, 'HalfCheetah-v4')
    self.assertEqual(loop.replay.batch_size, 256)
    self.assertEqual((loop.training_steps, loop.replay.capacity), (50, 500))
    self.assertEqual([loop.updates_by(x) for x in (300, 350)], [0, 50])
    self.assertIsNone(loop.evaluation)

  def test_learners_differ_in_what_they_are_asked_for(self):
    plain = package_mujoco.make_learner()
    self.assertIsInstance(plain.agent, sac.SACAgent)
    self.assertIsNone(plain.penalty)
    penalized = package_mujoco.make_learner(penalty=True)
    self.assertGreater(penalized.penalty_coefficient, 0)
    self.assertEqual(penalized.agent.penalized_critics, (1, 2))
    cql = package_mujoco.make_learner(is_cql=True).agent
    self.assertIsInstance(cql, continuous_cql.ContinuousCQLAgent)
    self.assertEqual(cql.num_sampled_actions, 10)
    self.assertEqual(cql.base.critic.hidden_units, (256, 256))

  def test_flops_are_those_of_the_step(self):
    made, data = package_mujoco.make_learner(), transitions(3)
    batch = package_mujoco.draw(data, jax.random.key(0))
    key = jax.random.key(1)
    train = jax.eval_shape(lambda: made.init(key, batch.state[:1]))
    step = lambda train: made.step(train, batch, key, made.hyperparameters(1))
    found = multiplications(jax.make_jaxpr(step)(train).jaxpr)
    self.assertEqual(package_mujoco.flops(data), found)


@absltest.skipUnless(HAS_PEER, 'stable-baselines3 is not installed')
class PeerTest(absltest.TestCase):

  def test_it_is_of_the_same_size_on_the_same_data(self):
    from benchmarks import stable_baselines_mujoco

    data = transitions(4)
    peer = stable_baselines_mujoco.filled(data)
    agent = package_mujoco.make_learner().agent
    ours = agent.init(jax.random.key(0), jnp.zeros((1, 17)))
    size = lambda *names: sum(
        x.size for x in jax.tree.leaves([ours[x] for x in names])
    )
    count = lambda module: sum(x.numel() for x in module.parameters())
    self.assertEqual(count(peer.actor), size('actor'))
    self.assertEqual(count(peer.critic), size('critic_1', 'critic_2'))
    rates = (peer.batch_size, peer.tau, peer.gamma)
    self.assertEqual(rates, (256, 0.005, 0.99))
    self.assertEqual(peer.actor.optimizer.param_groups[0]['lr'], 3e-4)
    kept = peer.replay_buffer
    np.testing.assert_allclose(kept.observations[:4, 0], data.state)
    np.testing.assert_allclose(kept.next_observations[:4, 0], data.next_state)
    np.testing.assert_allclose(kept.actions[:4, 0], data.action)
    np.testing.assert_allclose(kept.rewards[:4, 0], data.reward)
    peer.train(1, 256)
    self.assertEqual(peer._n_updates, 1)


def transitions(count: int) -> package_mujoco.Transitions:
  rng = np.random.default_rng(0)
  draw = lambda *shape: rng.uniform(-1, 1, shape).astype(np.float32)
  return package_mujoco.Transitions(
      draw(count, 17), draw(count, 6), draw(count), draw(count, 17)
  )


if __name__ == '__main__':
  absltest.main()
