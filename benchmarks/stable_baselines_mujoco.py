"""stable-baselines3's SAC, as it comes, in one thread of a CPU."""

import warnings
from collections.abc import Callable
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common import logger

from benchmarks import package_mujoco

Run = Callable[[], int]


def make(capacity: int, learning_starts: int = 0) -> Any:
  """The agent: by default its networks, batch and rates are the package's.

  Args:
    capacity: of its replay, in transitions.
    learning_starts: environment steps before the first gradient step.
  """
  import gymnasium

  torch.set_num_threads(1)
  with warnings.catch_warnings():
    # The paper's dimensions are those of the old versions.
    warnings.filterwarnings('ignore', '.*is out of date.*')
    environment = gymnasium.make(package_mujoco.ENVIRONMENT)
  return stable_baselines3.SAC(
      'MlpPolicy',
      environment,
      buffer_size=capacity,
      learning_starts=learning_starts,
      batch_size=package_mujoco.BATCH,
      device='cpu',
      seed=0,
  )


def filled(data: package_mujoco.Transitions) -> Any:
  """An agent with the package's data in its replay, ready to `train`."""
  agent = make(len(data.reward))
  agent.set_logger(logger.configure(None, []))
  for state, action, reward, next_state in zip(*data, strict=True):
    agent.replay_buffer.add(state, next_state, action, reward, False, [{}])
  return agent


def gradient_steps(data: package_mujoco.Transitions, steps: int) -> Run:
  """Gradient steps on the package's data, that many a call."""
  agent = filled(data)

  def run() -> int:
    agent.train(steps, package_mujoco.BATCH)
    return steps

  run()
  return run


def online(steps: int, capacity: int, history: int) -> Run:
  """Environment steps with a gradient step each, that many a call.

  Args:
    steps: of a call.
    capacity: of the replay, in transitions.
    history: random steps before the first gradient step.
  """
  agent = make(capacity, history)
  agent.learn(history)

  def run() -> int:
    agent.learn(steps, reset_num_timesteps=False)
    return steps

  run()
  return run


def products(steps: int) -> Run:
  """As the package's, of PyTorch."""
  kernel = torch.full((package_mujoco.UNITS,) * 2, 1 / package_mujoco.UNITS)
  torch.set_num_threads(1)

  def run() -> int:
    x = torch.ones((package_mujoco.BATCH, package_mujoco.UNITS))
    with torch.no_grad():
      for _ in range(steps):
        x = x @ kernel
    return steps

  return run
