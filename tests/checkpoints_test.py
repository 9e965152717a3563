import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from implicit_underparam import checkpoints, serialization
from implicit_underparam.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a process saves over and over; the content follows from the iteration.
_TREE = """
import numpy as np
def tree(iteration):
  rng = np.random.default_rng(iteration)
  return {
      'small': [rng.normal(size=(5, 40)).astype(np.float32) for _ in range(9)],
      'large': rng.integers(0, 256, 2**20 + 3).astype(np.uint8),
      'iteration': iteration,
  }
"""
_scope: dict[str, Any] = {}
exec(_TREE, _scope)
_tree = _scope['tree']

# Forks a saving process for every line it is sent, before JAX has threads.
_SAVER = _TREE + """
import os, sys, warnings
import orbax.checkpoint
from implicit_underparam import checkpoints
checkpointer = checkpoints.Checkpointer(sys.argv[1], keep=2)
warnings.simplefilter('ignore')
for line in sys.stdin:
  child = os.fork()
  if not child:
    iteration = max(checkpointer.iterations(), default=0)
    while True:
      iteration += 1
      checkpointer.save(iteration, tree(iteration))
  print(child, flush=True)
  os.waitpid(child, 0)
  print('gone', flush=True)
"""

_QUIET = _TREE + """
import json, pathlib, resource, sys
from implicit_underparam import checkpoints
from implicit_underparam.errors import UserError
folder = pathlib.Path(sys.argv[1])
checkpointer = checkpoints.Checkpointer(folder, keep=2)
for iteration in (1, 2, 3):
  checkpointer.save(iteration, tree(iteration))
messages = []
def attempt(do):
  try:
    do()
  except UserError as error:
    messages.append(str(error))
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
for size in (100, 10_000, 1_000_000):
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
  attempt(lambda: checkpointer.save(4, tree(4)))
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
checkpointer.restore(tree(3))
checkpointer.load(2)
for path in folder.glob('3/*/checkpoint/0'):
  data = path.read_bytes()
  path.write_bytes(data[:50])
  attempt(lambda: checkpointer.restore(tree(3)))
  path.write_bytes(data)
print(json.dumps(messages))
"""


class _Field(NamedTuple):
  kernel: Any
  bias: Any


@flax.struct.dataclass
class _State:
  params: Any
  opt_state: Any
  key: Any
  iteration: int


def _state() -> _State:
  keys = jax.random.split(jax.random.key(3), 5)
  params = {
      'Dense_0': _Field(jax.random.normal(keys[0], (5, 4, 3)), jnp.zeros(3)),
      'Dense_1': {'kernel': jnp.full((2, 2), jnp.nan), 'bias': -jnp.zeros(2)},
  }
  return _State(params, optax.adam(1e-3).init(params), keys, 12)


def _odd_tree() -> dict[str, Any]:
  rng = np.random.default_rng(0)
  return {
      'float64': rng.normal(size=(3, 2)),
      'bits': rng.integers(0, 2**32, 9).astype(np.uint32).view(np.float32),
      'fortran': np.asfortranarray(rng.normal(size=(3, 4))),
      'strided': rng.integers(0, 9, (6, 4)).astype(np.int32)[::2, 1:],
      'big_endian': np.arange(3, dtype='>i4'),
      'bool': rng.integers(0, 2, (4, 1)) > 0,
      'bfloat16': jnp.arange(5, dtype=jnp.bfloat16),
      'uint32': jnp.arange(5, dtype=jnp.uint32),
      'int8': np.int8(-3),
      'scalar': jnp.float32(0.1),
      'empty': np.zeros((0, 84, 84), np.uint8),
      'empty_jax': jnp.zeros((3, 0)),
      'large': rng.integers(0, 256, (3, 2**20)).astype(np.uint8),
      'zeros': np.zeros((2, 2**20), np.float32),
      'key': jax.random.key(1),
      'rbg': jax.random.split(jax.random.key(2, impl='rbg'), 2),
      'plain': [7, -2**200, 0.1, float('inf'), True, 'PCG64', ''],
      'bytes': [b'', b'\0', bytes(range(256)), b'1' * (2**20 + 1)],
      'none': None,
      'nothing': {},
      'a.b/c d': {'a': 1},
      '': 2,
  }


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(getattr(leaf, 'dtype', None), jax.dtypes.prng_key)


