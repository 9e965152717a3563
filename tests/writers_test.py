import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from tensorboardX.proto import event_pb2

from implicit_underparam import writers
from implicit_underparam.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_SEEDS = (0, 3)

_FULL_DISK = """
import json, resource, sys
from implicit_underparam import writers
from implicit_underparam.errors import UserError
writer = writers.MetricWriter(sys.argv[1], tensorboard=sys.argv[2] == '1')
writer.write_row(0, 0, 0, 0, {'srank': 0, 'loss': 0.1})
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
  with writer:
    for i in range(1, 1000):
      writer.write_row(0, i, 10 * i, 20 * i, {'srank': i, 'loss': i + 0.1})
      writer.flush()
except UserError as error:
  print(json.dumps([i, str(error)]))
"""

_TORCH_LATER = """
import sys
from implicit_underparam import writers
with writers.MetricWriter(sys.argv[1], tensorboard=True) as writer:
  writer.write_row(0, 0, 0, 0, {'srank': 0})
print('torch' in sys.modules)
import torch
print(torch.IS_FAKE)
"""


def _metrics(seed, iteration):
  loss = math.nan if iteration == 4 else (iteration + 1) / 3 - seed
  return {'srank': 31 - iteration, 'loss': loss, 'td_error': 1e-30 * iteration}


def _write(folder, iterations, resume_at=0, tensorboard=False):
  with writers.MetricWriter(folder, resume_at, tensorboard) as writer:
    for iteration in iterations:
      for seed in _SEEDS:
        writer.write_row(
            seed, iteration, 100 * iteration, 0, _metrics(seed, iteration)
        )
      writer.flush()


def _crc32c(data):
  """CRC-32C, bit by bit, from its polynomial."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
  return crc ^ 0xFFFFFFFF


def _masked(data):
  crc = _crc32c(data)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_events(folder):
  """Reads TensorBoard's records, checking both checksums of each."""
  events = []
  for path in sorted(folder.iterdir()):
    data = path.read_bytes()
    while data:
      length, crc = struct.unpack('<QI', data[:12])
      assert crc == _masked(data[:8])
      event, (crc,) = data[12:12 + length], struct.unpack(
          '<I', data[12 + length:16 + length]
      )
      assert crc == _masked(event)
      events.append(event_pb2.Event.FromString(event))
      data = data[16 + length:]
  return events


def _shown(events):
  """What TensorBoard shows: a restart hides what came before, from its step."""
  shown = {}
  for event in events:
    if event.session_log.status == event_pb2.SessionLog.START:
      shown = {key: v for key, v in shown.items() if key[0] < event.step}
    for value in event.summary.value:
      assert (event.step, value.tag) not in shown
      shown[event.step, value.tag] = value.simple_value
  return shown


def _temporary_folder(test: absltest.TestCase) -> pathlib.Path:
  return pathlib.Path(test.enter_context(tempfile.TemporaryDirectory()))


class CsvTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = _temporary_folder(self)
    self.file = self.folder / 'metrics.csv'

  def _row(self, **metrics):
    with writers.MetricWriter(self.folder, tensorboard=False) as writer:
      writer.write_row(0, 0, 0, 0, metrics)
    return self.file.read_text().splitlines()[1].split(',')[4:]

  def test_content(self):
    _write(self.folder, range(2))
    self.assertEqual(
        self.file.read_text(),
        'seed,iteration,gradient_steps,environment_steps,srank,loss,td_error\n'
        '0,0,0,0,31,0.3333333333333333,0.0\n'
        '3,0,0,0,31,-2.6666666666666665,0.0\n'
        '0,1,100,0,30,0.6666666666666666,1e-30\n'
        '3,1,100,0,30,-2.3333333333333335,1e-30\n',
    )

  @parameterized.parameters(
      (7, '7'), (np.int32(7), '7'), (jnp.int32(7), '7'), (np.uint8(7), '7'),
      (True, '1'), (0.1, '0.1'), (np.float32(0.1), '0.10000000149011612'),
      (jnp.float32(0.1), '0.10000000149011612'), (jnp.bfloat16(0.5), '0.5'),
      (np.nan, 'nan'), (-jnp.inf, '-inf'), (7.0, '7.0'), (2**62, f'{2**62}'),
  )
  def test_number(self, value, text):
    self.assertEqual(self._row(m=value), [text])

  def test_floats_come_back_bit_for_bit(self):
    values = np.random.default_rng(0).integers(0, 2**63, 200).view(np.float64)
    row = self._row(**{f'm{i}': value for i, value in enumerate(values)})
    np.testing.assert_array_equal(np.array([float(t) for t in row]), values)

  @parameterized.parameters(
      (np.zeros(2), r'float64\[2\]'), ('text', 'U4'), (None, 'object'), (1j, '')
  )
  def test_no_number(self, value, text):
    with self.assertRaisesRegex(UserError, f'metric loss is .*{text}'):
      self._row(loss=value)

  @parameterized.parameters('', 'seed', 'a,b', 'a"', 'a\n')
  def test_no_name(self, name):
    with self.assertRaisesRegex(UserError, 'cannot name a metric'):
      self._row(**{name: 1})

  def test_order_is_that_of_the_first_row(self):
    with writers.MetricWriter(self.folder, tensorboard=False) as writer:
      writer.write_row(0, 0, 0, 0, {'b': 1, 'a': 2})
      writer.write_row(0, 1, 0, 0, {'a': 4, 'b': 3})
    self.assertEqual(
        self.file.read_text().splitlines()[1:], ['0,0,0,0,1,2', '0,1,0,0,3,4']
    )

  def test_other_names_in_a_later_row(self):
    with writers.MetricWriter(self.folder, tensorboard=False) as writer:
      writer.write_row(0, 0, 0, 0, {'a': 1, 'b': 2})
      with self.assertRaisesRegex(UserError, 'without b and with c, d'):
        writer.write_row(0, 1, 0, 0, {'a': 1, 'c': 2, 'd': 3})

  def test_other_names_after_resuming(self):
    _write(self.folder, range(2))
    before = self.file.read_bytes()
    with writers.MetricWriter(self.folder, 2, tensorboard=False) as writer:
      with self.assertRaisesRegex(UserError, 'without loss, td_error, unlike'):
        writer.write_row(0, 2, 0, 0, {'srank': 1})
    self.assertEqual(self.file.read_bytes(), before)


class ResumeTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = _temporary_folder(self)
    self.file = self.folder / 'metrics.csv'

  def test_cut_anywhere_leaves_the_same_file(self):
    _write(self.folder, range(6))
    whole = self.file.read_bytes()
    lines = whole.splitlines(keepends=True)
    # The end of each iteration: rows are flushed before a checkpoint.
    ends = [len(b''.join(lines[:1 + 2 * i])) for i in range(7)]
    tried = 0
    for resume_at in range(6):
      least = ends[resume_at] if resume_at else 0
      for length in range(least, len(whole) + 1):
        self.file.write_bytes(whole[:length])
        _write(self.folder, range(resume_at, 6), resume_at)
        self.assertEqual(self.file.read_bytes(), whole, (resume_at, length))
        tried += 1
    self.assertGreater(tried, 1000)

  def test_missing(self):
    with self.assertRaisesRegex(UserError, 'metrics.csv is missing'):
      writers.MetricWriter(self.folder, 3)
    self.assertFalse(self.file.exists())

  @parameterized.parameters(0, 1)
  def test_foreign_file_is_left_alone(self, resume_at):
    self.file.write_text('step,reward\n1,2\n')
    with self.assertRaisesRegex(UserError, "begins with 'step,reward'"):
      writers.MetricWriter(self.folder, resume_at)
    self.assertEqual(self.file.read_text(), 'step,reward\n1,2\n')

  @parameterized.parameters(
      ('0,x,0,0,1\n', 'line 3 .*is not a row'),
      ('\n0,1,0,0,1\n', 'line 3 .*is not a row'),
      ('0,2,0,0,1\n0,0,0,0,1\n', 'line 4 .*from iteration 2 to 0'),
  )
  def test_damaged_file_is_left_alone(self, rows, message):
    text = f'{",".join(writers.COLUMNS)},a\n0,0,0,0,1\n{rows}'
    self.file.write_text(text)
    with self.assertRaisesRegex(UserError, message):
      writers.MetricWriter(self.folder, 1)
    self.assertEqual(self.file.read_text(), text)


class TensorBoardTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = _temporary_folder(self)

  def _expected(self, seed, iterations):
    return {
        (i, name): np.float32(value)
        for i in iterations for name, value in _metrics(seed, i).items()
    }

  def _check(self, iterations):
    for seed in _SEEDS:
      events = _read_events(self.folder / 'tensorboard' / f'seed_{seed}')
      self.assertEqual(events[0].file_version, 'brain.Event:2')
      expected, shown = self._expected(seed, iterations), _shown(events)
      self.assertEqual(shown.keys(), expected.keys())
      for key, value in expected.items():
        np.testing.assert_equal(np.float32(shown[key]), value)

  def test_one_event_a_row(self):
    _write(self.folder, range(5), tensorboard=True)
    self._check(range(5))
    events = _read_events(self.folder / 'tensorboard' / 'seed_0')
    self.assertEqual([len(e.summary.value) for e in events], [0, 0] + [3] * 5)

  def test_resumed_within_a_second(self):
    _write(self.folder, range(5), tensorboard=True)
    _write(self.folder, range(3, 7), resume_at=3, tensorboard=True)
    _write(self.folder, range(7, 8), resume_at=7, tensorboard=True)
    self._check(range(8))

  def test_rows_are_there_after_a_flush(self):
    writer = writers.MetricWriter(self.folder)
    for seed in _SEEDS:
      writer.write_row(seed, 0, 0, 0, _metrics(seed, 0))
    self.assertEqual((self.folder / 'metrics.csv').read_bytes(), b'')
    writer.flush()
    self.assertLen((self.folder / 'metrics.csv').read_text().splitlines(), 3)
    self._check(range(1))
    writer.close()

  def test_too_large_for_tensorboard(self):
    with writers.MetricWriter(self.folder) as writer:
      writer.write_row(0, 0, 0, 0, {'loss': 1e300, 'gap': -1e300})
    events = _read_events(self.folder / 'tensorboard' / 'seed_0')
    self.assertEqual(
        _shown(events), {(0, 'loss'): math.inf, (0, 'gap'): -math.inf}
    )

  def test_torch_is_not_imported_for_it_and_can_be_later(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / 'torch.py').write_text('IS_FAKE = True')
    result = subprocess.run(
        [sys.executable, '-c', _TORCH_LATER, str(folder / 'run')],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, 'PYTHONPATH': f'{folder}:{_ROOT}'},
    )  # fmt: skip
    self.assertEqual(result.stdout, 'False\nTrue\n', result.stderr)

  def test_off(self):
    _write(self.folder, range(2), tensorboard=False)
    self.assertFalse((self.folder / 'tensorboard').exists())


class FullDiskTest(parameterized.TestCase):

  @parameterized.parameters((0, 'metrics.csv'), (1, 'events.out.tfevents'))
  def test_full_disk(self, tensorboard, name):
    folder = _temporary_folder(self)
    process = subprocess.run(
        [sys.executable, '-c', _FULL_DISK, str(folder), str(tensorboard)],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )
    self.assertEqual(process.stderr, '')
    last, message = json.loads(process.stdout)
    self.assertRegex(
        message, f'^/.*/{name}.* could not be written: File too large; free '
        'space and start the same command again: it goes on from the last '
        'checkpoint$'
    )
    # Whole rows are there up to the failure; going on completes the file.
    file = folder / 'metrics.csv'
    rows = file.read_text().split('\n')[1:-1]
    self.assertGreaterEqual(len(rows), last)
    self.assertEqual(
        rows[:last],
        [f'0,{i},{10 * i},{20 * i},{i},{i + 0.1!r}' for i in range(last)]
    )
    with writers.MetricWriter(folder, last, tensorboard=False) as writer:
      writer.write_row(0, last, 10 * last, 20 * last, {'srank': 1, 'loss': 2})
    self.assertEqual(
        file.read_text().split('\n')[1:],
        [*rows[:last], f'0,{last},{10 * last},{20 * last},1,2', '']
    )


if __name__ == '__main__':
  absltest.main()
