"""Trained networks as policies: to evaluate, to collect with, to look into."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import gin
import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from implicit_underparam import (
    acting,
    checkpoints,
    run_folder,
    types,
)
from implicit_underparam.data import frame_store
from implicit_underparam.data import offline as offline_data
from implicit_underparam.errors import UserError

_BATCH = 256


def configured_run(base_dir: pathlib.Path) -> Any:
  """The `Runner` of a run's folder, from its config.gin.

  Replaces the configuration of this process.

  Args:
    base_dir: the run's folder.

  Raises:
    UserError: there is no run.
  """
  # Imported late: a network's parameters can be read without it.
  from implicit_underparam import runner

  config = base_dir / 'config.gin'
  if not config.is_file():
    raise UserError(
        f'--base_dir={base_dir}: there is no run here (no config.gin)'
    )
  return runner.build(str(base_dir), [str(config.resolve())], [], str(config))


def load_params(
    base_dir: str | pathlib.Path, checkpoint: int | None, seed: int | None
) -> types.Params:
  """The online network's parameters of one seed of a run.

  Args:
    base_dir: the run's folder.
    checkpoint: iterations done; None for the latest.
    seed: which seed of the run; None for its first.

  Returns:
    Nested dicts of NumPy arrays.

  Raises:
    UserError: no such run, checkpoint or seed.
  """
  path = pathlib.Path(base_dir)
  checkpointer = checkpoints.Checkpointer(path / 'checkpoints')
  there = checkpointer.iterations()
  if not there or (checkpoint is not None and checkpoint not in there):
    which = 'no checkpoint' if checkpoint is None else f'none of {checkpoint}'
    have = f'; there are {there}' if there else ''
    raise UserError(f'{path}: there is {which}{have}')
  iteration = there[-1] if checkpoint is None else checkpoint
  status = run_folder.RunFolder.read_status(path) or {}
  seeds = [int(x) for x in status.get('seeds', [0])]
  if seed is not None and seed not in seeds:
    raise UserError(f'{path}: the run has no seed {seed}, only {seeds}')
  index = 0 if seed is None else seeds.index(seed)
  params = _online_params(checkpointer.load(iteration))
  return jax.tree.map(lambda x: x[index], params)


def _online_params(checkpoint: Any) -> types.Params:
  """The online network's parameters, seeds in front."""
  if 'lanes' not in checkpoint:
    return checkpoint['train']['params']
  # Of an online run: some of the seeds in each of several trees.
  lanes = checkpoint['lanes']
  trains = [lanes[i]['train'] for i in sorted(lanes, key=int)]
  # A lane of one seed has no axis of seeds.
  parts = [
      jax.tree.map(lambda x, alone=not y['gradient_steps'].ndim: (
          x[None] if alone else x
      ), y['params'])
      for y in trains
  ]
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def greedy_actions(
    base_dir: pathlib.Path, checkpoint: int | None, seed: int | None
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
  """argmax_a Q(s, a) of a run's network, as a function of states.

  Args:
    base_dir: the run's folder; its configuration replaces this process's.
    checkpoint: iterations done; None for the latest.
    seed: which seed of the run; None for its first.

  Returns:
    States [B, ...] -> actions [B], and the number of actions.

  Raises:
    UserError: no such run, checkpoint or seed.
  """
  agent = configured_run(base_dir).loop.learner.agent
  params = load_params(base_dir, checkpoint, seed)
  act = jax.jit(lambda state: acting.greedy(agent.apply(params, state)))
  return lambda state: np.asarray(act(state)), int(agent.network.num_actions)


@gin.register
@dataclasses.dataclass(frozen=True)
class NetworkPolicy:
  """The greedy policy of a trained network, for fitted Q evaluation.

  Attributes:
    base_dir: folder of the run that trained it.
    network: its architecture, with a name of its own in gin, such as
      `@evaluated/NatureNetwork()`.
    checkpoint: iterations done; None for the latest.
    seed: which seed of the run; None for its first.
  """

  base_dir: str
  network: nn.Module
  checkpoint: int | None = None
  seed: int | None = None

  def actions(self, store: frame_store.FrameStore) -> np.ndarray:
    """What it does in the state of each row; 0 where there is no whole stack.

    Args:
      store: the set.

    Returns:
      [N] uint8.

    Raises:
      UserError: no such run, or the network does not fit it.
    """
    params = load_params(self.base_dir, self.checkpoint, self.seed)
    stack = int(store.meta['stack_size'])
    self._check(params, store, stack)

    @jax.jit
    def act(windows: types.Array) -> types.Array:
      output = self.network.apply(params, jnp.moveaxis(windows, 1, -1))
      assert isinstance(output, types.NetworkOutput)
      return acting.greedy(output)

    num_rows = len(store.actions)
    actions = np.zeros(num_rows, np.uint8)
    begins = range(stack - 1, num_rows, _BATCH)
    for begin in tqdm.tqdm(
        begins, desc='policy', leave=False, disable=not sys.stderr.isatty()
    ):
      # One shape for all: the last batch goes over some rows again.
      rows = np.minimum(np.arange(begin, begin + _BATCH), num_rows - 1)
      windows = offline_data.to_host_windows(store.frames, rows, stack, stack)
      actions[rows] = np.asarray(act(windows))
    return actions

  def _check(
      self, params: types.Params, store: frame_store.FrameStore, stack: int
  ) -> None:
    state = jnp.zeros((1, *store.frames.shape[1:], stack), store.frames.dtype)
    fresh = jax.eval_shape(self.network.init, jax.random.key(0), state)
    shapes = jax.tree.map(lambda x: x.shape, (fresh, params))
    if shapes[0] != shapes[1]:
      raise UserError(
          f'NetworkPolicy.network does not fit the run {self.base_dir}: bind '
          'it to the network (and num_actions, padding) of that run'
      )