def _blank(leaf: Any) -> Any:
  """A leaf for a template: nothing of the value is in it."""
  if _is_key(leaf):
    words = jnp.zeros_like(jax.random.key_data(leaf))
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
  if isinstance(leaf, jax.Array):
    return jnp.zeros_like(leaf)
  return np.zeros_like(leaf) if isinstance(leaf, np.ndarray) else type(leaf)()


def _bytes_of(leaf: Any) -> tuple[Any, ...]:
  if type(leaf) in (bool, int, float, str, bytes):
    return type(leaf), repr(leaf)
  if _is_key(leaf):
    return jax.random.key_impl(leaf), *_bytes_of(jax.random.key_data(leaf))
  kind = jax.Array if isinstance(leaf, jax.Array) else type(leaf)
  return kind, leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()


def _flip(path: pathlib.Path, position: int) -> None:
  data = bytearray(path.read_bytes())
  data[position] ^= 16
  path.write_bytes(data)


def _temporary_folder(test: absltest.TestCase) -> pathlib.Path:
  return pathlib.Path(test.enter_context(tempfile.TemporaryDirectory()))


class _TestCase(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = _temporary_folder(self) / 'checkpoints'
    self.checkpointer = checkpoints.Checkpointer(self.folder)

  def assert_same(self, tree: Any, expected: Any) -> None:
    self.assertEqual(jax.tree.structure(tree), jax.tree.structure(expected))
    for leaf, other in zip(
        jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True
    ):
      self.assertEqual(_bytes_of(leaf), _bytes_of(other))


class RoundTripTest(_TestCase):

  @parameterized.parameters(
      _state, _odd_tree, dict, int, lambda: jnp.arange(3)
  )
  def test_bit_for_bit(self, make):
    tree = make()
    self.checkpointer.save(5, tree)
    iteration, restored = self.checkpointer.restore(jax.tree.map(_blank, tree))
    self.assertEqual(iteration, 5)
    self.assert_same(restored, tree)

  def test_restored_arrays_can_be_written(self):
    tree = _odd_tree()
    self.checkpointer.save(1, tree)
    restored = self.checkpointer.restore(tree)[1]
    for leaf in jax.tree.leaves(restored):
      if isinstance(leaf, np.ndarray) and leaf.size:
        leaf.flat[0] = 1

  def test_training_goes_on_alike(self):
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, opt_state, key):
      key, noise = jax.random.split(key)
      gradient = params + jax.random.normal(noise, params.shape)
      updates, opt_state = optimizer.update(gradient, opt_state)
      return optax.apply_updates(params, updates), opt_state, key

    carry = (jnp.ones(7), optimizer.init(jnp.ones(7)), jax.random.key(0))
    carry = step(*carry)
    self.checkpointer.save(1, carry)
    resumed = step(*self.checkpointer.restore(carry)[1])
    self.assert_same(resumed, step(*carry))

  def test_load_without_a_template(self):
    state = _state()
    self.checkpointer.save(3, state)
    loaded = self.checkpointer.load(3)
    self.assertEqual(loaded['iteration'], 12)
    np.testing.assert_array_equal(
        loaded['params']['Dense_0']['kernel'],
        state.params['Dense_0'].kernel, strict=True
    )
    np.testing.assert_array_equal(
        loaded['opt_state']['0']['mu']['Dense_1']['bias'], np.zeros(2)
    )
    np.testing.assert_array_equal(
        loaded['key'], jax.random.key_data(state.key), strict=True
    )
    with self.assertRaisesRegex(UserError, r'4 is missing: choose .*\[3\]'):
      self.checkpointer.load(4)

  def test_load_of_a_single_leaf(self):
    self.checkpointer.save(1, 0.5)
    self.assertEqual(self.checkpointer.load(1), 0.5)

  @parameterized.parameters(
      (bytearray(b'a'), 'x/0: .* bytearray'),
      (np.bytes_(b'a'), 'x/0: .* bytes'), (np.array(['a']), 'x/0: .* ndarray'),
      (np.array([None]), 'x/0: .* ndarray'), (object(), 'x/0: .* object'),
  )
  def test_what_cannot_be_saved(self, leaf, message):
    with self.assertRaisesRegex(TypeError, message):
      self.checkpointer.save(1, {'x': [leaf]})
    self.assertEqual(self.checkpointer.iterations(), [])

  def test_few_arrays_are_written(self):
    _, arrays = serialization.pack(_odd_tree())
    self.assertLen(arrays, 4)

  def test_bytes_without_a_template_and_of_another_length(self):
    tree = {'x': b'abc', 'y': [b'', 1]}
    self.checkpointer.save(1, tree)
    self.assertEqual(self.checkpointer.load(1)['x'], b'abc')
    other = {'x': b'1234567', 'y': [b'8', 2]}
    self.assertEqual(self.checkpointer.restore(other), (1, tree))
    for wrong in ('abc', np.zeros(3, np.uint8)):
      with self.assertRaisesRegex(UserError, 'x is bytes in the checkpoint'):
        self.checkpointer.restore({**other, 'x': wrong})


