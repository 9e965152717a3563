"""Tests of implicit_underparam.runner, on a loop small enough to foresee."""

import csv
import dataclasses
import json
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized

from implicit_underparam import checkpoints, errors, program, runner, types


class ToyState(NamedTuple):
  seed: Any
  value: Any
  finite: Any


@dataclasses.dataclass(frozen=True)
class ToyLoop:
  """Counts; a seed's loss is infinite in iteration `stops_at[seed]`."""

  stops_at: tuple[int, ...] = (99, 99, 99)
  environment: Any = None

  def compile(self, seeds, seed_axis):
    return program.Program(self, seeds, seed_axis)

  def hyperparameters(self):
    return types.Hyperparameters(1, 0.0, 0, 1.0)

  def init(self, rng):
    seed = jax.random.key_data(rng)[-1].astype(jnp.int32)
    return ToyState(seed, jnp.int32(0), jnp.bool_(True))

  def iterate(self, state, hyperparameters):
    del hyperparameters
    stop = jnp.asarray(self.stops_at)[state.seed]
    loss = jnp.where(state.value == stop, jnp.inf, 1.0 * state.value)
    finite = state.finite & jnp.isfinite(loss)
    new = ToyState(
        state.seed, state.value + finite.astype(jnp.int32), finite
    )
    return new, types.IterationOutput(
        {'loss': loss}, self.probe(new), {}, new.value, new.value, new.value,
        finite,
    )  # fmt: skip

  def probe(self, state):
    rows = jnp.full((3, 2), state.value, jnp.float32)
    return {'all': types.Probe(rows, rows)}


def read(path: pathlib.Path) -> list[dict[str, str]]:
  with open(path / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))


class RunnerTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'run'

  def make(self, **kwargs) -> runner.Runner:
    defaults = {
        'loop': ToyLoop(), 'seeds': (0, 1, 2), 'num_iterations': 6,
        'checkpoint_every': 4, 'tensorboard': False,
        'metrics': {'top': lambda q_values: float(q_values.max())},
    }  # fmt: skip
    return runner.Runner(str(self.path), **(defaults | kwargs))

  @parameterized.parameters('vmap', 'map')
  def test_writes_every_seed_in_every_iteration(self, seed_axis):
    result = self.make(seed_axis=seed_axis).run()
    self.assertEqual((result.started_at, result.num_iterations), (0, 6))
    rows = read(self.path)
    self.assertEqual(
        [(x['iteration'], x['seed'], x['loss'], x['top']) for x in rows],
        [(str(i), str(s), f'{i}.0', f'{i + 1}.0')
         for i in range(6) for s in range(3)],
    )

  def test_a_seed_that_stops_leaves_the_others_alone(self):
    result = self.make(loop=ToyLoop((99, 3, 99))).run()
    self.assertEqual(list(result.stopped_seeds), [1])
    self.assertEqual(result.stopped_seeds[1], 'in iteration 3: loss is inf')
    lengths = [sum(x['seed'] == str(s) for x in read(self.path))
               for s in range(3)]
    self.assertEqual(lengths, [6, 3, 6])

  def test_a_seed_that_stops_is_in_a_checkpoint_and_stays_stopped(self):
    self.make(loop=ToyLoop((99, 3, 99)), num_iterations=5).run()
    iterations = checkpoints.Checkpointer(
        self.path / 'checkpoints', keep=9
    ).iterations()
    # Found one iteration later, when the host looks.
    self.assertIn(5, iterations)
    result = self.make(loop=ToyLoop((99, 3, 99)), num_iterations=8).run()
    self.assertEqual(result.started_at, 5)
    self.assertEqual(result.stopped_seeds[1], 'in iteration 3: loss is inf')
    lengths = [sum(x['seed'] == str(s) for x in read(self.path))
               for s in range(3)]
    self.assertEqual(lengths, [8, 3, 8])

  def test_all_seeds_stopped_is_an_error_with_a_checkpoint(self):
    subject = self.make(loop=ToyLoop((2, 1, 3)), num_iterations=50)
    with self.assertRaisesRegex(errors.UserError, 'every seed stopped'):
      subject.run()
    self.assertTrue(
        checkpoints.Checkpointer(self.path / 'checkpoints').iterations()
    )
    self.assertLen(read(self.path), 2 + 1 + 3)

  def status(self) -> dict:
    return json.loads((self.path / 'run.json').read_text())

  def test_what_stopped_is_known_afterwards_too(self):
    loop = ToyLoop((99, 3, 99))
    self.make(loop=loop).run()
    before = self.status()['stopped_seeds']
    self.assertEqual(before, {'1': 'in iteration 3: loss is inf'})
    self.make(loop=loop).run()
    self.assertEqual(self.status()['stopped_seeds'], before)

  def test_a_run_of_stopped_seeds_does_not_finish_when_started_again(self):
    subject = self.make(loop=ToyLoop((2, 1, 5)))
    for _ in range(2):
      with self.assertRaisesRegex(errors.UserError, 'every seed stopped'):
        subject.run()
      self.assertEqual(self.status()['status'], 'failed')
      self.assertLen(self.status()['stopped_seeds'], 3)

  def test_rows_without_their_checkpoints_are_not_dropped(self):
    self.make().run()
    before = (self.path / 'metrics.csv').read_bytes()
    shutil.rmtree(self.path / 'checkpoints')
    with self.assertRaisesRegex(errors.UserError, 'no checkpoint to go on'):
      self.make(num_iterations=9).run()
    self.assertEqual((self.path / 'metrics.csv').read_bytes(), before)

  def test_rows_missing_before_the_checkpoint_are_noticed(self):
    self.make().run()
    path = self.path / 'metrics.csv'
    path.write_text(''.join(path.read_text().splitlines(True)[:8]))
    before = path.read_bytes()
    with self.assertRaisesRegex(errors.UserError, 'ends at iteration 2'):
      self.make(num_iterations=9).run()
    self.assertEqual(path.read_bytes(), before)

  def test_checkpoints_without_their_configuration_are_refused(self):
    self.make().run()
    (self.path / 'config.gin').unlink()
    with self.assertRaisesRegex(errors.UserError, 'config.gin is missing'):
      self.make(num_iterations=9).run()

  def test_a_metric_that_fails_does_so_before_the_run(self):
    def broken(features):
      raise errors.UserError('this metric cannot work')

    with self.assertRaisesRegex(errors.UserError, 'cannot work'):
      self.make(metrics={'x': broken}).run()
    self.assertFalse((self.path / 'metrics.csv').exists())

  def test_one_program_serves_all_iterations(self):
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counting(ToyLoop):

      def iterate(self, state, hyperparameters):
        traces.append(1)
        return super().iterate(state, hyperparameters)

    compiled = program.Program(Counting(), (0, 1), 'vmap')
    state = compiled.init()
    traces.clear()
    for _ in range(5):
      state, _ = compiled.iterate(state)
    self.assertLen(traces, 1)

  @parameterized.parameters(
      ({'seeds': ()}, 'Runner.seeds'),
      ({'seeds': (1, 1)}, 'Runner.seeds'),
      ({'seeds': 3}, 'Runner.seeds is 3'),
      ({'seeds': (0.5,)}, 'Runner.seeds'),
      ({'seeds': (-1,)}, 'Runner.seeds'),
      ({'loop': None}, 'Runner.loop is None'),
      ({'num_iterations': 0}, 'Runner.num_iterations is 0'),
      ({'checkpoint_every': 0.5}, 'Runner.checkpoint_every is 0.5'),
      ({'seed_axis': 'pmap'}, 'Runner.seed_axis'),
  )
  def test_bad_arguments_are_named(self, kwargs, message):
    with self.assertRaisesRegex(errors.UserError, message):
      self.make(**kwargs)


if __name__ == '__main__':
  absltest.main()
