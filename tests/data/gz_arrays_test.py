"""Tests of implicit_underparam.data.gz_arrays and gzip_stream."""

import gzip
import io
import pathlib
import warnings

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from implicit_underparam.data import gz_arrays
from implicit_underparam.data.gzip_stream import DamagedFile
from implicit_underparam.errors import UserError

SHAPE = (None, 6, 5)


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
  buffer = io.BytesIO()
  np.lib.format.write_array(buffer, array, version)
  return buffer.getvalue()


class Remote:
  """A file that can only be read forwards, and counts what was read."""

  def __init__(self, data: bytes):
    self.count = 0
    self._data = data

  def open(self, mode: str) -> 'Remote':
    assert mode == 'rb'
    self._file = io.BytesIO(self._data)
    return self

  def read(self, size: int) -> bytes:
    self.count += size
    return self._file.read(size)

  def seekable(self) -> bool:
    return False

  def close(self) -> None:
    self._file.close()


class GzArrayTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    # Half of it does not compress: the file spans several input blocks.
    self.array = rng.integers(0, 256, (3000, 6, 5), np.uint8)
    self.array[1000:2500] = 7
    self.path = pathlib.Path(self.create_tempdir().full_path, 'a.gz')
    self.data = gzip.compress(npy(self.array))
    self.path.write_bytes(self.data)

  def damaged(self, data: bytes, dtype: str = 'u1', shape=SHAPE) -> str:
    """Writes the data, reads it and returns the kind of damage found."""
    self.path.write_bytes(data)
    with self.assertRaises(DamagedFile) as caught:
      gz_arrays.read_array(self.path, dtype, shape)
    self.assertIn(str(self.path), str(caught.exception))
    self.assertEqual(caught.exception.path, str(self.path))
    self.assertNotIn('\n', str(caught.exception))
    return caught.exception.kind