class KeepTest(_TestCase):

  def test_none(self):
    self.assertEqual(self.checkpointer.iterations(), [])
    self.assertIsNone(self.checkpointer.restore({'a': 1}))
    self.assertFalse(self.folder.exists())

  def test_last_ones_are_kept(self):
    for iteration in (8, 9, 10, 100):
      self.checkpointer.save(iteration, {'a': iteration})
    self.assertEqual(self.checkpointer.iterations(), [10, 100])
    self.assertCountEqual(os.listdir(self.folder), ['10', '100'])
    self.assertEqual(self.checkpointer.restore({'a': 0}), (100, {'a': 100}))
    self.assertEqual(self.checkpointer.restore({'a': 0}, 10), (10, {'a': 10}))

  def test_earlier_iteration_is_refused(self):
    self.checkpointer.save(8, {'a': 8})
    for iteration in (7, 8):
      with self.assertRaisesRegex(ValueError, 'not after'):
        self.checkpointer.save(iteration, {'a': 0})
    self.assertEqual(self.checkpointer.restore({'a': 0}), (8, {'a': 8}))

  def test_leftovers_of_a_kill_are_ignored_then_removed(self):
    self.checkpointer.save(1, {'a': 1})
    for name in ('.partial-2', '.removed-0', '.partial-7'):
      shutil.copytree(self.folder / '1', self.folder / name)
    self.assertEqual(self.checkpointer.iterations(), [1])
    self.assertEqual(self.checkpointer.restore({'a': 0}), (1, {'a': 1}))
    self.checkpointer.save(2, {'a': 2})
    self.assertCountEqual(os.listdir(self.folder), ['1', '2'])

  def test_at_least_one(self):
    with self.assertRaises(ValueError):
      checkpoints.Checkpointer(self.folder, keep=0)


class MismatchTest(_TestCase):

  @parameterized.parameters(
      (lambda t: t['p'].update(w=np.zeros((4, 3), np.float32)),
       r'p/w is float32\[4, 2\] in the checkpoint and float32\[4, 3\] in this'),
      (lambda t: t['p'].update(w=np.zeros((4, 2))),
       r'p/w is float32\[4, 2\] in the checkpoint and float64\[4, 2\] in this'),
      (lambda t: t.update(n=1.0),
       'n is int in the checkpoint and float in this run'),
      (lambda t: t.update(q=t.pop('p')),
       r'q/w is missing in the checkpoint and float32\[4, 2\] in this run'),
      (lambda t: t.pop('n'), 'n is int in the checkpoint and missing in this'),
      (lambda t: t.update(k=jax.random.split(t['k'], 3)),
       r'k is key<fry>\[\] in the checkpoint and key<fry>\[3\] in this run'),
      (lambda t: t.update(k=jax.random.key(0, impl='rbg')),
       r'k is key<fry>\[\] in the checkpoint and key<rbg>\[\] in this run'),
      (lambda t: t.update(k=jax.random.key_data(t['k'])),
       r'k is key<fry>\[\] in the checkpoint and uint32\[2\] in this run'),
  )
  def test_first_difference_is_named(self, change, message):
    def make():
      w = np.zeros((4, 2), np.float32)
      return {'p': {'w': w}, 'n': 1, 'k': jax.random.key(0)}

    self.checkpointer.save(2, make())
    template = make()
    change(template)
    with self.assertRaisesRegex(UserError, message) as raised:
      self.checkpointer.restore(template)
    self.assertIn(str(self.folder / '2'), str(raised.exception))
    self.assertIn('--base_dir', str(raised.exception))


