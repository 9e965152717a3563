"""Tests of the benchmark of MinAtar: that it runs, not how fast."""

import contextlib
import csv
import importlib.util
import io
import pathlib
import subprocess
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from benchmarks import minatar, minatar_report, package_minatar, timing
from implicit_underparam import errors, types

ROOT = pathlib.Path(__file__).parent.parent.parent
# No part of what the tests install.
HAS_TORCH = importlib.util.find_spec('torch') is not None


def contestant(name: str, *seconds: float) -> timing.Contestant:
  timings = [timing.Timing(10, x, x / 2) for x in seconds]
  return timing.Contestant(name, lambda: 10, timings)


class CommandTest(absltest.TestCase):

  def test_the_quick_run(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'timings.csv'
    wanted = {minatar_report.GRADIENT, minatar_report.ENVIRONMENT}
    if HAS_TORCH:
      wanted |= {
          minatar_report.GRADIENT_PEER_PENALTY,
          minatar_report.online_peer(1),
      }
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'benchmarks.minatar', '--quick'),
            *('--platform=cpu', '--core=-1', f'--output={path}'),
            f'--peer={HAS_TORCH}', *(f'--only={x}' for x in wanted),
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
    self.assertIn('gradient steps/s of CPU time', done.stdout)

  def test_a_missing_package_is_one_line(self):
    with (
        mock.patch.object(importlib.util, 'find_spec', lambda _: None),
        self.assertRaisesRegex(SystemExit, '^error: pip install torch minatar'),
    ):
      minatar._check_packages(peer=True)
    minatar._check_packages(peer=False)

  def test_every_question_is_of_contestants(self):
    every = {
        name
        for device in ('cpu', 'gpu')
        for name in minatar.makers('Breakout', minatar._SCALE, device, False)
    }
    names = {x.one for x in minatar_report.QUESTIONS}
    names |= {x.other for x in minatar_report.QUESTIONS}
    self.assertContainsSubset({x for x in names if 'PyTorch' not in x}, every)
    self.assertContainsSubset(minatar_report.PARTS, every)


class ReportTest(absltest.TestCase):

  def found(self) -> list[timing.Contestant]:
    return [
        contestant(minatar_report.ONE, 10.0, 20.0, 40.0),
        contestant(minatar_report.GRADIENT, 9.0, 16.0, 36.0),
        contestant(minatar_report.GRADIENT_PEER, 18.0, 48.0, 36.0),
        contestant(minatar_report.ACTING, 2.0, 2.0, 2.0),
        contestant(minatar_report.ENVIRONMENT, 1.0, 1.0, 2.0),
        contestant(minatar_report.BATCHES, 1.0, 1.0, 2.0),
    ]

  def test_ratios_and_shares_are_of_the_same_round(self):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      minatar_report.print_answers(self.found(), 'cpu')
    text = out.getvalue()
    # 2, 3, 1; of CPU time, which is half: 10 / 4.5 and so on.
    self.assertRegex(text, r'gradient steps / PyTorch +2.00 \(1.00 to 3.00\)')
    self.assertRegex(text, r'of CPU time +1 \(1 to 2\)   \(at least 1500: does')
    # 2 / 10, 2 / 20, 4 / 40.
    self.assertRegex(
        text, r'drawing +10.0 \(10.0 to 20.0\)   \(at most 15: holds\)'
    )
    self.assertRegex(text, r'without learning +10.0 \(5.0 to 20.0\)\n')
    self.assertRegex(text, r'alone leave +10.0 \(10.0 to 20.0\)\n')

  def test_what_was_not_timed_is_left_out(self):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      minatar_report.print_answers(self.found()[2:], 'cpu')
    self.assertEqual(out.getvalue().strip(), '')


