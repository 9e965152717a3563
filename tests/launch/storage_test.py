"""Small files of a sweep, in folders and behind URLs."""

import os
import pathlib
import sys
from unittest import mock

import fsspec
from absl.testing import absltest, parameterized

from launch import storage
from launch.errors import SweepError


class StorageTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    fsspec.filesystem('memory').store.clear()

  def base(self, kind: str) -> str:
    return {
        'path': str(self.folder / 'sweep'),
        'file': f'file://{self.folder}/sweep',
        'local': f'local://{self.folder}/sweep/',
        'memory': 'memory://bucket/sweep',
    }[kind]

  @parameterized.parameters('path', 'file', 'local', 'memory')
  def test_what_is_written_is_read(self, kind):
    base = self.base(kind)
    path = storage.join(base, 'Pong/dqn', 'run.json')
    self.assertIsNone(storage.read_text(path))
    self.assertEqual(storage.read_json(path), {})
    self.assertFalse(storage.exists(path))
    self.assertEqual(storage.list_names(base), [])
    storage.remove(path)
    storage.write_text(path, '{"status": "a longer word"}')
    storage.write_text(path, '{"status": "é"}')
    self.assertEqual(storage.read_text(path), '{"status": "é"}')
    self.assertEqual(storage.read_json(path), {'status': 'é'})
    self.assertTrue(storage.exists(path))
    self.assertEqual(storage.list_names(base), ['Pong'])
    self.assertEqual(
        storage.list_names(storage.join(base, 'Pong', 'dqn')), ['run.json']
    )
    storage.remove(path)
    self.assertFalse(storage.exists(path))

  @parameterized.parameters('', 'no json', '[1]', '{"cut": ')
  def test_what_is_no_object_is_none(self, text):
    path = storage.join(self.base('path'), 'sweep.json')
    storage.write_text(path, text)
    self.assertEqual(storage.read_json(path), {})

  @parameterized.parameters('path', 'file')
  def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, kind):
    path = storage.join(self.base(kind), 'sweep.json')
    storage.write_text(path, 'old')
    broken = OSError(28, 'No space left on device')
    target = 'os.replace' if kind == 'path' else 'shutil.move'
    with (
        mock.patch(target, side_effect=broken),
        self.assertRaisesRegex(SweepError, 'json could not be written: No'),
    ):
      storage.write_text(path, 'new')
    self.assertEqual(storage.read_text(path), 'old')
    self.assertEqual(os.listdir(self.folder / 'sweep'), ['sweep.json'])

  def test_paths_are_joined_as_they_are(self):
    self.assertEqual(storage.join('gs://b/x/', '/a/', 'b'), 'gs://b/x/a/b')
    self.assertEqual(storage.join(pathlib.Path('/x'), 'a/b'), '/x/a/b')
    self.assertTrue(storage.is_remote('gs://b/x'))
    self.assertFalse(storage.is_remote(pathlib.Path('/gs:/b')))

  @parameterized.parameters(
      ('gs://bucket/x', 'gcsfs', 'pip install gcsfs'),
      ('s3://bucket/x', 's3fs', 'pip install s3fs'),
  )
  def test_a_missing_package_is_named(self, url, package, remedy):
    with (
        mock.patch.dict(sys.modules, {package: None}),
        self.assertRaisesRegex(SweepError, f'^{url} needs .*{remedy}$'),
    ):
      storage.read_text(url)

  @parameterized.parameters(
      ('nothing://x/y', 'Protocol not known'),
      ('memory://', 'names no folder'),
  )
  def test_a_url_that_nothing_opens_is_one_line(self, url, message):
    with self.assertRaisesRegex(SweepError, message) as caught:
      storage.write_text(url, '')
    self.assertNotIn('\n', str(caught.exception))

  def test_another_one_s_error_is_one_line_with_the_path(self):
    path = self.base('path')
    os.makedirs(path)
    with self.assertRaisesRegex(SweepError, f'^{path} could not be read: Is a'):
      storage.read_text(path)


if __name__ == '__main__':
  absltest.main()