class ReadingTest(GzArrayTest):

  @parameterized.product(rows=(1, 7, 1000, 3000, None), as_text=(False, True))
  def test_the_chunks_are_the_array(self, rows, as_text):
    path = str(self.path) if as_text else self.path
    with gz_arrays.GzArrayReader(path, 'u1', SHAPE) as reader:
      self.assertEqual((reader.shape, reader.rows), ((3000, 6, 5), 3000))
      chunks = list(reader.chunks(rows=rows))
    self.assertEqual(len(chunks), -(-3000 // (rows or 3000)))
    np.testing.assert_array_equal(np.concatenate(chunks), self.array)

  def test_reads_and_skips_in_any_order(self):
    with gz_arrays.GzArrayReader(self.path, 'u1', SHAPE) as reader:
      np.testing.assert_array_equal(reader.read(5), self.array[:5])
      reader.skip(2400)
      self.assertEqual(reader.position, 2405)
      some = np.concatenate(list(reader.chunks(count=95, rows=20)))
      np.testing.assert_array_equal(some, self.array[2405:2500])
      reader.skip(0)
      np.testing.assert_array_equal(reader.read(), self.array[2500:])
      self.assertEqual(reader.read().shape, (0, 6, 5))
      self.assertEmpty(list(reader.chunks()))

  def test_the_first_rows_need_the_first_bytes_only(self):
    file = Remote(self.data)
    with gz_arrays.GzArrayReader(file, 'u1', SHAPE) as reader:
      np.testing.assert_array_equal(reader.read(10), self.array[:10])
    self.assertLess(file.count, len(self.data))

  def test_a_file_that_cannot_seek_is_checked_at_its_end(self):
    array = gz_arrays.read_array(Remote(self.data), 'u1', SHAPE)
    np.testing.assert_array_equal(array, self.array)
    with self.assertRaises(DamagedFile) as caught:
      gz_arrays.read_array(Remote(self.data[:-3]), 'u1', SHAPE)
    self.assertEqual(caught.exception.kind, 'truncated')

  @parameterized.parameters(
      (np.array(12345678901, '<i8'), ()),
      (np.arange(5, dtype='<f4'), (5,)),
      (np.zeros((0, 3), '<i4'), (None, 3)),
      (np.zeros((2, 0), '<i4'), (None, None)),
  )
  def test_reads_any_shape(self, array, shape):
    for version in ((1, 0), (2, 0)):
      self.path.write_bytes(gzip.compress(npy(array, version)))
      found = gz_arrays.read_array(self.path, array.dtype, shape)
      np.testing.assert_array_equal(found, array)
      self.assertEqual((found.dtype, found.shape), (array.dtype, array.shape))

  def test_reads_a_header_of_python_2_without_a_warning(self):
    data = npy(self.array)
    old = data.replace(b'(3000, 6, 5), }   ', b'(3000L, 6L, 5L), }')
    self.assertEqual((len(old), old != data), (len(data), True))
    self.path.write_bytes(gzip.compress(old))
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      found = gz_arrays.read_array(self.path, 'u1', SHAPE)
    np.testing.assert_array_equal(found, self.array)


class DamageTest(GzArrayTest):

  def test_missing(self):
    self.path.unlink()
    with self.assertRaises(DamagedFile) as caught:
      gz_arrays.read_array(self.path, 'u1', SHAPE)
    self.assertEqual(caught.exception.kind, 'missing')

  def test_a_folder_is_no_damage(self):
    with self.assertRaisesRegex(UserError, 'cannot be opened') as caught:
      gz_arrays.read_array(self.path.parent, 'u1', SHAPE)
    self.assertNotIsInstance(caught.exception, DamagedFile)

  @parameterized.parameters(0, 1, 9, 15, 60, 20_000, -9, -8, -4, -1)
  def test_cut_short(self, end):
    self.assertEqual(self.damaged(self.data[:end]), 'truncated')

  def test_cut_short_is_found_on_opening(self):
    self.path.write_bytes(self.data[:-5000])
    with self.assertRaises(DamagedFile):
      gz_arrays.GzArrayReader(self.path, 'u1', SHAPE)

  def test_other_damage(self):
    flipped = bytearray(self.data)
    flipped[len(flipped) // 3] ^= 8
    self.assertEqual(self.damaged(bytes(flipped)), 'corrupt')
    checksum = bytearray(self.data)
    checksum[-8] ^= 1
    self.assertEqual(self.damaged(bytes(checksum)), 'corrupt')
    self.assertEqual(self.damaged(npy(self.array)), 'not gzip')
    text = b'a text that is no array at all' * 9
    self.assertEqual(self.damaged(gzip.compress(text)), 'not npy')
    header = b'\x93NUMPY\x02\0\xff\xff\xff\xff' + text
    self.assertEqual(self.damaged(gzip.compress(header)), 'not npy')
    longer = gzip.compress(npy(self.array) + b'more')
    self.assertEqual(self.damaged(longer), 'truncated')

  def test_too_much_data_is_found_where_the_file_cannot_seek(self):
    payload = npy(self.array)
    for data in (
        gzip.compress(payload + b'more'),
        self.data + b'more',
        self.data + self.data,
    ):
      with self.assertRaises(DamagedFile) as caught:
        gz_arrays.read_array(Remote(data), 'u1', SHAPE)
      self.assertEqual(caught.exception.kind, 'corrupt')

  def test_another_array(self):
    self.assertEqual(self.damaged(self.data, '<i4'), 'wrong dtype')
    objects = np.array([{}, None])
    data = gzip.compress(npy(objects))
    self.assertEqual(self.damaged(data, 'u1', (None,)), 'wrong dtype')
    for shape in ((3000, 6), (None, 6, 4), (2999, 6, 5), ()):
      self.assertEqual(self.damaged(self.data, shape=shape), 'wrong shape')
    columns = gzip.compress(npy(np.asfortranarray(self.array)))
    self.assertEqual(self.damaged(columns), 'wrong shape')

  @settings(deadline=None, max_examples=300)
  @given(st.data())
  def test_no_flipped_byte_goes_unnoticed(self, data):
    array = np.arange(40, dtype='<i4')
    good = gzip.compress(npy(array))
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    self.path.write_bytes(bytes(bad))
    try:
      found = gz_arrays.read_array(self.path, '<i4', (None,))
    except DamagedFile:
      return
    # The first ten bytes hold flags and a date besides the format.
    self.assertLess(position, 10)
    np.testing.assert_array_equal(found, array)


if __name__ == '__main__':
  absltest.main()
