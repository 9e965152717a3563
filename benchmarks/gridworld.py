"""Gradient steps per second on the gridworld, beside PyTorch in one run.

  pip install torch
  python -m benchmarks.gridworld

Offline fitted Q-iteration at batch 128: the package's own loop, and a
straightforward PyTorch loop of the same network, data, batch and optimiser,
both on one core, in turn. Quote the ratio: absolute numbers depend on the
machine and on what else it does.
"""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags, logging

_CORE = flags.DEFINE_integer('core', 0, 'The core to use; -1 for all.')
_REPEATS = flags.DEFINE_integer('repeats', 7, 'Timings of each, in turn.')
_STEPS = flags.DEFINE_integer('steps', 2000, 'Gradient steps a timing.')
_PEER = flags.DEFINE_bool('peer', True, 'Whether to time PyTorch as well.')

_ALPHA = 1e-3
_TEMPERATURE = 0.1


@dataclasses.dataclass
class Contestant:
  """Something that takes gradient steps.

  Attributes:
    name: in the table.
    run: number of gradient steps -> seed-steps taken, when all are done.
    rates: seed-steps per second, one a timing.
  """

  name: str
  run: Callable[[int], int]
  rates: list[float] = dataclasses.field(default_factory=list)

  def time(self, steps: int) -> None:
    """One timing."""
    start = time.perf_counter()
    taken = self.run(steps)
    self.rates.append(taken / (time.perf_counter() - start))

  @property
  def median(self) -> float:
    """Of the rates."""
    return statistics.median(self.rates)


def package(num_seeds: int, penalty: bool) -> Contestant:
  """The package's loop: sampling, labels, gradient steps, probes."""
  import jax
  import jax.numpy as jnp

  from implicit_underparam import learner, loops, networks, penalties, program
  from implicit_underparam.agents import fqi
  from implicit_underparam.data import collectors, tabular
  from implicit_underparam.envs import gridworld

  loop = loops.FittedIteration(
      learner.Learner(
          fqi.FQIAgent(networks.MLPNetwork(num_actions=5)),
          learner.adam(1e-3),
          penalty=penalties.singular_value_penalty if penalty else None,
          penalty_coefficient=_ALPHA if penalty else 0.0,
      ),
      tabular.TabularReplay(
          gridworld.grid16smoothobs(),
          initial_transitions=10_000,
          transitions_per_iteration=0,
          behaviour_policy=collectors.uniform_policy,
      ),
  )
  compiled = program.Program(loop, range(num_seeds), 'vmap')
  state = compiled.init()

  def run(steps: int) -> int:
    nonlocal state
    for _ in range(steps // loop.gradient_steps):
      state, output = compiled.iterate(state)
    jax.block_until_ready((state, output))
    return num_seeds * (steps // loop.gradient_steps) * loop.gradient_steps

  start = time.perf_counter()
  run(loop.gradient_steps)
  assert jnp.all(state.finite)
  name = f'package, {num_seeds} seed{"s" * (num_seeds > 1)}'
  name += ', penalty' if penalty else ''
  print(f'{name}: first iteration after {time.perf_counter() - start:.1f} s')
  return Contestant(name, run)


def pytorch(penalty: bool) -> Contestant:
  """The loop that one would write: labels, sampling, Adam, step by step."""
  import torch

  from implicit_underparam.envs import gridworld

  torch.manual_seed(0)
  mdp = gridworld.grid16smoothobs()
  observations = torch.tensor(mdp.observations)
  state, action, reward, next_state = _transitions(mdp)
  body = torch.nn.Sequential(
      torch.nn.Linear(16, 64), torch.nn.ReLU(),
      torch.nn.Linear(64, 64), torch.nn.ReLU(),
  )  # fmt: skip
  head = torch.nn.Linear(64, 5)
  parameters = [*body.parameters(), *head.parameters()]
  optimizer = torch.optim.Adam(parameters, lr=1e-3)

  def labels() -> torch.Tensor:
    with torch.no_grad():
      q = head(body(observations))
      value = _TEMPERATURE * torch.logsumexp(q / _TEMPERATURE, dim=1)
      return reward + mdp.discount * value[next_state]

  def step(target: torch.Tensor) -> None:
    index = torch.randint(0, len(state), (128,))
    features = body(observations[state[index]])
    q = head(features).gather(1, action[index, None])[:, 0]
    loss = torch.mean((q - target[index]) ** 2)
    if penalty:
      sigma = torch.linalg.svdvals(features)
      loss = loss + _ALPHA * (sigma[0] ** 2 - sigma[-1] ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

  def run(steps: int) -> int:
    for i in range(steps):
      if i % 200 == 0:
        target = labels()
      step(target)
    return steps

  run(20)
  return Contestant('PyTorch' + (', penalty' if penalty else ''), run)


def _transitions(mdp) -> tuple:
  import torch

  rng = np.random.default_rng(0)
  state = rng.choice(mdp.free_states, 10_000)
  action = rng.integers(0, 5, 10_000)
  cumulative = np.cumsum(mdp.transition_matrix[state, action], axis=1)
  next_state = np.argmax(rng.random((10_000, 1)) < cumulative, axis=1)
  reward = mdp.rewards[state].astype(np.float32)
  arrays = (state, action, reward, next_state)
  return tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in arrays)


def main(argv: Sequence[str]) -> None:
  """Times everything in turn and prints medians and ratios."""
  del argv
  logging.set_verbosity(logging.WARNING)
  if _CORE.value >= 0 and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {_CORE.value})
  contestants = {
      'one': package(1, penalty=False),
      'five': package(5, penalty=False),
      'one_penalty': package(1, penalty=True),
      'five_penalty': package(5, penalty=True),
  }
  if _PEER.value:
    import torch

    torch.set_num_threads(1 if _CORE.value >= 0 else os.cpu_count() or 1)
    contestants['torch'] = pytorch(penalty=False)
    contestants['torch_penalty'] = pytorch(penalty=True)
  for _ in range(_REPEATS.value):
    for name, contestant in contestants.items():
      # The slow ones take fewer steps, so that all sample the same minutes.
      contestant.time(_STEPS.value if 'torch' not in name else 400)
  _print(contestants)


def _print(contestants: dict[str, Contestant]) -> None:
  for x in contestants.values():
    low, high = min(x.rates), max(x.rates)
    print(
        f'{x.name:<28} {x.median:8.0f} seed-steps/s '
        f'(from {low:.0f} to {high:.0f})'
    )
  rate = {name: x.median for name, x in contestants.items()}
  print(f'the penalty costs {rate["one"] / rate["one_penalty"]:.1f} times '
        'a plain step')
  print(f'five seeds against one: {rate["five"] / rate["one"]:.2f} times '
        'the seed-steps/s')
  if 'torch' in rate:
    print(f'package / PyTorch: {rate["one"] / rate["torch"]:.1f}; '
          f'with the penalty {rate["one_penalty"] / rate["torch_penalty"]:.1f}')


if __name__ == '__main__':
  app.run(main)
