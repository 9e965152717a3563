"""A tree of arrays as a table of leaves and a few arrays of bytes."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Orbax spends 1 to 2 ms on every array it is handed, which for a small network
# is most of a save; leaves below this size share one array.
_SHARED_BYTES = 2**20
_SHARED = 'shared'
_PLAIN = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One leaf of a tree; all that is known of it but the bytes of its array.

  Attributes:
    path: the keys that lead to it.
    spec: its type and shape, such as float32[64, 4] or int; bytes have no
      shape here, so that a template may hold any others.
    dtype: of the stored array; '' for a plain Python value.
    shape: of the stored array.
    value: the plain Python value; None for an array.
    crc32: of the bytes of the array.
    array: the name of the array of bytes that holds them.
    offset: where they begin in it.
  """

  path: Sequence[str]
  spec: str
  dtype: str = ''
  shape: Sequence[int] = ()
  value: bool | int | float | str | None = None
  crc32: int = 0
  array: str = ''
  offset: int = 0

  @property
  def name(self) -> str:
    """The path as people write it."""
    return '/'.join(self.path)


def _is_key(leaf: Any) -> bool:
  return isinstance(leaf, jax.Array) and jnp.issubdtype(
      leaf.dtype, jax.dtypes.prng_key
  )


def _spec(path: Sequence[str], leaf: Any) -> str:
  if type(leaf) in (*_PLAIN, bytes):
    return type(leaf).__name__
  if not _is_key(leaf) and getattr(
      getattr(leaf, 'dtype', None), 'kind', 'O'
  ) in 'OSUmM':
    kind = type(leaf).__name__
    raise TypeError(f'{"/".join(path)}: a checkpoint cannot hold a {kind}')
  return f'{leaf.dtype}{list(leaf.shape)}'


def _flatten(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
  return [
      (tuple(jax.tree_util.keystr((key,), simple=True) for key in path), leaf)
      for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
  ]


def _to_host(leaves: Sequence[Any]) -> list[Any]:
  """Fetches all arrays in one transfer; key arrays become their words."""
  return jax.device_get([
      jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves
  ])


def _crc32(data: np.ndarray) -> int:
  return zlib.crc32(data.data)


def _to_array(value: Any) -> np.ndarray:
  if type(value) is bytes:
    return np.frombuffer(value, np.uint8)
  return np.asarray(value)


def pack(tree: Any) -> tuple[list[Leaf], dict[str, np.ndarray]]:
  """Turns a tree into a table of leaves and a few arrays of bytes.

  Args:
    tree: arrays of JAX and NumPy, typed PRNG keys and Python's int, float,
      bool, str and bytes of any length, in any pytree.

  Returns:
    The leaves in the order of the tree, and {name: uint8 [number of bytes]}.

  Raises:
    TypeError: a leaf is of another type; names it.
  """
  flat = _flatten(tree)
  specs = [_spec(path, leaf) for path, leaf in flat]
  host = _to_host([leaf for _, leaf in flat])
  # Orbax refuses empty arrays: the shared one has at least this byte.
  shared, offset = [np.zeros(1, np.uint8)], 1
  leaves: list[Leaf] = []
  arrays: dict[str, np.ndarray] = {}
  for (path, _), spec, value in zip(flat, specs, host, strict=True):
    if type(value) in _PLAIN:
      leaves.append(Leaf(path, spec, value=value))
      continue
    array = _to_array(value)
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    alone = data.size >= _SHARED_BYTES
    leaves.append(Leaf(
        path=path,
        spec=spec,
        dtype=str(array.dtype),
        shape=array.shape,
        crc32=_crc32(data),
        array=f'{len(leaves):04d}' if alone else _SHARED,
        offset=0 if alone else offset,
    ))
    if alone:
      arrays[leaves[-1].array] = data
    else:
      shared.append(data)
      offset += data.size
  return leaves, {_SHARED: np.concatenate(shared), **arrays}


def unpack(leaf: Leaf, arrays: Mapping[str, np.ndarray]) -> Any:
  """Takes one leaf out of the arrays of bytes, bit for bit.

  Args:
    leaf: its entry in the table.
    arrays: {name: uint8 [number of bytes]}.

  Returns:
    A NumPy array, the bytes, or the plain Python value.

  Raises:
    ValueError: the bytes are not those that were packed.
  """
  if not leaf.dtype:
    return leaf.value
  dtype = np.dtype(leaf.dtype)
  end = leaf.offset + dtype.itemsize * int(np.prod(leaf.shape, dtype=np.int64))
  data = arrays[leaf.array][leaf.offset:end]
  if data.dtype != np.uint8 or _crc32(data) != leaf.crc32:
    raise ValueError(f'{leaf.name} is not what was written')
  if leaf.spec == bytes.__name__:
    return data.tobytes()
  array = data.view(dtype).reshape(leaf.shape)
  return np.require(array, requirements=('ALIGNED', 'WRITEABLE'))


def _like(template: Any, value: Any) -> Any:
  if _is_key(template):
    return jax.random.wrap_key_data(
        jnp.array(value), impl=jax.random.key_impl(template)
    )
  if isinstance(template, jax.ShapeDtypeStruct):
    return value
  if isinstance(template, np.generic):
    return value[()]
  if type(template) in (*_PLAIN, bytes) or isinstance(template, np.ndarray):
    return value
  return jnp.array(value)


def rebuild(template: Any, values: Sequence[Any]) -> Any:
  """Builds the tree from its unpacked leaves.

  Args:
    template: a tree of the same structure.
    values: the leaves, in the order of the tree.

  Returns:
    The tree; NumPy arrays where the template has them or a ShapeDtypeStruct,
    else JAX arrays on the default device.
  """
  targets, structure = jax.tree_util.tree_flatten(template)
  leaves = map(_like, targets, values)
  return jax.tree_util.tree_unflatten(structure, leaves)


def find_mismatch(leaves: Sequence[Leaf], template: Any) -> str:
  """Names the first leaf in which a table and a tree differ.

  Args:
    leaves: the table of a checkpoint.
    template: the tree it should fit.

  Returns:
    A clause with the leaf and both shapes; '' where all fit.
  """
  saved = [(leaf.name, leaf.spec) for leaf in leaves]
  wanted = [
      ('/'.join(path), _spec(path, leaf)) for path, leaf in _flatten(template)
  ]
  there, here = dict(saved), dict(wanted)
  for name in (*here, *there):
    before, now = there.get(name, 'missing'), here.get(name, 'missing')
    if before != now:
      return f'{name} is {before} in the checkpoint and {now} in this run'
  return '' if saved == wanted else 'its leaves come in another order'


def nest(leaves: Sequence[Leaf], values: Sequence[Any]) -> Any:
  """Builds nested dicts from the paths of leaves.

  Args:
    leaves: the table.
    values: the unpacked leaves.

  Returns:
    {key: {key: ... value}}; the value itself where the tree is one leaf.
  """
  root: dict[str, Any] = {}
  for leaf, value in zip(leaves, values, strict=True):
    *parents, last = ('', *leaf.path)
    node = root
    for key in parents:
      node = node.setdefault(key, {})
    node[last] = value
  return root.get('', {})
