"""Small sets of transitions of Pendulum-v1, and what is read of them."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from implicit_underparam import types
from implicit_underparam.data import offline, offline_sets, transitions
from implicit_underparam.errors import UserError

ID = 'Pendulum-v1'  # 3 numbers are shown, 1 is done, between -2 and 2.
SIZE = 60

Columns = dict[str, Any]


def columns(
    size: int = SIZE, shown: int = 3, seed: int = 0, done: int = 1
) -> Columns:
  """Those of a D4RL file, of random numbers."""
  rng = np.random.default_rng(seed)
  return {
      'observations': rng.normal(size=(size, shown)).astype(np.float32),
      'actions': rng.uniform(-2, 2, (size, done)).astype(np.float32),
      'rewards': rng.normal(size=size).astype(np.float32),
      'next_observations': rng.normal(size=(size, shown)).astype(np.float32),
      'terminals': rng.integers(2, size=size).astype(bool),
      'timeouts': np.zeros(size, bool),
  }


def changed(name: str, row: Any, value: Any) -> Columns:
  """With other numbers in a row of a column."""
  found = columns()
  found[name][row] = value
  return found


def given(**others: Any) -> Columns:
  """With other columns."""
  return {**columns(), **others}


def lacking(name: str) -> Columns:
  """Without a column."""
  return {key: x for key, x in columns().items() if key != name}


def write(path: pathlib.Path, found: Mapping[str, Any]) -> pathlib.Path:
  """Writes columns as h5py does."""
  with h5py.File(path, 'w') as file:
    for name, column in found.items():
      file[name] = column
  return path


def data(path: Any, **options: Any) -> transitions.TransitionData:
  """All of a set."""
  return transitions.TransitionData(
      path=str(path), **{'id': ID, 'batch_size': 8} | options
  )


def batch(
    source: transitions.TransitionData,
    rows_of: Callable[[offline.Columns], Any] = lambda found: found.starts,
) -> types.Batch:
  """What the offline loop takes at some rows, or at all there are."""
  sets = offline_sets.OfflineSets(source, (0,))
  found = offline.Columns(
      *(
          None if x is None else jnp.asarray(x)
          for x in sets.columns(1, 0.99, False)
      )
  )
  rows = jnp.asarray(rows_of(found), jnp.int32)
  windows = offline.gather_windows(jnp.asarray(sets.frames()), rows, 2, 1)
  return offline.transitions(found, windows, rows, sets.stack_size, 1, 0.99)


def read(
    source: transitions.TransitionData, seeds: Sequence[int] = (0,)
) -> list[Columns]:
  """Each set of some seeds, without a program: what its starts are."""
  sets = offline_sets.OfflineSets(source, seeds)
  each = []
  for store in sets.stores:
    rows = store.starts(1)
    each.append({
        'observations': store.frames[rows],
        'actions': store.actions[rows],
        'rewards': store.rewards[rows],
        'next_observations': store.frames[rows + 1],
        'terminals': store.terminals[rows],
    })
  return each


def check(found: Columns, expected: Columns, bound: float = 2.0) -> None:
  """What was read is what was written; actions are in [-1, 1]."""
  for name, column in found.items():
    scale = bound if name == 'actions' else 1.0
    np.testing.assert_allclose(
        np.asarray(column, np.float64),
        np.asarray(expected[name], np.float32) / scale,
        # Of a scale that is no power of 2.
        rtol=0 if scale in (1.0, 2.0) else 1e-6,
        err_msg=name,
    )


def check_batch(
    found: types.Batch, expected: Columns, bound: float = 2.0
) -> None:
  """`check`, of a batch."""
  check(
      {
          'observations': found.state[..., 0],
          'actions': found.action,
          'rewards': found.reward,
          'next_observations': found.next_state[..., 0],
          'terminals': found.is_terminal,
      },
      expected,
      bound,
  )


class FolderTest(parameterized.TestCase):
  """Has a folder, and checks what is refused."""

  def setUp(self) -> None:
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def file(self, found: Columns, name: str = 'data.hdf5') -> pathlib.Path:
    """Writes columns."""
    return write(self.folder / name, found)

  def check_refused(
      self, message: str, function: Any, *arguments: Any, **options: Any
  ) -> None:
    """One line says why."""
    with self.assertRaisesRegex(UserError, message) as caught:
      function(*arguments, **options)
    self.assertNotIn('\n', str(caught.exception))
