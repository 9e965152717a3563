"""What `prepare` takes of a log."""

import dataclasses
from typing import Any

import numpy as np

from implicit_underparam.data import horizons, plans
from implicit_underparam.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
  """What is taken of a log, and how.

  Attributes:
    fraction: of the unit of the mode, within (0, 1].
    mode: 'prefix', 'blocks', 'trajectories' or 'transitions', see `plans`.
    game: as 'Pong'; None takes it from the path, if that names one.
    run: of the public logs; None likewise.
    seed: of what is drawn.
    block_size: rows of a block.
    update_horizon: n of the transitions that are drawn.
    max_horizon: the largest n that the set is prepared for.
    verify_all: decompress every file to its end and check its CRC-32; else
      no further than the rows that are taken, and damage there may pass.
    skip_damaged: leave out checkpoints with damaged files.
    stack_size: frames in a state; None is 4, and 1 for MinAtar.
  """

  fraction: float = 1.0
  mode: str = 'prefix'
  game: str | None = None
  run: int | None = None
  seed: int = 0
  block_size: int = 1000
  update_horizon: int = 1
  max_horizon: int = 20
  verify_all: bool = True
  skip_damaged: bool = False
  stack_size: int | None = None

  def check(self) -> None:
    """Raises UserError if a value cannot be."""
    if not 0 < self.fraction <= 1:
      raise UserError(
          f'--fraction={self.fraction:g}: give more than 0 and at most 1, such '
          'as 0.05'
      )
    if self.mode not in plans.MODES:
      raise UserError(
          f'--mode={self.mode}: give one of {", ".join(plans.MODES)}'
      )
    if not 1 <= self.max_horizon <= 255:
      raise UserError(f'--max_horizon={self.max_horizon}: give 1 to 255')
    if not 1 <= self.update_horizon <= self.max_horizon:
      raise UserError(
          f'--update_horizon={self.update_horizon}: give 1 to --max_horizon, '
          f'which is {self.max_horizon}'
      )
    if self.stack_size is not None and self.stack_size < 1:
      raise UserError(f'--stack_size={self.stack_size}: give 1 or more')
    if self.block_size < 1 or self.seed < 0:
      raise UserError(
          f'--block_size={self.block_size} --seed={self.seed}: give at least 1 '
          'and 0'
      )

  def choice(self) -> dict[str, Any]:
    """What says which rows are taken, of those that the mode looks at."""
    choice: dict[str, Any] = {'mode': self.mode, 'fraction': self.fraction}
    if self.mode != 'prefix':
      choice['seed'] = self.seed
    if self.mode == 'blocks':
      choice['block_size'] = self.block_size
    if self.mode == 'transitions':
      choice['update_horizon'] = self.update_horizon
    return choice


def make_plan(
    stream: plans.Stream,
    options: Options,
    stack_size: int = horizons.STACK_SIZE,
) -> plans.Plan:
  """The plan of the options' mode; every draw follows from the seed."""
  rng = np.random.default_rng(options.seed)
  if options.mode == 'blocks':
    return plans.blocks(stream, options.fraction, options.block_size, rng)
  if options.mode == 'trajectories':
    return plans.trajectories(stream, options.fraction, rng)
  if options.mode == 'transitions':
    return plans.transitions(
        stream, options.fraction, options.update_horizon, rng, stack_size
    )
  return plans.prefix(stream, options.fraction)
