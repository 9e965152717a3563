"""Tests of gzip_writer, against Python's gzip and zlib."""

import gzip
import pathlib
import tempfile
import zlib
from unittest import mock

import numpy as np
from absl.testing import absltest
from hypothesis import given, settings
from hypothesis import strategies as st

from implicit_underparam.data import gz_arrays, gzip_writer
from implicit_underparam.data.gzip_stream import DamagedFile
from implicit_underparam.data.gzip_writer import GzipWriter

# Pieces of data; what is written after a flush and cut off again, or None.
PIECES = st.lists(
    st.tuples(
        st.binary(max_size=300), st.none() | st.none() | st.binary(max_size=99)
    ),
    max_size=12,
)


class GzipWriterTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.path = self.folder / 'a.gz'

  @settings(deadline=None, max_examples=80)
  @given(PIECES)
  def test_what_was_cut_and_gone_on_with_is_one_member_of_the_data(
      self, pieces
  ):
    with tempfile.TemporaryDirectory() as folder:
      path, other = pathlib.Path(folder, 'a'), pathlib.Path(folder, 'b')
      writer, unbroken = GzipWriter(path), GzipWriter(other)
      for data, lost in pieces:
        writer.write(data)
        unbroken.write(data)
        if lost is not None:
          position = writer.flush()
          self.assertEqual(unbroken.flush(), position)
          self.assertTrue(gzip_writer.reaches(path, position))
          writer.write(lost)
          writer.finish() if len(lost) % 2 else writer.close()
          self.assertTrue(gzip_writer.reaches(path, position))
          writer = GzipWriter(path, position)
      writer.finish()
      unbroken.finish()
      found = path.read_bytes()
      self.assertEqual(found, other.read_bytes())
    expected = b''.join(data for data, _ in pieces)
    self.assertEqual(gzip.decompress(found), expected)
    # One member: 16 + 15 is zlib's reader of exactly one.
    inflater = zlib.decompressobj(31)
    self.assertEqual(inflater.decompress(found), expected)
    self.assertEqual((inflater.eof, inflater.unused_data), (True, b''))

  def write_array(self, array: np.ndarray) -> None:
    """In pieces of 100 rows, each by a process of its own, so to speak."""
    writer = GzipWriter(self.path)
    writer.write(gzip_npy_header(array))
    for first in range(0, len(array), 100):
      writer.write(array[first:first + 100])
      position = writer.flush()
      writer.write(b'lost')
      writer.close()
      writer = GzipWriter(self.path, position)
    writer.finish()

  def test_our_readers_stream_it_and_find_damage(self):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (3000, 6, 5), np.uint8)
    array[500:2500] = 7
    self.write_array(array)
    shape = (None, 6, 5)
    with gz_arrays.GzArrayReader(self.path, 'u1', shape) as reader:
      np.testing.assert_array_equal(reader.read(130), array[:130])
      reader.skip(2500)
      np.testing.assert_array_equal(reader.read(), array[2630:])
    good = self.path.read_bytes()
    for end in (5, 60, 5000, -5000, -4):
      self.path.write_bytes(good[:end])
      with self.assertRaises(DamagedFile) as caught:
        gz_arrays.read_array(self.path, 'u1', shape)
      self.assertEqual(caught.exception.kind, 'truncated')
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 8
    self.path.write_bytes(bad)
    with self.assertRaises(DamagedFile):
      gz_arrays.read_array(self.path, 'u1', shape)

  def test_another_beginning_does_not_reach_the_position(self):
    writer = GzipWriter(self.path)
    writer.write(b'some data')
    position = writer.flush()
    writer.close()
    good = self.path.read_bytes()
    self.assertEqual(position.size, len(good))
    other = GzipWriter(self.folder / 'b')
    other.write(b'same size')
    self.assertEqual(other.flush().size, position.size)
    other.close()
    for bad in (
        b'', good[:-1], b'\0' + good[1:], good[:12] + b'\xff' + good[13:],
        (self.folder / 'b').read_bytes(),
    ):  # fmt: skip
      self.path.write_bytes(bad)
      self.assertFalse(gzip_writer.reaches(self.path, position))

  def test_the_bytes_are_no_more_than_those_of_gzip(self):
    data = np.arange(9000, dtype='<i8')
    writer = GzipWriter(self.path)
    writer.write(data)
    writer.finish()
    theirs = gzip.compress(data.tobytes(), 6, mtime=0)
    self.assertEqual(self.path.read_bytes()[10:], theirs[10:])

  def test_zeros_of_any_number(self):
    for count in (0, 1, 2**20, 2**21 + 7, 5 * 10**6):
      writer = GzipWriter(self.path)
      writer.write(b'before')
      writer.write_zeros(count)
      writer.write(b'behind')
      self.assertEqual(writer.flush().length, count + 12)
      writer.finish()
      found = gzip.decompress(self.path.read_bytes())
      self.assertEqual(found, b'before' + bytes(count) + b'behind')

  def test_a_write_that_the_system_cuts_short_is_gone_on_with(self):
    data = np.random.default_rng(0).bytes(100_000)
    writer = GzipWriter(self.path)
    file = writer._file
    with mock.patch.object(writer, '_file') as slow:
      slow.write.side_effect = lambda rest: file.write(rest[:999])
      slow.fileno.side_effect = file.fileno
      writer.write(data)
      writer.finish()
    file.close()
    self.assertEqual(gzip.decompress(self.path.read_bytes()), data)


def gzip_npy_header(array: np.ndarray) -> bytes:
  size = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {array.shape}, }}"
  text = size.encode().ljust(117) + b'\n'
  return b'\x93NUMPY\x01\0' + len(text).to_bytes(2, 'little') + text


if __name__ == '__main__':
  absltest.main()