class PackageTest(absltest.TestCase):

  def test_the_loop_is_the_shipped_one(self):
    loop = package_minatar.make_loop(
        'Asterix', 4, penalty=True, capacity=300, steps=50
    )
    self.assertEqual(loop.environment.name, 'MinAtar-Asterix')
    self.assertEqual(loop.data_reuse_ratio, 4)
    self.assertEqual((loop.training_steps, loop.min_replay_history), (50, 50))
    self.assertEqual(loop.replay.capacity, 300)
    self.assertGreater(loop.learner.penalty_coefficient, 0)
    self.assertEqual(loop.learner.target_update_period, 250)
    self.assertIsNone(loop.evaluation)
    # Of the steady state: no step is random for having come early.
    self.assertAlmostEqual(float(loop.epsilon(jnp.int32(51))), 0.01)
    idle = package_minatar.make_loop('Breakout', learns=False)
    self.assertEqual(idle.updates_by(10**8), 0)
    with self.assertRaisesRegex(errors.UserError, "no game 'Pong'"):
      package_minatar.make_loop('Pong')

  def test_random_play_fills_the_replay(self):
    loop = package_minatar.make_loop('Breakout', capacity=200, steps=50)
    played = package_minatar.begun(loop)
    played = package_minatar.play_at_random(loop, played, 0, 30)
    played = package_minatar.play_at_random(loop, played, 30, 40)
    kept = played.contents.ring
    # What follows the 70th step is not known yet.
    self.assertEqual(int(kept.num_starts), 69)
    actions = np.bincount(np.asarray(kept.actions[:70]), minlength=6)
    self.assertLen(actions, 6)
    self.assertGreater(np.min(actions), 3)
    frames = np.asarray(kept.frames)
    self.assertTrue(np.all(np.any(frames[1:70] != frames[:69], axis=(1, 2, 3))))
    self.assertFalse(np.any(frames[70:]))


@absltest.skipUnless(HAS_TORCH, 'PyTorch is not installed')
class PeerTest(parameterized.TestCase):

  def batch(self) -> types.Batch:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 2, (2, 32, 10, 10, 4, 1), np.uint8)
    return types.Batch(
        frames[0],
        rng.integers(0, 6, 32).astype(np.int32),
        rng.normal(size=32).astype(np.float32),
        frames[1],
        rng.integers(0, 2, 32).astype(np.float32),
    )

  @parameterized.parameters(False, True)
  def test_a_gradient_step_is_the_packages(self, penalty):
    import torch

    from benchmarks import torch_minatar

    loop = package_minatar.make_loop('Breakout', penalty=penalty, capacity=200)
    batch = self.batch()
    ours = jax.jit(loop.learner.init)(jax.random.key(0), batch.state[:1])
    network = torch_minatar.Network(4, 6)
    _copy(ours.params, network)
    peer = torch_minatar.Learner(network, penalty)
    hyper = loop.learner.hyperparameters(1)
    step = jax.jit(
        lambda train: loop.learner.step(train, batch, jax.random.key(0), hyper)
    )
    channels_first = lambda x: torch.from_numpy(x[..., 0]).permute(0, 3, 1, 2)
    given = (
        channels_first(batch.state),
        torch.from_numpy(batch.action).long(),
        torch.from_numpy(batch.reward),
        channels_first(batch.next_state),
        torch.from_numpy(batch.is_terminal),
    )
    for _ in range(3):
      ours, _ = step(ours)
      peer.step(given)
    want = torch_minatar.Network(4, 6)
    _copy(ours.params, want)
    for (name, x), (_, y) in zip(
        network.named_parameters(), want.named_parameters(), strict=True
    ):
      np.testing.assert_allclose(
          x.detach(), y.detach(), rtol=1e-4, atol=2e-6, err_msg=name
      )

  def test_the_player_learns_n_times_a_step(self):
    from benchmarks import torch_minatar

    for ratio, want in ((0.25, 2), (1, 8), (4, 32)):
      player = torch_minatar.Player('SpaceInvaders', 50)
      for _ in range(8):
        player.act(epsilon=0.5)
        with mock.patch.object(player.learner, 'step') as step:
          player.learn(ratio)
        want -= step.call_count
      self.assertEqual(want, 0)
      self.assertEqual(player.replay.count, 8)


def _copy(params: types.Params, network) -> None:
  """Parameters of the package's network, in PyTorch's."""
  import torch

  tree = jax.tree.map(np.array, params['params'])
  dense = tree['Dense_0']['kernel'].reshape(8, 8, 16, -1)
  with torch.no_grad():
    for layer, name, kernel in (
        (network.convolution, 'Conv_0',
         tree['Conv_0']['kernel'].transpose(3, 2, 0, 1)),
        # PyTorch flattens channels first.
        (network.dense, 'Dense_0',
         dense.transpose(3, 2, 0, 1).reshape(dense.shape[-1], -1)),
        (network.head, 'Dense_1', tree['Dense_1']['kernel'].T),
    ):  # fmt: skip
      layer.weight.copy_(torch.from_numpy(kernel.copy()))
      layer.bias.copy_(torch.from_numpy(tree[name]['bias']))


if __name__ == '__main__':
  absltest.main()