class DamageTest(_TestCase):

  def setUp(self):
    super().setUp()
    for iteration in (1, 2):
      self.checkpointer.save(iteration, _tree(iteration))
    self.files = [p for p in (self.folder / '2').rglob('*') if p.is_file()]

  def _attempt(self, what: str) -> str:
    """Restores; whatever is given back has to be what was saved."""
    try:
      iteration, tree = self.checkpointer.restore(_tree(0))
    except UserError as error:
      self.assertRegex(str(error), f'checkpoint {self.folder}/2 is damaged')
      self.assertEndsWith(
          str(error), 'remove it to go on from the checkpoint of iteration 1'
      )
      self.assertNotIn('\n', str(error))
      return 'refused'
    self.assertEqual(iteration, 2, what)
    self.assert_same(tree, _tree(2))
    return 'same'

  def test_flipped_byte_in_the_largest_file(self):
    largest = max(self.files, key=lambda path: path.stat().st_size)
    size = largest.stat().st_size
    self.assertGreater(size, 2**20 * 0.9)
    for position in (0, 9, 20, size // 3, size // 2, size - 10, size - 1):
      _flip(largest, position)
      self.assertEqual(self._attempt(f'byte {position}'), 'refused')
      _flip(largest, position)
    self.assertEqual(self._attempt('mended'), 'same')

  def test_flipped_byte_in_a_small_array(self):
    data = self.folder / '2' / 'shared' / 'checkpoint' / '0'
    _flip(data, data.stat().st_size // 2)
    self.assertEqual(self._attempt('flipped'), 'refused')

  def test_every_file_cut_short_or_gone(self):
    outcomes = collections.Counter()
    for path in self.files:
      content = path.read_bytes()
      lengths = {0, 1, len(content) // 2, len(content) - 1}
      for length in sorted(lengths - {len(content)}):
        path.write_bytes(content[:length])
        outcomes[self._attempt(f'{path} cut to {length}')] += 1
      path.unlink()
      outcomes[self._attempt(f'{path} gone')] += 1
      path.write_bytes(content)
    self.assertGreater(outcomes['refused'], 20)
    self.assertEqual(self._attempt('mended'), 'same')

  def test_altered_table(self):
    table = self.folder / '2' / 'leaves.json'
    content = json.loads(table.read_text())
    [leaf] = [e for e in content['leaves'] if e['path'] == ['iteration']]
    self.assertEqual(leaf['value'], 2)
    leaf['value'] = 3
    table.write_text(json.dumps(content))
    self.assertEqual(self._attempt('altered'), 'refused')

  def test_removing_it_goes_on_from_the_earlier(self):
    _flip(self.folder / '2' / 'leaves.json', 5)
    self.assertEqual(self._attempt('flipped'), 'refused')
    shutil.rmtree(self.folder / '2')
    self.assert_same(self.checkpointer.restore(_tree(0))[1], _tree(1))
    _flip(self.folder / '1' / 'leaves.json', 5)
    with self.assertRaisesRegex(
        UserError, '/1 is damaged .*remove it and start anew in another'
    ):
      self.checkpointer.restore(_tree(0))


class ProcessTest(_TestCase):

  def test_kill_while_saving(self):
    rng = random.Random(0)
    saver = subprocess.Popen(
        [sys.executable, '-c', _SAVER, str(self.folder)], cwd=_ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    self.addCleanup(saver.communicate)
    for _ in range(8):
      before = max(self.checkpointer.iterations(), default=0)
      saver.stdin.write('\n')
      saver.stdin.flush()
      child = int(saver.stdout.readline())
      while max(self.checkpointer.iterations(), default=0) < before + 2:
        os.kill(child, 0)
        time.sleep(0.002)
      time.sleep(rng.uniform(0, 0.1))
      os.kill(child, 9)
      self.assertEqual(saver.stdout.readline(), 'gone\n')
      there = self.checkpointer.iterations()
      self.assertGreaterEqual(len(there), 2)
      for iteration in there:
        restored = self.checkpointer.restore(_tree(0), iteration)
        self.assertEqual(restored[0], iteration)
        self.assert_same(restored[1], _tree(iteration))

  def test_full_disk_and_nothing_on_the_screen(self):
    process = subprocess.run(
        [sys.executable, '-c', _QUIET, str(self.folder)], cwd=_ROOT, text=True,
        capture_output=True, check=False,
    )
    self.assertEqual(process.stderr, '')
    messages = json.loads(process.stdout)
    self.assertLen(messages, 5)
    self.assertEqual(messages[:3], [
        f'{self.folder}/4 could not be written: File too large; free space and '
        'start the same command again: it goes on from the last checkpoint'
    ] * 3)
    for message in messages[3:]:
      self.assertIn(f'{self.folder}/3 is damaged', message)
    self.assertCountEqual(os.listdir(self.folder), ['2', '3'])
    self.assert_same(self.checkpointer.restore(_tree(0))[1], _tree(3))


if __name__ == '__main__':
  absltest.main()
