"""Names the kind of processor that this machine has."""

import hashlib
import pathlib
import platform
import sys

_CPUINFO = pathlib.Path('/proc/cpuinfo')


def kind() -> str:
  """A folder's name for compiled programs: a cluster's machines may differ."""
  flags = ''
  if sys.platform == 'linux':
    lines = _CPUINFO.read_text(encoding='utf-8').splitlines()
    flags = next((x for x in lines if x.startswith(('flags', 'Features'))), '')
  digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
  return f'{platform.machine()}_{digest}'
