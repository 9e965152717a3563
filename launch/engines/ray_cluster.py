"""Finds a Ray cluster, and what its machines have."""

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from launch.errors import SweepError
from launch.run import Resources

_TIME_TO_ANSWER = 5.0  # Seconds, for a machine.
_TIME_TO_JOIN = 40.0  # Seconds, for a cluster.
_OBJECT_STORE = 80 * 2**20  # Bytes; nearly the least that Ray takes.
_JOIN = """
import logging, sys, ray
try:
  ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.FATAL)
except (Exception, SystemExit) as error:
  sys.exit(f'{type(error).__name__}: {error}')
"""


def load() -> Any:
  """Imports Ray.

  Raises:
    SweepError: it is not installed.
  """
  # Read when Ray is imported.
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
  try:
    # By name: to follow an import of Ray takes mypy minutes and a gigabyte.
    importlib.import_module('ray.exceptions')
    return importlib.import_module('ray')
  except ImportError as error:
    raise SweepError(
        f"--engine=ray needs Ray ({error}): pip install '.[launch]'"
    ) from error


def start(ray: Any, scratch: str) -> None:
  """Starts Ray on this machine, as small as it can be.

  Args:
    ray: the library.
    scratch: folder of a short path, for its sockets and logs.

  Raises:
    SweepError: it does not start.
  """
  options = {
      'address': 'local',
      'num_cpus': _cores(),
      'include_dashboard': False,
      'object_store_memory': _OBJECT_STORE,
      '_temp_dir': scratch,
  }
  what = 'Ray does not start on this machine'
  try:
    _init(ray, what, **options)
  except SweepError:
    # A part of it has 15 s to start, whatever else the machine does.
    ray.shutdown()
    _init(ray, what, **options)


def join(ray: Any, address: str, working_dir: str) -> None:
  """Joins a running cluster.

  Args:
    ray: the library.
    address: 'auto', host:port, or ray://host:port.
    working_dir: folder sent to the workers; '' for none.

  Raises:
    SweepError: there is none, or it does not take this driver.
  """
  if working_dir and not os.path.isdir(working_dir):
    raise SweepError(f'--ray_working_dir={working_dir} is no folder')
  _find(address)
  sent = {'runtime_env': {'working_dir': working_dir}} if working_dir else {}
  _init(ray, f'--ray_address={address}', address=address, **sent)


def _init(ray: Any, what: str, **options: Any) -> None:
  is_main = threading.current_thread() is threading.main_thread()
  handler = signal.getsignal(signal.SIGTERM)
  try:
    ray.init(log_to_driver=False, logging_level=logging.FATAL, **options)
  except (Exception, SystemExit) as error:
    raise SweepError(f'{what}: {first_line(error)}') from error
  finally:
    # Ray puts its own in the place of the driver's.
    if is_main:
      signal.signal(signal.SIGTERM, handler)
  # It prints every death of a worker; the driver tells of those by itself.
  ray._private.worker._worker_logs_enabled = False


def _find(address: str) -> None:
  """Tries out an address: Ray would wait for minutes, and write pages."""
  host, _, port = address.removeprefix('ray://').rpartition(':')
  if address != 'auto':
    try:
      socket.create_connection((host, int(port)), _TIME_TO_ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
      raise SweepError(
          f'--ray_address={address}: no Ray cluster answers there '
          f'({getattr(error, "strerror", None) or error}): give host:6379, '
          "ray://host:10001 or auto, or '' to start Ray on this machine"
      ) from error
  try:
    tried = subprocess.run(
        [sys.executable, '-c', _JOIN, address], timeout=_TIME_TO_JOIN,
        capture_output=True, text=True, check=False,
    )
  except subprocess.TimeoutExpired as error:
    raise SweepError(
        f'--ray_address={address}: what answers there is no Ray cluster, or '
        f'it took no driver within {_TIME_TO_JOIN:.0f} s'
    ) from error
  if tried.returncode:
    raise SweepError(f'--ray_address={address}: {_refusal(tried.stderr)}')


def _refusal(text: str) -> str:
  """Why Ray took no driver, of what it printed."""
  if 'uthenticat' in text:
    return (
        'the cluster wants a token: set RAY_AUTH_MODE=token, and have the '
        "cluster's in ~/.ray/auth_token or RAY_AUTH_TOKEN"
    )
  if 'gcs_client' in text or 'any running Ray instance' in text:
    return (
        'no Ray cluster answers there: give host:6379, ray://host:10001 or '
        "auto, or '' to start Ray on this machine"
    )
  lines = [x.strip() for x in text.splitlines() if 'Error: ' in x]
  return first_line(lines[0] if lines else 'it took no driver')


def first_line(error: BaseException | str) -> str:
  """What an error says, short."""
  lines = str(error).strip().splitlines()
  return lines[0][:300] if lines else type(error).__name__


def demand(resources: Resources) -> dict[str, float]:
  """Resources as Ray calls them."""
  wanted = {
      'CPU': resources.cpus, 'GPU': resources.gpus, 'TPU': resources.tpus,
  }
  return {name: float(x) for name, x in wanted.items() if x}


def check_share(resources: Resources) -> None:
  """Raises ValueError for a part of a second GPU, as Ray does, but at once."""
  if resources.gpus > 1 and resources.gpus != int(resources.gpus):
    raise ValueError('more than one GPU is a whole number of them')


def check(
    needed: Sequence[Resources],
    machines: Sequence[Mapping[str, float]],
    kinds: Sequence[Mapping[str, float]] | None,
    where: str,
) -> None:
  """Looks whether every task has a machine, or could get one.

  Args:
    needed: by the tasks.
    machines: what each has.
    kinds: what each that the cluster could add would have; None where that is
      not known.
    where: the cluster, for the message.

  Raises:
    SweepError: a task has none.
  """
  if kinds is None:
    return
  for resources in dict.fromkeys(needed):
    wanted = demand(resources)
    if not any(_fits(wanted, x) for x in (*machines, *kinds)):
      there = {_words(x) for x in (*machines, *kinds)}
      raise SweepError(
          f'a run asks for {_words(wanted)} and no machine of {where} has as '
          f'much (there are: {"; ".join(sorted(there)) or "none"}): add one, '
          'take a smaller --scale, or change --cpus, --gpus or --tpus'
      )


def _fits(wanted: Mapping[str, float], there: Mapping[str, float]) -> bool:
  return all(there.get(name, 0.0) >= x for name, x in wanted.items())


def _words(resources: Mapping[str, float]) -> str:
  names = ('CPU', 'GPU', 'TPU')
  return ', '.join(
      f'{resources[name]:g} {name}' for name in names if resources.get(name)
  ) or 'no CPU'


def _cores() -> int:
  if sys.platform == 'linux':
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
