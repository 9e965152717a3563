"""Drives an online loop whose environment is a pure function."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import (
    errors,
    lanes,
    online,
    online_program,
    progress,
    pure_playing,
    replay_drivers,
    types,
)
from implicit_underparam.data import ring as ring_lib

# Agent steps and gradient steps of a dispatch, together, at most: what is
# under way can neither be shown nor interrupted.
_DISPATCH = 50_000


class PureOnlineProgram(online_program.OnlineProgram):
  """An `OnlineLoop` that acts, stores and learns in one program.

  Its environments' states are in the checkpoint, so that episodes go on from
  one iteration to the next.

  Args:
    loop: the experiment.
    seeds: one run each.
    seed_axis: see `lanes.split`.

  Raises:
    UserError: as `OnlineProgram`; or the steps are no whole rounds.
  """

  def __init__(
      self, loop: online.OnlineLoop, seeds: Sequence[int], seed_axis: str
  ):
    self._round = _steps_of_a_round(loop)
    super().__init__(loop, seeds, seed_axis)
    if not all(
        isinstance(x.driver, replay_drivers.DeviceDriver) for x in self._running
    ):
      raise errors.UserError(
          f'{loop.environment.name} runs on the device, and needs its replay '
          "there: bind OnlineLoop.replay to @Replay() with placement 'device'"
      )
    self._worlds = self._begin()
    self._dispatches: dict[tuple[int, int, bool], Any] = {}

  def log_replay(self, folder: Any) -> None:
    """Writes what is played as replay_logs, once an iteration.

    Raises:
      UserError: these cannot hold it, or the replay cannot hold an iteration.
    """
    super().log_replay(folder)
    loop = self.loop
    if loop.layout.num_steps < loop.training_steps:
      raise errors.UserError(
          f'Runner.log_replay is True, and Replay.capacity '
          f'{loop.replay.capacity} holds less than the '
          f'{loop.training_steps} steps of an iteration: raise it, or lower '
          'OnlineLoop.training_steps'
      )

  def snapshot(self, state: Any) -> Any:
    """All that a checkpoint needs."""
    return {**super().snapshot(state), 'worlds': self._worlds}

  def place(self, tree: Any) -> Any:
    """The state to go on with, from what a checkpoint gave back."""
    self._worlds = [
        jax.device_put(world, x.lane.device)
        for x, world in zip(self._running, tree['worlds'], strict=True)
    ]
    return super().place(tree)

  def _begin(self) -> list[pure_playing.World]:
    """Fresh environments of every lane."""

    def begin(seed: types.Array) -> pure_playing.World:
      return pure_playing.begin(self.loop, self._init_seed(seed).rng)

    worlds = []
    for x in self._running:
      seeds = x.lane.part(np.asarray(self.seeds, np.uint32))
      over = lanes.over_seeds(begin, (0,), len(x.lane.seeds))
      worlds.append(jax.device_put(jax.jit(over)(seeds), x.lane.device))
    return worlds

  def _play(self, state: Sequence[Any]) -> online_program.Played:
    """The agent steps and gradient steps of an iteration."""
    first = int(np.ravel(state[0].steps)[0])
    last = first + self.loop.training_steps
    # Committed to their device, as what a dispatch gives is: else the second
    # dispatch would be another program to compile.
    carried = [
        jax.device_put(self._carried(i, x), self._running[i].lane.device)
        for i, x in enumerate(state)
    ]
    with progress.bar(self.loop.training_steps, 'agent steps') as bar:
      for begin, num_rounds, learns in self._pieces(first, last):
        for i, x in enumerate(self._running):
          if learns and begin <= self.loop.min_replay_history:
            replay_drivers.check_drawable(carried[i].contents.ring)
          play = self._dispatch(len(x.lane.seeds), num_rounds, learns)
          carried[i] = play(carried[i], state[i].rng, np.int32(begin))
        jax.block_until_ready(carried)
        bar.update(num_rounds * self._round)
    for x, after in zip(self._running, carried, strict=True):
      assert isinstance(x.driver, replay_drivers.DeviceDriver)
      x.driver.contents = after.contents
    self._worlds = [x.world for x in carried]
    if self._recorder is not None:
      self._record(self._recorder, first, last)
    returns, episodes = (
        np.concatenate([np.ravel(getattr(x, name)) for x in self._worlds])
        for name in ('returns', 'episodes')
    )
    means = np.where(episodes > 0, returns / np.maximum(episodes, 1), np.nan)
    return online_program.Played(
        [x.learning for x in carried], means, episodes
    )

  def _record(
      self, recorder: Any, first: int, last: int
  ) -> None:
    """Logs the rows of an iteration, which the rings still hold."""
    rows = self.loop.layout.first_row(np.arange(first, last))
    kept = []
    for x in self._running:
      assert isinstance(x.driver, replay_drivers.DeviceDriver)
      ring = x.lane.with_seeds(x.driver.contents.ring)
      columns = (
          ring.frames, ring.actions, ring.rewards, ring.terminals, ring.ends,
      )  # fmt: skip
      kept.append([np.asarray(column)[:, rows] for column in columns])
    frames, *results = (np.concatenate(x) for x in zip(*kept, strict=True))
    for i in range(last - first):
      recorder.add(
          frames[:, i, None], ring_lib.Result(*(x[:, i, None] for x in results))
      )

  def _carried(self, i: int, state: Any) -> pure_playing.Carried:
    driver = self._running[i].driver
    assert isinstance(driver, replay_drivers.DeviceDriver)
    world = self._worlds[i]
    return pure_playing.Carried(
        self._learning(state.train),
        driver.contents,
        world._replace(
            returns=jnp.zeros_like(world.returns),
            episodes=jnp.zeros_like(world.episodes),
        ),
    )

  def _pieces(self, first: int, last: int) -> list[tuple[int, int, bool]]:
    """Dispatches: (agent steps before, rounds, whether it learns)."""
    history = min(max(self.loop.min_replay_history, first), last)
    acts, updates = pure_playing.round_of(self.loop)
    limit = max(1, _DISPATCH // (acts + updates))
    pieces = []
    for begin, end, learns in ((first, history, False), (history, last, True)):
      rounds = (end - begin) // self._round
      # Of one size, so that there is one program to compile, or two.
      size = -(-rounds // max(1, -(-rounds // limit)))
      pieces += [
          (begin + i * self._round, min(size, rounds - i), learns)
          for i in range(0, rounds, size or 1)
      ]
    return pieces

  def _dispatch(self, num_seeds: int, num_rounds: int, learns: bool) -> Any:
    key = (num_seeds, num_rounds, learns)
    if key not in self._dispatches:
      play = functools.partial(
          pure_playing.play, self.loop, num_rounds=num_rounds, learns=learns
      )
      over = lanes.over_seeds(
          lambda carried, rng, first: play(carried, rng, first),
          (0, 0, None),
          num_seeds,
      )
      self._dispatches[key] = jax.jit(over, donate_argnums=0)
    return self._dispatches[key]


def _steps_of_a_round(loop: online.OnlineLoop) -> int:
  """Agent steps of a round, of all environments."""
  steps = pure_playing.round_of(loop)[0] * loop.num_environments
  for name in ('training_steps', 'min_replay_history'):
    if getattr(loop, name) % steps:
      raise errors.UserError(
          f'OnlineLoop.{name} is {getattr(loop, name)}: with data_reuse_ratio '
          f'{loop.data_reuse_ratio} and {loop.num_environments} environments '
          f'give a multiple of {steps}'
      )
  period = loop.learner.target_update_period
  if loop.target_update_clock == 'agent_steps' and period and period % steps:
    raise errors.UserError(
        f'Learner.target_update_period is {period} agent steps: give a '
        f'multiple of {steps}'
    )
  return steps
