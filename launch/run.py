"""What a sweep is made of."""

import dataclasses
import pathlib
import sys


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of `implicit_underparam.train`.

  Attributes:
    name: its folder under the sweep's; figures know runs by it.
    gin_files: configuration files, in order.
    gin_bindings: bindings, applied after them; '{base_dir}' in one is the
      sweep's folder.
    cost: expected time in any unit; the longest runs are started first.
    after: names of runs that have to be finished before it starts.
  """

  name: str
  gin_files: tuple[str, ...]
  gin_bindings: tuple[str, ...] = ()
  cost: float = 1.0
  after: tuple[str, ...] = ()

  def command(self, base_dir: pathlib.Path) -> list[str]:
    """The command line that runs it in `base_dir / name`."""
    return [
        sys.executable,
        '-m',
        'implicit_underparam.train',
        f'--base_dir={base_dir / self.name}',
        *(f'--gin_files={x}' for x in self.gin_files),
        *(
            f'--gin_bindings={x.replace("{base_dir}", str(base_dir))}'
            for x in self.gin_bindings
        ),
    ]
