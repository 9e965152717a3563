"""A local folder and its remote copy, kept such that a run can go on from it.
"""

import pathlib
import zlib
from collections.abc import Callable, Sequence

from launch import mirror_manifest, mirror_restore, mirror_snapshot
from launch.errors import SweepError
from launch.mirror_manifest import Manifest, Piece, Stamp
from launch.mirror_remote import RemoteFolder
from launch.mirror_snapshot import METRICS, Entry, Snapshot

# Larger files are not held in memory; none that a run appends to is as large.
_SMALL = 32 << 20
_PIECE = 64 << 20
_TRIES = 10


class Copy:
  """Keeps a remote folder such that a run can be gone on with from it.

  Args:
    url: of the remote folder.
    local: the folder of the run.
    is_held: called before a list is replaced; raises if another may write.
  """

  def __init__(
      self, url: str, local: pathlib.Path, is_held: Callable[[], None]
  ):
    self._remote = RemoteFolder(url)
    self._local = local
    self._is_held = is_held
    self._manifest = Manifest()
    self._last: dict[str, bytes] = {}
    self._is_swept = False

  def restore(self) -> bool:
    """Makes the local folder what the remote one is.

    A folder that is this mirror's own and was copied last of all stays as it
    is: it may be further.

    Returns:
      Whether there was something to go on with.

    Raises:
      SweepError: the local folder holds something else, or the remote one is
        damaged.
    """
    self._local.mkdir(parents=True, exist_ok=True)
    mirror_snapshot.discard_staged(self._local)
    found = self._remote.manifest()
    if found is None:
      # Made by hand, say from a run of a laptop; or nothing is there.
      found = Manifest(self._remote.list_all())
      self._remote.write(mirror_manifest.NAME, found.encode())
    self._manifest = found
    mark = mirror_restore.Mark(self._local, self._remote.url)
    if found.files and mark.read() != found.identity:
      mark.check()
      mark.write('')
      mirror_restore.remove_others(self._local, found)
      mirror_restore.bring(self._remote, found, self._local)
    mark.write(found.identity)
    return bool(found.files)

  def update(self) -> None:
    """Copies what is new, such that a kill at any moment does no harm.

    Raises:
      SweepError: something could not be written, or another holds the folder.
      OSError: something here could not be read.
    """
    for _ in range(_TRIES):
      try:
        self._update(
            mirror_snapshot.take(self._local, self._manifest.checkpoints())
        )
        return
      except (FileNotFoundError, mirror_snapshot.Moved) as error:
        # The run renamed a file meanwhile: it is looked at once more.
        moved = error
    raise SweepError(f'{self._local} cannot be copied: {moved}')

  def _update(self, snapshot: Snapshot) -> None:
    old = self._manifest
    new = self._upload(snapshot)
    if (new.files, new.pieces) != (old.files, old.pieces):
      self._is_held()
      # Marked first: if the list gets there at all, this folder is its source.
      mirror_restore.Mark(self._local, self._remote.url).write(new.identity)
      self._remote.write(mirror_manifest.NAME, new.encode())
      self._manifest = new
    for name, data in snapshot.last.items():
      if self._last.get(name) != data:
        self._remote.write(name, data)
        self._last[name] = data
    if new.objects() != old.objects() or not self._is_swept:
      self._remote.remove_unlisted(old, new)
      self._is_swept = True
    mirror_snapshot.discard_staged(self._local)

  def _upload(self, snapshot: Snapshot) -> Manifest:
    old = self._manifest
    files = old.of_checkpoints(snapshot.checkpoints)
    self._remote.upload({x: e.source for x, e in snapshot.staged.items()})
    files |= {x: _stamp(e) for x, e in snapshot.staged.items()}
    for name, entry in snapshot.files.items():
      if old.files.get(name) != _stamp(entry):
        self._replace(name, entry)
      files[name] = _stamp(entry)
    if snapshot.metrics is not None:
      files[METRICS] = self._upload_metrics(snapshot.metrics)
    pieces: dict[str, Sequence[Piece]] = {}
    is_new = bool(snapshot.staged)
    for name, entry in snapshot.growing.items():
      # Only a checkpoint counts on what was added since the last one.
      pieces[name] = (
          self._upload_pieces(name, entry)
          if is_new or name not in old.pieces else old.pieces[name]
      )
    return Manifest(files, pieces)

  def _replace(self, name: str, entry: Entry) -> None:
    if entry.size > _SMALL:
      self._remote.replace(name, entry.source)
    else:
      self._remote.write(name, entry.source.read_bytes())

  def _upload_metrics(self, data: bytes) -> Stamp:
    """Its stamp is of the rows, which may be written again as they were."""
    stamp = Stamp(len(data), zlib.crc32(data))
    if self._manifest.files.get(METRICS) != stamp:
      self._remote.write(METRICS, data)
    return stamp

  def _upload_pieces(self, name: str, entry: Entry) -> list[Piece]:
    known = self._manifest.pieces.get(name, ())
    with open(entry.source, 'rb') as file:
      kept = []
      for piece in known:
        # A run that went on has cut the file, and may have filled it anew.
        if zlib.crc32(file.read(piece.size)) != piece.crc:
          break
        kept.append(piece)
      start = sum(x.size for x in kept)
      file.seek(start)
      while start < entry.size:
        data = file.read(min(_PIECE, entry.size - start))
        piece = Piece(start, len(data), zlib.crc32(data))
        self._remote.write(piece.path(name), data)
        kept.append(piece)
        start += len(data)
    return kept


def _stamp(entry: Entry) -> Stamp:
  return Stamp(entry.size, entry.mtime_ns)
