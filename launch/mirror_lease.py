"""Who may write in a remote folder: a lease with a heartbeat.

A bucket has no locks. The holder writes a count that grows; who finds the
count still for long enough takes the folder over. Who finds another's name in
the lease, having slept too long, stops.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from launch import storage
from launch.errors import SweepError

NAME = '.lease.json'
_MISSED = 6  # Heartbeats after which a holder counts as dead.


class Lease:
  """The right to write in one remote folder.

  Args:
    url: of the folder.
    period: seconds from one heartbeat to the next.
  """

  def __init__(self, url: str, period: float):
    self._url = url
    self._path = storage.join(url, NAME)
    self._period = period
    self._owner = uuid.uuid4().hex
    self._count = 0
    self._ended = threading.Event()
    self._thread: threading.Thread | None = None

  def take(self) -> None:
    """Takes the lease, once its holder is known to be dead.

    Raises:
      SweepError: its holder is alive, or another took it at the same time.
    """
    seen = storage.read_json(self._path)
    if seen and not _is_long_ago(seen):
      self._wait_until_dead(seen)
    self._beat()
    # Two that found it free wrote one after the other: the last one has it.
    time.sleep(0.1 * self._period)
    self.check()

  def check(self) -> None:
    """Looks whether the lease is still held.

    Raises:
      SweepError: another has it.
    """
    found = storage.read_json(self._path)
    if found and found.get('owner') != self._owner:
      raise SweepError(
          f'{self._url} was taken over by {_holder(found)}: this process was '
          'not heard of for too long, and stops'
      )

  def keep(self, when_lost: Callable[[], None]) -> None:
    """Shows from now on, in a thread, that the holder is alive.

    Args:
      when_lost: called, once, if another has taken the lease.
    """
    self._thread = threading.Thread(
        target=self._keep, args=(when_lost,), daemon=True
    )
    self._thread.start()

  def release(self) -> None:
    """Gives the lease back, if it is still held."""
    self._ended.set()
    if self._thread is not None:
      self._thread.join()
    if storage.read_json(self._path).get('owner') == self._owner:
      storage.remove(self._path)

  def _keep(self, when_lost: Callable[[], None]) -> None:
    while not self._ended.wait(self._period):
      try:
        found = storage.read_json(self._path)
        if found and found.get('owner') != self._owner:
          when_lost()
          return
        self._beat()
      except SweepError:
        # Unreachable for a while: the next beat, or the next copy, tells.
        continue

  def _beat(self) -> None:
    self._count += 1
    record = {
        'owner': self._owner,
        'host': socket.gethostname(),
        'pid': os.getpid(),
        'beat': self._count,
        'time': time.time(),
        'period': self._period,
    }
    storage.write_text(self._path, json.dumps(record))

  def _wait_until_dead(self, seen: dict[str, Any]) -> None:
    """Returns when the lease is free; clocks of machines are not compared."""
    patience = _patience(seen)
    print(
        f'mirror: {self._url} was held by {_holder(seen)}: taken over if there '
        f'is no word of it for {patience:.0f} s',
        file=sys.stderr,
        flush=True,
    )
    end = time.monotonic() + patience
    while time.monotonic() < end:
      time.sleep(patience / _MISSED / 2)
      now = storage.read_json(self._path)
      if not now:
        return
      if (now.get('owner'), now.get('beat')) != (seen['owner'], seen['beat']):
        raise SweepError(
            f'{self._url} is in use by {_holder(now)}, which is alive: wait '
            'for it, stop it, or name another folder; after '
            f'{patience:.0f} s without a word from it its place is free'
        )


def _patience(record: dict[str, Any]) -> float:
  return _MISSED * float(record.get('period', 10.0))


def _is_long_ago(record: dict[str, Any]) -> bool:
  """Whether no difference of clocks could make the holder alive."""
  age = time.time() - float(record.get('time', 0.0))
  return age > 60.0 + 2 * _patience(record)


def _holder(record: dict[str, Any]) -> str:
  age = time.time() - float(record.get('time', 0.0))
  return (
      f'process {record.get("pid")} on {record.get("host")} (last word '
      f'{max(age, 0.0):.0f} s ago)'
  )
